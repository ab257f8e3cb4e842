from __future__ import annotations

import pytest

from tests.patterns.tables import SECOND, T0, V4, Row, connection, found, story, view

ID = "quic-handshake-stalled"


def stalled(at: float = 1.0, *, lasted: float = 5.0, columns: Row | None = None, **facts: object) -> Row:
    usual = {
        "client_sent": "initial,handshake", "server_sent": "initial,handshake", "server_crypto": True,
        "client_after": 6, "server_after": 4, "server_first_time": at + 0.02,
    }  # fmt: skip
    last = T0 + round((at + 0.02 + lasted) * SECOND)
    return connection(V4, at, story=story(**(usual | facts)), **({"last_time": last} | (columns or {})))


def test_a_handshake_that_never_completes() -> None:
    [finding] = found(ID, view(stalled(1), stalled(9), connection(V4, 20)))
    assert (finding.severity, finding.confidence, finding.family) == ("error", "likely", "ipv4")
    assert "the rest of the server's Handshake flight" in finding.because
    assert "12 datagrams and the server 8 datagrams over 5 s (both repeat)" in finding.because


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"client_sent": "initial,handshake,1-rtt"}, "1-RTT packets of the server after the client's"),
        ({"client_sent": "initial", "server_crypto": False}, "missing is the ServerHello"),
        ({"client_sent": "initial", "server_sent": "initial"}, "missing is the server's Handshake flight"),
        ({"client_sent": "initial"}, "missing is any Handshake packet of the client"),
        ({"server_after": 50}, "mostly the server repeats"),
        ({"client_after": 50}, "mostly the client repeats"),
    ],
)
def test_it_says_which_flight_is_missing_and_who_repeats(facts: dict[str, object], words: str) -> None:
    [finding] = found(ID, view(stalled(**facts)))  # type: ignore[arg-type]
    assert words in finding.because


def test_a_client_that_never_spoke_again_is_info() -> None:
    [finding] = found(ID, view(stalled(client_after=0, client_sent="initial")))
    assert (finding.severity, finding.confidence) == ("info", "possible")


@pytest.mark.parametrize(
    "near_miss",
    [
        {"completed": True},
        {"lasted": 0.99},
        {"close_shape": True},
        {"server_sent": "retry"},
        {"server_sent": "version-negotiation"},
        {"lasted": 2.0, "columns": {"close_side": "client", "close_code": 0}},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(stalled(**near_miss)))  # type: ignore[arg-type]


def test_capture_that_stopped_early() -> None:
    assert not found(ID, view(stalled(1, lasted=2), lasts=3.9))


def test_few_among_many_under_loss_are_info() -> None:
    lossy = [connection(V4, 1 + at, repeats=at % 4 == 0) for at in range(20)]
    [finding] = found(ID, view(*lossy, stalled(50)))
    assert (finding.severity, finding.confidence) == ("info", "possible")
    [finding] = found(ID, view(*(connection(V4, 1 + at) for at in range(20)), stalled(50)))
    assert finding.severity != "info"


def test_a_client_that_closes_after_it_waited_in_vain_does_not_hide_the_stall() -> None:
    gave_up = stalled(lasted=9, columns={"close_side": "client", "close_code": 0})
    assert found(ID, view(gave_up))
    assert not found(ID, view(stalled(lasted=9, columns={"close_side": "server", "close_code": 0})))
