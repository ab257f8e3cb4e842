"""Segments that begin like an HTTP/1 message, wherever in a connection: they are few and tell every exchange on it.

``head_of`` and ``count_head`` run inside the kernel of ``analyzer.events.flows``. Copies of one packet are counted as
well, so that the count depends on nothing but the packets of its direction and two pieces are merged by adding.
"""

from __future__ import annotations

from typing import Any

from analyzer.kernels import helper
from analyzer.wire.bytes import u8, u32
from analyzer.wire.packets import KIND, PAYLOAD_CAPTURED, PAYLOAD_OFFSET, TCP

HEADS = 24  # column of ``FlowTable.state``, after the ring: such segments of this direction

#: Of one direction, selected and kept whole. A connection with more requests is read as far as that.
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
def count_head(state: Any, d: int) -> int:
    """Count such a segment of direction ``d``; returns its number."""
    state[d, HEADS] += 1
    return int(state[d, HEADS])
