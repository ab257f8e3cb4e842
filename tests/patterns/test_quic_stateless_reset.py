from __future__ import annotations

import pytest

from tests.patterns.tables import SECOND, T0, V4, Row, alike, connection, found, story, view

ID = "quic-stateless-reset"


def reset(at: float = 1.0, **facts: object) -> Row:
    usual = {
        "completed": True, "resets": 8, "resets_side": "server", "resets_from": at + 2, "resets_until": at + 9,
        "resets_proved": True,
    }  # fmt: skip
    return connection(V4, at, story=story(**(usual | facts)))


def test_datagrams_that_end_alike_are_resets() -> None:
    [finding] = found(ID, view(reset(1), reset(2, resets_on_new_path=True), connection(V4, 5)))
    assert (finding.severity, finding.confidence, finding.family) == ("warning", "certain", "ipv4")
    assert "16 datagrams that end in one token of 16 bytes" in finding.because
    assert "in 1 of them after the client's address or port had changed" in finding.because
    assert finding.onset == T0 + 3 * SECOND


def test_it_explains_the_silence() -> None:
    facts = {"silent_side": "server", "silent_since": 2, "unanswered_from": 3, "unanswered_until": 18}
    assert not found("quic-connection-silent", view(reset(**facts, unanswered_packets=5)))


def test_bytes_that_were_not_compared_make_it_likely() -> None:
    [finding] = found(ID, view(reset(resets=2, resets_proved=False)))
    assert finding.confidence == "likely"


def test_resets_of_a_client_are_info() -> None:
    [finding] = found(ID, view(reset(resets_side="client")))
    assert finding.severity == "info"


def test_a_single_one_with_the_issued_token_is_certain() -> None:
    [finding] = found(ID, view(reset(resets=1, resets_by_token=True)))
    assert (finding.severity, finding.confidence) == ("warning", "certain")
    assert "1 datagram that end in one token" in finding.because
    assert "the one that its sender had issued (key log)" in finding.because


def test_a_single_one_that_fits_is_a_note() -> None:
    [finding] = found(ID, view(reset(resets=1, resets_proved=False)))
    assert (finding.severity, finding.confidence) == ("info", "possible")


def test_a_single_one_does_not_hide_a_silence() -> None:
    facts = {"silent_side": "server", "silent_since": 2, "unanswered_from": 3, "unanswered_until": 18}
    seen = view(reset(**facts, unanswered_packets=5, resets=1, resets_proved=False))
    [finding] = found("quic-connection-silent", seen)
    assert (finding.severity, alike(finding)[ID]) == ("error", False)
    assert not found(ID, seen)


@pytest.mark.parametrize("near_miss", [{"resets": 0}, {"resets": 1, "resets_side": "client"}], ids=str)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(reset(**near_miss)))
