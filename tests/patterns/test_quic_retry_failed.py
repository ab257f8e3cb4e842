from __future__ import annotations

import pytest

from tests.patterns.tables import V4, Row, connection, found, story, view

ID = "quic-retry-failed"


def retried(at: float = 1.0, *, columns: Row | None = None, **facts: object) -> Row:
    usual = {"server_sent": "retry", "retries": 5, "client_after": 4, "server_version": ""}
    return connection(V4, at, story=story(**(usual | facts)), retry=True, **(columns or {}))


def test_the_token_never_comes_back() -> None:
    [finding] = found(ID, view(retried(1), retried(5), connection(V4, 9)))
    assert (finding.severity, finding.confidence, finding.family) == ("error", "likely", "ipv4")
    assert "(10 Retry packets): the client never returned the token" in finding.because


@pytest.mark.parametrize(
    ("facts", "words", "confidence"),
    [
        ({"token_echo_time": 1.05}, "the token was returned and no answer came", "likely"),
        ({"token_echo_time": 1.05, "retried_again": True}, "a second Retry", "certain"),
        ({"client_after": 0}, "never returned", "possible"),
    ],
)
def test_the_ways_to_fail(facts: dict[str, object], words: str, confidence: str) -> None:
    [finding] = found(ID, view(retried(**facts)))  # type: ignore[arg-type]
    assert words in finding.because
    assert finding.confidence == confidence


def test_a_token_that_is_refused() -> None:
    closed = {"close_side": "server", "close_code": 0x0B, "close_reason": "INVALID_TOKEN", "outcome": "refused"}
    seen = view(retried(retries=0, token_sent=True, server_sent="initial", columns=closed | {"reply": 0.02}))
    [finding] = found(ID, seen)
    assert finding.confidence == "certain"
    assert not found("quic-handshake-closed", seen)


@pytest.mark.parametrize(
    "near_miss",
    [
        {"completed": True},
        {"retries": 0},
        {"token_echo_time": 1.05, "echo_answered": True},
        {"server_crypto": True},
        {"server_sent": "retry,initial"},
        {"columns": {"close_side": "client"}},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(retried(**near_miss)))  # type: ignore[arg-type]


def test_capture_that_stopped_early() -> None:
    assert not found(ID, view(retried(1), lasts=3.9))
    assert not found(ID, view(retried(1, token_echo_time=2), lasts=4.9))
