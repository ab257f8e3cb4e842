from __future__ import annotations

import pytest

from tests.patterns.tables import V4, Row, connection, found, story, tcp, view

ID = "quic-handshake-closed"


def closed(at: float = 1.0, *, facts: Row | None = None, **columns: object) -> Row:
    usual = {"close_side": "server", "close_code": 0x178, "close_reason": "CRYPTO_ERROR no_application_protocol"}
    return connection(V4, at, story=story(**(facts or {})), **(usual | columns))


def shaped(at: float = 1.0, **facts: object) -> Row:
    usual = {"client_sent": "initial,handshake", "server_crypto": True, "close_shape": True}
    return connection(V4, at, story=story(**(usual | facts)))


def test_code_and_side_in_words() -> None:
    [finding] = found(
        ID, view(closed(1), closed(2), closed(3, close_side="client", close_code=0x12E, close_reason="x"))
    )
    assert (finding.severity, finding.confidence, finding.family) == ("error", "certain", "ipv4")
    assert (
        "CRYPTO_ERROR no_application_protocol (0x178) by the server (2) and x (0x12e) by the client (1)"
        in finding.because
    )
    assert "ALPN" in finding.remedies[0]


@pytest.mark.parametrize(
    "near_miss",
    [
        {"close_code": 0},
        {"close_code": 0x0C},
        {"close_code": 0x0B},  # quic-retry-failed
        {"close_side": ""},
        {"close_reason": "H3_NO_ERROR", "close_code": 0x100},
        {"facts": {"completed": True}},
        {"facts": {"close_by_application": True}},
        {"outcome": "silent"},  # the client heard nothing
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(closed(**near_miss)))  # type: ignore[arg-type]


def test_told_by_its_shape_it_is_only_possible() -> None:
    [finding] = found(ID, view(shaped()))
    assert (finding.severity, finding.confidence) == ("error", "possible")
    assert not found("quic-handshake-stalled", view(shaped()))


def test_a_lost_race_against_tcp_is_not_told_by_shape() -> None:
    assert not found(ID, view(shaped(1), tcp(V4, 1.3)))
    assert found(ID, view(shaped(1), tcp(V4, 9)))


@pytest.mark.parametrize("near_miss", [{"close_shape": False}, {"server_crypto": False}, {"completed": True}], ids=str)
def test_near_misses_of_the_shape(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(shaped(**near_miss)))


def test_capture_that_stopped_early() -> None:
    assert not found(ID, view(shaped(1), lasts=2))
