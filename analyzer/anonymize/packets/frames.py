"""The frames of a clear Initial with what is private in them replaced: crypto streams, tokens, reasons of closes.

Initials carry PADDING, PING, ACK, CRYPTO and CONNECTION_CLOSE (RFC 9000 §17.2.2). From the first frame of another type
on, and where frames cannot be read, the bytes become random ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from analyzer.anonymize.packets.edit import Edit, Maps
from analyzer.anonymize.phrases import phrase
from analyzer.wire.quic.header import read_varint

_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO, _CLOSE, _APPLICATION_CLOSE = 0x00, 0x01, 0x02, 0x03, 0x06, 0x1C, 0x1D

_PADDINGS = re.compile(b"\0+")


def edit_frames(payload: bytes, crypto: Callable[[int, bytes], bytes], maps: Maps) -> bytes:
    """A copy of a payload; ``crypto`` gives the bytes that replace a piece of the crypto stream at an offset."""
    edit = Edit(payload, maps)
    at = 0
    while at < len(payload):
        if padding := _PADDINGS.match(payload, at):
            edit.keep(at, padding.end())
            at = padding.end()
            continue
        kind, start = read_varint(payload, at)
        end = _frame(edit, start, kind, crypto)
        if end < 0:
            break
        edit.keep(at, start)
        at = end
    return bytes(edit.copy)


def _frame(edit: Edit, start: int, kind: int, crypto: Callable[[int, bytes], bytes]) -> int:
    """Put in the frame whose type ends at ``start``; the offset behind it, -1 if it cannot be read."""
    if kind in (_PADDING, _PING):
        return start
    if kind in (_ACK, _ACK_ECN):
        end = _ack_end(edit.b, start, with_ecn=kind == _ACK_ECN)
        edit.keep(start, end)
        return end
    if kind == _CRYPTO:
        offset, at = read_varint(edit.b, start)
        length, at = read_varint(edit.b, at)
        end = at + length
        if offset < 0 or length < 0 or end > len(edit.b):
            return -1
        edit.keep(start, at)
        edit.put(at, crypto(offset, edit.b[at:end]))
        return end
    if kind in (_CLOSE, _APPLICATION_CLOSE):
        at, length = start, 0
        for _ in range(3 if kind == _CLOSE else 2):
            length, at = read_varint(edit.b, at)
            if length < 0:
                return -1
        end = at + length
        if end > len(edit.b):
            return -1
        edit.keep(start, at)
        edit.put(at, phrase(edit.b[at:end], edit.maps.names))
        return end
    return -1


def _ack_end(b: bytes, at: int, *, with_ecn: bool) -> int:
    """RFC 9000 §19.3: largest, delay, count, first range, count x (gap, length), three counts with ECN."""
    fields = 4
    place = 0
    while place < fields:
        value, at = read_varint(b, at)
        if value < 0:
            return -1
        if place == 2:
            fields = 4 + 2 * value + (3 if with_ecn else 0)
        place += 1
    return at
