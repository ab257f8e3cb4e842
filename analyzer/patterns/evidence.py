"""What several patterns read off the tables: attempts on one socket, what they waited for, and how a finding is built.

Masks are bool arrays over the rows of ``view.connections``; ``attempts_by_socket`` turns one into groups of rows, one
per transport, address family and server socket, in order of their first connection. Only the columns that a question
needs are read, so that a flood of a million attempts costs a few array comparisons.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import grouped
from analyzer.exchanges.view import View
from analyzer.patterns.finding import MOST_ENTRIES, Argument, Finding, Pattern, Record, Threshold
from analyzer.patterns.places import placed
from analyzer.patterns.words import conversation_filter, one_of_addresses, one_of_ports, socket_words
from analyzer.wire.icmp import REFUSALS

Mask = NDArray[np.bool_]

_MOST_NUMBER = 1 << 48  # more than any record has: a capture and a record in one integer sort as the pair does

WAIT = Threshold(
    "wait",
    3.0,
    "s",
    "two repeats of a request: RFC 9002 §6.2.2 (PTO 1 s without an RTT sample, then doubled); RFC 6298 §2 (RTO 1 s)",
)
SMALLEST_INITIAL = Threshold("smallest-initial", 1200, "bytes of UDP payload", "RFC 9000 §14.1")
SCAN_PORTS = Threshold(
    "scan-ports",
    20,
    "ports of one address",
    "more ports than one client's services use; port scanners try 1,000 by default",
)


class Service(NamedTuple):
    """Something that a host answered."""

    transport: str
    family: str
    server_port: int
    quic_version: str


class Servers:
    """What is known of all servers, looked up by address; each table is read once, when first asked for."""

    def __init__(self, view: View) -> None:
        self._view = view

    @cached_property
    def answered_rows(self) -> dict[str, NDArray[np.int64]]:
        """For each server address the rows of ``view.connections`` that were answered."""
        return {str(self._view.connections["server_address"][rows[0]]): rows for rows in self._answered()}

    @cached_property
    def _services(self) -> dict[str, set[Service]]:
        table, services = self._view.connections, dict[str, set[Service]]()
        rows = [int(same[0]) for same in self._answered(*Service._fields)]
        columns = (table.at(name, rows) for name in ("server_address", *Service._fields))
        for address, *service in zip(*columns, strict=True):
            services.setdefault(self._view.host(address), set()).add(Service._make(service))
        return services

    def _answered(self, *names: str) -> list[NDArray[np.int64]]:
        """The answered rows by server address and the columns named."""
        table = self._view.connections
        rows = np.flatnonzero(answered(self._view))
        return [rows[same] for same in grouped([table.numbers(name)[rows] for name in ("server_address", *names)])]

    def services(self, address: str) -> set[Service]:
        """What the host behind an address answered, on any of its addresses."""
        return self._services.get(self._view.host(address), set())

    @cached_property
    def silence(self) -> dict[tuple[str, str, str, int], tuple[int, int]]:
        """(last answer, onset of the silence) by transport (udp or tcp), family, address and port."""
        table = self._view.sockets
        keys = zip(*(table[name].tolist() for name in ("transport", "family", "address", "port")), strict=True)
        return dict(zip(keys, zip(table["last_answer"].tolist(), table["onset"].tolist(), strict=True), strict=True))


@dataclass(frozen=True)
class Attempts:
    """Some attempts on one server socket over one transport (quic, tcp or udp) and family, in order of the table."""

    view: View
    rows: NDArray[np.int64]
    socket_rows: NDArray[np.int64]  # all attempts on that socket
    transport: str
    family: str
    address: str
    port: int
    servers: Servers = field(compare=False, repr=False)

    def column(self, name: str) -> list[Any]:
        """A column of these connections as plain Python values."""
        return self.view.connections.at(name, self.rows)

    def distinct(self, name: str) -> set[Any]:
        """The values of a column, each once."""
        return self.view.connections.distinct(name, self.rows)

    def array(self, name: str) -> NDArray[Any]:
        """The same as an array."""
        return self.view.connections[name][self.rows]

    def of(self, rows: NDArray[np.int64]) -> Attempts:
        """Other attempts on the same socket."""
        return replace(self, rows=rows)

    def where(self, mask: Mask) -> Attempts:
        """Those of all attempts on the socket that a mask over the connections chooses."""
        return self.of(self.socket_rows[mask[self.socket_rows]])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def words(self) -> str:
        return socket_words(self.address, self.port)

    @cached_property
    def clients(self) -> set[str]:
        return self.distinct("client_address")

    @cached_property
    def tries(self) -> list[int]:
        """How often each request was sent in all."""
        tries: list[int] = (1 + np.maximum(self.array("repeats"), 0)).tolist()
        return tries


def attempts_by_socket(view: View, mask: Mask) -> list[Attempts]:
    """The chosen connections by transport, family and server socket, sockets in order of their first chosen one."""
    if not mask.any():
        return []
    groups, servers = [], view.once(Servers)
    for key, socket_rows in view.once(_rows_by_socket):
        if len(rows := socket_rows[mask[socket_rows]]):
            groups.append(Attempts(view, rows, socket_rows, *key, servers))
    return sorted(groups, key=lambda group: int(group.rows[0]))


def _rows_by_socket(view: View) -> list[tuple[tuple[str, str, str, int], NDArray[np.int64]]]:
    """The rows of the connections by transport, family and server socket."""
    table, names = view.connections, ("transport", "family", "server_address", "server_port")
    sockets = grouped([table.numbers(name) for name in names])
    keys = zip(*(table.at(name, [int(rows[0]) for rows in sockets]) for name in names), strict=True)
    return list(zip(keys, sockets, strict=True))


def _of_each_view(question: Callable[[View], Mask]) -> Callable[[View], Mask]:
    """The question asked once of each view, since many patterns ask it; nobody can change the answer."""

    def answer(view: View) -> Mask:
        mask = question(view)
        mask.setflags(write=False)
        return mask

    return functools.wraps(question)(lambda view: view.once(answer))


def capture_end(view: View) -> int:
    """Time of the last record of all captures, -1 where there is none."""
    return max((capture.last_time - capture.clock for capture in view.captures), default=-1)


@_of_each_view
def met_refusal(view: View) -> Mask:
    """An ICMP error quotes the request and says that it will not be answered; errors of size or lifetime do not."""
    return view.connections.equal("icmp", *REFUSALS)


def heard_nothing(view: View, transport: str) -> Mask:
    """Requests that this capture could have shown a reply to, and that neither a reply nor an ICMP refusal met."""
    table = view.connections
    silent = table.equal("transport", transport) & table.equal("outcome", "silent") & table.equal("replied_from", "")
    return np.asarray(silent & ~met_refusal(view) & ~table["one_way"] & (table["request_time"] >= 0), dtype=np.bool_)


@_of_each_view
def waited(view: View) -> Mask:
    """The capture ran on for ``WAIT`` after the first request."""
    return np.asarray(capture_end(view) - view.connections["request_time"] >= WAIT.ns, dtype=np.bool_)


@_of_each_view
def unanswered_initials(view: View) -> Mask:
    """QUIC attempts that a server must answer, that heard nothing for ``WAIT`` while the capture ran on."""
    table = view.connections
    valid = table["hello_complete"] & table["version_known"] & (table["largest_request"] >= SMALLEST_INITIAL.value)
    return np.asarray(heard_nothing(view, "quic") & valid & waited(view), dtype=np.bool_)


@_of_each_view
def unanswered_syns(view: View) -> Mask:
    """TCP attempts that heard nothing although the SYN was repeated, or the capture ran on for ``WAIT`` after it."""
    repeated = view.connections["repeats"] >= 1
    return np.asarray(heard_nothing(view, "tcp") & (repeated | waited(view)), dtype=np.bool_)


@_of_each_view
def answered(view: View) -> Mask:
    """Attempts that the addressed socket answered."""
    return view.connections.equal("outcome", "answered")


def refused_below(view: View, transport: str) -> Mask:
    """Attempts refused by a RST or an ICMP error: below QUIC, whose own refusals come from a server that is there."""
    table = view.connections
    refused = table.equal("transport", transport) & table.equal("outcome", "refused")
    return np.asarray(refused & (met_refusal(view) | (transport == "tcp")), dtype=np.bool_)


def by_host_and_port(view: View) -> list[dict[str, Attempts]]:
    """For each host, transport (quic, tcp) and port: all attempts by address family."""
    return _by_host(view, lambda socket: (socket.transport, socket.port), lambda socket: socket.family)


def by_host_and_family(view: View) -> list[dict[str, Attempts]]:
    """For each host and address family: all attempts by transport (quic, tcp)."""
    return _by_host(view, lambda socket: (socket.family, 0), lambda socket: socket.transport)


def _by_host(
    view: View, key: Callable[[Attempts], tuple[str, int]], part: Callable[[Attempts], str]
) -> list[dict[str, Attempts]]:
    hosts: dict[tuple[str, str, int], dict[str, list[Attempts]]] = {}
    for socket in attempts_by_socket(view, view.connections.equal("transport", "quic", "tcp")):
        hosts.setdefault((view.host(socket.address), *key(socket)), {}).setdefault(part(socket), []).append(socket)
    return [{name: _together(sockets) for name, sockets in parts.items()} for parts in hosts.values()]


def attempts_by_family(view: View, mask: Mask) -> list[Attempts]:
    """The chosen connections by address family alone; without an address or port where they differ."""
    families: dict[str, list[Attempts]] = {}
    for socket in attempts_by_socket(view, mask):
        families.setdefault(socket.family, []).append(replace(socket, socket_rows=socket.rows))
    return [_on_one_address(_together(sockets)) for sockets in families.values()]


def _on_one_address(attempts: Attempts) -> Attempts:
    one = len(attempts.distinct("server_address")) == 1
    return attempts if one else replace(attempts, address="", port=-1)


def without_scans(groups: Sequence[Attempts]) -> tuple[list[Attempts], list[Attempts]]:
    """(the groups without port scanners' attempts, one group with port -1 for each scanner and scanned address)."""
    ports: dict[tuple[str, str], set[int]] = {}
    for group in groups:
        for client in group.clients:
            ports.setdefault((client, group.address), set()).add(group.port)
    scanning = {pair for pair, tried in ports.items() if len(tried) >= SCAN_PORTS.value}
    kept: list[Attempts] = []
    scans: dict[tuple[str, str], list[Attempts]] = {}
    for group in groups:
        clients, rest = np.array(group.column("client_address"), dtype=object), np.ones(len(group), np.bool_)
        for client in sorted(client for client in group.clients if (client, group.address) in scanning):
            is_scan = clients == client
            scans.setdefault((client, group.address), []).append(group.of(group.rows[is_scan]))
            rest &= ~is_scan
        if rest.any():
            kept.append(group.of(group.rows[rest]))
    return kept, [_together(parts) for parts in scans.values()]


def _together(parts: Sequence[Attempts]) -> Attempts:
    """All their rows, on the socket of the first; its port only where they agree on it."""
    if len(parts) == 1:
        return parts[0]
    rows = np.sort(np.concatenate([part.rows for part in parts]))
    port = parts[0].port if len({part.port for part in parts}) == 1 else -1
    return replace(parts[0], rows=rows, socket_rows=rows, port=port)


def cited_records(attempts: Attempts, *more: str) -> tuple[int, tuple[Record, ...]]:
    """(how many records tell of the attempts, the first of them in order of the capture and record).

    They are the requests, further evidence, and those of the columns of records named beside.
    """
    table, names = attempts.view.connections, ("request_records", "evidence_records", *more)
    found = np.concatenate([table.records(name, attempts.rows) for name in names])
    keys = np.sort(found[:, 0] * _MOST_NUMBER + found[:, 1])
    keys = keys[np.diff(keys, prepend=-1) > 0]
    captures, numbers = np.divmod(keys[:MOST_ENTRIES], _MOST_NUMBER)
    return len(keys), tuple(zip(captures.tolist(), numbers.tolist(), strict=True))


def first_request(attempts: Attempts) -> str:
    """``record 7``, or ``record 7 of client.pcap`` where there are several captures."""
    table, row = attempts.view.connections, attempts.rows[0]
    cited = table.at("request_records", [row])[0]
    capture, record = cited[0] if cited else (int(table["capture"][row]), int(table["first_record"][row]))
    names = [known.name for known in attempts.view.captures if known.index == capture]
    return f"record {record} of {names[0]}" if len(attempts.view.captures) > 1 and names else f"record {record}"


def latest(attempts: Attempts, *names: str) -> int:
    """The latest of some times of the attempts, ns."""
    return max(int(attempts.array(name).max()) for name in names)


def shortest_wait(attempts: Attempts) -> int:
    """The least time (ns) that the capture ran on after a first request."""
    return capture_end(attempts.view) - int(attempts.array("request_time").max())


def outcome_counts(attempts: Attempts) -> dict[str, int]:
    """How many attempts on the socket had each outcome, and how many there are."""
    outcome = attempts.view.connections.words("outcome").take(attempts.socket_rows)
    names = ("answered", "refused", "silent", "undetermined")
    return {
        "attempts": len(attempts.socket_rows),
        **{name: int(np.count_nonzero(outcome.equal(name))) for name in names},
    }


def name_of(attempts: Attempts) -> str:
    """The name that the attempts most often asked for, else the name of the host; the first of equals."""
    asked = Counter(name for name in attempts.column("sni") if name)
    return asked.most_common(1)[0][0] if asked else str(attempts.view.host_row(attempts.address).get("name", ""))


def filter_for(attempts: Attempts, span: tuple[int, int]) -> str:
    """A display filter for everything that went both ways on these attempts' sockets, in ``span`` (ns)."""
    protocol = "tcp" if attempts.transport == "tcp" else "udp"
    addresses, ports = attempts.distinct("server_address"), sorted(attempts.distinct("server_port"))
    terms = [one_of_addresses(attempts.family, sorted(addresses)), one_of_ports(protocol, ports)]
    if len(clients := attempts.clients) == 1:
        terms.append(one_of_addresses(attempts.family, sorted(clients)))
    return conversation_filter(" && ".join(terms), protocol, ports=attempts.column("client_port"), span=span)


def finding_of(pattern: Pattern, affected: Attempts, *, argument: Argument) -> Finding:
    """A finding about these attempts, counted among all attempts on their socket.

    Where captures of several places show them, it says where their packets vanished.
    """
    connections = affected.column("connection")
    argument = placed(argument, affected.view, connections, affected.transport)
    count, records = cited_records(affected)
    asked = affected.array("request_time")
    first = int(asked[asked >= 0].min() if (asked >= 0).any() else affected.array("first_time").min())
    last = latest(affected, "last_request_time", "reply_time", "request_time")
    clients = dict.fromkeys(zip(affected.column("client_address"), affected.column("client_port"), strict=True))
    counts = {
        **outcome_counts(affected),
        "affected": len(affected),
        "clients": len(affected.clients),
        "records": count,
    }
    return Finding(
        pattern=pattern.id,
        severity=argument.severity,
        confidence=argument.confidence,
        title=argument.title,
        because=argument.because,
        transport="tcp" if affected.transport == "tcp" else "udp",
        family=affected.family,
        server=(affected.address, affected.port) if affected.address else None,
        name=name_of(affected),
        clients=tuple(clients)[:MOST_ENTRIES],
        connections=tuple(connections),
        counts=counts,
        first_time=first,
        last_time=last,
        records=records,
        display_filter=filter_for(affected, (first, last)),
        limitations=argument.limitations,
        look_alikes=argument.look_alikes,
        remedies=argument.remedies,
        **_onset_of(affected),
    )


def _onset_of(affected: Attempts) -> dict[str, Any]:
    """Since when the socket is silent, where it answered before and the first of these attempts began the silence."""
    transport = "tcp" if affected.transport == "tcp" else "udp"
    key = (transport, affected.family, affected.address, affected.port)
    last_answer, onset = affected.servers.silence.get(key, (-1, -1))
    if onset < 0 or onset != min(affected.column("request_time")):
        return {}
    return {"onset": onset, "onset_bounds": (last_answer, onset)}
