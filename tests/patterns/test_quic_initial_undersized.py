from __future__ import annotations

import pytest

from tests.patterns.tables import V4, V6, Row, connection, found, story, view

ID = "quic-initial-undersized"


def small(at: float = 1.0, **columns: object) -> Row:
    usual = {"outcome": "undetermined", "outcome_reason": "request-not-valid", "largest_request": 1199, "repeats": 2}
    return connection(V4, at, **(usual | columns))


def test_a_datagram_below_1200_bytes_stays_unanswered() -> None:
    [finding] = found(ID, view(small(1), small(9, largest_request=600), connection(V6, 3)))
    assert (finding.severity, finding.confidence, finding.family) == ("warning", "certain", "ipv4")
    assert "at most 1,199 bytes" in finding.because
    assert finding.counts["affected"] == 2
    assert not found("quic-initial-no-reply", view(small()))


def test_a_part_of_the_hello_is_enough() -> None:
    part = small(hello_complete=False, story=story(hello_read=True, server_sent=""))
    assert found(ID, view(part))
    nothing = small(hello_complete=False, story=story(hello_read=False, server_sent=""))
    assert not found(ID, view(nothing))


@pytest.mark.parametrize(
    "near_miss",
    [
        {"largest_request": 1200},
        {"outcome": "answered"},
        {"replied_from": "192.0.2.81:443"},
        {"one_way": True},
        {"version_known": False},
        {"request_time": -1},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(small(**near_miss)))


def test_capture_that_stopped_early() -> None:
    assert not found(ID, view(small(1), lasts=3.9))
