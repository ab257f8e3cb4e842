"""QUIC long headers by content, and the QUIC packets that share a UDP datagram (RFC 9000 §12.2).

    +-+-------+----------------+----------------+---------+----------------+---------+
    |1|  bits | Version (32)   | DCID length (8)| DCID    | SCID length (8)| SCID    | ...      RFC 8999 §5.1
    +-+-------+----------------+----------------+---------+----------------+---------+
      Initial               ... token length (varint), token, length (varint), packet number, payload   §17.2.2
      0-RTT, Handshake      ... length (varint), packet number, payload                          §17.2.3, §17.2.4
      Retry                 ... token, integrity tag (16)                                               §17.2.5
      Version Negotiation   ... supported versions (32 each); its Version field is 0                    §17.2.1

Q046 writes both CID lengths into one byte (a nibble n > 0 means n + 3 bytes) and has no length field.

Not read here: what protection hides, and the short header beyond its first byte (the length of its CID is not
on the wire).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import helper, kernel, runner
from analyzer.wire.bytes import u8, u32

#: Kinds of a QUIC packet. The first four are the wire's values in version 1 (RFC 9000 §17.2).
INITIAL = 0
ZERO_RTT = 1
HANDSHAKE = 2
RETRY = 3
VERSION_NEGOTIATION = 4
#: A long header of a reserved or unknown version: only the invariants of RFC 8999 are known.
OTHER_LONG = 5
#: After the long packets, or in their place: a first byte 0b01......, as a short header begins.
SHORT = 6
#: After the long packets, or in their place: bytes that begin no QUIC packet (padding, rubbish).
REST = 7
NOT_LONG = -1

#: How the bytes after the version are laid out.
LAYOUT_UNKNOWN = 0
LAYOUT_V1 = 1
LAYOUT_V2 = 2
LAYOUT_Q046 = 3
LAYOUT_NEGOTIATION = 4
LAYOUT_RESERVED = 5

#: RFC 9000 §17.2: "In QUIC version 1, this value MUST NOT exceed 20 bytes."
MAX_CID = 20
#: RFC 9001 §5.4.2: the sample is 16 bytes, 4 bytes after the packet number's first: less cannot be opened.
MIN_PROTECTED = 20
#: Rows of one datagram; a segmentation-offloaded datagram of 64 KB holds 54 Initials of 1200 bytes.
MAX_PACKETS = 64


class Flaw(IntEnum):
    """Why a QUIC packet is not wholly there."""

    NONE = 0
    CUT = 1  # the captured bytes end before the packet does
    BEYOND_DATAGRAM = 2  # its length field runs past the UDP payload
    CUT_HEADER = 3  # the bytes end inside the header, after the CIDs
    TOO_SHORT = 4  # fewer protected bytes than a header protection sample needs
    TOO_MANY = 5  # REST of a datagram that already has MAX_PACKETS rows


FLAW_CUT = 1
FLAW_BEYOND_DATAGRAM = 2
FLAW_CUT_HEADER = 3
FLAW_TOO_SHORT = 4
FLAW_TOO_MANY = 5


class Datagrams(NamedTuple):
    """UDP payloads in a buffer: captured bytes b[start:end]; ``full_end`` is where the UDP length field ends."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    full_end: NDArray[np.int64]


class QuicPackets(NamedTuple):
    """One row per QUIC packet, in the order of the datagrams; offsets are into the buffer, lengths in bytes.

    The rows of a datagram partition its captured bytes: each ``start`` is the ``end`` before it. Offsets are -1
    and lengths 0 where the kind has no such field. ``payload_offset`` is where the protected packet number
    begins (Retry: the token; Version Negotiation: the list). For Retry the token stops before the 16-byte tag.
    """

    datagram: NDArray[np.int64]
    kind: NDArray[np.int64]
    version: NDArray[np.int64]
    first_byte: NDArray[np.int64]
    dcid_offset: NDArray[np.int64]
    dcid_length: NDArray[np.int64]
    scid_offset: NDArray[np.int64]
    scid_length: NDArray[np.int64]
    token_offset: NDArray[np.int64]
    token_length: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    payload_offset: NDArray[np.int64]
    flaw: NDArray[np.int64]


@helper
def version_layout(version: int) -> int:
    """The layout that a version number announces: one of the LAYOUT_ constants."""
    if version == 0x00000001:
        return LAYOUT_V1
    if version == 0x6B3343CF or version == 0x709A50C4:  # RFC 9369, and its drafts
        return LAYOUT_V2
    if version == 0:
        return LAYOUT_NEGOTIATION
    if 0xFF000016 <= version <= 0xFF000022:  # draft-22 to draft-34
        return LAYOUT_V1
    if (version & 0xFFFFFF00) == 0xFACEB000:  # mvfst
        return LAYOUT_V1
    if version == 0x51303530 or version == 0x54303530 or version == 0x54303531:  # Q050, T050, T051
        return LAYOUT_V1
    if version == 0x51303436:  # Q046
        return LAYOUT_Q046
    if (version & 0x0F0F0F0F) == 0x0A0A0A0A:  # RFC 9000 §15: reserved to force version negotiation
        return LAYOUT_RESERVED
    return LAYOUT_UNKNOWN


@helper
def varint(b: Any, i: int, end: int) -> int:
    """The variable-length integer at ``i`` (RFC 9000 §16), or -1 if it does not end by ``end``."""
    if i >= end:
        return -1
    first = u8(b, i)
    size = 1 << (first >> 6)
    if i + size > end:
        return -1
    value = first & 0x3F
    for k in range(1, size):
        value = (value << 8) | u8(b, i + k)
    return value


@helper
def varint_size(b: Any, i: int) -> int:
    """Bytes that the variable-length integer at ``i`` takes: 1, 2, 4 or 8."""
    return 1 << (u8(b, i) >> 6)


@helper
def connection_ids(b: Any, start: int, end: int) -> tuple[int, int, int, int]:
    """DCID offset and length, SCID offset and length of a long header; first value -1 if they do not fit."""
    if end - start < 7:
        return -1, 0, -1, 0
    if version_layout(u32(b, start + 1)) == LAYOUT_Q046:
        lengths = u8(b, start + 5)
        dcid_length = (lengths >> 4) + 3 if lengths >> 4 else 0
        scid_length = (lengths & 15) + 3 if lengths & 15 else 0
        if start + 6 + dcid_length + scid_length > end:
            return -1, 0, -1, 0
        return start + 6, dcid_length, start + 6 + dcid_length, scid_length
    dcid_length = u8(b, start + 5)
    at = start + 6 + dcid_length
    if at >= end:
        return -1, 0, -1, 0
    scid_length = u8(b, at)
    if at + 1 + scid_length > end:
        return -1, 0, -1, 0
    return start + 6, dcid_length, at + 1, scid_length


@helper
def quic_long_kind(b: Any, start: int, end: int) -> int:
    """What QUIC long header begins b[start:end], by content: a kind up to OTHER_LONG, or NOT_LONG (-1).

    Kinds below OTHER_LONG are of a version that is known, with CIDs of legal length; without the fixed bit (which
    RFC 9287 lets endpoints clear) only if the length field is there and fits, too. OTHER_LONG is only
    plausible: a reserved version (``version_layout`` says so) or any other, its two top bits set and its CIDs
    inside the bytes; also a Version Negotiation that lists no version that is known here (version 0).
    """
    if end - start < 7:
        return NOT_LONG
    first = u8(b, start)
    if first < 0x80:
        return NOT_LONG
    layout = version_layout(u32(b, start + 1))
    dcid_offset, dcid_length, scid_offset, scid_length = connection_ids(b, start, end)
    if dcid_offset < 0:
        return NOT_LONG
    if layout == LAYOUT_NEGOTIATION:
        at = scid_offset + scid_length
        if end - at >= 4 and (end - at) % 4 == 0:
            for i in range(at, end, 4):
                listed = version_layout(u32(b, i))
                if listed != LAYOUT_UNKNOWN and listed != LAYOUT_NEGOTIATION:
                    return VERSION_NEGOTIATION
    if layout == LAYOUT_V1 or layout == LAYOUT_V2 or layout == LAYOUT_Q046:
        if dcid_length > MAX_CID or scid_length > MAX_CID:
            return NOT_LONG
        kind = (first >> 4) & 3
        if layout == LAYOUT_V2:  # RFC 9369 §3.2: Initial 0b01, 0-RTT 0b10, Handshake 0b11, Retry 0b00
            kind = (kind + 3) & 3
        if first >= 0xC0:
            return kind
        _, _, payload, claimed = long_bounds(b, start, end, kind)
        fits = payload + MIN_PROTECTED <= claimed <= end
        return kind if fits and kind != RETRY and layout != LAYOUT_Q046 else NOT_LONG
    return OTHER_LONG if first >= 0xC0 else NOT_LONG


@helper
def long_bounds(b: Any, start: int, end: int, kind: int) -> tuple[int, int, int, int]:
    """Token offset and length, payload offset, and the packet's end as its length field claims it.

    For a packet that ``quic_long_kind`` named. The claimed end may lie beyond ``end``; it is -1 if the header
    itself does. A kind without a length field ends at ``end``.
    """
    _, _, scid_offset, scid_length = connection_ids(b, start, end)
    at = scid_offset + scid_length
    if kind == RETRY:
        if end - at < 16:
            return -1, 0, at, -1
        return at, end - at - 16, at, end
    if kind > RETRY or version_layout(u32(b, start + 1)) == LAYOUT_Q046:
        return -1, 0, at, end
    token_offset = -1
    token_length = 0
    if kind == INITIAL:
        token_length = varint(b, at, end)
        if token_length < 0:
            return -1, 0, at, -1
        token_offset = at + varint_size(b, at)
        if token_offset + token_length > end:
            return token_offset, end - token_offset, end, -1
        at = token_offset + token_length
    claimed = varint(b, at, end)
    if claimed < 0:
        return token_offset, token_length, at, -1
    at += varint_size(b, at)
    return token_offset, token_length, at, at + claimed


@helper
def long_packet_end(b: Any, start: int, end: int, kind: int) -> int:
    """Offset just past the long header packet at ``start``, at most ``end`` (also where its header is cut)."""
    _, _, _, claimed = long_bounds(b, start, end, kind)
    return end if claimed < 0 or claimed > end else claimed


@kernel
def split_datagrams(b: NDArray[np.uint8], datagrams: Datagrams, first: int, out: QuicPackets) -> int:
    """Write the QUIC packets of the datagrams from ``first`` on into ``out``; return the number of rows.

    Stops before a datagram for which fewer than MAX_PACKETS + 1 rows are left. Equal, row for row, to
    ``header.read_datagram``.
    """
    row = 0
    for d in range(first, len(datagrams.start)):
        if len(out.start) - row < MAX_PACKETS + 1:
            break
        at = datagrams.start[d]
        end = datagrams.end[d]
        full_end = max(end, datagrams.full_end[d])
        packets = 0
        while at < end:
            kind = quic_long_kind(b, at, end)
            if kind == OTHER_LONG and packets > 0:
                kind = NOT_LONG  # nothing but the version tells such a header from rubbish
            flaw = 0
            version, packet_end, payload = -1, end, -1
            token_offset, token_length = -1, 0
            dcid_offset, dcid_length, scid_offset, scid_length = -1, 0, -1, 0
            if packets == MAX_PACKETS:
                kind, flaw = REST, FLAW_TOO_MANY
            elif kind == NOT_LONG:
                kind = SHORT if u8(b, at) >> 6 == 1 else REST
                flaw = FLAW_CUT if full_end > end else 0
            else:
                version = u32(b, at + 1)
                dcid_offset, dcid_length, scid_offset, scid_length = connection_ids(b, at, end)
                token_offset, token_length, payload, packet_end = long_bounds(b, at, end, kind)
                if packet_end < 0:
                    flaw = FLAW_CUT_HEADER
                elif packet_end > full_end:
                    flaw = FLAW_BEYOND_DATAGRAM
                elif packet_end > end:
                    flaw = FLAW_CUT
                elif full_end > end and (kind >= RETRY or version_layout(version) == LAYOUT_Q046):
                    flaw = FLAW_CUT  # without a length field it ends where the datagram does
                elif kind < RETRY and packet_end - payload < MIN_PROTECTED:
                    flaw = FLAW_TOO_SHORT
                if packet_end < 0 or packet_end > end:
                    packet_end = end
            out.datagram[row] = d
            out.kind[row] = kind
            out.version[row] = version
            out.first_byte[row] = u8(b, at)
            out.dcid_offset[row] = dcid_offset
            out.dcid_length[row] = dcid_length
            out.scid_offset[row] = scid_offset
            out.scid_length[row] = scid_length
            out.token_offset[row] = token_offset
            out.token_length[row] = token_length
            out.start[row] = at
            out.end[row] = packet_end
            out.payload_offset[row] = payload
            out.flaw[row] = flaw
            row += 1
            packets += 1
            at = packet_end
    return row


def quic_packets(b: NDArray[np.uint8], datagrams: Datagrams, *, compiled: bool) -> QuicPackets:
    """The QUIC packets of all datagrams, in order."""
    run = runner(split_datagrams, compiled)
    count = len(datagrams.start)
    pieces = []
    first = 0
    while first < count:
        room = 2 * (count - first) + MAX_PACKETS + 1
        out = QuicPackets(*(np.empty(room, np.int64) for _ in QuicPackets._fields))
        rows = run(b, datagrams, first, out)
        pieces.append(QuicPackets(*(column[:rows] for column in out)))
        # datagrams without bytes have no row: the last row may lie before the last datagram
        first = count if rows + MAX_PACKETS + 1 <= room else int(out.datagram[rows - 1]) + 1
    if not pieces:
        return QuicPackets(*(np.empty(0, np.int64) for _ in QuicPackets._fields))
    return QuicPackets(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))
