"""Records with other link addresses, and ARP; the IP packets in them by ``ip``.

Ethernet, Linux cooked v1 and v2, raw IP, BSD null and loop, and PPP, each with VLAN tags and PPPoE sessions where they
have them. A record of another link type or protocol cannot be made safe.
"""

from __future__ import annotations

from analyzer.anonymize.packets.edit import Edit, Maps
from analyzer.anonymize.packets.ip import IpCopies
from analyzer.anonymize.packets.payloads import Payloads
from analyzer.anonymize.packets.quic import Written
from analyzer.wire.links import ETHER_ARP, ETHER_IPV4, ETHER_IPV6, READ_LINK_TYPES, read_link

_ETHERNET, _COOKED, _COOKED_2 = 1, 113, 276
_MAC = 6


class LinkCopies:
    """Edits whole records."""

    def __init__(self, maps: Maps, payloads: Payloads) -> None:
        self._maps = maps
        self._ip = IpCopies(maps, payloads.take, self.record)

    def record(self, b: bytes, link_type: int) -> Written:
        """What is written in place of a record; empty where it cannot be made safe."""
        if link_type not in READ_LINK_TYPES:
            return Written(b"", False)
        ether_type, at = read_link(b, 0, len(b), link_type)
        if ether_type < 0 or at > len(b):
            return Written(b"", False)
        if ether_type == ETHER_ARP:
            body = Written(self._arp(b[at:]), True)
        elif ether_type in (ETHER_IPV4, ETHER_IPV6):
            body = self._ip.packet(b[at:], ether_type)
        else:
            return Written(b"", False)
        destination = b[at + 24 : at + 40] if ether_type == ETHER_IPV6 else b""
        return Written(self._header(b[:at], link_type, destination) + body.payload, body.whole)

    def _header(self, b: bytes, link_type: int, destination: bytes) -> bytes:
        """The link header with its addresses replaced."""
        addresses = self._maps.addresses
        if link_type == _ETHERNET:
            target = addresses.link(b[:_MAC])
            if len(destination) == 16:
                target = addresses.group_link(target, addresses.packed(destination))
            return target + addresses.link(b[_MAC : 2 * _MAC]) + b[2 * _MAC :]
        if link_type in (_COOKED, _COOKED_2):
            # Length of the address, and eight bytes that hold it: v1 at 4 and 6, v2 at 11 and 12.
            size_at, start = (4, 6) if link_type == _COOKED else (11, 12)
            size = int.from_bytes(b[4:6], "big") if link_type == _COOKED else b[size_at]
            given = b[start : start + 8]
            mapped = addresses.link(given[:_MAC]) + bytes(2) if size == _MAC else bytes(8)
            return b[:start] + mapped + b[start + 8 :]
        return b

    def _arp(self, b: bytes) -> bytes:
        """RFC 826, for IPv4 over Ethernet; what follows, and every other kind, looks random."""
        edit, addresses = Edit(b, self._maps), self._maps.addresses
        edit.keep(0, 8)
        if b[:6] == b"\x00\x01\x08\x00\x06\x04" and len(b) >= 28:
            for at in (8, 18):
                edit.put(at, addresses.link(b[at : at + _MAC]))
            for at in (14, 24):
                edit.put(at, addresses.packed(b[at : at + 4]))
            edit.put(28, bytes(len(b) - 28))
        return bytes(edit.copy)
