from __future__ import annotations

import pytest

from tests.patterns.tables import SECOND, T0, V4, V6, Row, connection, found, story, view

ID = "quic-connection-silent"


def left(server: str = V4, at: float = 1.0, *, columns: Row | None = None, **facts: object) -> Row:
    usual = {
        "completed": True, "silent_side": "server", "silent_since": at + 2, "unanswered_from": at + 3,
        "unanswered_until": at + 16, "unanswered_packets": 10, "idle_timeout_s": 60.0,
    }  # fmt: skip
    return connection(server, at, story=story(**(usual | facts)), **(columns or {}))


def test_a_server_that_falls_silent() -> None:
    findings = found(ID, view(left(V4, 1), left(V6, 1)))
    assert [(each.severity, each.confidence, each.family) for each in findings] == [
        ("error", "likely", "ipv4"),
        ("error", "likely", "ipv6"),
    ]
    assert "heard nothing of the server while the other sent 10 packets over 13 s" in findings[0].because
    assert findings[0].onset == T0 + 4 * SECOND
    assert findings[0].onset_bounds == (T0 + 3 * SECOND, T0 + 4 * SECOND)


@pytest.mark.parametrize(
    "natural",
    [
        {"silent_side": "client"},
        {"unanswered_from": 33, "unanswered_until": 40},  # after the usual idle timeout
        {"unanswered_from": 8, "idle_timeout_s": 5.0},
    ],
    ids=str,
)
def test_what_may_be_the_end_is_info(natural: dict[str, object]) -> None:
    [finding] = found(ID, view(left(**natural)))  # type: ignore[arg-type]
    assert (finding.severity, finding.confidence, finding.onset) == ("info", "possible", -1)


def test_one_among_many_under_loss_is_possible() -> None:
    lossy = [connection(V4, at, repeats=1) for at in range(20, 30)]
    [finding] = found(ID, view(left(V4, 1, columns={"repeats": 1}), *lossy))
    assert finding.confidence == "possible"


@pytest.mark.parametrize(
    "near_miss",
    [
        {"completed": False},
        {"silent_side": ""},
        {"unanswered_packets": 3},
        {"unanswered_until": 5.9},
        {"columns": {"close_side": "server"}},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(left(**near_miss)))  # type: ignore[arg-type]


def test_a_close_of_the_side_that_waited_explains_nothing() -> None:
    assert found(ID, view(left(columns={"close_side": "client", "close_code": 0})))
