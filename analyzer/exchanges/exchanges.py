"""The table of exchanges: every request and what came back, one row each, in the order of the request records.

Requests are the first client Initial of a QUIC connection, the first SYN of a TCP connection, a ClientHello, an HTTP or
OCSP request in one, a DNS question, an ARP or Neighbour Discovery question; repeats belong to the first.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Column, Maker, Table, Words, array_of, none_of
from analyzer.events.conversations import Conversations
from analyzer.events.lookups.dns import Lookup
from analyzer.events.lookups.neighbours import NeighbourLookup
from analyzer.exchanges.connections import Judge
from analyzer.exchanges.judge import ANSWERED, REFUSED, SILENT, UNDETERMINED, Verdict
from analyzer.exchanges.requests.columns import Asked, unanswered
from analyzer.exchanges.requests.table import TOLD, RequestRows
from analyzer.exchanges.schemas import EXCHANGES
from analyzer.wire.icmp import REFUSALS

_KINDS = {"quic": "quic-initial", "tcp": "tcp-syn", "udp": ""}
_TRANSPORTS = {"quic": "udp", "tcp": "tcp", "udp": "udp"}
_AS_IN_CONNECTIONS = (
    "connection", "capture", "family", "client_address", "client_port", "server_address", "server_port",
    "request_time", "repeats", "outcome", "outcome_reason", "reply_record", "reply_latency_s", "replied_from",
    "last_request_time", "reply_time", "one_way",
)  # fmt: skip


def exchanges_table(judge: Judge, found: Conversations, connections: Table) -> Table:
    """One row per request, in the order of the request records."""
    began, columns = _of_connections(connections)
    others, inside = [*_of_lookups(judge, found), *_of_neighbours(judge, found)], RequestRows(judge, connections)
    asked = Asked(judge, [rows for rows, _, _ in others], [reply for _, reply, _ in others])
    places = judge.request_rows[began].tolist()
    places += [*(rows[0] for rows, _, _ in others), *inside.places]
    order = np.argsort(np.array(places, np.int64), kind="stable")

    def made(column: Column) -> NDArray[Any] | Words:
        none, maker = none_of(column), columns.get(column.name)
        of_others = asked.column(column.name)
        if of_others is None:
            of_others = [row.get(column.name, none) for _, _, row in others]
        if column.kind == "text":
            values = maker() if maker is not None else Words.same(none, len(began))
            parts = (values, of_others, inside.column(column))
            words = [part if isinstance(part, Words) else Words.of(list(part)) for part in parts]
            return Words.joined(words).take(order)
        parts = (maker() if maker is not None else [none] * len(began), of_others, inside.column(column))
        return np.concatenate([array_of(column, part) for part in parts])[order]

    def told(column: Column, index: Sequence[int]) -> list[Any]:
        first = len(places) - len(inside.places)
        wanted = [int(order[row]) - first for row in index]
        return [inside.told(column.name, place) if place >= 0 else none_of(column) for place in wanted]

    lazy = {column.name: functools.partial(told, column) for column in EXCHANGES if column.name in TOLD}
    makers: dict[str, Maker] = {c.name: functools.partial(made, c) for c in EXCHANGES if c.name not in TOLD}
    makers["exchange"] = lambda: [f"E{number}" for number in range(1, len(places) + 1)]
    makers["request_record"] = lambda: judge.rows.record[np.array(places, np.int64)[order]]
    return Table.from_columns("exchanges", EXCHANGES, makers, lazy)


def _of_connections(connections: Table) -> tuple[NDArray[np.int64], dict[str, Maker]]:
    """The rows of the connections whose beginning was seen, and what makes the columns of those requests."""
    rows = np.flatnonzero((connections["request_time"] >= 0) & ~connections.equal("transport", "udp"))

    columns: dict[str, Maker] = {name: functools.partial(connections.taken, name, rows) for name in _AS_IN_CONNECTIONS}
    columns["kind"] = lambda: connections.words("transport").take(rows).renamed(_KINDS.__getitem__)
    columns["transport"] = lambda: connections.words("transport").take(rows).renamed(_TRANSPORTS.__getitem__)
    columns["name"] = lambda: connections.taken("sni", rows)
    return rows, columns


#: The rows of a question and its repeats, that of its answer (-1 for none), and what else the table says of it.
_Question = tuple[list[int], int, dict[str, Any]]


def _of_lookups(judge: Judge, found: Conversations) -> Iterator[_Question]:
    """The DNS lookups."""
    for lookup in found.lookups:
        owner = judge.row_of[id(lookup.connection)]
        one_way = bool(judge.one_way[owner])
        verdict, answer = _verdict(judge, lookup, one_way=one_way), lookup.answer
        refusals = [row for row in lookup.connection.icmp_rows if row > lookup.question_rows[0]]
        yield (
            lookup.question_rows,
            lookup.answer_row,
            {
                "connection": f"C{owner + 1}",
                "kind": "dns",
                "transport": lookup.transport,
                "family": f"ipv{lookup.client.family}",
                "client_address": lookup.client.address,
                "client_port": lookup.client.port,
                "server_address": lookup.server.address,
                "server_port": lookup.server.port,
                "name": lookup.name,
                "outcome": verdict.outcome,
                "outcome_reason": verdict.reason,
                "replied_from": str(lookup.replied_from or ""),
                "question_type": lookup.kind,
                "answer_code": answer.code if answer is not None else "",
                "answers": ",".join(answer.addresses) if answer is not None else "",
                "evidence_records": judge.records(
                    [lookup.answer_row] if answer is not None else refusals if verdict.outcome == REFUSED else []
                ),
                "one_way": one_way,
            },
        )


def _verdict(judge: Judge, lookup: Lookup, *, one_way: bool) -> Verdict:
    """The outcome of a DNS question."""
    if lookup.answer is not None:
        return Verdict(ANSWERED)
    first = lookup.question_rows[0]
    names = [judge.icmp_name(row) for row in lookup.connection.icmp_rows if row > first]
    if lookup.replied_from is not None:
        return Verdict(SILENT)
    if refusals := [name for name in names if name in REFUSALS]:
        return Verdict(REFUSED, refusals[0])
    if one_way:
        return Verdict(UNDETERMINED, "one-way")
    return unanswered(judge, first)


def _of_neighbours(judge: Judge, found: Conversations) -> Iterator[_Question]:
    """The questions for a link address.

    Questions are broadcast, answers are not: where nothing ever reached the asker here, its answers cannot be seen.
    """
    hosts = judge.hosts
    heard = {hosts.same(each.asker) for each in found.neighbours if each.answer_row >= 0}
    for lookup in found.neighbours:
        one_way = not (hosts.same(lookup.asker) in heard or hosts.was_seen_receiving(lookup.asker))
        verdict = Verdict(ANSWERED)
        if lookup.answer_row < 0:
            verdict = Verdict(UNDETERMINED, "one-way") if one_way else unanswered(judge, lookup.question_rows[0])
        row = _neighbour_columns(lookup, verdict, one_way)
        row["evidence_records"] = judge.records([lookup.answer_row] if lookup.answer_row >= 0 else [])
        yield lookup.question_rows, lookup.answer_row, row


def _neighbour_columns(lookup: NeighbourLookup, verdict: Verdict, one_way: bool) -> dict[str, Any]:
    return {
        "kind": lookup.kind,
        "family": "ipv4" if lookup.kind == "arp" else "ipv6",
        "client_address": lookup.asker,
        "server_address": lookup.target,
        "outcome": verdict.outcome,
        "outcome_reason": verdict.reason,
        "one_way": one_way,
    }
