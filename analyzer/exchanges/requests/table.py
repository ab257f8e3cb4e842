"""The rows of the exchanges table for what was asked inside TCP connections: ClientHellos, HTTP and OCSP requests.

An outcome that is undetermined says why with one of the words of the other requests, or with one of these: ``not-kept``
(bytes of the server that were not kept may be the answer), ``client-closed`` (the client did not wait long enough).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analyzer.events.requests.request import Request
from analyzer.exchanges.connections import Judge, Judged
from analyzer.exchanges.judge import ANSWERED, REFUSED, REPLY_WAIT_NS, UNDETERMINED, Verdict
from analyzer.exchanges.requests.columns import request_columns, unanswered


def request_rows(judge: Judge) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row of the request, table row) of each request inside a TCP connection."""
    found = judge.requests.found
    owners = {id(each.connection): each for each in judge.judged} if found else {}
    for request in found:
        owner = owners[id(request.connection)]
        row = request_columns(judge, request.rows, request.reply_row)
        yield request.rows[0], row | _columns(judge, request, owner)


def _columns(judge: Judge, request: Request, owner: Judged) -> dict[str, Any]:
    """All columns but records and times."""
    connection, (verdict, telling) = request.connection, _judged(judge, request, owner)
    proxy = connection.proxy
    return {
        "connection": f"C{owner.number}",
        "kind": request.kind,
        "transport": "tcp",
        "family": f"ipv{connection.client.family}",
        "client_address": connection.client.address,
        "client_port": connection.client.port,
        "server_address": connection.server.address,
        "server_port": connection.server.port,
        "name": request.name,
        "outcome": verdict.outcome,
        "outcome_reason": verdict.reason,
        "evidence_records": judge.records(sorted({row for row, _ in request.notes} - {*request.rows} | {*telling})),
        "one_way": owner.context.one_way,
        "asked": request.asked,
        "replied": request.replied,
        "status": request.status,
        "alt_svc": request.alt_svc,
        "served_client": f"{proxy.source} port {proxy.source_port}" if proxy is not None and proxy.source else "",
        "ocsp_status": request.ocsp_status,
        "ocsp_serial": request.ocsp_serial,
        "ocsp_until": request.ocsp_until,
    }


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
