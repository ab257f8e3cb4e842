"""Merging: a plain merge of lists says what the order is; pieces of a capture give the capture again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture.merge import Piece, merged
from analyzer.capture.records import Batch, new_records

Record = tuple[int, int, int]  # capture, number, time


def batches(capture: int, times: list[int], size: int, opened: list[int]) -> Iterator[Batch]:
    """A capture whose record ``n`` holds its own number in as many bytes as that number says, at most 7."""
    opened.append(capture)
    buffer = np.zeros(16 * size, dtype=np.uint8)
    records = new_records(size)
    for start in range(0, len(times), size):
        chunk = times[start : start + size]
        for column in records:
            column[:] = -7  # what is not copied in time is lost
        buffer[:] = 255
        for i, time in enumerate(chunk):
            number = start + i + 1
            length = number % 8
            buffer[16 * i + 3 : 16 * i + 3 + length] = number % 256
            values = (16 * i + 3, length, length, time, 1, 0, capture, number, 0)
            for column, value in zip(records, values, strict=True):
                column[i] = value
        yield Batch(buffer, type(records)(*(column[: len(chunk)] for column in records)))


def pieces(captures: list[list[int]], size: int, opened: list[int]) -> list[Piece]:
    def piece(capture: int, times: list[int]) -> Piece:
        first = next((time for time in times if time >= 0), -1)
        return Piece(first, lambda: batches(capture, times, size, opened))

    return [piece(capture, times) for capture, times in enumerate(captures)]


def run(captures: list[list[int]], *, size: int = 3) -> list[Record]:
    found = []
    for batch in merged(pieces(captures, size, [])):
        assert len(batch.records.time)
        for row in zip(*(column.tolist() for column in batch.records), strict=True):
            offset, length, _, time, _, _, capture, number, _ = row
            assert batch.buffer[offset : offset + length].tolist() == [number % 256] * (number % 8)
            found.append((capture, number, time))
    return found


def plainly(captures: list[list[int]]) -> list[Record]:
    """Again and again the record with the lowest time so far of its capture; ties by the captures' first times."""
    firsts = [next((time for time in times if time >= 0), -1) for times in captures]
    ranks = sorted(range(len(captures)), key=lambda capture: (firsts[capture], capture))
    keyed = []
    for rank, capture in enumerate(ranks):
        latest = firsts[capture]
        for number, time in enumerate(captures[capture], 1):
            latest = max(latest, time)
            keyed.append((latest, rank, number, capture, time))
    return [(capture, number, time) for _, _, number, capture, time in sorted(keyed)]


TIMES = st.lists(st.integers(-1, 30), max_size=15)


@settings(max_examples=300)
@given(st.lists(TIMES, max_size=5), st.integers(1, 6))
def test_equal_to_a_plain_merge(captures: list[list[int]], size: int) -> None:
    assert run(captures, size=size) == plainly(captures)


@given(st.lists(st.lists(st.integers(0, 30), max_size=15).map(sorted), max_size=5), st.integers(1, 6))
def test_captures_in_order_give_one_in_order(captures: list[list[int]], size: int) -> None:
    times = [time for _, _, time in run(captures, size=size)]
    assert times == sorted(times)


@given(TIMES.map(sorted), st.lists(st.integers(0, 15), max_size=4), st.integers(1, 6))
def test_pieces_of_a_capture_give_the_capture_again(times: list[int], cuts: list[int], size: int) -> None:
    times = [time for time in times if time >= 0]
    places = [0, *sorted(min(cut, len(times)) for cut in cuts), len(times)]
    captures = [times[begin:end] for begin, end in itertools.pairwise(places)]
    found = run(captures, size=size)
    assert [places[capture] + number for capture, number, _ in found] == list(range(1, len(times) + 1))


def test_a_capture_keeps_its_own_order_where_time_runs_backwards() -> None:
    assert run([[10, 30, 20, 25, 40], [15, 26, 35]]) == [
        (0, 1, 10),
        (1, 1, 15),
        (1, 2, 26),
        (0, 2, 30),
        (0, 3, 20),
        (0, 4, 25),
        (1, 3, 35),
        (0, 5, 40),
    ]


def test_captures_that_do_not_overlap_are_open_one_at_a_time() -> None:
    opened: list[int] = []
    seen = []
    for batch in merged(pieces([[50, 60, 70], [10, 20, 30], [30, 31, 32]], 2, opened)):
        seen.append((batch.records.capture.tolist(), len(opened)))
    assert opened == [1, 2, 0]
    assert seen == [([1, 1], 1), ([1], 1), ([2, 2], 2), ([2], 2), ([0, 0], 3), ([0], 3)]


def test_a_capture_alone_is_handed_on_without_a_copy() -> None:
    buffers = {id(batch.buffer) for batch in merged(pieces([[1, 2, 3, 4, 5]], 2, []))}
    assert len(buffers) == 1
