"""The key of an anonymisation: 32 bytes, and the bytes that it makes of others.

The same key makes the same replacements, so that several reports of one incident fit together. Whoever has the key can
undo the mapping of addresses and names; it is never written anywhere.
"""

from __future__ import annotations

import secrets
from hashlib import shake_256
from pathlib import Path

from analyzer.errors import UsageError

#: As Crypto-PAn has it: 16 bytes of AES key, 16 of which the padding is made.
KEY_LENGTH = 32


class Key:
    """A key of ``KEY_LENGTH`` bytes; raises UsageError for another length."""

    __slots__ = ("octets",)

    def __init__(self, octets: bytes) -> None:
        if len(octets) != KEY_LENGTH:
            raise UsageError(f"a key for --anonymize has {KEY_LENGTH} bytes, not {len(octets)}")
        self.octets = octets

    def bytes_for(self, purpose: bytes, content: bytes, length: int) -> bytes:
        """``length`` bytes that look random and are the same for the same purpose and content."""
        return shake_256(self.octets + bytes([len(purpose)]) + purpose + content).digest(length)


def new_key() -> Key:
    """A key from the system's random source."""
    return Key(secrets.token_bytes(KEY_LENGTH))


def read_key(path: Path) -> Key:
    """The key in a file: 32 bytes, or 64 hexadecimal digits. Raises UsageError for any other content."""
    try:
        with path.open("rb") as file:
            content = file.read(4096)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from error
    if len(content) != KEY_LENGTH:
        try:
            content = bytes.fromhex(content.decode("ascii"))
        except ValueError:
            content = b""
    if len(content) != KEY_LENGTH:
        raise UsageError(f"{path}: a key has {KEY_LENGTH} bytes or {2 * KEY_LENGTH} hexadecimal digits")
    return Key(content)
