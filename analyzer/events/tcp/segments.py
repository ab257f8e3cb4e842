"""What a flow remembers of its last TCP segments: acknowledgment, window, end and time of the data of each direction.

``count_segment`` runs inside the kernel of ``analyzer.events.flows``. All values are those of the last segment that has
them, so that two pieces are merged by taking the later one's where it has any (``join_segments``); 0 is none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from analyzer.kernels import Matrix, helper
from analyzer.wire.packets import ACKNOWLEDGMENT, PAYLOAD_LENGTH, SEQUENCE, TCP_FLAGS, WINDOW

# Columns of ``FlowTable.state``, after those of ``story.endings``.
ACKED = 13  # 1 << 48 | window << 32 | acknowledgment of the last segment with ACK and without RST
DATA_END = 14  # 1 << 32 | sequence number behind the last segment with payload
DATA_TIME = 15  # ns, of that segment


@helper
def count_segment(p: Any, r: int, time: int, state: Any, d: int) -> None:
    """Note segment ``r`` of direction ``d``."""
    if p[r, TCP_FLAGS] & 20 == 16:
        state[d, ACKED] = (1 << 48) | (p[r, WINDOW] << 32) | p[r, ACKNOWLEDGMENT]
    if p[r, PAYLOAD_LENGTH] > 0:
        state[d, DATA_END] = (1 << 32) | ((p[r, SEQUENCE] + p[r, PAYLOAD_LENGTH]) & 0xFFFFFFFF)
        state[d, DATA_TIME] = time


def join_segments(total: Matrix, before: Matrix, after: Matrix) -> None:
    """Write the columns of this module for two pieces together."""
    for column in (ACKED, DATA_END, DATA_TIME):
        total[:, column] = np.where(after[:, column] != 0, after[:, column], before[:, column])


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
        acked & 0xFFFFFFFF if acked else -1,
        acked >> 32 & 0xFFFF if acked else -1,
        end & 0xFFFFFFFF if end else -1,
        time if end else -1,
    )
