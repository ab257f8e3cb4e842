"""Several captures as one: by time where they overlap, one after the other where they do not.

How it works
------------
Each capture keeps its own order. A record's key is the latest time seen in its capture up to it, so keys never
fall even where times do, and a record without a timestamp stays behind the one before it. The next record
is the one with the lowest key; of equal keys, the one of the capture that begins first. A capture is opened
only when the records before its first time are given out: rotated files are open one at a time.

Records go out in rounds. In each, the captures give what is certain to come before everything that is not
read yet, which is a run at the front of each one's batch. Where only one capture has such a run, its batch is
handed on as it is; else the runs' bytes are copied, one slice per capture, into a buffer of the merger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.records import Batch, Records, part


@dataclass(frozen=True, slots=True)
class Piece:
    """One capture to merge: its first time (ns, -1 unknown) and how to begin reading it."""

    first_time: int
    batches: Callable[[], Iterator[Batch]]


class _Cursor:
    """The batch of a capture that is being given out, and its keys."""

    def __init__(self, piece: Piece, rank: int) -> None:
        self.rank = rank
        self.first_time = piece.first_time
        self._latest = piece.first_time
        self._iterator = piece.batches()
        self.batch: Batch | None = None
        self.keys: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.given = 0

    def advance(self) -> bool:
        """Make sure that there are records to give; False once the capture has ended."""
        while self.given == len(self.keys):
            self.batch = next(self._iterator, None)
            self.given = 0
            if self.batch is None:
                self.keys = self.keys[:0]
                return False
            keys = np.maximum.accumulate(self.batch.records.time)
            self.keys = np.maximum(keys, self._latest)
            self._latest = int(self.keys[-1]) if len(keys) else self._latest
        return True

    def run(self, horizon: tuple[int, int]) -> int:
        """How many records may go out before the one with key ``horizon[0]`` of rank ``horizon[1]``'s capture."""
        side = "right" if self.rank <= horizon[1] else "left"
        return int(np.searchsorted(self.keys, horizon[0], side=side)) - self.given  # type: ignore[call-overload]


def merged(pieces: Sequence[Piece]) -> Iterator[Batch]:
    """The records of all pieces in the order that the module describes."""
    order = sorted(range(len(pieces)), key=lambda i: (pieces[i].first_time, i))
    waiting = [pieces[i] for i in order]
    active: list[_Cursor] = []
    opened = 0
    merger = _Merger()
    while active or opened < len(waiting):
        active = [cursor for cursor in active if cursor.advance()]
        lowest = min((int(cursor.keys[cursor.given]) for cursor in active), default=None)
        if opened < len(waiting) and (lowest is None or waiting[opened].first_time < lowest):
            active.append(_Cursor(waiting[opened], opened))
            opened += 1
            continue
        if not active:
            continue
        horizon = min((int(cursor.keys[-1]), cursor.rank) for cursor in active)
        if opened < len(waiting):
            horizon = min(horizon, (waiting[opened].first_time, opened - 1))
        runs = [(cursor, cursor.run(horizon)) for cursor in active]
        yield merger.give([(cursor, count) for cursor, count in runs if count])


class _Merger:
    """Makes one batch of the runs of a round; its buffer is used again."""

    def __init__(self) -> None:
        self._buffer: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)

    def give(self, runs: list[tuple[_Cursor, int]]) -> Batch:
        taken: list[tuple[Batch, NDArray[np.int64]]] = []
        for cursor, count in runs:
            assert cursor.batch is not None
            records = part(cursor.batch.records, cursor.given, cursor.given + count)
            taken.append((Batch(cursor.batch.buffer, records), cursor.keys[cursor.given : cursor.given + count]))
            cursor.given += count
        if len(taken) == 1:
            return taken[0][0]
        return self._join([batch for batch, _ in taken], np.concatenate([keys for _, keys in taken]))

    def _join(self, batches: list[Batch], keys: NDArray[np.int64]) -> Batch:
        spans = [_span(batch.records) for batch in batches]
        total = sum(end - begin for begin, end in spans)
        if len(self._buffer) < total:
            self._buffer = np.empty(total, dtype=np.uint8)
        offsets, at = [], 0
        for batch, (begin, end) in zip(batches, spans, strict=True):
            self._buffer[at : at + end - begin] = batch.buffer[begin:end]
            offsets.append(batch.records.offset + (at - begin))
            at += end - begin
        columns = [np.concatenate(column) for column in zip(*(batch.records for batch in batches), strict=True)]
        columns[0] = np.concatenate(offsets)
        order = np.argsort(keys, kind="stable")  # runs are in the order of their ranks
        return Batch(self._buffer, Records(*(column[order] for column in columns)))


def _span(records: Records) -> tuple[int, int]:
    """From the first captured byte of the first record to the last of the last (offsets only rise)."""
    return int(records.offset[0]), int(records.offset[-1] + records.captured_length[-1])
