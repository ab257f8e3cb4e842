"""The table of connections: one function per column, most of all rows at once."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Maker, Table, Words
from analyzer.events.connection import Connection, Counters
from analyzer.events.connections import Integers
from analyzer.events.quic.attempt import server_hello_of
from analyzer.events.tcp.facts import NO_FACTS, TcpFacts, tcp_facts
from analyzer.events.tcp.ordinary import Ordinary, ordinary_facts
from analyzer.events.tcp.states import STATE_WORDS
from analyzer.exchanges.attributes import EVIDENCE, Attributes
from analyzer.exchanges.connections.judged import MOST_RECORDS, Judge
from analyzer.exchanges.history import histories_of
from analyzer.exchanges.judge import ANSWERED, REFUSED, SILENT
from analyzer.exchanges.schemas import CONNECTIONS
from analyzer.exchanges.stories.notes import key_log_notes, notes_of
from analyzer.wire.codes import tls_version_name
from analyzer.wire.ja4 import ja4
from analyzer.wire.tls_hello import ServerHello

_SECOND = 1_000_000_000
_EVIDENCE = attrgetter(*EVIDENCE)

#: No client repeats an unanswered request sooner (aioquic 200 ms; RFC 9002 §6.2.2 advises 1 s).
BURST_NS = 50_000_000


def connections_table(judge: Judge) -> Table:
    """The connections in the order of their first records."""
    held = judge.attributes
    columns: dict[str, Maker] = {name: functools.partial(held.words, name) for name in _WORDS}
    columns |= {name: functools.partial(held.integers, name) for name in _INTEGERS}
    columns |= {name: functools.partial(held.flags, name) for name in _FLAGS}
    columns |= {name: functools.partial(values, judge) for name, values in _COLUMNS.items()}
    for number, name in enumerate(Counters._fields):
        columns[name] = lambda number=number: held.counters[:, number]  # type: ignore[misc]
    columns |= _of_facts(judge)
    lazy = {name: functools.partial(values, judge) for name, values in _LAZY.items()}
    flat = {
        name: (lambda rows, rows_of=rows_of: judge.records_at(rows_of(judge, rows)))
        for name, rows_of in {"request_records": _request_rows, "evidence_records": _evidence_rows}.items()
    }
    return Table.from_columns("connections", CONNECTIONS, columns, lazy, flat)


class _Facts:
    """What the segments of TCP connections tell, made when it is first asked for."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    @functools.cached_property
    def _told(self) -> tuple[Ordinary, Integers, list[TcpFacts]]:
        """The facts of ordinary connections; the rows of the others that have some, and these."""
        judge = self._judge
        rows = np.flatnonzero(judge.attributes.words("transport").equal("tcp"))
        connections = judge.connections.take(rows)
        ordinary = ordinary_facts(judge.flows, connections)
        facts = tcp_facts(judge.flows, connections, known={*ordinary.places.tolist()})
        known = [k for k, each in enumerate(facts) if each is not NO_FACTS]
        return ordinary._replace(places=rows[ordinary.places]), rows[known], [facts[k] for k in known]

    def column(self, name: str) -> NDArray[Any] | Words:
        """A column of all connections."""
        ordinary, rows, facts = self._told
        none, values = getattr(NO_FACTS, name), list(map(attrgetter(name), facts))
        of_ordinary = ordinary.columns.get(name)
        if none == "":
            parts = [Words.of(["", *values])] + ([of_ordinary] if isinstance(of_ordinary, Words) else [])
            joined, codes = Words.joined(parts), np.zeros(len(self._judge.connections), np.int64)
            codes[rows] = joined.codes[1 : len(values) + 1]
            if isinstance(of_ordinary, Words):
                codes[ordinary.places] = joined.codes[len(values) + 1 :]
            return Words(codes, joined.words)
        filled = np.full(len(self._judge.connections), none)
        filled[rows] = values
        if of_ordinary is not None:
            filled[ordinary.places] = of_ordinary
        return filled

    def records(self, name: str) -> list[tuple[tuple[int, int], ...]]:
        """A column of records of all connections."""
        ordinary, rows, facts = self._told
        lists = dict(zip(rows.tolist(), map(attrgetter(name), facts), strict=True))
        if name == "rows":
            telling = (sorted({*each} - {-1}) for each in ordinary.rows.tolist())
            lists |= dict(zip(ordinary.places.tolist(), telling, strict=True))
        return self._judge.records_of([lists.get(row, ()) for row in range(len(self._judge.connections))])


def _of_facts(judge: Judge) -> dict[str, Maker]:
    """Columns that say what the segments of TCP connections tell."""
    facts, lists = _Facts(judge), {"rows": "tcp_records", "unseen_rows": "unseen_records"}
    columns: dict[str, Maker] = {
        field.name: functools.partial(facts.column, field.name) for field in fields(TcpFacts) if field.name not in lists
    }
    return columns | {column: functools.partial(facts.records, name) for name, column in lists.items()}


def _state(judge: Judge, row: int) -> str:
    """How far the connection got."""
    c, outcome = judge.connections[row], judge.outcome.words[judge.outcome.codes[row]]
    if outcome == SILENT:
        return "silent"
    if outcome == REFUSED:
        return "refused"
    if c.transport == "tcp":
        return STATE_WORDS[c.tcp_state]
    if c.close_side:
        return "closed"
    if outcome == ANSWERED:
        return "established" if c.client_went_on or c.transport == "udp" else "handshaking"
    return "attempted"


def _latencies(judge: Judge) -> NDArray[np.float64]:
    is_told = judge.outcome.equal(ANSWERED, REFUSED) & (judge.reply_time >= 0) & (judge.request_time >= 0)
    return np.where(is_told, (judge.reply_time - judge.request_time) / _SECOND, np.nan)


def _last_request_times(judge: Judge) -> Integers:
    last = judge.attributes.lists("request_rows").last()
    return judge.of_rows(judge.rows.time, np.where(judge.request_rows >= 0, last, -1))


def _bursts(judge: Judge) -> Integers:
    """Requests of one burst, such as a ClientHello in several datagrams, share their fate and count once."""
    requests = judge.attributes.lists("request_rows")
    times = judge.rows.time[requests.flat]
    begins = np.ones(len(times), np.bool_)
    begins[1:] = np.diff(times) >= BURST_NS
    begins[requests.bounds[:-1][requests.lengths > 0]] = True
    before = np.concatenate([[0], np.cumsum(begins)])
    return np.where(judge.request_rows >= 0, np.diff(before[requests.bounds]), 0)


def _versions(versions: Integers) -> Words:
    """QUIC versions in hex, "" for none."""
    distinct, codes = np.unique(versions, return_inverse=True)
    return Words(codes, [_hex_version(version) for version in distinct.tolist()])


def _hex_version(version: int) -> str:
    return f"0x{version:08x}" if version >= 0 else ""


def _replied_from(judge: Judge) -> list[str]:
    texts = [""] * len(judge.connections)
    for row in np.flatnonzero(judge.attributes.some("replied_from")).tolist():
        texts[row] = str(judge.connections[row].replied_from)
    return texts


def _durations(judge: Judge, index: Sequence[int]) -> list[float]:
    rows = np.array(index, np.int64)
    last, first = judge.attributes.integers("last_time")[rows], judge.rows.time[judge.attributes.first_rows[rows]]
    return list(((last - first) / _SECOND).tolist())


def _alpn(c: Connection) -> str:
    if c.chlo is not None:
        return c.chlo.alpn
    return ",".join(p.decode("utf-8", "backslashreplace") for p in c.alpn)


def _ja4(c: Connection) -> str:
    return ja4(c.hello, "q" if c.transport == "quic" else "t") if c.hello is not None else ""


def _tls_version(hello: ServerHello | None) -> str:
    return tls_version_name(hello.tls_version) if hello is not None else ""


def _request_rows(judge: Judge, rows: Integers) -> Integers:
    """The rows of requests one after another, of each connection the first ``MOST_RECORDS``."""
    return judge.attributes.lists("request_rows").take(rows, MOST_RECORDS)


def _requests(judge: Judge, index: Sequence[int]) -> list[Sequence[int]]:
    rows, lists = np.array(index, np.int64), judge.attributes.lists("request_rows")
    flat, ends = lists.take(rows, MOST_RECORDS).tolist(), np.cumsum(lists.lengths[rows].clip(max=MOST_RECORDS))
    return [flat[begin:end] for begin, end in itertools.pairwise([0, *ends.tolist()])]


def _at(judge: Judge, index: Sequence[int]) -> list[Connection]:
    return judge.connections.take(np.array(index, np.int64))


def _evidence_rows(judge: Judge, rows: Integers) -> Integers:
    """The rows of evidence, in any order."""
    has_more = judge.attributes.has_evidence[rows] | bool(judge.flows.fragments.later)
    replies = judge.attributes.integers("reply_row")[rows[~has_more]]
    lists = _evidence(judge, rows[has_more].tolist())
    flat = np.fromiter((row for each in lists for row in each[:MOST_RECORDS]), np.int64)
    return np.concatenate([replies[replies >= 0], flat])


def _evidence(judge: Judge, index: Sequence[int]) -> list[Sequence[int]]:
    later = judge.flows.fragments.later
    return [_evidence_of(connection, later) for connection in _at(judge, index)]


def _evidence_of(c: Connection, later: Mapping[int, tuple[int, ...]]) -> Sequence[int]:
    """The rows that tell a connection's fate besides its requests; ``later`` has the further fragments of rows."""
    reply = () if c.reply_row < 0 else (c.reply_row,)
    told = () if c.story is None else c.story.rows
    pieces = [row for first in (*c.request_rows, *reply) for row in later.get(first, ())] if later else []
    others = (*itertools.chain.from_iterable(_EVIDENCE(c)), *pieces, *told)
    return sorted({*reply, *others}) if others else reply


_Value = Callable[[Judge, int], Any]


def _each(value: _Value) -> Callable[[Judge, Sequence[int]], list[Any]]:
    """A column of some rows from a function of one."""

    def made(judge: Judge, index: Sequence[int]) -> list[Any]:
        _at(judge, index)  # sooner made together than one by one
        return [value(judge, row) for row in index]

    return made


def _of_connection(value: Callable[[Connection], Any]) -> Callable[[Judge, Sequence[int]], list[Any]]:
    return lambda judge, index: list(map(value, _at(judge, index)))


#: Attributes of the same name.
_WORDS = ("transport", "roles_from", "close_side", "close_reason")
_INTEGERS = ("close_code", "last_time", "largest_request", "misquoted", "unfit")
_FLAGS = ("retry", "handshake_acked", "hello_complete", "version_known", "strange_reply")

_COLUMNS: dict[str, Callable[[Judge], list[Any] | NDArray[Any] | Words]] = {
    "connection": lambda j: [f"C{number}" for number in range(1, len(j.connections) + 1)],
    "capture": lambda j: j.rows.capture[j.attributes.first_rows],
    "family": lambda j: j.attributes.families(),
    "client_address": lambda j: j.attributes.clients,
    "client_port": lambda j: j.attributes.ports(of_client=True),
    "server_address": lambda j: j.attributes.servers,
    "sni": lambda j: j.attributes.server_names,
    "server_port": lambda j: j.attributes.ports(of_client=False),
    "first_record": lambda j: j.rows.record[j.attributes.first_rows],
    "first_time": lambda j: j.rows.time[j.attributes.first_rows],
    "outcome": lambda j: j.outcome,
    "outcome_reason": lambda j: j.reason,
    "quic_version": lambda j: _versions(j.attributes.integers("version")),
    "reply_record": lambda j: j.of_rows(j.rows.record, j.attributes.integers("reply_row")),
    "reply_latency_s": _latencies,
    "replied_from": _replied_from,
    "bursts": _bursts,
    "rejections": lambda j: j.attributes.lists("rejected_rows").lengths,
    "repeats": lambda j: _beyond(j.attributes, "request_rows", j.attributes.integers("first_repeat")),
    "request_time": lambda j: j.request_time,
    "last_request_time": _last_request_times,
    "reply_time": lambda j: j.reply_time,
    "refused_by": lambda j: j.refusers(),
    "icmp": lambda j: j.icmp,
    "syn_ack_repeats": lambda j: _beyond(j.attributes, "syn_ack_rows", 1),
    "client_reset": lambda j: j.attributes.words("reset_by").equal("client"),
    "one_way": lambda j: j.one_way,
}


def _beyond(held: Attributes, name: str, first: Integers | int) -> Integers:
    """How many rows a list has behind the first of them."""
    beyond: Integers = np.maximum(held.lists(name).lengths - first, 0)
    return beyond


_LAZY: dict[str, Callable[[Judge, Sequence[int]], list[Any]]] = {
    "duration_s": _durations,
    "paths": _of_connection(attrgetter("paths")),
    "quic_version_negotiated": _of_connection(lambda c: _hex_version(c.server_version)),
    "state": _each(_state),
    "history": lambda judge, index: histories_of(judge.attributes, np.array(index, np.int64)),
    "client_dcid": lambda j, index: list(map(bytes.hex, j.connections.client_dcids(np.array(index, np.int64)))),
    "client_scid": _of_connection(lambda c: c.client_scid.hex()),
    "server_scid": _of_connection(lambda c: c.server_scid.hex()),
    "alpn": _of_connection(_alpn),
    "tls_version": lambda j, index: [_tls_version(server_hello_of(j.flows, c)) for c in _at(j, index)],
    "ja4": _of_connection(_ja4),
    "request_records": lambda judge, index: judge.records_of(_requests(judge, index)),
    "evidence_records": lambda judge, index: judge.records_of(_evidence(judge, index)),
    "notes": _each(lambda j, row: "\n".join(notes_of(j.flows, j.connections[row], j.followed.get(row)))),
    "key_log_notes": _of_connection(lambda c: "\n".join(key_log_notes(c))),
}
