"""The rows of the exchanges table for what was asked inside TCP connections: ClientHellos, HTTP and OCSP requests.

An outcome that is undetermined says why with one of the words of the other requests, or with one of these: ``not-kept``
(bytes of the server that were not kept may be the answer), ``client-closed`` (the client did not wait long enough).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Column, Table, Words, none_of
from analyzer.events.requests.request import Request
from analyzer.exchanges.connections import Judge
from analyzer.exchanges.judge import ANSWERED, REFUSED, REPLY_WAIT_NS, UNDETERMINED, Verdict
from analyzer.exchanges.requests.columns import Asked, unanswered

#: Columns that are made for single rows.
TOLD = ("asked", "replied", "status", "alt_svc", "ocsp_status", "ocsp_serial", "ocsp_until")

#: Columns that are those of the connection.
_OF_CONNECTION = (
    *("connection", "transport", "family", "client_address", "client_port", "server_address", "server_port"),
    "one_way",
)


class RequestRows:
    """The requests inside TCP connections as rows; the values of a column are made when it is asked for."""

    def __init__(self, judge: Judge, connections: Table) -> None:
        found = judge.requests.found
        self._connections = connections
        self._owners = np.array([judge.row_of[id(request.connection)] for request in found], np.int64)
        one_way = judge.one_way[self._owners].tolist()
        self._rows = [_Row(judge, *each) for each in zip(found, one_way, strict=True)]
        self._asked = Asked(judge, [request.rows for request in found], [request.reply_row for request in found])
        self.places = [request.rows[0] for request in found]  # the row of each request

    def column(self, column: Column) -> list[Any] | NDArray[Any] | Words:
        """The values of a column."""
        if column.name in _OF_CONNECTION:
            return self._connections.taken(column.name, self._owners)
        if maker := _COLUMNS.get(column.name):
            return [maker(row) for row in self._rows]
        values = self._asked.column(column.name)
        return [none_of(column)] * len(self._rows) if values is None else values

    def told(self, name: str, index: int) -> Any:
        """One of the columns ``TOLD`` of one request, for which its bytes may have to be read."""
        return getattr(self._rows[index].request.details, name)


class _Row:
    """One request, and what is made for several of its columns."""

    def __init__(self, judge: Judge, request: Request, is_one_way: bool) -> None:
        self.judge, self.request, self.is_one_way = judge, request, is_one_way

    @functools.cached_property
    def judged(self) -> tuple[Verdict, tuple[int, ...]]:
        """The outcome, and the rows of the end of the connection that tell."""
        return _judged(self.judge, self.request, one_way=self.is_one_way)

    def evidence(self) -> tuple[tuple[int, int], ...]:
        """The records of the reply and of what ended the connection."""
        reply = self.request.reply_row
        return self.judge.records([*((reply,) if reply >= 0 else ()), *self.judged[1]])

    def served_client(self) -> str:
        """The client that a PROXY header names."""
        proxy = self.request.connection.proxy
        return f"{proxy.source} port {proxy.source_port}" if proxy is not None and proxy.source else ""


_COLUMNS: dict[str, Callable[[_Row], Any]] = {
    "kind": lambda r: r.request.kind,
    "name": lambda r: r.request.name,
    "outcome": lambda r: r.judged[0].outcome,
    "outcome_reason": lambda r: r.judged[0].reason,
    "evidence_records": _Row.evidence,
    "served_client": _Row.served_client,
}


def _judged(judge: Judge, request: Request, *, one_way: bool) -> tuple[Verdict, tuple[int, ...]]:
    """The outcome of a request, and the rows of the end of its connection that tell."""
    connection, rows, first = request.connection, judge.rows, request.rows[0]
    if request.refusal:
        return Verdict(REFUSED, request.refusal), ()
    if request.reply_row >= 0:
        return Verdict(ANSWERED), ()
    for closing, word in ((connection.reset_rows, "reset"), (connection.fin_rows, "closed")):
        later = [r for r in closing if r > first and rows.direction[r] != connection.client_direction]
        if later and not request.came:
            return Verdict(REFUSED, word), (later[0],)
    if request.came:
        return Verdict(UNDETERMINED, "not-kept"), ()
    if one_way:
        return Verdict(UNDETERMINED, "one-way"), ()
    if not request.is_whole:
        is_cut = bool(rows.captured_length[first] < rows.original_length[first])
        return Verdict(UNDETERMINED, "cut-record" if is_cut else "request-not-valid"), ()
    left = [r for r in (*connection.fin_rows, *connection.reset_rows) if r > first]
    if left and int(rows.time[left[0]] - rows.time[first]) < REPLY_WAIT_NS:
        return Verdict(UNDETERMINED, "client-closed"), (left[0],)
    return unanswered(judge, first), ()
