"""How a flow ends: which direction went on without an answer since when, and datagrams that end in the same 16 bytes.

A stateless reset is made to look like a short header packet; its last 16 bytes are a token that the peer knows (RFC
9000 §10.3). Any other short header packet ends in an authentication tag, so two that end alike are resets, unless they
are one packet seen twice: then the bytes before are the same as well, which are random in resets. The helpers run
inside the kernel of ``flows``; ``join_endings`` and ``join_tails`` do their part of merging two pieces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import Matrix, helper
from analyzer.wire.bytes import u8, u32
from analyzer.wire.packets import KIND, PAYLOAD_CAPTURED, PAYLOAD_LENGTH, PAYLOAD_OFFSET, UDP

# Columns of ``FlowTable.state``, after its counters.
UNANSWERED = 8  # records of this direction since the last of the other, copies included
UNANSWERED_SINCE = 9  # time of the first of them, 0 where there is none
TAIL = 10  # of the last small short header datagram: digest of its last 16 bytes << 31 | the 4 before them; 0: none
TAIL_REPEATS = 11  # how often such a datagram ended like the one before it

TAILS_KEPT = 8  # datagrams of one direction that ended like the one before, selected and kept whole
FIRST_TAIL = -1  # in the column ``tail_repeat``: the first small short header datagram of its direction

#: Resets are at least this long (RFC 9000 §10.3), and smaller than a full datagram: nginx sends up to 1,200 bytes.
_LEAST, _MOST = 21, 1200


@helper
def count_unanswered(state: Any, d: int, time: int) -> None:
    """One more record in direction ``d``; the other direction's are answered by it."""
    if state[d, UNANSWERED] == 0:
        state[d, UNANSWERED_SINCE] = time
    state[d, UNANSWERED] += 1
    state[d ^ 1, UNANSWERED] = state[d ^ 1, UNANSWERED_SINCE] = 0


@helper
def tail_of(b: Any, p: Any, r: int) -> int:
    """The value of ``TAIL`` for datagram ``r``, 0 if it is no small short header datagram captured whole."""
    length, start = p[r, PAYLOAD_LENGTH], p[r, PAYLOAD_OFFSET]
    if p[r, KIND] != UDP or length < _LEAST or length >= _MOST or start < 0 or p[r, PAYLOAD_CAPTURED] < length:
        return 0
    if u8(b, start) >> 6 != 1:
        return 0
    end = start + length
    tail = 0x2545F491
    for at in range(end - 16, end, 4):
        tail = ((tail ^ u32(b, at)) * 0x9E3779B1) & 0xFFFFFFFF
        tail = tail ^ (tail >> 15)
    return (tail << 31) | (u32(b, end - 20) & 0x7FFFFFFF) | 1


@helper
def is_repeat(tail: int, before: int) -> bool:
    """Whether two different datagrams end in the same 16 bytes."""
    return bool(before != 0 and tail != before and tail >> 31 == before >> 31)


@helper
def count_tail(tail: int, state: Any, d: int) -> int:
    """Note a datagram's tail: its number among the repeats, ``FIRST_TAIL``, or 0 for any other."""
    before = state[d, TAIL]
    state[d, TAIL] = tail
    if before == 0:
        return FIRST_TAIL
    if not is_repeat(tail, before):
        return 0
    state[d, TAIL_REPEATS] += 1
    return int(state[d, TAIL_REPEATS])


def join_endings(total: Matrix, before: Matrix, after: Matrix, other_spoke: NDArray[np.bool_]) -> None:
    """Write the columns of this module for two pieces together; ``other_spoke``: the other direction in ``after``."""
    goes_on = ~other_spoke & (before[:, UNANSWERED] > 0)
    total[:, UNANSWERED] = after[:, UNANSWERED] + np.where(other_spoke, 0, before[:, UNANSWERED])
    total[:, UNANSWERED_SINCE] = np.where(goes_on, before[:, UNANSWERED_SINCE], after[:, UNANSWERED_SINCE])
    total[:, TAIL] = np.where(after[:, TAIL] != 0, after[:, TAIL], before[:, TAIL])
    total[:, TAIL_REPEATS] = before[:, TAIL_REPEATS] + after[:, TAIL_REPEATS]


def join_tails(
    before: Matrix, after: Matrix, own: NDArray[np.int64], tail: NDArray[np.int64], repeat: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Numbers of the repeats among the rows of the second piece, as the whole has them; ``own``: their directions.

    ``after`` gets the repeat that lies at the cut itself.
    """
    numbers = repeat.copy()
    for k in np.flatnonzero((repeat == FIRST_TAIL) & (before[own, TAIL] != 0)).tolist():
        d = int(own[k])
        numbers[k] = 0
        if is_repeat(int(tail[k]), int(before[d, TAIL])):
            numbers[(own == d) & (repeat > 0)] += 1
            numbers[k] = 1
            after[d, TAIL_REPEATS] += 1
    numbered = numbers > 0
    numbers[numbered] += before[own[numbered], TAIL_REPEATS].astype(np.int32)
    return numbers
