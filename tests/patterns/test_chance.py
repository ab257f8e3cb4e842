from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.patterns.chance import chance_of_silence, fits_chance, loss_of_a_try

TRIES = st.lists(st.integers(1, 8), max_size=60)


def test_loss_is_estimated_from_tries_that_had_to_be_repeated() -> None:
    assert loss_of_a_try([]) == 1.0
    assert 0.0 < loss_of_a_try([1] * 100) < 0.03
    assert 1 / 6 < loss_of_a_try([1, 1, 1, 1, 2] * 40) < 0.25  # 40 of 240 tries were lost
    assert loss_of_a_try([2] * 100) > 0.5


def test_one_of_many_after_many_tries_is_no_chance_without_loss() -> None:
    assert fits_chance([1], [1] * 100)
    assert not fits_chance([5], [1] * 100)
    assert not fits_chance([1], [])
    assert not fits_chance([], [1] * 10)
    assert not fits_chance([1] * 6, [3] * 5)  # most are silent


def test_simulated_loss_is_taken_for_chance_and_a_dead_worker_is_not() -> None:
    """Each attempt has up to 5 tries; 30 % of them are lost. Beside it, one in three clients is never heard."""
    generator = random.Random(1)
    kept = 0
    for _ in range(200):
        needed = [next((i for i in range(1, 6) if generator.random() > 0.3), 6) for _ in range(300)]
        silent, answered = [5 for tries in needed if tries == 6], [tries for tries in needed if tries < 6]
        kept += not silent or fits_chance(silent, answered)
        assert not fits_chance([5] * 100, answered)
    assert kept >= 190


@given(TRIES, TRIES)
@settings(deadline=None, max_examples=100)
def test_chance_is_a_probability(silent: list[int], answered: list[int]) -> None:
    assert 0.0 < loss_of_a_try(answered) <= 1.0
    if silent:
        assert 0.0 <= chance_of_silence(silent, answered) <= 1.0
