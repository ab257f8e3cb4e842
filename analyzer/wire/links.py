"""Link layer headers: which protocol follows, and where.

Read are Ethernet, Linux cooked v1 and v2 (each with 802.1Q, 802.1ad, QinQ, MPLS labels and PPPoE sessions), raw IP, BSD
null and loop, and PPP.
Addresses of the link layer are not read here.
"""

from __future__ import annotations

from typing import Any

from analyzer.kernels import helper
from analyzer.wire.bytes import le32, u8, u16, u32

#: Link types that ``read_link`` reads (LINKTYPE_ numbers).
READ_LINK_TYPES = frozenset({0, 1, 9, 12, 14, 50, 101, 108, 113, 228, 229, 276})

ETHER_IPV4, ETHER_IPV6, ETHER_ARP, ETHER_BRIDGED = 0x0800, 0x86DD, 0x0806, 0x6558

# In place of an EtherType.
UNREAD = -2  # a link type that is not read here
CUT = -1


@helper
def read_link(b: Any, i: int, end: int, link_type: int) -> tuple[int, int]:
    """(EtherType, offset of what follows) of the link header at ``i``; EtherType -1 if cut, -2 if not read."""
    if link_type == 1:  # Ethernet
        return read_ethernet(b, i, end)
    if link_type == 101 or link_type == 12 or link_type == 14 or link_type == 228 or link_type == 229:  # raw IP
        return read_version(b, i, end)
    if link_type == 113:  # Linux cooked v1
        if i + 16 > end:
            return CUT, i
        return read_tags(b, i + 16, end, u16(b, i + 14))
    if link_type == 276:  # Linux cooked v2
        if i + 20 > end:
            return CUT, i
        return read_tags(b, i + 20, end, u16(b, i))
    if link_type == 0 or link_type == 108:  # BSD null (host byte order) and loop (network byte order)
        if i + 4 > end:
            return CUT, i
        af = u32(b, i)
        if af > 0xFFFF:
            af = le32(b, i)
        if af == 2:
            return ETHER_IPV4, i + 4
        if af == 24 or af == 28 or af == 30 or af == 10:  # NetBSD and OpenBSD, FreeBSD, Darwin, Linux
            return ETHER_IPV6, i + 4
        return 0, i + 4
    if link_type == 9 or link_type == 50:  # PPP, with or without HDLC framing
        if i + 2 <= end and u16(b, i) == 0xFF03:
            i += 2
        return read_ppp(b, i, end)
    return UNREAD, i


@helper
def read_ethernet(b: Any, i: int, end: int) -> tuple[int, int]:
    """(EtherType after any VLAN tags, offset after it); PPPoE sessions are entered."""
    if i + 14 > end:
        return CUT, i
    return read_tags(b, i + 14, end, u16(b, i + 12))


@helper
def read_tags(b: Any, i: int, end: int, ether_type: int) -> tuple[int, int]:
    """(EtherType, offset of what follows) behind the VLAN tags or labels that an EtherType announces at ``i``."""
    while ether_type == 0x8100 or ether_type == 0x88A8 or ether_type == 0x9100:
        if i + 4 > end:
            return CUT, i
        ether_type = u16(b, i + 2)
        i += 4
    if ether_type == 0x8864:
        return read_ppp(b, i + 6, end)
    if ether_type == 0x8847 or ether_type == 0x8848:
        return read_labels(b, i, end)
    return ether_type, i


@helper
def read_labels(b: Any, i: int, end: int) -> tuple[int, int]:
    """EtherType by the version nibble behind a whole MPLS label stack (RFC 3032 §2.1); 0 for what is no IP."""
    while i + 4 <= end:
        i += 4
        if u8(b, i - 2) & 1:
            return read_version(b, i, end)
    return CUT, i


@helper
def read_ppp(b: Any, i: int, end: int) -> tuple[int, int]:
    """(EtherType of what a PPP frame carries, offset after the protocol field), RFC 1661 §2."""
    if i + 2 > end:
        return CUT, i
    protocol = u8(b, i)
    i += 1
    if protocol & 1 == 0:  # the field's last octet is odd; protocol field compression leaves one octet
        protocol = (protocol << 8) | u8(b, i)
        i += 1
    if protocol == 0x21:
        return ETHER_IPV4, i
    if protocol == 0x57:
        return ETHER_IPV6, i
    return 0, i


@helper
def read_version(b: Any, i: int, end: int) -> tuple[int, int]:
    """EtherType by the version nibble of a bare IP packet."""
    if i >= end:
        return CUT, i
    version = u8(b, i) >> 4
    if version == 4:
        return ETHER_IPV4, i
    if version == 6:
        return ETHER_IPV6, i
    return 0, i
