"""The frames of a QUIC packet without its protection (RFC 9000 §12.4, §19; DATAGRAM: RFC 9221).

    type (varint), then fields, most of them varints:
    PADDING 0x00 | PING 0x01 | ACK 0x02, with ECN 0x03 | CRYPTO 0x06 | NEW_TOKEN 0x07
    NEW_CONNECTION_ID 0x18 | CONNECTION_CLOSE 0x1c, by the application 0x1d

A frame has no length of its own: behind a type that is not known nothing can be read, and that is a flaw of
the packet, not of the connection.

Not read here: whether a type is allowed in this packet; the content of frames that only 1-RTT packets carry
(``OtherFrame`` says which and where).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from analyzer.wire.quic.header import read_varint


class FrameFlaw(IntEnum):
    """Why the reading of a packet's frames stopped before its end."""

    NONE = 0
    UNKNOWN_TYPE = 1
    CUT = 2  # a frame runs past the end of the packet
    MALFORMED = 3  # a field has a value that the RFC rules out


class Padding(NamedTuple):
    """A run of PADDING frames, ``length`` bytes."""

    length: int


class Ping(NamedTuple):
    """PING: asks for an acknowledgment."""


class Ack(NamedTuple):
    """ACK: ``ranges`` as (smallest, largest) packet numbers, highest first; ``ecn`` is ECT0, ECT1, CE or empty."""

    largest: int
    delay: int
    ranges: tuple[tuple[int, int], ...]
    ecn: tuple[int, ...]


class Crypto(NamedTuple):
    """CRYPTO: bytes of the crypto stream and where they belong."""

    offset: int
    piece: bytes


class NewToken(NamedTuple):
    """NEW_TOKEN: for a later connection."""

    token: bytes


class NewConnectionId(NamedTuple):
    """NEW_CONNECTION_ID."""

    sequence: int
    retire_prior_to: int
    cid: bytes
    reset_token: bytes


class ConnectionClose(NamedTuple):
    """CONNECTION_CLOSE; ``frame_type`` is -1 where the application closed."""

    by_application: bool
    code: int
    frame_type: int
    reason: bytes


class OtherFrame(NamedTuple):
    """A frame of a known type whose content is not kept; ``length`` counts its type too."""

    kind: int
    length: int


Frame = Padding | Ping | Ack | Crypto | NewToken | NewConnectionId | ConnectionClose | OtherFrame


class Frames(NamedTuple):
    """The frames in order; ``read`` is the offset up to which they cover the payload."""

    frames: list[Frame]
    flaw: FrameFlaw
    read: int


#: Types that are followed by so many varints and nothing else.
_VARINTS = {
    0x04: 3,  # RESET_STREAM
    0x05: 2,  # STOP_SENDING
    0x10: 1,  # MAX_DATA
    0x11: 2,  # MAX_STREAM_DATA
    0x12: 1,  # MAX_STREAMS
    0x13: 1,
    0x14: 1,  # DATA_BLOCKED
    0x15: 2,  # STREAM_DATA_BLOCKED
    0x16: 1,  # STREAMS_BLOCKED
    0x17: 1,
    0x19: 1,  # RETIRE_CONNECTION_ID
    0x1E: 0,  # HANDSHAKE_DONE
}
_PADDING = re.compile(b"\0*")
# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there are several in each packet.
_new = tuple.__new__
_CUT = (FrameFlaw.CUT, -1)
_MALFORMED = (FrameFlaw.MALFORMED, -1)

#: A frame and the offset behind it, or a flaw and -1.
_Read = tuple[Frame | FrameFlaw, int]


def read_frames(payload: bytes) -> Frames:
    """All frames of a payload, up to the first that cannot be read."""
    frames: list[Frame] = []
    at, end = 0, len(payload)
    while at < end:
        frame, behind = frame_at(payload, at)
        if behind < 0:
            return Frames(frames, frame, at)  # type: ignore[arg-type]
        frames.append(frame)  # type: ignore[arg-type]
        at = behind
    return Frames(frames, FrameFlaw.NONE, at)


def frame_at(payload: bytes, at: int) -> tuple[Frame | FrameFlaw, int]:
    """The frame that begins at an offset within a payload and the offset behind it; a flaw and -1 if there is none."""
    kind = payload[at]
    if kind == 0:
        behind = _PADDING.match(payload, at).end()  # type: ignore[union-attr]
        return _new(Padding, (behind - at,)), behind
    if kind < 0x40:
        first = at + 1
    else:
        kind, first = read_varint(payload, at)
        if kind < 0:
            return _CUT
    read = _READERS.get(kind)
    if read is None:
        return FrameFlaw.UNKNOWN_TYPE, -1
    frame, behind = read(payload, first, kind)
    if type(frame) is OtherFrame:
        frame = OtherFrame(kind, behind - at)
    return frame, behind


def message_in_front(payload: bytes) -> bytes:
    """The handshake message (RFC 8446 §4) that a packet's first frame holds whole and from the stream's beginning.

    b"" where the first frame is another, or the message goes on in further ones.
    """
    if payload[:2] != b"\x06\x00":  # CRYPTO, offset 0
        return b""
    length, at = read_varint(payload, 2)
    piece = payload[at : at + length] if 4 <= length <= len(payload) - at else b""
    end = 4 + int.from_bytes(piece[1:4], "big")
    return piece[:end] if piece and end <= length else b""


def _padding(_payload: bytes, at: int, _kind: int) -> _Read:
    return Padding(1), at  # only a type of 0 in more bytes than it needs comes here


def _ping(_payload: bytes, at: int, _kind: int) -> _Read:
    return Ping(), at


def _crypto(payload: bytes, at: int, _kind: int) -> _Read:
    end = len(payload)
    if at + 3 <= end and payload[at] < 0x40 and payload[at + 1] >> 6 == 1:  # the sizes that most hellos have
        offset, length, at = payload[at], (payload[at + 1] & 0x3F) << 8 | payload[at + 2], at + 3
    else:
        offset, at = read_varint(payload, at)
        length, at = read_varint(payload, at)
    if offset < 0 or length < 0 or at + length > end:
        return _CUT
    return _new(Crypto, (offset, payload[at : at + length])), at + length


def _ack(payload: bytes, at: int, kind: int) -> _Read:
    (largest, delay, count, first), at = _varints(payload, at, 4)
    if at < 0:
        return _CUT
    smallest = largest - first
    ranges = [(smallest, largest)]
    for _ in range(count):
        # RFC 9000 §19.3.1: largest = previous_smallest - gap - 2
        (gap, length), at = _varints(payload, at, 2)
        if at < 0:
            return _CUT
        top = smallest - gap - 2
        smallest = top - length
        if smallest < 0:
            return _MALFORMED
        ranges.append((smallest, top))
    ecn: tuple[int, ...] = ()
    if kind == 0x03:
        ecn, at = _varints(payload, at, 3)
        if at < 0:
            return _CUT
    if ranges[0][0] < 0:
        return _MALFORMED
    return Ack(largest, delay, tuple(ranges), ecn), at


def _new_token(payload: bytes, at: int, _kind: int) -> _Read:
    length, at = read_varint(payload, at)
    if length < 0 or at + length > len(payload):
        return _CUT
    return NewToken(payload[at : at + length]), at + length


def _new_connection_id(payload: bytes, at: int, _kind: int) -> _Read:
    (sequence, retire), at = _varints(payload, at, 2)
    if at < 0 or at >= len(payload):
        return _CUT
    length = payload[at]
    if not 1 <= length <= 20:
        return _MALFORMED
    cid_end = at + 1 + length
    if cid_end + 16 > len(payload):
        return _CUT
    cid, token = payload[at + 1 : cid_end], payload[cid_end : cid_end + 16]
    return NewConnectionId(sequence, retire, cid, token), cid_end + 16


def _connection_close(payload: bytes, at: int, kind: int) -> _Read:
    by_application = kind == 0x1D
    (code,), at = _varints(payload, at, 1)
    frame_type = -1
    if not by_application and at >= 0:
        (frame_type,), at = _varints(payload, at, 1)
    if at < 0:
        return _CUT
    length, at = read_varint(payload, at)
    if length < 0 or at + length > len(payload):
        return _CUT
    return ConnectionClose(by_application, code, frame_type, payload[at : at + length]), at + length


def _stream(payload: bytes, at: int, kind: int) -> _Read:
    fields = 1 + (kind >> 2 & 1) + (kind >> 1 & 1)  # stream ID; offset if 0x04; length if 0x02
    values, at = _varints(payload, at, fields)
    if at < 0:
        return _CUT
    behind = at + values[-1] if kind & 2 else len(payload)
    return (OtherFrame(kind, 0), behind) if behind <= len(payload) else _CUT


def _datagram(payload: bytes, at: int, kind: int) -> _Read:
    if kind == 0x30:
        return OtherFrame(kind, 0), len(payload)
    length, at = read_varint(payload, at)
    return (OtherFrame(kind, 0), at + length) if 0 <= length <= len(payload) - at else _CUT


def _path(payload: bytes, at: int, kind: int) -> _Read:
    return (OtherFrame(kind, 0), at + 8) if at + 8 <= len(payload) else _CUT


def _only_varints(payload: bytes, at: int, kind: int) -> _Read:
    _, at = _varints(payload, at, _VARINTS[kind])
    return (OtherFrame(kind, 0), at) if at >= 0 else _CUT


def _varints(payload: bytes, at: int, count: int) -> tuple[tuple[int, ...], int]:
    """So many varints and the offset behind them; that many -1 and -1 if they do not fit."""
    values = []
    for _ in range(count):
        value, at = read_varint(payload, at)
        if value < 0:
            return (-1,) * count, -1
        values.append(value)
    return tuple(values), at


_READERS: dict[int, Callable[[bytes, int, int], _Read]] = {
    **dict.fromkeys(_VARINTS, _only_varints),
    **dict.fromkeys(range(0x08, 0x10), _stream),
    0x00: _padding,
    0x01: _ping,
    0x02: _ack,
    0x03: _ack,
    0x06: _crypto,
    0x07: _new_token,
    0x18: _new_connection_id,
    0x1A: _path,  # PATH_CHALLENGE
    0x1B: _path,  # PATH_RESPONSE
    0x1C: _connection_close,
    0x1D: _connection_close,
    0x30: _datagram,
    0x31: _datagram,
}
