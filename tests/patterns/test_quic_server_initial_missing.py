from __future__ import annotations

import pytest

from tests.patterns.tables import V4, Row, connection, found, story, view

ID = "quic-server-initial-missing"


def without_initial(at: float = 1.0, *, columns: Row | None = None, **facts: object) -> Row:
    usual = {"server_sent": "handshake,1-rtt", "client_after": 4, "server_after": 12, "server_first_time": at + 0.02}
    return connection(V4, at, story=story(**(usual | facts)), **(columns or {}))


def test_handshake_packets_without_an_initial() -> None:
    [finding] = found(ID, view(without_initial(1), without_initial(5)))
    assert (finding.severity, finding.confidence, finding.family) == ("error", "likely", "ipv4")
    assert "24 datagrams of Handshake or 1-RTT packets and no Initial" in finding.because
    assert not found("quic-handshake-stalled", view(without_initial()))


def test_a_client_that_gave_up_at_once_makes_it_possible() -> None:
    [finding] = found(ID, view(without_initial(client_after=0)))
    assert finding.confidence == "possible"


@pytest.mark.parametrize(
    "near_miss",
    [
        {"server_sent": "initial,handshake"},  # coalesced in the same datagram, too
        {"server_sent": "retry"},
        {"client_sent": "initial,handshake"},  # it got the Initial, on whatever way
        {"client_sent": "initial,1-rtt"},
        {"client_sent": "handshake"},  # the capture began late
        {"completed": True},
        {"server_version": "0xff00001d"},
        {"columns": {"close_side": "client"}},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(without_initial(**near_miss)))  # type: ignore[arg-type]


def test_capture_that_stopped_early() -> None:
    assert not found(ID, view(without_initial(1), lasts=3.9))
