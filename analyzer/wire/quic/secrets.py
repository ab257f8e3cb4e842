"""Packet protection keys from the secrets of a key log: Handshake and 1-RTT packets, and key updates.

    key, iv, hp = HKDF-Expand-Label(secret, labels of the version)                     RFC 9001 §5.1
    next secret = HKDF-Expand-Label(secret, "quic ku"), hp stays                       RFC 9001 §6.1
    mask        = AES-ECB(hp, sample), or ChaCha20(hp, counter and nonce in sample)    RFC 9001 §5.4.3, §5.4.4

Cipher suites: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305 (RFC 8446 §B.4); versions 1 and 2 by their labels.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES, ChaCha20
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from analyzer.wire.quic.protection import Keys
from analyzer.wire.quic.versions import V2, version_of

AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305 = 0x1301, 0x1302, 0x1303

_KEY_LENGTHS = {AES_128_GCM: 16, AES_256_GCM: 32, CHACHA20_POLY1305: 32}


def keys_of_secret(version: int, suite: int, secret: bytes) -> Keys | None:
    """Keys of one direction; None for a cipher suite or version that is not known, or a secret of another length."""
    if version < 0:
        return None
    known = version_of(version)
    if not known.salt:
        return None
    key_label, iv_label, hp_label = known.labels
    sealing = sealing_of_secret(suite, secret, key_label, iv_label)
    if sealing is None:
        return None
    aead, iv = sealing
    hp = expand_label(suite, secret, hp_label, _KEY_LENGTHS[suite])
    if suite == CHACHA20_POLY1305:
        return Keys(aead, iv, lambda sample: _chacha_mask(hp, sample))
    return Keys(aead, iv, Cipher(AES(hp), ECB()).encryptor().update)


def sealing_of_secret(
    suite: int, secret: bytes, key_label: str, iv_label: str
) -> tuple[AESGCM | ChaCha20Poly1305, int] | None:
    """AEAD and IV; None for a cipher suite that is not known, or a secret of another length."""
    if suite not in _KEY_LENGTHS or len(secret) != _hash(suite).digest_size:
        return None
    key = expand_label(suite, secret, key_label, _KEY_LENGTHS[suite])
    aead = ChaCha20Poly1305(key) if suite == CHACHA20_POLY1305 else AESGCM(key)
    return aead, int.from_bytes(expand_label(suite, secret, iv_label, 12), "big")


def updated(version: int, suite: int, secret: bytes, keys: Keys) -> tuple[bytes, Keys] | None:
    """The secret and keys after one key update; header protection stays (RFC 9001 §6.1)."""
    label = "quicv2 ku" if version == V2 else "quic ku"
    following = expand_label(suite, secret, label, len(secret))
    fresh = keys_of_secret(version, suite, following)
    return None if fresh is None else (following, fresh._replace(mask=keys.mask))


def expand_label(suite: int, secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 §7.1)."""
    full = b"tls13 " + label.encode()
    info = length.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
    return HKDFExpand(_hash(suite), length, info).derive(secret)


def _hash(suite: int) -> HashAlgorithm:
    return SHA384() if suite == AES_256_GCM else SHA256()


def _chacha_mask(hp: bytes, sample: bytes) -> bytes:
    """RFC 9001 §5.4.4: the first 4 bytes of the sample are the block counter, the other 12 the nonce."""
    return Cipher(ChaCha20(hp, sample), mode=None).encryptor().update(bytes(5))
