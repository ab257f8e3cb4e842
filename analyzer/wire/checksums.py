"""The checksum of a UDP datagram or TCP segment, for the few packets whose validity decides a verdict (RFC 1071).

Where a sender's interface computes checksums, a capture made before it shows only the sum of the pseudo-header. Such a
*partial* checksum is not wrong, and neither is a UDP checksum of 0 over IPv4 (RFC 768).
"""

from __future__ import annotations

_UDP, _TCP = 17, 6


def ones_sum(b: bytes) -> int:
    """One's complement sum of 16-bit words, folded to 16 bits; an odd last byte counts as its high byte."""
    # 2^16 is 1 modulo 2^16 - 1: the words of a number and the number itself leave the same rest.
    number = int.from_bytes(b, "big") << (8 if len(b) & 1 else 0)
    return number % 0xFFFF or (0xFFFF if number else 0)


def transport_checksum_wrong(packet: bytes) -> bool:
    """Whether the UDP or TCP checksum of an IP packet is wrong; False where it cannot be told.

    It cannot be told of a packet that was cut, of a fragment, of one with extension headers, or where it is partial.
    """
    summed = _summed(packet)
    if summed is None:
        return False
    written, pseudo, segment = summed
    if written == pseudo or (written == 0 and packet[0] >> 4 == 4 and packet[9] == _UDP):
        return False
    return ones_sum(pseudo.to_bytes(2, "big") + segment) != 0xFFFF


def transport_checksum_partial(packet: bytes) -> bool:
    """Whether the UDP or TCP checksum of an IP packet is that of the pseudo-header alone, and wrong on the wire."""
    summed = _summed(packet)
    if summed is None:
        return False
    written, pseudo, segment = summed
    return written == pseudo and ones_sum(pseudo.to_bytes(2, "big") + segment) != 0xFFFF


def _summed(packet: bytes) -> tuple[int, int, bytes] | None:
    """(checksum as written, sum of the pseudo-header, UDP datagram or TCP segment) of a packet that is whole."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        start, end = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
        protocol, addresses = packet[9], packet[12:20]
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            return None
    elif len(packet) >= 40 and packet[0] >> 4 == 6:
        start, end = 40, 40 + int.from_bytes(packet[4:6], "big")
        protocol, addresses = packet[6], packet[8:40]
    else:
        return None
    if protocol not in (_UDP, _TCP) or end > len(packet) or end - start < (8 if protocol == _UDP else 20):
        return None
    if protocol == _UDP:  # summed up by its own length (RFC 768); 0 is a jumbogram's or an offloaded one's
        end = start + (int.from_bytes(packet[start + 4 : start + 6], "big") or end - start)
        if not start + 8 <= end <= len(packet):
            return None
    segment = packet[start:end]
    at = 6 if protocol == _UDP else 16
    written = int.from_bytes(segment[at : at + 2], "big")
    pseudo = ones_sum(addresses + protocol.to_bytes(2, "big") + len(segment).to_bytes(4, "big"))
    return written, pseudo, segment
