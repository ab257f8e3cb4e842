"""TCP options: what a SYN and a SYN/ACK agree on, and which blocks an ACK says it has.

    kind <8> [length <8> data]; kind 0 ends the list, kind 1 is padding            RFC 9293 §3.1

Read are the maximum segment size (2), the window scale (3), SACK permitted (4) and SACK (5, RFC 2018), timestamps (8,
RFC 7323) and the cookie of TCP Fast Open (34, RFC 7413). An option that is not whole ends the reading.
"""

from __future__ import annotations

from typing import NamedTuple

_END, _PADDING, _MSS, _SCALE, _SACK_PERMITTED, _SACK, _TIMESTAMPS, _FAST_OPEN = 0, 1, 2, 3, 4, 5, 8, 34
MOST_SCALE = 14  # RFC 7323 §2.3: "If a Window Scale option is received containing a shift.cnt value exceeding 14 ..."


class Options(NamedTuple):
    """The options of one segment; -1 or None for those that it has not. ``sack`` are (begin, end) of blocks."""

    mss: int = -1
    window_scale: int = -1
    sack_permitted: bool = False
    timestamps: tuple[int, int] | None = None
    cookie: bytes | None = None
    sack: tuple[tuple[int, int], ...] = ()


NO_OPTIONS = Options()


def read_options(listed: bytes) -> Options:
    """The options in the bytes between the fixed TCP header and the payload."""
    read, at = NO_OPTIONS, 0
    while at < len(listed) and listed[at] != _END:
        kind = listed[at]
        if kind == _PADDING:
            at += 1
            continue
        length = listed[at + 1] if at + 1 < len(listed) else 0
        if length < 2 or at + length > len(listed):
            break
        read = _with(read, kind, listed[at + 2 : at + length])
        at += length
    return read


def _with(read: Options, kind: int, data: bytes) -> Options:
    """The options and one more; one whose length is not that of its kind is passed over."""
    if kind == _MSS and len(data) == 2:
        return read._replace(mss=int.from_bytes(data, "big"))
    if kind == _SCALE and len(data) == 1:
        return read._replace(window_scale=min(data[0], MOST_SCALE))
    if kind == _SACK_PERMITTED and not data:
        return read._replace(sack_permitted=True)
    if kind == _TIMESTAMPS and len(data) == 8:
        return read._replace(timestamps=(int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")))
    if kind == _FAST_OPEN:
        return read._replace(cookie=data)
    if kind == _SACK:
        numbers = [int.from_bytes(data[k : k + 4], "big") for k in range(0, len(data) - 3, 4)]
        return read._replace(sack=tuple(zip(numbers[0::2], numbers[1::2], strict=False)))
    return read
