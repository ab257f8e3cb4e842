"""QUIC versions: name, layout, packet type bits, salt, HKDF labels and Retry key of each that is known.

Sources: RFC 9001 §5.2 and §5.8 (version 1 and, in its drafts, the salts before it), RFC 9369 §3 (version 2), the
IANA registry "QUIC Versions", and the published sources of mvfst and of Google's QUIC for theirs.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from analyzer.wire.quic.split import (
    HANDSHAKE,
    INITIAL,
    LAYOUT_NEGOTIATION,
    LAYOUT_Q046,
    LAYOUT_RESERVED,
    LAYOUT_UNKNOWN,
    LAYOUT_V1,
    LAYOUT_V2,
    RETRY,
    ZERO_RTT,
)

V1 = 0x00000001
V2 = 0x6B3343CF
NEGOTIATION = 0x00000000
Q046 = 0x51303436

_LABELS_V1 = ("quic key", "quic iv", "quic hp")  # RFC 9001 §5.1
_LABELS_V2 = ("quicv2 key", "quicv2 iv", "quicv2 hp")  # RFC 9369 §3.3.2


@dataclass(frozen=True, slots=True)
class Version:
    """What a version number says about its packets.

    ``packet_types`` maps the two type bits of a long header to a kind; empty where they are not known. ``salt``
    is empty where Initial packets cannot be opened, ``retry_key`` where a Retry cannot be verified. ``labels``
    are the HKDF labels of key, IV and header protection key.
    """

    number: int
    name: str
    layout: int = LAYOUT_UNKNOWN
    packet_types: tuple[int, ...] = ()
    salt: bytes = b""
    labels: tuple[str, str, str] = _LABELS_V1
    retry_key: bytes = b""
    retry_nonce: bytes = b""

    @property
    def is_known(self) -> bool:
        """The layout beyond RFC 8999's invariants is known."""
        return self.layout not in (LAYOUT_UNKNOWN, LAYOUT_RESERVED)

    @property
    def is_reserved(self) -> bool:
        """Reserved to force version negotiation: 0x?a?a?a?a (RFC 9000 §15)."""
        return self.layout == LAYOUT_RESERVED


_TYPES_V1 = (INITIAL, ZERO_RTT, HANDSHAKE, RETRY)
_TYPES_V2 = (RETRY, INITIAL, ZERO_RTT, HANDSHAKE)  # RFC 9369 §3.2

_SALT_V1 = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
_SALT_V2 = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")
_SALT_V2_DRAFT = bytes.fromhex("a707c203a59b47184a1d62ca570406ea7ae3e5d3")
_SALT_DRAFT_29 = bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")
_SALT_DRAFT_23 = bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")
_SALT_DRAFT_22 = bytes.fromhex("7fbcdb0e7c66bbe9193a96cd21519ebd7a02644a")
_SALT_Q050 = bytes.fromhex("504574efd066fe2f9d945cfcdbd3a7f0d3b56b45")
_SALT_T050 = bytes.fromhex("7ff579e5acd072915580304c43a2367c60488310")
_SALT_T051 = bytes.fromhex("7a4edef4e7ccee5fa4506c19124fc8ccda6e033d")

_RETRY_V1 = (bytes.fromhex("be0c690b9f66575a1d766b54e368c84e"), bytes.fromhex("461599d35d632bf2239825bb"))
_RETRY_V2 = (bytes.fromhex("8fb4b01b56ac48e260fbcbcead7ccc92"), bytes.fromhex("d86969bc2d7c6d9990efb04a"))
_RETRY_V2_DRAFT = (bytes.fromhex("ba858dc7b43de5dbf87617ff4ab253db"), bytes.fromhex("141b99c239b03e785d6a2e9f"))
_RETRY_DRAFT_29 = (bytes.fromhex("ccce187ed09a09d05728155a6cb96be1"), bytes.fromhex("e54930f97f2136f0530a8c1c"))
_RETRY_UNKNOWN = (b"", b"")

#: Google's names are the four bytes themselves.
GQUIC_SALTS = {b"Q050": _SALT_Q050, b"T050": _SALT_T050, b"T051": _SALT_T051}


@functools.lru_cache(maxsize=1024)
def version_of(number: int) -> Version:
    """The registry's entry; for an unknown number one that says no more than that."""
    if number == V1:
        return Version(number, "1", LAYOUT_V1, _TYPES_V1, _SALT_V1, _LABELS_V1, *_RETRY_V1)
    if number == V2:
        return Version(number, "2", LAYOUT_V2, _TYPES_V2, _SALT_V2, _LABELS_V2, *_RETRY_V2)
    if number == 0x709A50C4:
        return Version(number, "2 (draft)", LAYOUT_V2, _TYPES_V2, _SALT_V2_DRAFT, _LABELS_V2, *_RETRY_V2_DRAFT)
    if number == NEGOTIATION:
        return Version(number, "Version Negotiation", LAYOUT_NEGOTIATION)
    if 0xFF000016 <= number <= 0xFF000022:
        return _draft(number)
    if number >> 8 == 0xFACEB0:
        return _mvfst(number)
    name = number.to_bytes(4, "big")
    if name in GQUIC_SALTS:
        return Version(number, name.decode(), LAYOUT_V1, _TYPES_V1, GQUIC_SALTS[name])
    if name == b"Q046":
        return Version(number, "Q046", LAYOUT_Q046, _TYPES_V1)
    if number & 0x0F0F0F0F == 0x0A0A0A0A:
        return Version(number, f"reserved 0x{number:08x}", LAYOUT_RESERVED)
    if name[:1] in b"QT" and name[1:].isdigit():
        return Version(number, name.decode())
    return Version(number, f"0x{number:08x}")


def _draft(number: int) -> Version:
    draft = number & 0xFF
    salt, retry = _SALT_V1, _RETRY_V1
    if draft < 33:
        salt, retry = _SALT_DRAFT_29, _RETRY_DRAFT_29
    if draft < 29:
        salt, retry = _SALT_DRAFT_23, _RETRY_UNKNOWN
    if draft < 23:
        salt = _SALT_DRAFT_22
    return Version(number, f"draft-{draft}", LAYOUT_V1, _TYPES_V1, salt, _LABELS_V1, *retry)


def _mvfst(number: int) -> Version:
    salt = {0xFACEB001: _SALT_DRAFT_22, 0xFACEB003: _SALT_V1}.get(number, _SALT_DRAFT_23)
    return Version(number, f"mvfst 0x{number:08x}", LAYOUT_V1, _TYPES_V1, salt)
