"""What one pass needs to know of a QUIC datagram: which kinds of packet it holds, whose it is, which bytes to keep.

The datagram begins with a long header (``quic_long_kind`` said so). Coalesced packets are followed by their length
fields (RFC 9000 §12.2) without opening any of them.
"""

from __future__ import annotations

from typing import Any

from analyzer.kernels import helper
from analyzer.wire.bytes import u8, u32
from analyzer.wire.quic.split import MAX_CID, OTHER_LONG, connection_ids, long_packet_end, quic_long_kind

#: A client must expand a datagram that carries an Initial to at least this many bytes (RFC 9000 §14.1).
CLIENT_HELLO_FLOOR = 1200

#: Bits of ``quic_kinds``: 1 << kind of ``split`` for long headers, and this one for a short header packet behind them.
SHORT_BIT = 64

#: No packet but a Version Negotiation is shorter: sample and tag take that (RFC 9001 §5.4.2, RFC 9000 §10.3).
LEAST_PACKET = 21

#: RFC 9000 §7.2: the DCID that a client makes up "MUST be at least 8 bytes in length".
LEAST_FIRST_DCID = 8

_MAX_COALESCED = 16


@helper
def datagram_kinds(b: Any, start: int, end: int, length: int, at_443: bool) -> int:
    """Bits as of ``quic_kinds`` for a UDP payload of ``length`` bytes, 0 if it does not begin with a QUIC long header.

    A version that is not known counts with CIDs as QUIC's are, and off port 443 in a client's first datagram only:
    RDP, DNS and others have bytes in these places, too.
    """
    if start >= end or u8(b, start) < 0x80:
        return 0
    kind = quic_long_kind(b, start, end)
    if kind < 0:
        return 0
    if kind == OTHER_LONG:
        _, dcid, _, scid = connection_ids(b, start, end)
        begins = LEAST_FIRST_DCID <= dcid <= MAX_CID and scid <= MAX_CID
        answers = LEAST_FIRST_DCID <= scid <= MAX_CID and dcid <= MAX_CID
        if not (begins or (answers and at_443)) or (length < CLIENT_HELLO_FLOOR and not at_443):
            return 0
    return quic_kinds(b, start, end)


@helper
def quic_kinds(b: Any, start: int, end: int) -> int:
    """Bits of the kinds of QUIC packets in the datagram ``b[start:end]``."""
    bits = 0
    for _ in range(_MAX_COALESCED):
        if start >= end:
            break
        if u8(b, start) & 0x80 == 0:
            if u8(b, start) & 0x40:
                bits |= SHORT_BIT
            break
        kind = quic_long_kind(b, start, end)
        if kind < 0:
            break
        bits |= 1 << kind
        start = long_packet_end(b, start, end, kind)
    return bits


@helper
def initial_bytes_end(b: Any, start: int, end: int) -> int:
    """Offset behind the last packet that can be read without a key log: not 0-RTT, not Handshake."""
    keep = start
    for _ in range(_MAX_COALESCED):
        if start >= end or u8(b, start) & 0x80 == 0:
            break
        kind = quic_long_kind(b, start, end)
        if kind < 0:
            break
        start = long_packet_end(b, start, end, kind)
        if kind != 1 and kind != 2:  # 0-RTT and Handshake packets stay closed
            keep = start
    return keep


@helper
def quic_cid_digest(b: Any, start: int, end: int) -> int:
    """48-bit digest of version and DCID of the long header at ``start``, never 0."""
    h = u32(b, start + 1)
    length = u8(b, start + 5)
    g = length
    for i in range(start + 6, min(start + 6 + length, end)):
        h = ((h ^ u8(b, i)) * 0x01000193) & 0xFFFFFFFF
        g = ((g + u8(b, i)) * 0x85EBCA6B) & 0xFFFFFFFF
        g = g ^ (g >> 13)
    return ((g & 0xFFFF) << 32 | h) + 1
