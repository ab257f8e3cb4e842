"""Records to packet columns: link layer, IP, tunnels, UDP, TCP, ICMP and ARP headers, one row per record.

    record = link header [VLAN tags] IP header [extension headers] [tunnel header, inner headers ...]
             transport header payload

Link headers are those of ``analyzer.wire.links``. Inside IP are read VXLAN, Geneve, GRE and IP in IP, to a depth of
``MAX_TUNNELS``; the row describes the innermost packet. A packet quoted by an ICMP error is *not* descended into: it is
evidence about another flow and never mixed with the packet that quotes it.

Not read here: reassembly of fragments (the first one is read as far as it goes), checksums
(``analyzer.wire.checksums``, for chosen packets), anything above the transport header.

Sources: RFC 791 §3.1, RFC 8200 §3-4, RFC 768, RFC 9293 §3.1, RFC 7348 §5, RFC 8926 §3.4, RFC 2784 §2, RFC 2890 §2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.records import Records
from analyzer.kernels import Matrix, helper, kernel
from analyzer.wire.bytes import u8, u16, u32
from analyzer.wire.links import (
    CUT,
    ETHER_ARP,
    ETHER_BRIDGED,
    ETHER_IPV4,
    ETHER_IPV6,
    UNREAD,
    read_ethernet,
    read_link,
)

# Kinds of packet, column ``kind``.
UNREAD_LINK, NOT_IP, ARP, UDP, TCP, ICMP, OTHER_IP, LATER_FRAGMENT = 0, 1, 2, 3, 4, 5, 6, 7

# Flaws: why a header could not be read to its end, column ``flaw``.
NO_FLAW, LINK_CUT, IP_CUT, IP_INVALID, TRANSPORT_CUT, TRANSPORT_INVALID, TOO_NESTED = 0, 1, 2, 3, 4, 5, 6
FLAW_NAMES = (
    "",
    "link-header-cut",
    "ip-header-cut",
    "ip-header-invalid",
    "transport-cut",
    "transport-invalid",
    "too-nested",
)

MOST_BYTES = 0x7FFFFFFF  # what a record may claim: lengths are kept as 32-bit integers
MAX_TUNNELS = 4
MAX_EXTENSION_HEADERS = 8

# Columns of the packet matrix, one row per record. Offsets are into the batch's buffer, -1 where not reached.
KIND = 0
FLAW = 1
FAMILY = 2  # 4, 6, or 0
PROTOCOL = 3  # IP protocol number after extension headers
SOURCE_0 = 4  # addresses as four 32-bit words; IPv4 in the last, the others 0
SOURCE_1 = 5
SOURCE_2 = 6
SOURCE_3 = 7
DESTINATION_0 = 8
DESTINATION_1 = 9
DESTINATION_2 = 10
DESTINATION_3 = 11
SOURCE_PORT = 12
DESTINATION_PORT = 13
IP_OFFSET = 14  # of the innermost IP header, or of the ARP header
TRANSPORT_OFFSET = 15
PAYLOAD_OFFSET = 16
PAYLOAD_LENGTH = 17  # bytes, as the headers say (UDP by the UDP length field)
PAYLOAD_CAPTURED = 18  # bytes of it that lie in the record
TCP_FLAGS = 19
SEQUENCE = 20
ACKNOWLEDGMENT = 21
WINDOW = 22
ICMP_TYPE = 23  # type << 8 | code, -1 where it is no ICMP
IP_ID = 24
TTL = 25
FRAGMENT = 26  # 0 whole, 1 first fragment, 2 later fragment
TUNNELS = 27  # how many tunnel headers were passed
DIGEST = 28  # 32-bit digest of what does not change on the way; equal for one packet captured twice
PACKET_COLUMNS = 29


def new_packets(count: int) -> Matrix:
    """A packet matrix with ``count`` rows, to be filled by ``decode_packets``."""
    return np.zeros((count, PACKET_COLUMNS), np.int64)


@helper
def read_ipv4(b: Any, i: int, end: int, wire_end: int, out: Any, r: int) -> tuple[int, int, int]:
    """Fill row ``r`` from an IPv4 header; (protocol, offset after it, end of the IP packet as it claims).

    Protocol -1: cut or invalid, the flaw is set. ``wire_end`` is where the record's original length ends.
    """
    if i + 20 > end:
        out[r, FLAW] = IP_CUT
        return -1, i, end
    header = (u8(b, i) & 15) * 4
    if u8(b, i) >> 4 != 4 or header < 20:
        out[r, FLAW] = IP_INVALID
        return -1, i, end
    total = u16(b, i + 2)
    if total == 0:  # segmentation offload: the length did not fit or was not yet known
        total = wire_end - i
    if total < header or i + total > wire_end:
        out[r, FLAW] = IP_INVALID
        total = min(max(total, header), wire_end - i)
    fragment = u16(b, i + 6)
    out[r, FAMILY] = 4
    out[r, SOURCE_0] = out[r, SOURCE_1] = out[r, SOURCE_2] = 0
    out[r, DESTINATION_0] = out[r, DESTINATION_1] = out[r, DESTINATION_2] = 0
    out[r, SOURCE_3] = u32(b, i + 12)
    out[r, DESTINATION_3] = u32(b, i + 16)
    out[r, IP_OFFSET] = i
    out[r, IP_ID] = u16(b, i + 4)
    out[r, TTL] = u8(b, i + 8)
    out[r, FRAGMENT] = 2 if fragment & 0x1FFF else (1 if fragment & 0x2000 else 0)
    if i + header > end:
        out[r, FLAW] = IP_CUT
        return -1, i, end
    return u8(b, i + 9), i + header, i + total


@helper
def read_ipv6(b: Any, i: int, end: int, wire_end: int, out: Any, r: int) -> tuple[int, int, int]:
    """As ``read_ipv4`` for IPv6; extension headers are passed (RFC 8200 §4)."""
    if i + 40 > end:
        out[r, FLAW] = IP_CUT
        return -1, i, end
    if u8(b, i) >> 4 != 6:
        out[r, FLAW] = IP_INVALID
        return -1, i, end
    length = u16(b, i + 4)
    ip_end = i + 40 + length
    if length == 0:  # a jumbogram or segmentation offload
        ip_end = wire_end
    if ip_end > wire_end:
        out[r, FLAW] = IP_INVALID
        ip_end = wire_end
    out[r, FAMILY] = 6
    out[r, SOURCE_0], out[r, SOURCE_1] = u32(b, i + 8), u32(b, i + 12)
    out[r, SOURCE_2], out[r, SOURCE_3] = u32(b, i + 16), u32(b, i + 20)
    out[r, DESTINATION_0], out[r, DESTINATION_1] = u32(b, i + 24), u32(b, i + 28)
    out[r, DESTINATION_2], out[r, DESTINATION_3] = u32(b, i + 32), u32(b, i + 36)
    out[r, IP_OFFSET] = i
    out[r, IP_ID] = 0
    out[r, TTL] = u8(b, i + 7)
    out[r, FRAGMENT] = 0
    protocol = u8(b, i + 6)
    i += 40
    for _ in range(MAX_EXTENSION_HEADERS):
        if protocol != 0 and protocol != 43 and protocol != 60 and protocol != 44 and protocol != 51:
            return protocol, i, ip_end
        if i + 8 > end:
            out[r, FLAW] = IP_CUT
            return -1, i, ip_end
        following, size = u8(b, i), (u8(b, i + 1) + 1) * 8
        if protocol == 44:
            size = 8
            out[r, IP_ID] = u32(b, i + 4)
            offset = u16(b, i + 2)
            out[r, FRAGMENT] = 2 if offset & 0xFFF8 else (1 if offset & 1 else 0)
        elif protocol == 51:
            size = (u8(b, i + 1) + 2) * 4
        if i + size > end:
            out[r, FLAW] = IP_CUT
            return -1, i, ip_end
        protocol = following
        i += size
        if out[r, FRAGMENT] == 2:
            return protocol, i, ip_end
    out[r, FLAW] = TOO_NESTED
    return -1, i, ip_end


@helper
def read_tunnel(b: Any, i: int, end: int, protocol: int) -> tuple[int, int]:
    """(EtherType, offset) of what a tunnel header at ``i`` carries; EtherType 0 if this is no tunnel.

    ``i`` is the offset after the IP header. UDP tunnels are told by port and by the fixed bits of their header.
    """
    if protocol == 4 or protocol == 41:  # IP in IP, RFC 2003, RFC 2473
        return (ETHER_IPV4 if protocol == 4 else ETHER_IPV6), i
    if protocol == 47 and i + 4 <= end:
        flags = u16(b, i)
        if flags & 7:  # version 1 is PPTP's
            return 0, i
        carried = u16(b, i + 2)
        size = 4 + (4 if flags & 0x8000 else 0) + (4 if flags & 0x2000 else 0) + (4 if flags & 0x1000 else 0)
        if carried == ETHER_BRIDGED:
            return read_ethernet(b, i + size, end)
        return (carried if carried == ETHER_IPV4 or carried == ETHER_IPV6 else 0), i + size
    if protocol == 17 and i + 16 <= end:
        port = u16(b, i + 2)
        if (port == 4789 or port == 8472) and u32(b, i + 8) == 0x08000000 and u8(b, i + 15) == 0:
            return read_ethernet(b, i + 16, end)
        if port == 6081 and u8(b, i + 8) >> 6 == 0 and u8(b, i + 9) & 0x3F == 0:
            carried, inner = u16(b, i + 10), i + 16 + (u8(b, i + 8) & 0x3F) * 4
            if carried == ETHER_BRIDGED:
                return read_ethernet(b, inner, end)
            return (carried if carried == ETHER_IPV4 or carried == ETHER_IPV6 else 0), inner
    return 0, i


@helper
def read_transport(b: Any, i: int, end: int, ip_end: int, out: Any, r: int) -> None:
    """Fill row ``r`` from the UDP, TCP or ICMP header at ``i``."""
    protocol = out[r, PROTOCOL]
    out[r, TRANSPORT_OFFSET] = i
    header = 8
    length = ip_end - i
    if protocol == 17:
        out[r, KIND] = UDP
    elif protocol == 6:
        out[r, KIND] = TCP
        header = 20
    elif protocol == 1 or protocol == 58:
        out[r, KIND] = ICMP
    else:
        out[r, KIND] = OTHER_IP
        return
    if i + header > end:
        if out[r, KIND] != ICMP and i + 4 <= end:  # ports are readable
            out[r, SOURCE_PORT], out[r, DESTINATION_PORT] = u16(b, i), u16(b, i + 2)
        out[r, FLAW] = TRANSPORT_CUT
        out[r, WINDOW] = -1  # 0 would say that the receiver takes nothing
        if protocol == 6 and i + 14 <= end:  # tcpdump -s 68 cuts here: flags and the header's length are readable
            out[r, SEQUENCE], out[r, ACKNOWLEDGMENT] = u32(b, i + 4), u32(b, i + 8)
            out[r, TCP_FLAGS] = u16(b, i + 12) & 0x1FF
            header = max((u8(b, i + 12) >> 4) * 4, 20)
            out[r, PAYLOAD_OFFSET] = i + header
            out[r, PAYLOAD_LENGTH] = max(length - header, 0)
        return
    if protocol == 17:
        out[r, SOURCE_PORT], out[r, DESTINATION_PORT] = u16(b, i), u16(b, i + 2)
        claimed = u16(b, i + 4)
        if claimed >= 8:
            # A first fragment carries the length of the whole datagram; otherwise IP bounds it.
            length = claimed if claimed <= length or out[r, FRAGMENT] == 1 else length
        elif claimed:
            out[r, FLAW] = TRANSPORT_INVALID
    elif protocol == 6:
        out[r, SOURCE_PORT], out[r, DESTINATION_PORT] = u16(b, i), u16(b, i + 2)
        out[r, SEQUENCE], out[r, ACKNOWLEDGMENT] = u32(b, i + 4), u32(b, i + 8)
        out[r, TCP_FLAGS], out[r, WINDOW] = u16(b, i + 12) & 0x1FF, u16(b, i + 14)
        header = (u8(b, i + 12) >> 4) * 4
        if header < 20 or header > length:
            out[r, FLAW] = TRANSPORT_INVALID
            header = 20
    else:
        out[r, ICMP_TYPE] = u16(b, i)
    out[r, PAYLOAD_OFFSET] = i + header
    out[r, PAYLOAD_LENGTH] = max(length - header, 0)
    out[r, PAYLOAD_CAPTURED] = max(min(i + length, end) - (i + header), 0)


@helper
def digest_of(b: Any, end: int, out: Any, r: int) -> int:
    """A digest of addresses, IP identification, transport header without its checksum, and up to 32 payload bytes."""
    i = out[r, TRANSPORT_OFFSET]
    h = (int(out[r, IP_ID]) * 0x9E3779B1 + int(out[r, SOURCE_3]) + 2 * int(out[r, DESTINATION_3])) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x85EBCA6B + int(out[r, PAYLOAD_LENGTH])) & 0xFFFFFFFF
    stop = min(end, max(out[r, PAYLOAD_OFFSET], i) + 32)
    skipped = i + (16 if out[r, KIND] == TCP else (4 if out[r, KIND] == UDP else 0))
    while i + 4 <= stop:
        if i != skipped:
            h = ((h ^ u32(b, i)) * 0xC2B2AE35) & 0xFFFFFFFF
            h = h ^ (h >> 13)
        i += 4
    while i < stop:
        h = ((h ^ u8(b, i)) * 0xC2B2AE35) & 0xFFFFFFFF
        i += 1
    return h


@helper
def decode_packet(b: Any, start: int, captured: int, original: int, link_type: int, out: Any, r: int) -> None:
    """Fill row ``r`` of ``out`` from the record of ``captured`` bytes at ``start``, ``original`` bytes on the wire."""
    end = start + captured
    wire_end = start + min(max(original, captured), MOST_BYTES)
    out[r, KIND], out[r, FLAW], out[r, FAMILY], out[r, PROTOCOL] = NOT_IP, NO_FLAW, 0, -1
    out[r, SOURCE_PORT] = out[r, DESTINATION_PORT] = 0
    out[r, IP_OFFSET] = out[r, TRANSPORT_OFFSET] = out[r, PAYLOAD_OFFSET] = -1
    out[r, PAYLOAD_LENGTH] = out[r, PAYLOAD_CAPTURED] = 0
    out[r, TCP_FLAGS] = out[r, SEQUENCE] = out[r, ACKNOWLEDGMENT] = out[r, WINDOW] = 0
    out[r, ICMP_TYPE] = -1
    out[r, IP_ID] = out[r, TTL] = out[r, FRAGMENT] = out[r, TUNNELS] = out[r, DIGEST] = 0
    ether_type, i = read_link(b, start, end, link_type)
    if ether_type < 0:
        out[r, KIND] = UNREAD_LINK if ether_type == UNREAD else NOT_IP
        out[r, FLAW] = LINK_CUT if ether_type == CUT else NO_FLAW
        return
    for depth in range(MAX_TUNNELS + 1):
        if ether_type == ETHER_ARP:
            out[r, KIND] = ARP
            out[r, IP_OFFSET] = i
            out[r, FLAW] = IP_CUT if i + 28 > end else NO_FLAW
            break
        if ether_type == ETHER_IPV4:
            protocol, i, ip_end = read_ipv4(b, i, end, wire_end, out, r)
        elif ether_type == ETHER_IPV6:
            protocol, i, ip_end = read_ipv6(b, i, end, wire_end, out, r)
        else:
            break
        out[r, PROTOCOL] = protocol
        if protocol < 0:
            out[r, KIND] = OTHER_IP if out[r, FAMILY] else NOT_IP
            break
        if out[r, FRAGMENT] == 2:
            out[r, KIND] = LATER_FRAGMENT
            out[r, TRANSPORT_OFFSET] = out[r, PAYLOAD_OFFSET] = i
            out[r, PAYLOAD_LENGTH] = max(ip_end - i, 0)
            out[r, PAYLOAD_CAPTURED] = max(min(ip_end, end) - i, 0)
            break
        ether_type, inner = read_tunnel(b, i, end, protocol)
        if ether_type <= 0 or (ether_type != ETHER_IPV4 and ether_type != ETHER_IPV6 and ether_type != ETHER_ARP):
            read_transport(b, i, min(end, max(ip_end, i)), ip_end, out, r)
            if out[r, KIND] == UDP or out[r, KIND] == TCP or out[r, KIND] == ICMP:
                out[r, DIGEST] = digest_of(b, min(end, max(ip_end, i)), out, r)
            break
        if depth == MAX_TUNNELS:
            out[r, KIND], out[r, FLAW] = OTHER_IP, TOO_NESTED
            break
        i = inner
        out[r, TUNNELS] += 1


@kernel
def decode_packets(b: NDArray[np.uint8], records: Records, out: Matrix) -> int:
    """Fill one row of ``out`` per record; returns their number."""
    offsets, captured, original, link_types = (
        records.offset,
        records.captured_length,
        records.original_length,
        records.link_type,
    )
    for r in range(len(offsets)):
        decode_packet(b, offsets[r], captured[r], original[r], link_types[r], out, r)
    return len(offsets)
