from __future__ import annotations

import pytest

from tests.patterns.tables import V4, Row, connection, found, story, view

ID = "quic-amplification-stall"


def held_up(at: float = 1.0, *, columns: Row | None = None, **facts: object) -> Row:
    usual = {
        "client_sent": "initial,handshake,1-rtt", "server_sent": "initial,handshake,1-rtt", "server_crypto": True,
        "completed": True, "stall_s": 1.2, "stall_time": at + 0.02, "stall_client_bytes": 1200,
        "stall_server_bytes": 3600, "stall_fed": 1, "server_first_time": at + 0.02,
    }  # fmt: skip
    return connection(V4, at, story=story(**(usual | facts)), **(columns or {}))


NEVER = {"completed": False, "client_sent": "initial", "server_sent": "initial,handshake"}


def test_a_pause_at_the_limit_that_ends_is_a_warning() -> None:
    [finding] = found(ID, view(held_up(1), held_up(5)))
    assert (finding.severity, finding.confidence, finding.family) == ("warning", "likely", "ipv4")
    assert "a pause of 1.2 s after the server had sent 3 times the bytes of the client, and then" in finding.because


def test_a_few_among_many_are_info() -> None:
    [finding] = found(ID, view(held_up(1), *(connection(V4, at) for at in (3, 5, 7))))
    assert finding.severity == "info"


def test_a_handshake_that_ends_at_the_limit_is_an_error_and_no_other() -> None:
    dead = held_up(**NEVER, columns={"last_time": held_up(9)["story"]["stall_time"]})
    [finding] = found(ID, view(dead))
    assert finding.severity == "error"
    assert not found("quic-handshake-stalled", view(dead))


def test_silence_of_both_after_the_client_had_spoken() -> None:
    assert found(ID, view(held_up(**NEVER, stall_s=-1.0, stall_client_spoke=True)))
    assert not found(ID, view(held_up(**NEVER, stall_s=-1.0, stall_client_spoke=False)))  # nobody may be there
    assert not found(ID, view(held_up(**NEVER, stall_s=-1.0, stall_client_spoke=True), lasts=3.9))


@pytest.mark.parametrize(
    "near_miss",
    [
        {"stall_s": 0.2},  # the one more round trip of every long chain
        {"stall_s": 0.4, "round_trip_s": 0.3},
        {"stall_s": 0.9, "round_trip_s": float("nan")},
        {"token_sent": True},
        {"retries": 1},
        {"stall_fed": 3},
        {"stall_time": -1},
        {**NEVER, "client_sent": "initial,handshake"},
        {"columns": {"close_side": "client"}},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(held_up(**near_miss)))  # type: ignore[arg-type]
