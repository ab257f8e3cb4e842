"""Patterns about names, resolvers and neighbours: each fires, and nearly does."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.knowledge.incidents import with_causes
from analyzer.patterns.finding import Finding
from analyzer.patterns.names import is_ocsp
from tests.patterns.questions import NAME, RESOLVER, both, neighbour, question, resolution
from tests.patterns.tables import CLIENT, SECOND, T0, V4, V6, Row, found, tcp, view

#: Something else than DNS in the capture, to another host.
OTHER = tcp("198.51.100.1", 50, server_port=22)


def about(pattern: str, *rows: Row, connections: tuple[Row, ...] = (OTHER,), lasts: float = 60.0) -> list[Finding]:
    return found(pattern, view(*connections, lasts=lasts, resolutions=rows))


def asked(pattern: str, *rows: Row, lasts: float = 60.0, **tables: object) -> list[Finding]:
    return found(pattern, view(OTHER, lasts=lasts, exchanges=rows, **tables))  # type: ignore[arg-type]


def severities(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.severity, finding.confidence) for finding in findings]


THREE = tuple(resolution(at) for at in (1, 2, 4))


def test_one_family_asked_and_nothing_tried() -> None:
    [finding] = about("no-address-family-fallback", *THREE)
    assert (finding.severity, finding.confidence, finding.family) == ("error", "likely", "ipv6")
    assert (finding.server, finding.name) == ((V6, -1), NAME)
    for words in (
        CLIENT["ipv4"],
        NAME,
        "AAAA record",
        "3 times in 3.0 s",
        "no packet",
        "no A record was ever asked for",
    ):
        assert words in finding.because
    assert any("`httpclient.resolvers.prefer ipv4`" in remedy for remedy in finding.remedies)
    assert any("no free ports" in remedy for remedy in finding.remedies)


@pytest.mark.parametrize(
    "rows",
    [
        THREE[:2],  # twice may be chance
        tuple(row | {"asked_a": True} for row in THREE),  # both families were asked for
        tuple(row | {"is_resolver": True} for row in THREE),
        tuple(row | {"resolver_clients": 5} for row in THREE),  # captured beside the resolver
        tuple(row | {"touched": True, "outcome": "answered"} for row in THREE),  # it was pinged
        tuple(row | {"addresses": "", "addresses_aaaa": "", "answer_time": -1} for row in THREE),
    ],
    ids=("twice", "both", "resolver", "beside", "touched", "no-address"),
)
def test_near_misses_of_nothing_tried(rows: tuple[Row, ...]) -> None:
    assert about("no-address-family-fallback", *rows) == []


def test_nothing_tried_needs_a_capture_that_could_show_it() -> None:
    assert about("no-address-family-fallback", *THREE, connections=()) == []  # as with a filter for port 53
    assert about("no-address-family-fallback", *THREE, lasts=4.5) == []  # the third answer came as the capture ended
    seen = view(tcp(V6, 20, client_address=CLIENT["ipv4"]), resolutions=THREE)  # tried after all
    assert found("no-address-family-fallback", seen) == []


def test_a_alone_is_only_information() -> None:
    a_only = {"asked_a": True, "asked_aaaa": False, "addresses": V4, "addresses_a": V4, "addresses_aaaa": ""}
    assert severities(about("no-address-family-fallback", *(row | a_only for row in THREE))) == [("info", "possible")]


def failing(*, outcome: str = "silent", count: int = 2) -> tuple[Row, ...]:
    return tuple(
        tcp(V6, 2 + i, outcome=outcome, repeats=4, server_port=80, client_address=CLIENT["ipv6"]) for i in range(count)
    )


def test_the_failing_family_alone_is_tried() -> None:
    rows = (resolution(1, outcome="silent", connections="C1,C2"),)
    [finding] = about("no-address-family-fallback", *rows, connections=(*failing(), OTHER))
    assert (finding.server, finding.connections, finding.counts["silent"]) == ((V6, 80), ("C1", "C2"), 2)
    [part] = found("tcp-syn-no-reply", view(*failing(), resolutions=rows))
    assert part.part_of


def test_near_misses_of_the_failing_family_alone() -> None:
    tried = resolution(1, connections="C1,C2")
    known = tried | {"asked_a": True, "addresses_a": V4, "addresses": f"{V4},{V6}"}
    assert about("no-address-family-fallback", known, connections=failing())
    without = tried | {"asked_a": True}  # the name has no A record
    assert about("no-address-family-fallback", without, connections=failing()) == []
    fallback = tcp(V4, 9, server_port=80)
    assert about("no-address-family-fallback", known, connections=(*failing(), fallback)) == []
    assert about("no-address-family-fallback", known, connections=failing(outcome="answered")) == []
    one = tried | {"connections": "C1"}
    assert about("no-address-family-fallback", one, connections=failing(count=1), lasts=11.9) == []
    assert severities(about("no-address-family-fallback", one, connections=failing(count=1), lasts=12.1)) == [
        ("error", "possible")
    ]


def test_both_families_resolved_and_nothing_tried() -> None:
    rows = tuple(both(at) for at in (1, 2, 3))
    assert severities(about("resolved-not-tried", *rows)) == [("warning", "possible")]
    assert about("resolved-not-tried", *rows[:2]) == []
    assert about("resolved-not-tried", *rows, connections=(tcp(V4, 9),)) == []
    assert about("resolved-not-tried", *rows, connections=()) == []
    assert about("resolved-not-tried", *(row | {"is_resolver": True} for row in rows)) == []


def test_slow_fallback() -> None:
    slow = {"first_tried_family": "ipv6", "second_family_delay_s": 5.0, "first_family_unanswered": True}
    [finding] = about("slow-address-family-fallback", both(1, **slow), both(20))
    assert (finding.severity, finding.family) == ("warning", "ipv6")
    assert "1 of 2 resolutions" in finding.because
    assert about("slow-address-family-fallback", both(1, **(slow | {"second_family_delay_s": 1.0}))) == []
    assert about("slow-address-family-fallback", both(1, **(slow | {"first_family_unanswered": False}))) == []


def abandoned(server: str, at: float, **columns: Any) -> Row:
    """An attempt whose SYN/ACK comes after 440 ms and is answered with a RST."""
    reset = T0 + round((at + 0.441) * SECOND)
    return tcp(server, at, reply=0.44, **{"handshake_acked": False, "client_rst": reset, "state": "reset", **columns})


IN_A_ROW = (abandoned(V4, 2), abandoned(V6, 2.25))


def test_attempts_given_up_before_their_answers() -> None:
    rows = (both(1, outcome="answered", connections="C1,C2"),)
    [finding] = about("slow-address-family-fallback", *rows, connections=IN_A_ROW)
    assert (finding.severity, finding.confidence, finding.family) == ("warning", "likely", "both")
    assert "abandoned 1 attempt for the next address, the soonest 0.250 s after its SYN" in finding.because
    assert "came 0.440 s after it" in finding.because
    assert with_causes([finding], view(*IN_A_ROW))[0].causes[0]["incident"] == "node-gives-up-after-250-ms"


@pytest.mark.parametrize(
    "connections",
    [
        (IN_A_ROW[0], tcp(V6, 2.25)),  # a race that the second attempt won
        (tcp(V4, 2, reply=0.44), IN_A_ROW[1]),  # or the first
        (abandoned(V4, 2, client_rst=-1), abandoned(V6, 2.25, client_rst=-1)),  # nobody reset them
        (IN_A_ROW[0], abandoned(V6, 2.6)),  # the next one began after the answer
        (IN_A_ROW[0], abandoned(V4, 2.25)),  # no other address: a health check
    ],
)
def test_attempts_that_end_otherwise(connections: tuple[Row, ...]) -> None:
    rows = (both(1, outcome="answered", connections="C1,C2"),)
    assert about("slow-address-family-fallback", *rows, connections=connections) == []


def test_ocsp_responder_out_of_reach() -> None:
    assert severities(about("ocsp-fetch-failed", *THREE)) == [("error", "likely")]
    assert about("ocsp-fetch-failed", *(row | {"name": "www.example.com"} for row in THREE)) == []
    assert about("ocsp-fetch-failed", *THREE[:2]) == []
    tried = (resolution(1, connections="C1,C2"),)
    assert severities(about("ocsp-fetch-failed", *tried, connections=failing())) == [("error", "likely")]
    assert about("ocsp-fetch-failed", *tried, connections=failing(outcome="answered")) == []


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("ocsp.example.com", True),
        ("ocsp2.example.com", True),
        ("r3-ocsp.example.com", True),
        ("mocsp.example.com", False),
    ],
)
def test_names_of_responders(name: str, is_one: bool) -> None:
    assert is_ocsp(name) == is_one


def test_unanswered_questions() -> None:
    silent = [question(at, outcome="silent", question_type="AAAA", repeats=2) for at in (1, 20)]
    [finding] = asked("dns-no-reply", *silent, question(1.1), question(20.1))
    assert (finding.severity, finding.confidence, finding.server) == ("error", "likely", (RESOLVER, 53))
    assert "every AAAA question is unanswered while 2 questions of other types got an answer" in finding.because


def test_questions_answered_late_or_elsewhere() -> None:
    late = {"repeats": 1, "reply_latency_s": 5.02}
    assert severities(asked("dns-no-reply", question(1, **late))) == [("warning", "likely")]
    others = [question(10 + i) for i in range(6)]
    assert severities(asked("dns-no-reply", question(1, **late), *others)) == [("info", "possible")]
    silent = question(1, outcome="silent", repeats=1)
    assert severities(asked("dns-no-reply", silent, question(6, server_address="192.0.2.54"))) == [
        ("warning", "likely")
    ]


def test_a_single_question_that_nobody_repeats_may_be_one_lost_packet() -> None:
    once = question(1, outcome="silent")
    assert severities(asked("dns-no-reply", once, question(2))) == [("info", "possible")]
    assert severities(asked("dns-no-reply", once)) == [("error", "possible")]


@pytest.mark.parametrize(
    "near_miss",
    [
        {"outcome": "undetermined", "outcome_reason": "capture-ended"},
        {"outcome": "refused"},
        {"outcome": "silent", "one_way": True},
        {"outcome": "silent", "replied_from": "192.0.2.54:53"},
        {"repeats": 1, "reply_latency_s": 0.4},
    ],
    ids=str,
)
def test_near_misses_of_unanswered_questions(near_miss: Row) -> None:
    assert asked("dns-no-reply", question(1, **near_miss)) == []


def test_answers_with_an_error() -> None:
    failed = question(1, answer_code="SERVFAIL", answers="")
    assert severities(asked("dns-error-reply", failed)) == [("warning", "certain")]
    assert severities(asked("dns-error-reply", failed, question(2))) == [("info", "certain")]  # well when asked again
    nothing = question(1, answer_code="NXDOMAIN", answers="", question_type="AAAA")
    assert asked("dns-error-reply", nothing) == []  # the name does not exist
    assert severities(asked("dns-error-reply", nothing, question(1.1))) == [("warning", "certain")]


def test_silent_neighbour() -> None:
    seen = tcp(V4, 1, client_address=CLIENT["ipv4"], outcome="undetermined")
    [finding] = found("neighbour-no-reply", view(seen, exchanges=[neighbour(1)]))
    assert (finding.severity, finding.family, finding.connections) == ("error", "ipv4", ("C1",))
    assert "requests to it wait" in finding.because
    assert severities(asked("neighbour-no-reply", neighbour(1))) == [("info", "certain")]


def test_a_name_that_was_just_resolved_waits_for_its_neighbour() -> None:
    asks_ndp = neighbour(1, kind="ndp", family="ipv6", client_address=CLIENT["ipv4"], server_address=V6)
    [finding] = asked("neighbour-no-reply", asks_ndp, resolutions=[resolution(0.9)])
    assert finding.severity == "error"
    assert f"{NAME} was resolved to it" in finding.because


@pytest.mark.parametrize("near_miss", [{"repeats": 0}, {"outcome": "answered"}, {"one_way": True}], ids=str)
def test_near_misses_of_a_silent_neighbour(near_miss: Row) -> None:
    assert asked("neighbour-no-reply", neighbour(1, **near_miss)) == []


def test_a_sweep_is_no_finding() -> None:
    sweep = [neighbour(1 + i, server_address=f"192.0.2.{100 + i}") for i in range(10)]
    assert asked("neighbour-no-reply", *sweep) == []
    assert len(asked("neighbour-no-reply", *sweep[:9])) == 9
