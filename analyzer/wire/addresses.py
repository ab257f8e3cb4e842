"""Addresses as text, made once for each."""

from __future__ import annotations

import functools
import ipaddress


@functools.lru_cache(maxsize=1 << 16)
def address_text(family: int, word_0: int, word_1: int, word_2: int, word_3: int) -> str:
    """Text of an address from its four 32-bit words (RFC 5952); an IPv4 address lies in the last one."""
    if family == 4:
        return str(ipaddress.IPv4Address(word_3))
    return str(ipaddress.IPv6Address(word_0 << 96 | word_1 << 64 | word_2 << 32 | word_3))


def address_of(packed: bytes) -> str:
    """Text of 4 or 16 bytes, "" of any other length."""
    return str(ipaddress.ip_address(packed)) if len(packed) in (4, 16) else ""
