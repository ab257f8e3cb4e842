"""What a plot is about where nobody says: the server of the first finding, its attempts, the connections that tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.errors import UsageError
from analyzer.reports.summary import Analysed, Finding, SocketGroup, SocketLine, socket_groups
from analyzer.reports.text import nanoseconds

_TRANSPORTS = {"quic": "udp", "udp": "udp", "tcp": "tcp"}


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts on some sockets by columns: times in ns (-1 none), latency in s (NaN none).

    ``socket`` says which of the sockets; ``client`` is the address and port that asked.
    """

    socket: NDArray[np.int64]
    outcome: NDArray[Any]
    asked: NDArray[np.int64]
    last_asked: NDArray[np.int64]
    latency: NDArray[np.float64]
    client: NDArray[Any]
    client_port: NDArray[np.int64]

    def of(self, socket: int) -> Attempts:
        """Those on one of the sockets."""
        mine = self.socket == socket
        return Attempts(*(getattr(self, field.name)[mine] for field in fields(self)))


_COLUMNS = ("outcome", "request_time", "last_request_time", "reply_latency_s", "client_address", "client_port")


def attempts_on(analysis: Analysed, lines: Sequence[SocketLine]) -> Attempts:
    """The attempts on these server sockets whose request was seen, as the table of sockets counts them.

    A DNS question over UDP is an attempt of its own; its conversation is none besides.
    """
    wanted = {(line.transport, line.address, line.port): number for number, line in enumerate(lines)}
    exchanges, connections = analysis.exchanges, analysis.connections
    questions = np.flatnonzero((exchanges["kind"] == "dns") & (exchanges["transport"] == "udp"))
    asking = set(exchanges.at("connection", questions))
    others = np.array([name not in asking for name in connections["connection"].tolist()], np.bool_)
    parts = []
    for table, rows in ((connections, np.flatnonzero(others)), (exchanges, questions)):
        keys = zip(*(table.at(name, rows) for name in ("transport", "server_address", "server_port")), strict=True)
        socket = np.array([wanted.get((_TRANSPORTS.get(t, t), a, p), -1) for t, a, p in keys], np.int64)
        chosen = (socket >= 0) & (table["request_time"][rows] != -1)
        parts.append((socket[chosen], *(table[name][rows[chosen]] for name in _COLUMNS)))
    return Attempts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def faults(analysis: Analysed) -> list[Finding]:
    """Errors and warnings that nobody accepted, in the order of the report."""
    findings = analysis.document["findings"]
    return [each for each in findings if each["severity"] in ("error", "warning") and not each.get("accepted")]


def onsets_of(analysis: Analysed, lines: Sequence[SocketLine]) -> list[int]:
    """When each of these sockets fell silent, else when the first fault about it began (ns); -1: neither."""
    began = _onsets(analysis)
    return [
        began.get((line.transport, line.address, line.port), -1) if line.onset == -1 else line.onset for line in lines
    ]


def _onsets(analysis: Analysed) -> dict[tuple[str, str, int], int]:
    """When faults of one socket began (ns), the first of each, by transport, address and port."""
    found: dict[tuple[str, str, int], int] = {}
    for finding in faults(analysis):
        server = finding.get("server") or {}
        if finding.get("onset") and server.get("port") is not None:
            key = (finding.get("transport") or "", server["address"], server["port"])
            found.setdefault(key, nanoseconds(finding["onset"]))
    return found


def groups_of(analysis: Analysed, server: str) -> list[SocketGroup]:
    """The groups of sockets of a server, by its name or one of its addresses; the first fault's where "" is given.

    Without a fault it is the server with the most attempts. Raises UsageError for a server that is not in the capture.
    """
    groups = socket_groups(analysis)
    if not server:
        told = next((each["server"]["address"] for each in faults(analysis) if each.get("server")), "")
        busiest = max(groups, key=lambda group: sum(line.attempts for line in group.lines), default=None)
        server = told or (busiest.lines[0].address if busiest is not None else "")
    found = [group for group in groups if _is_of(group, server)]
    names = {group.name for group in found} - {""}
    found = [group for group in groups if group in found or group.name in names]
    if server and groups and not found:
        known = sorted({group.name or group.lines[0].address for group in groups})
        raise UsageError(f"no server {server!r} in this capture; there is {', '.join(known[:8])}")
    return found


def _is_of(group: SocketGroup, server: str) -> bool:
    return group.name == server or any(line.address == server for line in group.lines)


def connection_name(analysis: Analysed, name: str) -> str:
    """The name as it is; raises UsageError where no connection has it."""
    if not (analysis.connections["connection"] == name).any():
        raise UsageError(f"no connection {name!r} in this capture; they are called C1, C2, ...")
    return name
