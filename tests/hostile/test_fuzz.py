"""The targets of ``make fuzz`` for a moment: what was found once, seeds, and a few mutations of them."""

from __future__ import annotations

import random

import pytest

from analyzer.errors import CaptureError
from analyzer.events.saved import scan_from
from benchmarks.mutate import mutated
from fuzz.run import CORPUS, mutated_capture
from fuzz.targets import TARGETS, program, seeds, small_captures


def test_what_made_a_target_raise_does_so_no_more() -> None:
    for path in sorted(path for path in CORPUS.rglob("*") if path.is_file()):
        TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "program"])
def test_seeds_and_mutations_of_them_raise_nothing(target: str) -> None:
    chance, sources = random.Random(target), list(seeds(target))[:60]
    assert sources
    for source in (*sources[:10], *(mutated(chance.choice(sources), chance) for _ in range(60))):
        TARGETS[target](source)


def test_mutated_captures_go_through_the_whole_program() -> None:
    chance, sources = random.Random(1), list(small_captures())
    for _ in range(20):
        program(mutated_capture(chance.choice(sources), chance))


def test_a_saved_scan_whose_columns_have_no_names_is_an_error_of_ours() -> None:
    """Found by fuzzing: a column's name that is no UTF-8."""
    sound = next(seeds("saved_scan"))
    with pytest.raises(CaptureError):
        scan_from(sound.replace(b"key_0", b"key\xbf0"))
