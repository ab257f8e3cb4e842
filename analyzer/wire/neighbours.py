"""ARP and Neighbour Discovery: which address is at which link address.

    ARP:  hardware type (16) | protocol type (16) | lengths (8, 8) | operation (16) | sender MAC, IP | target MAC, IP
    NDP:  Neighbour Solicitation and Advertisement: ICMPv6 header | flags or reserved (32) | target (128) | options

Sources: RFC 826, RFC 4861 §4.3, §4.4, §4.6.1. Only Ethernet addresses and IPv4 are read of ARP.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.wire.addresses import address_of

SOLICITATION, ADVERTISEMENT = 135, 136
_SOURCE_LINK_ADDRESS, _TARGET_LINK_ADDRESS = 1, 2


class Neighbour(NamedTuple):
    """A question or an answer about an address.

    ``address`` is whose link address the packet gives (the asker's in a question, the target's in an answer), "" if
    none; ``target`` is the address that is asked for.
    """

    is_question: bool
    address: str
    link_address: str
    target: str


def read_arp(b: bytes) -> Neighbour | None:
    """An ARP packet for IPv4 over Ethernet, None if it is another or cut."""
    if len(b) < 28 or b[:6] != b"\x00\x01\x08\x00\x06\x04" or b[6] or b[7] not in (1, 2):
        return None
    sender = address_of(b[14:18])
    is_probe = b[14:18] == bytes(4)  # RFC 5227: the asker has no address yet
    return Neighbour(b[7] == 1, "" if is_probe else sender, b[8:14].hex(":"), address_of(b[24:28]))


def read_ndp(icmp_type: int, source: str, message: bytes) -> Neighbour | None:
    """A Neighbour Solicitation or Advertisement; ``message`` begins with its ICMPv6 header. None if it is neither."""
    if icmp_type not in (SOLICITATION, ADVERTISEMENT) or len(message) < 24:
        return None
    target = address_of(message[8:24])
    is_question = icmp_type == SOLICITATION
    wanted = _SOURCE_LINK_ADDRESS if is_question else _TARGET_LINK_ADDRESS
    link_address, at = "", 24
    while at + 8 <= len(message) and message[at + 1]:
        if message[at] == wanted and message[at + 1] == 1:
            link_address = message[at + 2 : at + 8].hex(":")
        at += 8 * message[at + 1]
    owner = source if is_question else target
    return Neighbour(is_question, "" if owner == "::" else owner, link_address, target)
