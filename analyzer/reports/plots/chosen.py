"""What a plot is about where nobody says: the server of the first finding, its attempts, the connections that tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.errors import UsageError
from analyzer.reports.summary import Analysed, Finding, SocketGroup, SocketLine, socket_groups

_TRANSPORTS = {"quic": "udp", "udp": "udp", "tcp": "tcp"}


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts on some sockets by columns: times in ns (-1 none), latency in s (NaN none)."""

    rows: NDArray[np.int64]
    socket: NDArray[np.int64]  # which of the sockets
    outcome: NDArray[Any]
    asked: NDArray[np.int64]
    latency: NDArray[np.float64]


def attempts_on(analysis: Analysed, lines: Sequence[SocketLine]) -> Attempts:
    """The attempts on these server sockets whose request was seen, in the order of the table."""
    table = analysis.connections
    wanted = {(line.transport, line.address, line.port): number for number, line in enumerate(lines)}
    keys = zip(*(table[name].tolist() for name in ("transport", "server_address", "server_port")), strict=True)
    socket = np.array([wanted.get((_TRANSPORTS.get(t, t), a, p), -1) for t, a, p in keys], np.int64)
    rows = np.flatnonzero((socket >= 0) & (table["request_time"] != -1))
    return Attempts(
        rows, socket[rows], table["outcome"][rows], table["request_time"][rows], table["reply_latency_s"][rows]
    )


def faults(analysis: Analysed) -> list[Finding]:
    """Errors and warnings that nobody accepted, in the order of the report."""
    findings = analysis.document["findings"]
    return [each for each in findings if each["severity"] in ("error", "warning") and not each.get("accepted")]


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
