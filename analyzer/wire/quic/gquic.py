"""Google's QUIC before it met TLS: the public header of versions up to Q043, and the CHLO message.

    public header | flags (8) | CID (64, if flag 0x08) | version "Qnnn" (if flag 0x01) | packet number (8 .. 48) |
                    flags: 0x01 version, 0x02 reset, 0x08 CID, 0x30 size of the packet number: 1, 2, 4 or 6
    CHLO          | "CHLO" | number of tags n (16, LE) | 0 (16) | n x (tag (32), end of its value (32, LE)) | values |

Q046 has the long header of ``split``, and so have Q050, T050 and T051, whose Initials open with the keys of
``protection``. The client's CHLO lies whole in its first packet, behind frame headers that differ by version: it is
found by its name. T050 and T051 have a TLS ClientHello in its place, in gQUIC's CRYPTO frames (type 0x08).

Not read here: gQUIC's other frames, what its ACK frame acknowledges; the server's messages.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from analyzer.wire.quic.frames import Crypto, Frame, FrameFlaw, Frames, OtherFrame, Padding, Ping, read_frames
from analyzer.wire.quic.header import read_varint

#: Q050, T050, T051: Initial packets as in version 1, but with gQUIC's frames in them.
GQUIC_FRAMES = (0x51303530, 0x54303530, 0x54303531)

VERSION_FLAG = 0x01
RESET_FLAG = 0x02
CID_FLAG = 0x08

_PACKET_NUMBER_SIZES = (1, 2, 4, 6)
#: A CHLO has about 25 tags; more than this many are none.
_MAX_TAGS = 128
_PADDING = re.compile(b"\0*")


class PublicHeader(NamedTuple):
    """A gQUIC public header that names its version; ``payload_offset`` is behind the packet number."""

    version: int
    cid: bytes
    payload_offset: int


class Chlo(NamedTuple):
    """gQUIC's client hello: values by tag, their order the wire's; ``is_whole`` is False where bytes are missing."""

    tags: dict[bytes, bytes]
    is_whole: bool

    @property
    def server_name(self) -> str:
        """The name of tag SNI; bytes that are not ASCII are written as \\x escapes."""
        return self.tags.get(b"SNI\0", b"").decode("ascii", "backslashreplace")

    @property
    def alpn(self) -> str:
        """The application protocol of tag ALPN, which few clients send."""
        return self.tags.get(b"ALPN", b"").decode("utf-8", "backslashreplace")


def read_public_header(b: bytes, start: int, end: int) -> PublicHeader | None:
    """The public header of a client's packet with CID and version, recognized by them; None otherwise."""
    if end - start < 14 or b[start] & (0xC0 | VERSION_FLAG | RESET_FLAG | CID_FLAG) != VERSION_FLAG | CID_FLAG:
        return None
    version = b[start + 9 : start + 13]
    if version[:1] != b"Q" or not version[1:].isdigit():
        return None
    behind = start + 13 + _PACKET_NUMBER_SIZES[b[start] >> 4 & 3]
    if behind > end:
        return None
    return PublicHeader(int.from_bytes(version, "big"), b[start + 1 : start + 9], behind)


def find_chlo(payload: bytes) -> Chlo | None:
    """The CHLO in a packet's clear bytes; None if there is none, or it is cut before its first tag."""
    at = payload.find(b"CHLO")
    if at < 0:
        return None
    count = int.from_bytes(payload[at + 4 : at + 6], "little")
    values = at + 8 + 8 * count
    if not 0 < count <= _MAX_TAGS or at + 16 > len(payload):
        return None
    tags: dict[bytes, bytes] = {}
    begin = 0
    for entry in range(at + 8, min(values, len(payload) - 7), 8):
        end = int.from_bytes(payload[entry + 4 : entry + 8], "little")
        if end < begin or values + end > len(payload):
            return Chlo(tags, False)
        tags.setdefault(payload[entry : entry + 4], payload[values + begin : values + end])
        begin = end
    return Chlo(tags, values <= len(payload))


def initial_frames(version: int, payload: bytes) -> Frames:
    """The frames of a clear Initial of any version."""
    return read_gquic_frames(payload) if version in GQUIC_FRAMES else read_frames(payload)


def read_gquic_frames(payload: bytes) -> Frames:
    """PADDING 0x00, PING 0x07, CRYPTO 0x08 and ACK 0x40-0x7f (its type and size only) of a clear Initial of
    GQUIC_FRAMES; any other type ends the reading."""
    frames: list[Frame] = []
    at = 0
    while at < len(payload):
        kind = payload[at]
        if kind == 0x00:
            behind = _PADDING.match(payload, at).end()  # type: ignore[union-attr]
            frames.append(Padding(behind - at))
        elif kind == 0x07:
            behind = at + 1
            frames.append(Ping())
        elif kind == 0x08:
            offset, first = read_varint(payload, at + 1)
            length, first = read_varint(payload, first)
            behind = first + length
            if offset < 0 or length < 0 or behind > len(payload):
                return Frames(frames, FrameFlaw.CUT, at)
            frames.append(Crypto(offset, payload[first:behind]))
        elif kind & 0xC0 == 0x40:
            behind = _ack_end(payload, at)
            if behind > len(payload):
                return Frames(frames, FrameFlaw.CUT, at)
            frames.append(OtherFrame(kind, behind - at))
        else:
            return Frames(frames, FrameFlaw.UNKNOWN_TYPE, at)
        at = behind
    return Frames(frames, FrameFlaw.NONE, at)


def _ack_end(payload: bytes, at: int) -> int:
    """Offset behind an ACK frame, past the end of the payload where it is cut.

    type 01n-llmm | largest (ll) | delay (16) | blocks (8, if n) | first length (mm) | blocks x (gap (8), length (mm)) |
    timestamps (8) | the first: 8 + 32, the others: 8 + 16
    """
    kind, beyond = payload[at], len(payload) + 1
    size = _PACKET_NUMBER_SIZES[kind & 3]
    at += 1 + _PACKET_NUMBER_SIZES[kind >> 2 & 3] + 2
    if kind & 0x20 and at >= len(payload):
        return beyond
    blocks = payload[at] if kind & 0x20 else 0
    at += (1 if kind & 0x20 else 0) + size + blocks * (1 + size)
    if at >= len(payload):
        return beyond
    stamps = payload[at]
    return at + 1 + (5 + 3 * (stamps - 1) if stamps else 0)
