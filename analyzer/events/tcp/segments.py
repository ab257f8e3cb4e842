"""What a flow remembers of its last TCP segments, and which segments do not begin where the one before ended.

How it works
------------
``count_segment`` runs inside the kernel of ``analyzer.events.flows``. Of each direction it notes acknowledgment,
window, end and time of the data: the values of the last segment that has them, so that two pieces are merged by taking
the later one's where it has any (``join_segments``); 0 is none.

A *jump* is a segment with data that does not begin at the end of the data before it: something came twice, late or
never. Copies of the capture are none. Jumps are numbered; the first ``JUMPS_KEPT`` of a direction are selected with the
end that they missed, and between two of them the data is whole: so ``tcp.runs`` knows all that was sent without a look
at every segment. Whether a segment jumps depends on the one before it alone, so that merging has to decide again only
about the first data of the later piece (``tcp.jumps``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import Matrix, helper
from analyzer.wire.packets import ACKNOWLEDGMENT, FRAGMENT, PAYLOAD_LENGTH, SEQUENCE, TCP_FLAGS, WINDOW

# Columns of ``FlowTable.state``, after those of ``story.endings``.
ACKED = 13  # 1 << 48 | window << 32 | acknowledgment of the last segment with ACK and without RST
DATA_END = 14  # 1 << 32 | sequence number behind the last segment with payload that is no copy
DATA_TIME = 15  # ns, of that segment
JUMPS = 25  # segments with data that do not begin at the end of those before

JUMPS_KEPT = 32  # of a direction, selected: those of some ten losses
JUMPS_IN_DOUBT = 8  # more are kept of a piece, as its first segments may turn out to be copies
FIRST_DATA = -1  # in the column ``jump``: the first data of its direction, with which no end can be compared
_END = 0xFFFFFFFF


@helper
def count_segment(p: Any, r: int, time: int, state: Any, d: int, is_copy: bool) -> int:
    """Note segment ``r`` of direction ``d``; ``FIRST_DATA``, its number as a jump << 32 | the end missed, or 0."""
    if p[r, TCP_FLAGS] & 20 == 16:
        state[d, ACKED] = (1 << 48) | (p[r, WINDOW] << 32) | p[r, ACKNOWLEDGMENT]
    if p[r, PAYLOAD_LENGTH] == 0 or is_copy or p[r, TCP_FLAGS] & 4:  # a RST may carry words (RFC 9293 §3.5.3)
        return 0
    begin = (p[r, SEQUENCE] + ((p[r, TCP_FLAGS] >> 1) & 1)) & 0xFFFFFFFF  # the SYN comes before its data
    before = state[d, DATA_END]
    state[d, DATA_END] = (1 << 32) | ((begin + p[r, PAYLOAD_LENGTH]) & 0xFFFFFFFF)
    state[d, DATA_TIME] = time
    if before == 0:
        return FIRST_DATA
    # The length of a segment in fragments is known only when they are put together.
    if before & 0xFFFFFFFF == begin and p[r, FRAGMENT] == 0:
        return 0
    state[d, JUMPS] += 1
    return int((state[d, JUMPS] << 32) | (before & 0xFFFFFFFF))


@helper
def is_kept_jump(jump: int) -> bool:
    """Whether a value of the column ``jump`` makes its segment selected."""
    return bool(jump == FIRST_DATA or 0 < jump >> 32 <= JUMPS_KEPT + JUMPS_IN_DOUBT)


def kept_jumps(jump: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows that stay selected for their jump, counted over the whole."""
    number = jump >> 32
    return np.asarray((jump == FIRST_DATA) | ((number > 0) & (number <= JUMPS_KEPT)), np.bool_)


def join_segments(total: Matrix, before: Matrix, after: Matrix) -> None:
    """Write the columns of this module for two pieces together."""
    for column in (ACKED, DATA_END, DATA_TIME):
        total[:, column] = np.where(after[:, column] != 0, after[:, column], before[:, column])
    total[:, JUMPS] = before[:, JUMPS] + after[:, JUMPS]


class LastSegment(NamedTuple):
    """The last values of one direction; -1 for none, the window not scaled."""

    acknowledgment: int
    window: int
    data_end: int
    data_time: int


def last_segment(state: Matrix, d: int) -> LastSegment:
    """What the flow states remember of direction ``d``."""
    acked, end, time = int(state[d, ACKED]), int(state[d, DATA_END]), int(state[d, DATA_TIME])
    return LastSegment(
        acked & _END if acked else -1,
        acked >> 32 & 0xFFFF if acked else -1,
        end & _END if end else -1,
        time if end else -1,
    )
