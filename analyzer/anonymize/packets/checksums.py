"""Checksums that follow an edit: right ones stay right, wrong ones wrong, partial ones partial (RFC 1624).

What was not captured counts as unchanged, so a packet may be edited whose end is not known.
"""

from __future__ import annotations

from analyzer.wire.checksums import ones_sum

UDP = 17


def adjusted(checksum: int, before: bytes, after: bytes) -> int:
    """The checksum of bytes that were ``before`` and are ``after``, both from an even offset and of one length."""
    change = ones_sum(after) - ones_sum(before)
    if change % 0xFFFF == 0:
        return checksum
    return 0xFFFF - ((checksum ^ 0xFFFF) + change) % 0xFFFF


def transport(
    checksum: int, protocol: int, length: int, before: tuple[bytes, bytes], after: tuple[bytes, bytes]
) -> int:
    """The checksum of a datagram or segment of ``length`` bytes, from (addresses, bytes) before and after the edit.

    A UDP checksum of 0 is none (RFC 768); one that is only the pseudo-header's sum is left so.
    """
    if protocol == UDP and checksum == 0:
        return 0
    head = protocol.to_bytes(2, "big") + length.to_bytes(4, "big")
    if checksum == ones_sum(before[0] + head):
        return ones_sum(after[0] + head)
    made = adjusted(checksum, before[0] + before[1], after[0] + after[1])
    return made or (0xFFFF if protocol == UDP else 0)
