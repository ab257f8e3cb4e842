"""Segments that begin like an HTTP/1 message, wherever in a connection: they are few and tell every exchange on it.

The segment with payload that follows one in its direction is noted as well: it has the body, where that is small and
sent apart, as OCSP responses are. ``head_of`` and ``count_head`` run inside the kernel of ``analyzer.events.flows``.
Copies of one packet are counted too, so that the count depends on nothing but the packets of its direction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import Matrix, helper
from analyzer.wire.bytes import u8, u32
from analyzer.wire.packets import KIND, PAYLOAD_CAPTURED, PAYLOAD_LENGTH, PAYLOAD_OFFSET, TCP

#: Column of ``FlowTable.state``, after the ring: number of such segments of this direction << 2, and two bits: whether
#: there was any segment with payload, and whether the last of them was such a one.
HEADS = 24

#: Of one direction, selected and kept whole with what follows. A connection with more is read as far as that.
HEADS_KEPT = 64

_A, _Z = 0x41, 0x5A
_GET, _HEAD, _POST, _PUT = 0x47455420, 0x48454144, 0x504F5354, 0x50555420
_DELE, _CONN, _OPTI, _PATC, _HTTP = 0x44454C45, 0x434F4E4E, 0x4F505449, 0x50415443, 0x48545450


@helper
def head_of(b: Any, p: Any, r: int) -> bool:
    """Whether the payload of segment ``r`` begins like a request of RFC 9110 §9.3, RFC 5789, or like a response."""
    start = p[r, PAYLOAD_OFFSET]
    if p[r, KIND] != TCP or start < 0 or p[r, PAYLOAD_CAPTURED] < 4:
        return False
    first = u8(b, start)
    if first < _A or first > _Z:
        return False
    word = u32(b, start)
    if word == _HTTP or word == _GET or word == _POST or word == _HEAD or word == _PUT:
        return True
    return bool(word == _DELE or word == _CONN or word == _OPTI or word == _PATC)


@helper
def count_head(b: Any, p: Any, r: int, state: Any, d: int) -> int:
    """Count segment ``r``: its number if it is such a one, minus the number of the one that it follows, or 0."""
    if p[r, PAYLOAD_LENGTH] <= 0:
        return 0
    count, follows = state[d, HEADS] >> 2, state[d, HEADS] & 1
    if head_of(b, p, r):
        state[d, HEADS] = ((count + 1) << 2) | 3
        return int(count + 1)
    state[d, HEADS] = (count << 2) | 2
    return int(-count * follows)


def join_heads(
    before: Matrix, first: NDArray[np.bool_], own: NDArray[np.int64], head: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Numbers of the rows of the second piece as the whole has them; ``own``: their directions, ``first``: which is the
    first with payload of its direction in that piece."""
    count, follows = (before[own, HEADS] >> 2).astype(np.int32), before[own, HEADS] & 1
    behind = np.where(first & (head == 0) & (follows == 1), -count, 0)
    return np.where(head > 0, head + count, np.where(head < 0, head - count, behind)).astype(np.int32)


def add_heads(total: Matrix, before: Matrix, after: Matrix) -> None:
    """Write the column of this module for two pieces together."""
    last = np.where(after[:, HEADS] & 2 > 0, after[:, HEADS], before[:, HEADS]) & 3
    total[:, HEADS] = (((before[:, HEADS] >> 2) + (after[:, HEADS] >> 2)) << 2) | last
