"""Jumps of two pieces of a capture that follow one another, numbered as the whole has them (``tcp.segments``).

The first data of the later piece is compared with the end of the earlier one. Where one of its first segments turns
out to be a copy of a segment before the cut, it no longer counts, and the next one is decided again too: all of them
are among the rows, since the first ones of a direction are always selected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analyzer.events.tcp.segments import DATA_END, DATA_TIME, FIRST_DATA, JUMPS
from analyzer.events.tcp.states import RST
from analyzer.kernels import Matrix
from analyzer.wire.packets import TCP

if TYPE_CHECKING:
    from analyzer.events.selected import Selected

_END = 0xFFFFFFFF


def data_begins(rows: Selected, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sequence numbers of the first data bytes of segments: the SYN comes before its data."""
    return (rows.sequence[index].astype(np.int64) + (rows.tcp_flags[index] >> 1 & 1)) & _END


def join_jumps(
    before: Matrix, after: Matrix, rows: Selected, is_copy: NDArray[np.bool_], doubled: dict[int, int]
) -> None:
    """Number the jumps among the rows of the second piece, and correct its states ``after``.

    ``is_copy`` are the rows that are copies, ``doubled`` the last row of each direction that became one by merging.
    """
    with_data = (rows.kind == TCP) & (rows.payload_length > 0) & (rows.tcp_flags & RST == 0)
    tracked = np.flatnonzero(with_data & (rows.flow >= 0))
    own = 2 * rows.flow[tracked].astype(np.int64) + rows.direction[tracked]
    order = np.argsort(own, kind="stable")
    tracked, own = tracked[order], own[order]
    crossing = own[(rows.jump[tracked] == FIRST_DATA) & (before[own, DATA_END] != 0)]
    for d in sorted({*crossing.tolist(), *doubled}):
        low, high = np.searchsorted(own, [d, d + 1])
        _decide_again(before[d], after[d], rows, (tracked[low:high], is_copy), doubled.get(d, -1))
    numbered = rows.jump[tracked] > 0
    rows.jump[tracked[numbered]] += before[own[numbered], JUMPS] << 32


def _decide_again(
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    rows: Selected,
    chosen: tuple[NDArray[np.int64], NDArray[np.bool_]],
    last_copy: int,
) -> None:
    """The same for the rows with data of one direction; what lies behind the first that is settled stays."""
    mine, is_copy = chosen
    end, was, now, walked = int(before[DATA_END]), 0, 0, 0
    after_end, after_time = 0, 0
    for row, begin in zip(mine.tolist(), data_begins(rows, mine).tolist(), strict=True):
        walked += 1
        was += int(rows.jump[row] > 0)
        rows.jump[row] = 0
        if is_copy[row]:
            continue
        if end == 0:
            rows.jump[row] = FIRST_DATA
        elif end & _END != begin or rows.fragment[row]:
            now += 1
            rows.jump[row] = now << 32 | end & _END
        after_end = end = 1 << 32 | (begin + int(rows.payload_length[row])) & _END
        after_time = int(rows.time[row])
        if row > last_copy:
            break
    else:
        after[DATA_END], after[DATA_TIME] = after_end, after_time
    later = mine[walked:][rows.jump[mine[walked:]] > 0]
    rows.jump[later] += now - was << 32
    after[JUMPS] += now - was
