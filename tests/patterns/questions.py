"""Rows of the tables of exchanges and resolutions, typed by hand: one line of a test is one question or one episode."""

from __future__ import annotations

from typing import Any

from tests.patterns.tables import CLIENT, SECOND, T0, V4, V6, Row

RESOLVER = "192.0.2.53"
NAME = "ocsp.example.com"


def question(at: float = 1.0, **columns: Any) -> Row:
    """A DNS question ``at`` s after T0, answered 20 ms later unless ``outcome`` says otherwise."""
    start, record = T0 + round(at * SECOND), 1 + round(at * 100)
    repeats, outcome = columns.get("repeats", 0), columns.get("outcome", "answered")
    row: Row = {
        "kind": "dns", "transport": "udp", "family": "ipv4", "client_address": CLIENT["ipv4"], "client_port": 50000,
        "server_address": RESOLVER, "server_port": 53, "name": NAME, "question_type": "A", "request_record": record,
        "request_time": start, "last_request_time": start + repeats * 5 * SECOND, "repeats": repeats, "capture": 0,
        "outcome": outcome, "request_records": tuple((0, record + i) for i in range(repeats + 1)),
    }  # fmt: skip
    if outcome == "answered":
        reply = columns.get("reply_latency_s", 0.02)
        row |= {"answer_code": "NOERROR", "answers": V4, "reply_time": start + round(reply * SECOND)}
        row |= {"reply_latency_s": reply, "evidence_records": ((0, record + 50),)}
    return row | columns


def neighbour(at: float = 1.0, **columns: Any) -> Row:
    """An ARP question of the client for the server, silent and asked three times."""
    usual = {"kind": "arp", "transport": "", "client_port": -1, "server_address": V4, "server_port": -1, "name": ""}
    return question(at, **(usual | {"question_type": "", "outcome": "silent", "repeats": 2} | columns))


def resolution(at: float = 1.0, **columns: Any) -> Row:
    """An episode in which AAAA alone was asked for and answered, and nothing was tried."""
    start, record = T0 + round(at * SECOND), 1 + round(at * 100)
    return {
        "client_address": CLIENT["ipv4"], "resolver": RESOLVER, "name": NAME, "asked_aaaa": True, "answered_aaaa": True,
        "addresses": V6, "addresses_aaaa": V6, "outcome": "not-tried", "first_question_time": start,
        "answer_time": start + SECOND // 50, "question_records": ((0, record),), "answer_records": ((0, record + 1),),
        "resolver_clients": 1,
    } | columns  # fmt: skip


def both(at: float = 1.0, **columns: Any) -> Row:
    """An episode in which both families were asked for and answered, and nothing was tried."""
    asked = {"asked_a": True, "answered_a": True, "addresses": f"{V4},{V6}", "addresses_a": V4, "name": "example.com"}
    return resolution(at, **(asked | columns))


def busy_questions() -> dict[str, list[Row]]:
    """Tables in which every pattern about names, resolvers and neighbours fires."""
    exchanges = [
        question(20, outcome="silent", question_type="AAAA", repeats=2),
        question(21, answer_code="SERVFAIL", answers=""),
        neighbour(22, server_address="192.0.2.1"),
    ]
    resolutions = [resolution(at, client_address="192.0.2.66") for at in (23, 24, 25)]
    resolutions += [both(at, client_address="192.0.2.67", addresses=ELSEWHERE, **_ELSEWHERE) for at in (26, 27, 28)]
    slow = {"second_family_delay_s": 5.0, "first_family_unanswered": True, "first_tried_family": "ipv6"}
    resolutions.append(both(30, name="slow.example.com", outcome="answered", **slow))
    return {"exchanges": exchanges, "resolutions": resolutions}


ELSEWHERE = "198.51.100.7,2001:db8:7::7"
_ELSEWHERE = {"addresses_a": "198.51.100.7", "addresses_aaaa": "2001:db8:7::7"}
