"""Addresses replaced so that two which share a prefix still share one of the same length, and no longer one.

Crypto-PAn (Xu, Fan, Ammar, Moon, 2002): bit i is flipped by the first bit of AES(the i bits before it, padded). Here
the flip is left out for the bits that lead to a special range, so that such a range is mapped into itself and no other
address into it. It stays a bijection that preserves prefixes; the price is that an address near a special range keeps
the bits that it shares with that range, and one more.

Kept whole: unspecified, loopback, multicast, broadcast and the rest of 240.0.0.0/4. Kept as prefixes: link-local,
private (RFC 1918, RFC 6598, RFC 4193). Ranges of documentation are mapped like any other. An IPv4 address inside an
IPv6 one (RFC 4291 §2.5.5, RFC 6052 §2.1) is mapped as IPv4.
"""

from __future__ import annotations

import ipaddress

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from analyzer.anonymize.key import Key

_KEPT_WHOLE = {4: ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"), 6: ("ff00::/8",)}
_KEPT_PREFIX = {
    4: ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    6: ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "fc00::/8", "fd00::/8", "fe80::/10", "fe80::/64"),
}
_WITH_IPV4 = tuple(bytes(ipaddress.ip_network(text).network_address.packed[:12]) for text in _KEPT_PREFIX[6][:3])
#: Solicited-node multicast (RFC 4291 §2.7.1): its last 24 bits are those of an address.
_SOLICITED = ipaddress.ip_address("ff02::1:ff00:0").packed[:13]

_GROUP_BIT, _LOCAL_BIT = 1, 2


def _networks(texts: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """(address as an integer, prefix length) of networks."""
    networks = [ipaddress.ip_network(text) for text in texts]
    return tuple((int(network.network_address), network.prefixlen) for network in networks)


_WHOLE = {family: _networks(texts) for family, texts in _KEPT_WHOLE.items()}
_PREFIX = {family: _networks(texts) for family, texts in _KEPT_PREFIX.items()}


class Addresses:
    """The mapping of addresses of IP and of the link layer that a key makes."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._aes = Cipher(AES128(key.octets[:16]), ECB()).encryptor()
        self._pad = int.from_bytes(self._aes.update(key.octets[16:]), "big")
        self._known: dict[bytes, bytes] = {}
        self._links: dict[bytes, bytes] = {}

    def packed(self, address: bytes) -> bytes:
        """The replacement of 4 or 16 bytes."""
        found = self._known.get(address)
        if found is None:
            found = self._known[address] = self._mapped(address)
        return found

    def text(self, address: str) -> str:
        """The replacement of an address as text (RFC 5952); raises ValueError for what is no address."""
        return str(ipaddress.ip_address(self.packed(ipaddress.ip_address(address).packed)))

    def link(self, address: bytes) -> bytes:
        """The replacement of 6 bytes: locally administered, unicast; groups, broadcast and zero are kept."""
        if address[0] & _GROUP_BIT or not any(address):
            return address
        found = self._links.get(address)
        if found is None:
            made = bytearray(self._key.bytes_for(b"link", address, 6))
            made[0] = made[0] & ~_GROUP_BIT | _LOCAL_BIT
            found = self._links[address] = bytes(made)
        return found

    def group_link(self, link: bytes, destination: bytes) -> bytes:
        """The Ethernet group of an IPv6 destination (RFC 2464 §7), whose last four bytes are the address's."""
        return link[:2] + destination[-4:] if link[:2] == b"\x33\x33" and len(destination) == 16 else link

    def _mapped(self, address: bytes) -> bytes:
        bits = 8 * len(address)
        if bits == 128 and address[:12] in _WITH_IPV4:
            return address[:12] + self.packed(address[12:])
        number = int.from_bytes(address, "big")
        kept = _kept_bits(number, bits, address)
        if kept == bits:
            return address
        blocks = b"".join(self._block(number, bits, count) for count in range(kept, bits))
        encrypted = self._aes.update(blocks)
        flips = 0
        for first in encrypted[::16]:
            flips = flips << 1 | first >> 7
        return (number ^ flips).to_bytes(len(address), "big")

    def _block(self, number: int, bits: int, count: int) -> bytes:
        """The first ``count`` bits of an address, and behind them those of the padding."""
        prefix = number >> (bits - count) << (128 - count) if count else 0
        return (prefix | self._pad & ((1 << (128 - count)) - 1)).to_bytes(16, "big")


def _kept_bits(number: int, bits: int, address: bytes) -> int:
    """How many leading bits of an address are not flipped."""
    family = 4 if bits == 32 else 6
    kept = 0
    for networks, inside in ((_WHOLE[family], bits), (_PREFIX[family], 0)):
        for network, length in networks:
            shared = bits - (number ^ network).bit_length()
            kept = max(kept, shared + 1 if shared < length else inside or length)
    return 104 if address[:13] == _SOLICITED else kept
