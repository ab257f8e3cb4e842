from __future__ import annotations

import pytest

from tests.patterns.tables import V4, Row, alike, connection, found, story, view

ID = "quic-initial-acked-only"


def acked(at: float = 1.0, *, columns: Row | None = None, **facts: object) -> Row:
    usual = {
        "hello_acked_time": at + 0.02,
        "server_first_time": at + 0.02,
        "client_last_time": at + 10,
        "client_after": 7,
    }
    return connection(V4, at, story=story(**(usual | facts)), **(columns or {}))


def test_acknowledged_and_nothing_else() -> None:
    [finding] = found(ID, view(acked(1), acked(5), connection(V4, 20)))
    assert (finding.severity, finding.confidence, finding.family) == ("error", "likely", "ipv4")
    assert finding.because == (
        "2 of 3 QUIC attempts to 192.0.2.80:443 over IPv4 got acknowledgments of the whole ClientHello and no CRYPTO, "
        "although the client side sent 14 further packets and the capture ran on; the first is record 101."
    )
    assert all(alike(finding).values())


@pytest.mark.parametrize(
    "near_miss",
    [
        {"server_crypto": True},
        {"hello_acked_time": -1},
        {"unread_initials": 1},
        {"server_sent": "initial,handshake"},
        {"columns": {"hello_complete": False}},
        {"columns": {"close_side": "server"}},
        {"columns": {"close_side": "client"}, "client_last_time": 3.9},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(acked(**near_miss)))  # type: ignore[arg-type]


def test_capture_that_ended_before_the_wait_was_over() -> None:
    assert not found(ID, view(acked(1), lasts=4.01))
    assert found(ID, view(acked(1), lasts=4.03))


def test_it_explains_the_stall() -> None:
    stalled = acked(columns={"last_time": acked()["story"]["client_last_time"]})
    assert not found("quic-handshake-stalled", view(stalled))
