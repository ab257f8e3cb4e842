"""What the kernel notes of ends is the same wherever a capture is cut."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.events.scan import Scan, merge, scan, settle
from analyzer.events.story.endings import TAIL, TAIL_REPEATS, UNANSWERED, UNANSWERED_SINCE
from tests.crafted import Captured, batch_of, pieces_of, scan_of
from tests.events.story.plays import completed, reset, short

TOKEN, OTHER = bytes(range(100, 116)), bytes(range(16))


def with_resets() -> list[Captured]:
    play = completed()
    for seed in range(14):
        token = OTHER if seed in (3, 4) else TOKEN
        play.wait(90).ask(short(seed=("probe", seed))).reply(reset(token, 30 + 11 * seed, seed))
    for seed in range(3):
        play.wait(90).ask(short(1250, seed=("large", seed)))
    return play.captured


ENDS = [UNANSWERED, UNANSWERED_SINCE, TAIL, TAIL_REPEATS]


def same(one: Scan, other: Scan) -> bool:
    rows = all(np.array_equal(getattr(one.rows, name), getattr(other.rows, name)) for name in ("record", "tail_repeat"))
    kept = all(one.row_bytes(row) == other.row_bytes(row) for row in range(len(one.rows.time)))
    return rows and kept and np.array_equal(one.table.state[:, ENDS], other.table.state[:, ENDS])


CAPTURED = with_resets()


@pytest.mark.parametrize("cut", range(1, len(CAPTURED), 3))
def test_cut_and_merged_it_is_the_same(cut: int) -> None:
    batch = batch_of(CAPTURED)
    pieces = (scan([piece], 1, compiled=False) for piece in pieces_of(batch, [cut]))
    assert same(settle(merge(*pieces)), settle(scan([batch], 1, compiled=False)))


def test_repeats_are_numbered_and_the_first_are_kept_whole() -> None:
    rows = settle(scan_of(CAPTURED)).rows
    repeats = np.flatnonzero(rows.tail_repeat > 0)
    assert rows.tail_repeat[repeats].tolist()[:8] == list(range(1, 9))
    whole = rows.header[repeats] + rows.payload_length[repeats]
    assert (rows.kept[repeats] == whole).all()


def test_compiled_kernels_note_the_same() -> None:
    assert same(scan_of(CAPTURED, compiled=True), scan_of(CAPTURED))
