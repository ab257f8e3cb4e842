"""One QUIC packet header at a time, plain enough to be checked by eye; the picture is in ``split``.

``split`` is the fast twin for many datagrams; a test wants equal rows from both.

Not read here: what protection hides (``protection``).
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.wire.quic.split import (
    INITIAL,
    LAYOUT_NEGOTIATION,
    LAYOUT_Q046,
    MAX_CID,
    MAX_PACKETS,
    MIN_PROTECTED,
    OTHER_LONG,
    REST,
    RETRY,
    SHORT,
    VERSION_NEGOTIATION,
    Flaw,
)
from analyzer.wire.quic.versions import Q046, Version, version_of

# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each packet.
_new = tuple.__new__

#: RFC 9001 §5.8: the Retry Integrity Tag is the last 16 bytes.
RETRY_TAG = 16


class QuicPacket(NamedTuple):
    """One QUIC packet of a datagram; offsets are into the bytes that were read, ``version`` is -1 without one.

    ``payload_offset`` is where the protected packet number begins (Retry: the token; Version Negotiation: the
    list), -1 for a short header. ``end`` is inside the captured bytes even where the packet is not.
    """

    kind: int
    version: int
    first_byte: int
    dcid: bytes
    scid: bytes
    token: bytes
    start: int
    end: int
    payload_offset: int
    flaw: Flaw


class Invariants(NamedTuple):
    """What every version has (RFC 8999 §5.1); ``after`` is the offset behind the SCID."""

    version: int
    dcid: bytes
    scid: bytes
    after: int


def read_varint(b: bytes, i: int, end: int | None = None) -> tuple[int, int]:
    """A variable-length integer (RFC 9000 §16) and the offset behind it; (-1, i) if it does not end by ``end``."""
    end = len(b) if end is None else end
    if i >= end:
        return -1, i
    first = b[i]
    if first < 0x40:
        return first, i + 1
    behind = i + (1 << (first >> 6))
    if behind > end:
        return -1, i
    return int.from_bytes(b[i:behind], "big") & ((1 << (8 * (behind - i) - 2)) - 1), behind


def read_invariants(b: bytes, start: int, end: int) -> Invariants | None:
    """Version and CIDs of a long header, or None if b[start:end] cannot be one."""
    if end - start < 7 or b[start] < 0x80:
        return None
    version = int.from_bytes(b[start + 1 : start + 5], "big")
    dcid_length, at = b[start + 5], start + 6
    if version == Q046:  # both lengths in one byte
        scid_length = dcid_length & 15
        dcid_length, scid_length = (n + 3 if n else 0 for n in (dcid_length >> 4, scid_length))
        scid_at = at + dcid_length
    else:
        scid_at = at + dcid_length + 1
        if scid_at > end:
            return None
        scid_length = b[scid_at - 1]
    after = scid_at + scid_length
    if after > end:
        return None
    return _new(Invariants, (version, b[at : at + dcid_length], b[scid_at:after], after))


def read_versions(b: bytes, start: int, end: int) -> list[int]:
    """The versions that a Version Negotiation packet lists (RFC 9000 §17.2.1); a cut entry is left out."""
    return [int.from_bytes(b[i : i + 4], "big") for i in range(start, end - 3, 4)]


def _kind_without_types(first_byte: int, version: Version, listed: bytes) -> int | None:
    """Kind by content where the first byte does not tell it, or None if this is no long header after all.

    ``listed`` is what follows the SCID of a packet with version 0. Versions with packet types come here whose CIDs are
    longer than they may be.
    """
    if version.layout == LAYOUT_NEGOTIATION and len(listed) % 4 == 0:
        offers = [version_of(number) for number in read_versions(listed, 0, len(listed))]
        if any((v.is_known and v.layout != LAYOUT_NEGOTIATION) or v.is_reserved for v in offers):
            return VERSION_NEGOTIATION
    return OTHER_LONG if first_byte >= 0xC0 and not version.packet_types else None


def read_long_header(b: bytes, start: int, end: int, full_end: int) -> QuicPacket | None:
    """The packet whose long header begins at ``start``; None if the bytes are no long header.

    b[start:end] was captured; the UDP payload ends at ``full_end``.
    """
    invariants = read_invariants(b, start, end)
    if invariants is None:
        return None
    number, dcid, scid, at = invariants
    version, first_byte = version_of(number), b[start]
    kind: int | None
    if version.packet_types and len(dcid) <= MAX_CID and len(scid) <= MAX_CID:
        kind = version.packet_types[(first_byte >> 4) & 3]
    else:
        kind = _kind_without_types(first_byte, version, b"" if number else b[at:end])
    if kind is None:
        return None
    token, behind = b"", end
    if kind < RETRY:
        token, at, behind, flaw = _protected(b, (at, end, full_end), kind, version.layout)
    elif kind == RETRY and end - at < RETRY_TAG:
        flaw = Flaw.CUT_HEADER
    else:
        token = b[at : end - RETRY_TAG] if kind == RETRY else b""
        flaw = Flaw.CUT if full_end > end else Flaw.NONE
    # RFC 9287 lets an endpoint clear the fixed bit; then the length field must speak for the packet
    has_length = kind < RETRY and version.layout != LAYOUT_Q046 and flaw is Flaw.NONE
    if first_byte < 0xC0 and kind != VERSION_NEGOTIATION and not has_length:
        return None
    return _new(QuicPacket, (kind, number, first_byte, dcid, scid, token, start, behind, at, flaw))


def _protected(b: bytes, places: tuple[int, int, int], kind: int, layout: int) -> tuple[bytes, int, int, Flaw]:
    """Token, payload offset, end and flaw of a packet that carries a packet number.

    ``places``: behind the SCID, end of the captured bytes, end of the UDP payload.
    """
    at, end, full_end = places
    if layout == LAYOUT_Q046:  # no token, no length
        flaw = Flaw.CUT if full_end > end else Flaw.TOO_SHORT if end - at < MIN_PROTECTED else Flaw.NONE
        return b"", at, end, flaw
    token = b""
    if kind == INITIAL and at < end and b[at] == 0:  # no token, as nearly always
        at += 1
    elif kind == INITIAL:
        token_length, at = read_varint(b, at, end)
        if token_length < 0:
            return b"", at, end, Flaw.CUT_HEADER
        if token_length:
            token = b[at : min(at + token_length, end)]
            at += token_length
            if at > end:
                return token, end, end, Flaw.CUT_HEADER
    if at + 2 <= end and b[at] >> 6 == 1:  # a length of two bytes, as nearly always
        length, at = (b[at] & 0x3F) << 8 | b[at + 1], at + 2
    else:
        length, at = read_varint(b, at, end)
    if length < 0:
        return token, at, end, Flaw.CUT_HEADER
    if at + length > end:
        return token, at, end, Flaw.BEYOND_DATAGRAM if at + length > full_end else Flaw.CUT
    return token, at, at + length, Flaw.TOO_SHORT if length < MIN_PROTECTED else Flaw.NONE


def read_datagram(b: bytes, start: int, end: int, full_end: int) -> list[QuicPacket]:
    """All QUIC packets of a UDP payload (RFC 9000 §12.2); together they cover b[start:end] exactly once."""
    packets: list[QuicPacket] = []
    full_end = max(end, full_end)
    at = start
    while at < end:
        packet = read_long_header(b, at, end, full_end)
        if len(packets) == MAX_PACKETS:
            packet = QuicPacket(REST, -1, b[at], b"", b"", b"", at, end, -1, Flaw.TOO_MANY)
        elif packet is None or (packet.kind == OTHER_LONG and packets):
            kind = SHORT if b[at] >> 6 == 1 else REST
            packet = QuicPacket(kind, -1, b[at], b"", b"", b"", at, end, -1, Flaw.CUT if full_end > end else Flaw.NONE)
        packets.append(packet)
        at = packet.end
    return packets
