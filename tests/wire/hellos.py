"""ClientHellos made to order."""

from __future__ import annotations

from collections.abc import Sequence


def vector(size: int, content: bytes) -> bytes:
    """A vector with a length field of ``size`` bytes."""
    return len(content).to_bytes(size, "big") + content


def u16s(numbers: Sequence[int]) -> bytes:
    """16-bit numbers in network byte order."""
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def extension(kind: int, body: bytes) -> bytes:
    """One TLS extension."""
    return u16s([kind]) + vector(2, body)


def server_name(name: bytes) -> bytes:
    """The server_name extension."""
    return extension(0, vector(2, b"\0" + vector(2, name)))


def alpn(*names: bytes) -> bytes:
    """The ALPN extension."""
    return extension(16, vector(2, b"".join(vector(1, name) for name in names)))


def versions(*numbers: int) -> bytes:
    """The supported_versions extension of a client."""
    return extension(43, vector(1, u16s(numbers)))


def groups(*numbers: int) -> bytes:
    """The supported_groups extension."""
    return extension(10, vector(2, u16s(numbers)))


def signatures(*numbers: int) -> bytes:
    """The signature_algorithms extension."""
    return extension(13, vector(2, u16s(numbers)))


def key_shares(*shares: tuple[int, int]) -> bytes:
    """The key_share extension of a client: groups and how long their keys are."""
    return extension(51, vector(2, b"".join(u16s([group]) + vector(2, bytes(size)) for group, size in shares)))


def client_hello(ciphers: Sequence[int], *extensions: bytes, legacy: int = 0x0303, session: bytes = b"") -> bytes:
    """A handshake message; without extensions also without their length field."""
    body = u16s([legacy]) + bytes(range(32)) + vector(1, session) + vector(2, u16s(ciphers)) + b"\x01\0"
    if extensions:
        body += vector(2, b"".join(extensions))
    return b"\x01" + vector(3, body)
