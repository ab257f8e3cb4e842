"""Protected records of TLS 1.3 opened with the secret of one direction (RFC 8446 §5.2, §7.3).

    record          | 23 | 03 03 | length (16) | sealed: content, its type (8), zeros; tag |
    key, iv         = HKDF-Expand-Label(secret, "key"), HKDF-Expand-Label(secret, "iv")
    nonce           = iv XOR number of the record; associated data = the record's first 5 bytes

Cipher suites: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305. A record whose tag does not fit gives nothing.

Not read here: TLS 1.2, whose keys are derived otherwise; key updates.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from analyzer.wire.quic.secrets import sealing_of_secret

_HEADER = 5
_TAG = 16


class Clear(NamedTuple):
    """The content of a record and its type, a number of ``wire.tls``."""

    kind: int
    content: bytes


class RecordKey:
    """The key of one direction in one phase, and how many records it opened."""

    def __init__(self, aead: AESGCM | ChaCha20Poly1305, iv: int) -> None:
        self._aead, self._iv, self._number = aead, iv, 0

    def open(self, record: bytes) -> Clear | None:
        """The next record, its header included; None if this key does not open it."""
        if len(record) < _HEADER + _TAG + 1:
            return None
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        try:
            clear = self._aead.decrypt(nonce, record[_HEADER:], record[:_HEADER]).rstrip(b"\0")
        except InvalidTag:
            return None
        self._number += 1
        return Clear(clear[-1], clear[:-1]) if clear else None


def key_of_secret(suite: int, secret: bytes) -> RecordKey | None:
    """The key that a secret gives; None for a cipher suite that is not known, or a secret of another length."""
    sealing = sealing_of_secret(suite, secret, "key", "iv")
    return RecordKey(*sealing) if sealing is not None else None
