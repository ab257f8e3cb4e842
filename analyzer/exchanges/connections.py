"""The table of connections: every connection judged and written down, one function per column."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Maker, Table
from analyzer.events.connection import Connection
from analyzer.events.conversations import Conversations
from analyzer.events.quic.attempt import server_hello_of
from analyzer.events.requests.reader import Requests
from analyzer.events.tcp.facts import NO_FACTS, TcpFacts, tcp_facts
from analyzer.events.tcp.states import ACK, RST, STATE_WORDS
from analyzer.exchanges.history import histories_of
from analyzer.exchanges.hosts import Hosts
from analyzer.exchanges.judge import ANSWERED, REFUSED, SILENT, Context, Verdict, judge
from analyzer.exchanges.schemas import CONNECTIONS
from analyzer.exchanges.stories.notes import key_log_notes, notes_of
from analyzer.wire.checksums import transport_checksum_wrong
from analyzer.wire.codes import tls_version_name
from analyzer.wire.icmp import error_name
from analyzer.wire.ja4 import ja4
from analyzer.wire.tls_hello import ServerHello

MOST_RECORDS = 100  # of each list of records that a row keeps

Values = TypeVar("Values", list[int], tuple[tuple[int, int], ...])

_FAMILIES = {4: "ipv4", 6: "ipv6"}
# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each connection.
_new = tuple.__new__
_SECOND = 1_000_000_000

#: No client repeats an unanswered request sooner (aioquic 200 ms; RFC 9002 §6.2.2 advises 1 s).
BURST_NS = 50_000_000


class Judged(NamedTuple):
    """A connection, its outcome and what was looked up on the way."""

    number: int
    connection: Connection
    verdict: Verdict
    context: Context
    refused_by: str
    reply_time: int


class Judge:
    """Judges the connections of one analysis; looks up times, ICMP errors and what could be seen."""

    def __init__(self, found: Conversations, hosts: Hosts, capture_end: int) -> None:
        self.flows = found.flows
        self.hosts = hosts
        self.capture_end = capture_end
        self.rows = found.flows.scan.rows
        self._connections = found.connections
        #: The row of each connection's request, -1 where it was not seen.
        self.request_rows = [c.request_rows[0] if c.is_attempt else -1 for c in found.connections]
        replies = [c.reply_row for c in found.connections]
        times = (_at(self.rows.time, chosen).tolist() for chosen in (self.request_rows, replies))
        each = zip(found.connections, self.request_rows, *times, strict=True)
        self.judged = [self._judge(number, *one) for number, one in enumerate(each, start=1)]

    def _judge(self, number: int, connection: Connection, request: int, asked: int, replied: int) -> Judged:
        """``request`` is the row of the request, ``asked`` and ``replied`` are times; -1 for none."""
        unanswered = connection.reply_row < 0
        one_way = unanswered and self._is_one_way(connection)
        icmp = self.icmp_name(connection.icmp_rows[0]) if connection.icmp_rows else ""
        wrong = unanswered and request >= 0 and transport_checksum_wrong(self.flows.scan.row_bytes(request))
        context = _new(Context, (asked, self.capture_end, one_way, icmp, wrong))
        verdict = judge(connection, context)
        refused_by = self._refuser(connection, verdict.reason) if verdict.outcome == REFUSED else ""
        return _new(Judged, (number, connection, verdict, context, refused_by, replied))

    def _refuser(self, connection: Connection, reason: str) -> str:
        """The address that refused: the server itself, or the sender of the ICMP error."""
        if reason in ("reset", "version-negotiation", "connection-close"):
            return connection.server.address
        return self._sender(connection.icmp_rows[0] if connection.icmp_rows else -1)

    @functools.cached_property
    def followed(self) -> dict[int, Connection]:
        """The next TCP connection on the same sockets, by the number of a connection."""
        last: dict[int, Connection] = {}
        followed = {}
        for j in reversed(self.judged):
            if j.connection.transport == "tcp":
                if j.connection.flow in last:
                    followed[j.number] = last[j.connection.flow]
                last[j.connection.flow] = j.connection
        return followed

    def _is_one_way(self, connection: Connection) -> bool:
        """Whether nothing shows that packets from the server's side to the client can be seen here.

        Where packets to the client were never seen, although it heard others, those of this server would not be either.
        """
        client = connection.client.address
        if self.hosts.was_seen_receiving(client):
            return False
        return not self.hosts.was_seen_sending(connection.server.address) or self.hosts.same(client) in self._unseen

    @functools.cached_property
    def _unseen(self) -> set[str]:
        """Hosts that acknowledge, or go on after, packets of which the capture shows none."""
        return {
            self.hosts.same(c.client.address)
            for c in self._connections
            if not c.counters.server_packets and (c.client_went_on or self._acknowledges(c))
        }

    @functools.cached_property
    def requests(self) -> Requests:
        """What was asked inside TCP connections."""
        return Requests(self.flows, self._connections)

    def _acknowledges(self, connection: Connection) -> bool:
        """Whether the acknowledgment number of a TCP client moves: it takes data."""
        is_ack = [r for r in connection.rows if int(self.rows.tcp_flags[r]) & (ACK | RST) == ACK]
        return connection.transport == "tcp" and len({int(self.rows.acknowledgment[r]) for r in is_ack}) > 1

    def icmp_name(self, row: int) -> str:
        """Name of the ICMP error in a row, "" for none."""
        return error_name(int(self.flows.family[self.rows.flow[row]]), int(self.rows.icmp[row])) if row >= 0 else ""

    def _sender(self, row: int) -> str:
        if row < 0:
            return ""
        return self.flows.ends(int(self.rows.flow[row]))[int(self.rows.direction[row])].address

    def records(self, rows: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """(capture, record) of rows, the first ``MOST_RECORDS``."""
        return self.records_of([rows])[0]

    def flat_records_of(self, lists: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """What ``records_of`` gives, one after another: shape (n, 2)."""
        flat = _flat([rows[:MOST_RECORDS] for rows in lists])
        return np.column_stack([self.rows.capture[flat], self.rows.record[flat]])

    def records_of(self, lists: Sequence[Sequence[int]]) -> list[tuple[tuple[int, int], ...]]:
        """(capture, record) of the rows in each list, of its first ``MOST_RECORDS``."""
        lists = [rows[:MOST_RECORDS] for rows in lists]
        flat = _flat(lists)
        records = zip(self.rows.capture[flat].tolist(), self.rows.record[flat].tolist(), strict=True)
        return _split(tuple(records), lists)


def connections_table(judge_: Judge) -> Table:
    """The connections in the order of their first records."""
    judged = judge_.judged
    connections = [j.connection for j in judged]
    columns: dict[str, Maker] = {
        name: (lambda path=path: list(map(attrgetter(path), connections)))  # type: ignore[misc]
        for name, path in _OF_CONNECTION.items()
    }
    for name, path in _OF_JUDGED.items():
        columns[name] = lambda path=path: list(map(attrgetter(path), judged))  # type: ignore[misc]
    for name, values in _COLUMNS.items():
        columns[name] = lambda values=values: values(judged, connections)  # type: ignore[misc]
    lazy = {
        name: (lambda index, values=values: values(judge_, [judged[row] for row in index]))
        for name, values in _LAZY.items()
    }
    columns |= _of_rows(judge_, connections) | _of_facts(judge_, connections)
    flat = {
        name: (lambda index, rows_of=rows_of: judge_.flat_records_of(rows_of(judge_, [judged[row] for row in index])))
        for name, rows_of in _RECORDS.items()
    }
    return Table.from_columns("connections", CONNECTIONS, columns, lazy, flat)


def _of_rows(judge_: Judge, connections: Sequence[Connection]) -> dict[str, Maker]:
    """Columns that are columns of the connection's first row, last request or reply, for all connections at once."""
    rows = judge_.rows
    first = np.array([c.rows[0] for c in connections], np.int64)
    return {
        "capture": lambda: rows.capture[first],
        "first_record": lambda: rows.record[first],
        "first_time": lambda: rows.time[first],
        "reply_record": lambda: _at(rows.record, [c.reply_row for c in connections]),
        "last_request_time": lambda: _at(
            rows.time,
            [c.request_rows[-1] if row >= 0 else -1 for c, row in zip(connections, judge_.request_rows, strict=True)],
        ),
    }


def _of_facts(judge_: Judge, connections: Sequence[Connection]) -> dict[str, Maker]:
    """Columns that say what the segments of TCP connections tell."""

    @functools.cache
    def told() -> tuple[list[int], list[TcpFacts]]:
        """The connections that have facts, and these."""
        facts = tcp_facts(judge_.flows, connections)
        index = [k for k, each in enumerate(facts) if each is not NO_FACTS]
        return index, [facts[k] for k in index]

    def column(name: str) -> NDArray[Any]:
        index, facts = told()
        none = getattr(NO_FACTS, name)
        values = np.full(len(connections), none, object if none == "" else None)
        values[index] = list(map(attrgetter(name), facts))
        return values

    def records(name: str) -> list[tuple[tuple[int, int], ...]]:
        index, facts = told()
        rows = dict(zip(index, map(attrgetter(name), facts), strict=True))
        return judge_.records_of([rows.get(k, ()) for k in range(len(connections))])

    lists = {"rows": "tcp_records", "unseen_rows": "unseen_records"}
    columns: dict[str, Maker] = {
        field.name: functools.partial(column, field.name) for field in fields(TcpFacts) if field.name not in lists
    }
    return columns | {column: functools.partial(records, name) for name, column in lists.items()}


def _state(j: Judged) -> str:
    """How far the connection got."""
    c = j.connection
    if j.verdict.outcome == SILENT:
        return "silent"
    if j.verdict.outcome == REFUSED:
        return "refused"
    if c.transport == "tcp":
        return STATE_WORDS[c.tcp_state]
    if c.close_side:
        return "closed"
    if j.verdict.outcome == ANSWERED:
        return "established" if c.client_went_on or c.transport == "udp" else "handshaking"
    return "attempted"


def _latency(j: Judged) -> float:
    if j.verdict.outcome not in (ANSWERED, REFUSED) or j.reply_time < 0 or j.context.request_time < 0:
        return float("nan")
    return (j.reply_time - j.context.request_time) / _SECOND


def _bursts(judge_: Judge, judged: Sequence[Judged]) -> list[int]:
    """Requests of one burst, such as a ClientHello in several datagrams, share their fate and count once."""
    requests = judge_.request_rows
    lists = [j.connection.request_rows if requests[j.number - 1] >= 0 else [] for j in judged]
    times = _split(judge_.rows.time[_flat(lists)].tolist(), lists)
    return [1 if len(t) == 1 else sum(b - a >= BURST_NS for a, b in itertools.pairwise([-BURST_NS, *t])) for t in times]


def _durations(judge_: Judge, judged: Sequence[Judged]) -> list[float]:
    first = judge_.rows.time[np.array([j.connection.rows[0] for j in judged], np.int64)].tolist()
    return [(j.connection.last_time - time) / _SECOND for j, time in zip(judged, first, strict=True)]


def _at(column: NDArray[Any], chosen: Sequence[int]) -> NDArray[np.int64]:
    """The column in the chosen rows, -1 for none."""
    index = np.array(chosen, np.int64)
    return np.where(index >= 0, column[index], -1) if len(column) else index


def _flat(lists: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """The rows of all lists one after another."""
    return np.fromiter(itertools.chain.from_iterable(lists), np.int64)


def _split(values: Values, lists: Sequence[Sequence[int]]) -> list[Values]:
    """Values one after another, in parts that are as long as the lists."""
    bounds = [0, *itertools.accumulate(map(len, lists))]
    return [values[low:high] for low, high in itertools.pairwise(bounds)]


def _alpn(c: Connection) -> str:
    if c.hello is None:
        return c.chlo.alpn if c.chlo is not None else ""
    return ",".join(p.decode("utf-8", "backslashreplace") for p in c.hello.alpn)


def _ja4(c: Connection) -> str:
    return ja4(c.hello, "q" if c.transport == "quic" else "t") if c.hello is not None else ""


def _tls_version(hello: ServerHello | None) -> str:
    return tls_version_name(hello.tls_version) if hello is not None else ""


@functools.lru_cache(maxsize=256)
def _hex_version(version: int) -> str:
    return f"0x{version:08x}" if version >= 0 else ""


_Value = Callable[[Judge, Judged], Any]


def _requests(_: Judge, judged: Sequence[Judged]) -> list[Sequence[int]]:
    return [j.connection.request_rows for j in judged]


def _evidence(judge_: Judge, judged: Sequence[Judged]) -> list[Sequence[int]]:
    later = judge_.flows.fragments.later
    return [_evidence_rows(j.connection, later) for j in judged]


def _evidence_rows(c: Connection, later: Mapping[int, tuple[int, ...]]) -> Sequence[int]:
    """The rows that tell a connection's fate besides its requests; ``later`` has the further fragments of rows."""
    reply = () if c.reply_row < 0 else (c.reply_row,)
    told = () if c.story is None else c.story.rows
    pieces = [row for first in (*c.request_rows, *reply) for row in later.get(first, ())] if later else []
    others = (*c.syn_ack_rows, *c.icmp_rows, *c.reset_rows, *c.elsewhere_rows, *c.rejected_rows, *pieces, *told)
    return sorted({*reply, *others}) if others else reply


def _each(value: _Value) -> Callable[[Judge, Sequence[Judged]], list[Any]]:
    """A column of many rows from a function of one."""
    return lambda judge_, judged: [value(judge_, j) for j in judged]


# ``attrgetter`` reads attributes without a Python call for each row.

_OF_CONNECTION = {
    "transport": "transport",
    "client_address": "client.address",
    "client_port": "client.port",
    "server_address": "server.address",
    "server_port": "server.port",
    "roles_from": "roles_from",
    "client_packets": "counters.client_packets",
    "server_packets": "counters.server_packets",
    "server_bytes": "counters.server_bytes",
    "sni": "sni",
    "retry": "retry",
    "close_side": "close_side",
    "close_code": "close_code",
    "close_reason": "close_reason",
    "last_time": "last_time",
    "handshake_acked": "handshake_acked",
    "hello_complete": "hello_complete",
    "largest_request": "largest_request",
    "version_known": "version_known",
    "misquoted": "misquoted",
    "strange_reply": "strange_reply",
}

_OF_JUDGED = {
    "outcome": "verdict.outcome",
    "outcome_reason": "verdict.reason",
    "request_time": "context.request_time",
    "reply_time": "reply_time",
    "refused_by": "refused_by",
    "icmp": "context.icmp",
    "one_way": "context.one_way",
}

_COLUMNS: dict[str, Callable[[Sequence[Judged], Sequence[Connection]], list[Any]]] = {
    "quic_version": lambda _, connections: [_hex_version(c.version) for c in connections],
    "connection": lambda judged, _: [f"C{j.number}" for j in judged],
    "family": lambda _, connections: [_FAMILIES[c.client.family] for c in connections],
    "reply_latency_s": lambda judged, _: [_latency(j) for j in judged],
    "replied_from": lambda _, connections: [str(c.replied_from or "") for c in connections],
    "rejections": lambda _, connections: [len(c.rejected_rows) for c in connections],
    "repeats": lambda _, connections: [max(len(c.request_rows) - c.first_repeat, 0) for c in connections],
    "syn_ack_repeats": lambda _, connections: [max(len(c.syn_ack_rows) - 1, 0) for c in connections],
    "client_reset": lambda _, connections: [c.reset_by == "client" for c in connections],
}

#: The rows behind columns of records.
_RECORDS = {"request_records": _requests, "evidence_records": _evidence}

_LAZY: dict[str, Callable[[Judge, Sequence[Judged]], list[Any]]] = {
    "bursts": _bursts,
    "client_bytes": _each(lambda _, j: j.connection.counters.client_bytes),
    "duration_s": _durations,
    "paths": _each(lambda _, j: j.connection.paths),
    "quic_version_negotiated": _each(lambda _, j: _hex_version(j.connection.server_version)),
    "state": _each(lambda _, j: _state(j)),
    "history": lambda g, judged: histories_of(g.flows, [j.connection for j in judged]),
    "client_dcid": _each(lambda _, j: j.connection.client_dcid.hex()),
    "client_scid": _each(lambda _, j: j.connection.client_scid.hex()),
    "server_scid": _each(lambda _, j: j.connection.server_scid.hex()),
    "alpn": _each(lambda _, j: _alpn(j.connection)),
    "tls_version": _each(lambda g, j: _tls_version(server_hello_of(g.flows, j.connection))),
    "ja4": _each(lambda _, j: _ja4(j.connection)),
    "request_records": lambda g, judged: g.records_of(_requests(g, judged)),
    "evidence_records": lambda g, judged: g.records_of(_evidence(g, judged)),
    "notes": _each(lambda g, j: "\n".join(notes_of(g.flows, j.connection, g.followed.get(j.number)))),
    "key_log_notes": _each(lambda _, j: "\n".join(key_log_notes(j.connection))),
}
