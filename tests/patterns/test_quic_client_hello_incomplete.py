from __future__ import annotations

import pytest

from tests.patterns.tables import V4, Row, alike, connection, found, story, view

ID = "quic-client-hello-incomplete"
HOLE = "bytes 140 to 148"


def holed(at: float = 1.0, *, facts: Row | None = None, **columns: object) -> Row:
    usual = {"outcome": "undetermined", "outcome_reason": "request-not-valid", "hello_complete": False, "repeats": 2}
    told = story(**({"server_sent": "", "hello_missing": HOLE} | (facts or {})))
    return connection(V4, at, story=told, **(usual | columns))


def test_a_hole_explains_the_silence() -> None:
    [finding] = found(ID, view(holed(1), holed(5)))
    assert (finding.severity, finding.confidence, finding.family) == ("warning", "likely", "ipv4")
    assert HOLE in finding.because


def test_an_acknowledgment_is_no_answer() -> None:
    assert found(ID, view(holed(facts={"server_sent": "initial"}, outcome="answered")))


def test_one_try_is_only_possible() -> None:
    [finding] = found(ID, view(holed(repeats=0)))
    assert finding.confidence == "possible"


@pytest.mark.parametrize(
    "near_miss",
    [
        {"hello_complete": True},
        {"outcome_reason": "cut-record"},
        {"one_way": True},
        {"version_known": False},
        {"facts": {"hello_read": False}},
        {"facts": {"hello_missing": ""}},
        {"facts": {"server_crypto": True, "server_sent": "initial"}},
        {"facts": {"server_sent": "initial,handshake"}},
        {"facts": {"server_sent": "retry"}},
        {"facts": {"server_sent": "version-negotiation"}},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(holed(**near_miss)))  # type: ignore[arg-type]


def test_capture_that_stopped_early() -> None:
    assert not found(ID, view(holed(1), lasts=3.9))


def test_few_among_many_under_loss_are_info() -> None:
    lossy = [connection(V4, 1 + at, repeats=at % 4 == 0) for at in range(20)]
    [finding] = found(ID, view(*lossy, holed(50)))
    assert (finding.severity, finding.confidence) == ("info", "possible")
    [finding] = found(ID, view(*(connection(V4, 1 + at) for at in range(20)), holed(50)))
    assert finding.severity != "info"


def test_where_whole_hellos_stay_unanswered_too_the_hole_is_info() -> None:
    silent = connection(V4, 2, outcome="silent", repeats=3)
    [finding] = found(ID, view(holed(1), silent))
    assert finding.severity == "info"
    assert not alike(finding)["quic-initial-no-reply"]
    [finding] = found(ID, view(holed(1), silent, connection(V4, 9)))
    assert finding.severity == "warning"
