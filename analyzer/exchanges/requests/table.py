"""The rows of the exchanges table for what was asked inside TCP connections: ClientHellos, HTTP and OCSP requests.

An outcome that is undetermined says why with one of the words of the other requests, or with one of these: ``not-kept``
(bytes of the server that were not kept may be the answer), ``client-closed`` (the client did not wait long enough).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from analyzer.events.requests.request import Request
from analyzer.exchanges.connections import Judge, Judged
from analyzer.exchanges.judge import ANSWERED, REFUSED, REPLY_WAIT_NS, UNDETERMINED, Verdict
from analyzer.exchanges.requests.columns import request_columns, unanswered


class RequestRow:
    """A row whose values are made when they are asked for: of most requests few columns are read."""

    def __init__(self, judge: Judge, request: Request, owner: Judged) -> None:
        self.judge, self.request, self.owner = judge, request, owner

    def get(self, name: str, none: Any, /) -> Any:
        """The value of a column, ``none`` where requests of this kind have none."""
        maker = _COLUMNS.get(name)
        return maker(self) if maker is not None else self.records.get(name, none)

    @functools.cached_property
    def records(self) -> dict[str, Any]:
        """Records and times."""
        return request_columns(self.judge, self.request.rows, self.request.reply_row)

    @functools.cached_property
    def judged(self) -> tuple[Verdict, tuple[int, ...]]:
        """The outcome, and the rows of the end of the connection that tell."""
        return _judged(self.judge, self.request, self.owner)

    def evidence(self) -> tuple[tuple[int, int], ...]:
        """The records of the reply and of what ended the connection."""
        noted = {row for row, _ in self.request.details.notes}
        return self.judge.records(sorted((noted - {*self.request.rows}) | {*self.judged[1]}))

    def served_client(self) -> str:
        """The client that a PROXY header names."""
        proxy = self.request.connection.proxy
        return f"{proxy.source} port {proxy.source_port}" if proxy is not None and proxy.source else ""


_COLUMNS: dict[str, Callable[[RequestRow], Any]] = {
    "connection": lambda r: f"C{r.owner.number}",
    "kind": lambda r: r.request.kind,
    "transport": lambda _: "tcp",
    "family": lambda r: f"ipv{r.request.connection.client.family}",
    "client_address": lambda r: r.request.connection.client.address,
    "client_port": lambda r: r.request.connection.client.port,
    "server_address": lambda r: r.request.connection.server.address,
    "server_port": lambda r: r.request.connection.server.port,
    "name": lambda r: r.request.name,
    "outcome": lambda r: r.judged[0].outcome,
    "outcome_reason": lambda r: r.judged[0].reason,
    "evidence_records": RequestRow.evidence,
    "one_way": lambda r: r.owner.context.one_way,
    "asked": lambda r: r.request.details.asked,
    "replied": lambda r: r.request.details.replied,
    "status": lambda r: r.request.details.status,
    "alt_svc": lambda r: r.request.details.alt_svc,
    "served_client": RequestRow.served_client,
    "ocsp_status": lambda r: r.request.details.ocsp_status,
    "ocsp_serial": lambda r: r.request.details.ocsp_serial,
    "ocsp_until": lambda r: r.request.details.ocsp_until,
}


def request_rows(judge: Judge) -> Iterator[tuple[int, RequestRow]]:
    """(row of the request, table row) of each request inside a TCP connection."""
    found = judge.requests.found
    owners = {id(each.connection): each for each in judge.judged} if found else {}
    for request in found:
        yield request.rows[0], RequestRow(judge, request, owners[id(request.connection)])


def _judged(judge: Judge, request: Request, owner: Judged) -> tuple[Verdict, tuple[int, ...]]:
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
    if owner.context.one_way:
        return Verdict(UNDETERMINED, "one-way"), ()
    if not request.is_whole:
        is_cut = bool(rows.captured_length[first] < rows.original_length[first])
        return Verdict(UNDETERMINED, "cut-record" if is_cut else "request-not-valid"), ()
    left = [r for r in (*connection.fin_rows, *connection.reset_rows) if r > first]
    if left and int(rows.time[left[0]] - rows.time[first]) < REPLY_WAIT_NS:
        return Verdict(UNDETERMINED, "client-closed"), (left[0],)
    return unanswered(judge, first), ()
