"""Two analyses side by side: what counts as worse, and what may be chance."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.reports.checks.comparison import BETTER, OTHER, WORSE, changes, interval, is_worse
from tests.reports import example


def attempts(answered: int, silent: int, *, port: int = 443, latency: float = 0.02) -> list[dict[str, Any]]:
    made = []
    for number in range(answered + silent):
        row = dict(example.connection_rows()[0 if number >= answered else 6])
        row |= {"connection": f"C{port}{number}", "family": "ipv4", "server_address": "192.0.2.80", "server_port": port}
        if number < answered:
            row |= {"reply_latency_s": latency}
        made.append(row)
    return made


def analysis(*rows: list[dict[str, Any]], findings: list[dict[str, Any]] | None = None) -> example.Example:
    return example.analysis_of([row for each in rows for row in each], findings or [])


def test_the_same_analysis_did_not_change() -> None:
    assert changes(example.silent(), example.silent()) == []


def test_a_socket_that_fell_silent_is_worse_and_the_way_back_better() -> None:
    good, bad = analysis(attempts(10, 0)), analysis(attempts(0, 10))
    (worse,) = changes(good, bad)
    assert (worse.direction, worse.what) == (WORSE, "socket")
    assert worse.sentence == (
        "udp 192.0.2.80:443 over IPv4: answered 10 of 10 (72–100 %) before, 0 of 10 (0–28 %) after"
    )
    assert is_worse([worse])
    (better,) = changes(bad, good)
    assert better.direction == BETTER
    assert not is_worse([better])


def test_what_may_be_chance_is_told_and_not_called_worse() -> None:
    (change,) = changes(analysis(attempts(10, 0)), analysis(attempts(9, 1)))
    assert change.direction == OTHER
    assert "chance" in change.sentence


def test_sockets_appear_and_vanish() -> None:
    found = changes(analysis(attempts(3, 0, port=443)), analysis(attempts(3, 0, port=8443)))
    sentences = [change.sentence for change in found if change.what == "socket"]
    assert [sentence.split(":")[0] for sentence in sentences] == ["vanished", "appeared"]
    assert not is_worse(found)


def test_many_sockets_together_show_what_one_alone_does_not() -> None:
    ports = range(1000, 1010)
    good = analysis(*(attempts(4, 0, port=port) for port in ports))
    bad = analysis(*(attempts(2, 2, port=port) for port in ports))
    found = changes(good, bad)
    assert {change.what for change in found if change.direction == WORSE} == {"family"}


def test_a_finding_that_appeared_is_worse_and_a_note_is_not() -> None:
    rows = attempts(0, 5)
    (change,) = changes(analysis(rows), analysis(rows, findings=[dict(example.NO_REPLY)]))
    assert change.direction == WORSE
    assert change.sentence.startswith("appeared: error quic-initial-no-reply")
    (back,) = changes(analysis(rows, findings=[dict(example.NO_REPLY)]), analysis(rows))
    assert back.direction == BETTER
    note = dict(example.NO_REPLY, severity="info")
    (told,) = changes(analysis(rows), analysis(rows, findings=[note]))
    assert told.direction == OTHER


def test_a_finding_that_is_still_there_tells_its_numbers() -> None:
    rows = attempts(0, 5)
    more = dict(example.NO_REPLY, counts={**example.NO_REPLY["counts"], "affected": 3})
    (change,) = changes(analysis(rows, findings=[dict(example.NO_REPLY)]), analysis(rows, findings=[more]))
    assert change.direction == OTHER
    assert "5 of 5" in change.sentence
    assert "3 of 5" in change.sentence


@pytest.mark.parametrize(("latency", "told"), [(0.025, False), (0.2, True), (0.002, True)])
def test_a_median_is_told_where_it_changed_by_much(latency: float, told: bool) -> None:
    found = changes(analysis(attempts(6, 0)), analysis(attempts(6, 0, latency=latency)))
    assert [change.direction for change in found] == ([OTHER] if told else [])


@given(st.integers(0, 200), st.integers(0, 200))
def test_an_interval_holds_the_share_and_narrows(count: int, more: int) -> None:
    total = count + more
    low, high = interval(count, total)
    assert 0 <= low <= high <= 1
    if total:
        assert low - 1e-9 <= count / total <= high + 1e-9
        wide = high - low
        low, high = interval(count * 4, total * 4)
        assert high - low < wide


def test_an_interval_is_the_one_of_the_book() -> None:
    # Wilson's interval of 8 of 10, as in Newcombe (1998) and R's binom.confint
    assert interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=5e-4)
