from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.patterns.stickiness import (
    Try,
    group_sizes,
    share_interval,
    stickiness,
    time_of_silence,
    unlikely_count,
)

SECOND = 1_000_000_000
TRIES = st.lists(
    st.builds(
        lambda client, silent, tries, begin, lasts: Try(begin, begin + lasts, client, silent, tries),
        st.sampled_from("abc"),
        st.booleans(),
        st.integers(1, 6),
        st.integers(0, 100 * SECOND),
        st.integers(0, 4 * SECOND),
    ),
    max_size=60,
)


def sequence(fates: str, *, client: str = "a", tries: int = 4, every: float = 0.37) -> list[Try]:
    """``s`` is silent and lasts 3 s, ``.`` is answered at once, ``l`` after one repeat."""
    made = []
    for i, fate in enumerate(fates):
        begin = round(i * every * SECOND)
        lasts = 3 * SECOND if fate == "s" else SECOND // 50
        made.append(Try(begin, begin + lasts, client, fate == "s", {"s": tries, "l": 2}.get(fate, 1)))
    return made


def test_scattered_silence_without_loss_is_sticky() -> None:
    test = stickiness(sequence("s...s.s....s..s.....s.s..." * 2))
    assert test.p_value < 1e-12
    assert (test.units, test.answered_meanwhile, test.answered_late) == (14, 14, 0)
    assert test.by_time > 0.01


def test_one_try_says_nothing_about_stickiness() -> None:
    assert stickiness(sequence("s...s.s....s..s.....s.s...", tries=1)).p_value > 0.3


def test_silence_in_one_block_is_one_unit_and_belongs_to_a_time() -> None:
    test = stickiness(sequence("." * 30 + "s" * 20 + "." * 30))
    assert test.units == 1
    assert test.by_time < 1e-9


def test_silence_late_in_each_second_belongs_to_a_time() -> None:
    test = stickiness(sequence("...ss" * 20, every=0.2))
    assert test.by_time < 1e-6


def test_a_client_that_hears_nothing_is_no_evidence() -> None:
    """Its loss may be its own."""
    others = sequence("." * 40, client="b")
    assert stickiness(sequence("s" * 20) + others).p_value > 0.1


def test_single_attempts_count_together_where_enough_addresses_are_silent() -> None:
    def clients(fates: str) -> list[Try]:
        return [t._replace(client=f"c{i}") for i, t in enumerate(sequence(fates))]

    assert stickiness(clients("s...s..s....s...s......")).units == 5
    assert stickiness(clients("s...s..s....s..........")).units == 0


def test_repeats_of_one_address_with_few_attempts_count_once() -> None:
    few = [Try(i * SECOND, (i + 3) * SECOND, f"c{i // 2}", True, 4) for i in range(10)]
    rest = [Try(i * SECOND // 3, i * SECOND // 3, f"d{i}", False, 1) for i in range(30)]
    assert stickiness(few + rest).units <= 5


@given(TRIES)
@settings(deadline=None, max_examples=150)
def test_probabilities_and_counts(tries: list[Try]) -> None:
    test = stickiness(tries)
    assert 0.0 <= test.p_value <= 1.0
    assert 0.0 <= test.by_time <= 1.0
    assert 0 <= test.answered_meanwhile <= test.units <= sum(t.silent for t in tries)
    assert stickiness(reversed(tries)) == test
    assert math.isfinite(test.ratio)


def test_p_values_under_loss_are_those_of_the_model() -> None:
    """4 tries, 40 % lost: 2.6 % of attempts silent. Of 400 runs 6 had p < 0.1 (plain estimates err towards loss)."""
    generator = random.Random(3)
    small = 0
    for _ in range(400):
        needed = [next((n for n in range(1, 5) if generator.random() > 0.4), 0) for _ in range(150)]
        tries = [
            Try(i * SECOND // 3, i * SECOND // 3 + (SECOND if n else 3 * SECOND), "a", not n, n or 4)
            for i, n in enumerate(needed)
        ]
        small += stickiness(tries).p_value < 0.1
    assert small <= 40


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(10, 40, 0.142, 0.402), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (0, 0, 0.0, 1.0)],
)
def test_interval_of_wilson(part: int, whole: int, low: float, high: float) -> None:
    assert share_interval(part, whole) == pytest.approx((low, high), abs=0.001)


@pytest.mark.parametrize(
    ("interval", "sizes"),
    [
        ((0.13, 0.39), (3, 7)),
        ((0.25, 0.25), (4, 4)),
        ((0.45, 0.9), (2, 2)),
        ((0.6, 0.9), (0, 0)),
        ((0.0, 0.2), (0, 0)),
    ],
)
def test_group_sizes(interval: tuple[float, float], sizes: tuple[int, int]) -> None:
    assert group_sizes(interval) == sizes


@pytest.mark.parametrize(
    ("fates", "stretch"),
    [
        ("......s...s..s....s", (6, 18)),
        ("..s.s..s.s...................", (2, 9)),
        ("....s..................s.s.ss.s", (4, 30)),
        ("s", (0, 0)),
        ("ssss", (0, 3)),
    ],
)
def test_time_of_silence_where_loss_is_rare(fates: str, stretch: tuple[int, int]) -> None:
    assert time_of_silence([fate == "s" for fate in fates], 1e-6) == stretch


def test_silence_that_loss_explains_stays_outside() -> None:
    fates = "....s.................................s.s.ss.s"
    assert time_of_silence([fate == "s" for fate in fates], 0.02) == (38, 45)


def test_how_many_answers_bound_a_share() -> None:
    assert unlikely_count(0.25, 0.05) == 11
    assert 0.75**11 < 0.05 < 0.75**10
    assert unlikely_count(1.0, 0.05) == unlikely_count(0.0, 0.05) == 1
