"""Removing packet protection: keys of Initial packets, header protection, AEAD, packet numbers, Retry tags.

    initial_secret = HKDF-Extract(salt of the version, DCID of the first client Initial)      RFC 9001 §5.2
    client / server secret = HKDF-Expand-Label(initial_secret, "client in" / "server in")
    key, iv, hp = HKDF-Expand-Label(secret, labels of the version)                            RFC 9001 §5.1
    mask = AES-ECB(hp, 16 bytes that lie 4 bytes after the packet number's first)             RFC 9001 §5.4
    nonce = iv XOR packet number; associated data = the header with the mask removed          RFC 9001 §5.3

HMAC-SHA-256 is written out: a ``hmac`` object costs more than the hashes in it, and five are needed per packet.
Every authentication tag is checked; a packet whose tag does not fit gives no bytes.

Not read here: keys that need secrets of the endpoints (Handshake, 1-RTT).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from analyzer.wire.quic.header import RETRY_TAG
from analyzer.wire.quic.versions import version_of

_SHA256_BLOCK = 64
_INNER = bytes(i ^ 0x36 for i in range(256))
_OUTER = bytes(i ^ 0x5C for i in range(256))
_INNER_REST = b"\x36" * (_SHA256_BLOCK - 32)
_OUTER_REST = b"\x5c" * (_SHA256_BLOCK - 32)
_ECB = ECB()
# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each packet.
_new = tuple.__new__


class Protection(IntEnum):
    """Why a packet gave no clear bytes (names of qlog's ``packet_dropped`` triggers)."""

    NONE = 0
    TOO_SHORT = 1  # no room for the header protection sample
    DECRYPTION_FAILURE = 2  # the authentication tag does not fit these keys


class ClearPacket(NamedTuple):
    """A packet without its protection; ``payload`` is empty and ``packet_number`` -1 where there is a flaw."""

    flaw: Protection
    packet_number: int
    first_byte: int
    payload: bytes


class Keys(NamedTuple):
    """Packet protection of one direction: AEAD, IV as an integer, and the header protection mask of a sample."""

    aead: AESGCM | ChaCha20Poly1305
    iv: int
    mask: Callable[[bytes], bytes]


class InitialKeys:
    """Keys of both directions of the Initial packets of one connection, each derived when first asked for."""

    __slots__ = ("_client", "_labels", "_secret", "_server")

    def __init__(self, secret: bytes, labels: tuple[bytes, bytes, bytes]) -> None:
        self._secret = secret
        self._labels = labels
        self._client: Keys | None = None
        self._server: Keys | None = None

    @property
    def client(self) -> Keys:
        """Keys of what the client sends."""
        if self._client is None:
            self._client = _keys(_hmac(self._secret, _CLIENT_IN), self._labels)
        return self._client

    @property
    def server(self) -> Keys:
        """Keys of what the server sends."""
        if self._server is None:
            self._server = _keys(_hmac(self._secret, _SERVER_IN), self._labels)
        return self._server


def initial_keys(version: int, dcid: bytes) -> InitialKeys | None:
    """Keys for Initials of ``version`` whose first client Initial had ``dcid``; None if the version has no salt.

    After a Retry, the DCID is the SCID of that Retry (RFC 9001 §5.2).
    """
    schedule = _schedule(version)
    if schedule is None:
        return None
    inner, outer, labels = schedule
    return InitialKeys(sha256(outer + sha256(inner + dcid).digest()).digest(), labels)


def open_packet(packet: bytes, number_offset: int, keys: Keys, *, largest: int = -1) -> ClearPacket:
    """Remove header and packet protection of one QUIC packet, which ``packet`` holds from first byte to tag.

    ``number_offset`` is where the protected packet number begins; ``largest`` the largest packet number seen so
    far in the same packet number space and direction, -1 if none.
    """
    sample = packet[number_offset + 4 : number_offset + 20]
    if len(sample) < 16:
        return ClearPacket(Protection.TOO_SHORT, -1, packet[0] if packet else 0, b"")
    mask = keys.mask(sample)
    first = packet[0]
    first ^= mask[0] & (0x0F if first & 0x80 else 0x1F)
    size = (first & 3) + 1
    behind = number_offset + size
    number = int.from_bytes(packet[number_offset:behind], "big") ^ int.from_bytes(mask[1 : size + 1], "big")
    header = b"%c%b%b" % (first, packet[1:number_offset], number.to_bytes(size, "big"))
    if largest >= 0:
        number = decode_packet_number(number, size, largest)
    try:
        payload = keys.aead.decrypt((keys.iv ^ number).to_bytes(12, "big"), packet[behind:], header)
    except InvalidTag:
        return ClearPacket(Protection.DECRYPTION_FAILURE, -1, first, b"")
    return _new(ClearPacket, (Protection.NONE, number, first, payload))


def open_with(key: bytes, nonce: bytes, header: bytes, sealed: bytes) -> bytes:
    """The clear payload of a packet of AEAD_AES_128_GCM, b"" if its tag does not fit; ``header`` without protection."""
    try:
        return AESGCM(key).decrypt(nonce, sealed, header)
    except InvalidTag:
        return b""


def open_initial(version: int, dcid: bytes, packet: bytes, number_offset: int, *, from_server: bool) -> ClearPacket:
    """``open_packet`` for a single Initial, its keys derived from the DCID of the first client Initial."""
    keys = initial_keys(version, dcid)
    if keys is None:
        return ClearPacket(Protection.DECRYPTION_FAILURE, -1, packet[0] if packet else 0, b"")
    return open_packet(packet, number_offset, keys.server if from_server else keys.client)


def decode_packet_number(truncated: int, size: int, largest: int) -> int:
    """The packet number closest to the one after ``largest`` that ends in these ``size`` bytes (RFC 9000 §A.3)."""
    expected = largest + 1
    window = 1 << (8 * size)
    candidate = (expected & -window) | truncated
    if candidate <= expected - window // 2 and candidate < (1 << 62) - window:
        return candidate + window
    if candidate > expected + window // 2 and candidate >= window:
        return candidate - window
    return candidate


def retry_tag(version: int, original_dcid: bytes, retry: bytes) -> bytes:
    """Integrity tag of a Retry packet given without its tag (RFC 9001 §5.8); empty if the key is not known."""
    known = version_of(version)
    if not known.retry_key:
        return b""
    pseudo_packet = b"%c%b%b" % (len(original_dcid), original_dcid, retry)
    return AESGCM(known.retry_key).encrypt(known.retry_nonce, b"", pseudo_packet)


def is_retry_intact(version: int, original_dcid: bytes, retry: bytes) -> bool | None:
    """Whether the tag of a whole Retry packet fits; None where the version's key is not known."""
    tag = retry_tag(version, original_dcid, retry[:-RETRY_TAG])
    return retry[-RETRY_TAG:] == tag if tag else None


def expand_label(label: str, length: int) -> bytes:
    """What HKDF-Expand-Label hashes for an output of at most 32 bytes (RFC 8446 §7.1, RFC 5869 §2.3)."""
    full = b"tls13 " + label.encode()
    return length.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0" + b"\x01"


_CLIENT_IN = expand_label("client in", 32)
_SERVER_IN = expand_label("server in", 32)


@functools.lru_cache(maxsize=256)
def _schedule(version: int) -> tuple[bytes, bytes, tuple[bytes, bytes, bytes]] | None:
    """Both padded forms of the salt, and the expand labels of key, IV and header protection key."""
    known = version_of(version)
    if not known.salt:
        return None
    salt = known.salt.ljust(_SHA256_BLOCK, b"\0")
    key, iv, hp = known.labels
    labels = expand_label(key, 16), expand_label(iv, 12), expand_label(hp, 16)
    return salt.translate(_INNER), salt.translate(_OUTER), labels


def _hmac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 with a key of 32 bytes."""
    inner = sha256(key.translate(_INNER) + _INNER_REST + message).digest()
    return sha256(key.translate(_OUTER) + _OUTER_REST + inner).digest()


def _keys(secret: bytes, labels: tuple[bytes, bytes, bytes]) -> Keys:
    """AEAD_AES_128_GCM keys of one direction from its secret of 32 bytes."""
    inner = secret.translate(_INNER) + _INNER_REST
    outer = secret.translate(_OUTER) + _OUTER_REST
    for_key, for_iv, for_hp = labels
    key = sha256(outer + sha256(inner + for_key).digest()).digest()
    iv = sha256(outer + sha256(inner + for_iv).digest()).digest()
    hp = sha256(outer + sha256(inner + for_hp).digest()).digest()
    mask = Cipher(AES128(hp[:16]), _ECB).encryptor().update
    return _new(Keys, (AESGCM(key[:16]), int.from_bytes(iv[:12], "big"), mask))
