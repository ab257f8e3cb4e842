from __future__ import annotations

import pytest

from tests.patterns.tables import SECOND, T0, V4, Row, connection, found, story, view

ID = "quic-path-change-silent"


def moved(at: float = 1.0, **facts: object) -> Row:
    usual = {
        "completed": True, "silent_path": "192.0.2.10:57607", "silent_path_packets": 5, "silent_path_from": at + 2,
        "silent_path_until": at + 17, "server_last_time": at + 9,
    }  # fmt: skip
    return connection(V4, at, story=story(**(usual | facts)), paths=2)


def test_no_reply_on_the_new_path() -> None:
    [finding] = found(ID, view(moved(1), connection(V4, 3)))
    assert (finding.severity, finding.confidence, finding.family) == ("error", "likely", "ipv4")
    assert "192.0.2.10:57607" in finding.because
    assert "5 packets over 15 s" in finding.because
    assert "on the old path the server went on" in finding.because
    assert finding.onset == T0 + 3 * SECOND


def test_it_explains_the_silence_of_the_connection() -> None:
    facts = {"silent_side": "server", "silent_since": 2, "unanswered_from": 3, "unanswered_until": 18}
    assert not found("quic-connection-silent", view(moved(**facts, unanswered_packets=5)))


@pytest.mark.parametrize(
    "near_miss", [{"silent_path": ""}, {"silent_path_packets": 2}, {"silent_path_until": 3.9}], ids=str
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(moved(**near_miss)))
