"""Writing a copy of a message: every byte is replaced unless a reader that knows it says that it may stay."""

from __future__ import annotations

from analyzer.anonymize.addresses import Addresses
from analyzer.anonymize.key import Key
from analyzer.anonymize.names import Names


class Maps:
    """All mappings of one key."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.addresses = Addresses(key)
        self.names = Names(key)


class Edit:
    """The copy of ``b``, which begins as bytes that look random; what may stay or has a replacement is put in."""

    __slots__ = ("b", "copy", "maps")

    def __init__(self, b: bytes, maps: Maps) -> None:
        self.b = b
        self.maps = maps
        self.copy = bytearray(maps.key.bytes_for(b"rest", b, len(b)))

    def keep(self, start: int, end: int) -> None:
        """These bytes stay, as far as they are there."""
        end = min(end, len(self.b))
        if start < end:
            self.copy[start:end] = self.b[start:end]

    def put(self, start: int, replacement: bytes) -> None:
        """A replacement of the bytes from ``start`` on, cut where they are."""
        end = min(start + len(replacement), len(self.b))
        if start < end:
            self.copy[start:end] = replacement[: end - start]

    def replace(self, start: int, end: int, purpose: bytes) -> None:
        """Bytes that look random, the same wherever this content has this purpose: tokens, tickets, identities."""
        content = self.b[start : min(end, len(self.b))]
        self.put(start, self.maps.key.bytes_for(purpose, content, len(content)))

    def number(self, start: int, size: int) -> int:
        """A number in network byte order; -1 if it is not all there."""
        return int.from_bytes(self.b[start : start + size], "big") if start + size <= len(self.b) else -1

    def vector(self, start: int, size: int) -> tuple[int, int]:
        """Start and end of a vector's content, whose length field of ``size`` bytes stays; both the end of the bytes
        where that is cut, and never behind it."""
        length = self.number(start, size)
        if length < 0:
            return len(self.b), len(self.b)
        self.keep(start, start + size)
        return start + size, min(start + size + length, len(self.b))
