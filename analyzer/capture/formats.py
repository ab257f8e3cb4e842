"""Streams of bytes from files and standard input, decompressed by what they begin with.

gzip, Zstandard, LZ4 and xz are told by their magic bytes, never by the file's name; one inside the other is
unpacked up to ``NESTED`` times. Compressed bytes are handed to the libraries in pieces of ``piece_bytes``, so
that the most that one step can give stays bounded by the formats themselves (Zstandard: 128 KiB from 4 bytes).
The first pieces are smaller: a piece in which the data turns out to be damaged gives nothing, and a small file
should not be lost for a wrong checksum at its end.
"""

from __future__ import annotations

import lzma
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from analyzer.capture.records import clean_text

#: Compressed bytes per step: at first, and at most.
FIRST_PIECE_BYTES = 16
PIECE_BYTES = 1024
#: Of gzip, whose bytes give 1,032 each at most: 4 MB.
GZIP_PIECE_BYTES = 4096

#: Compressions inside one another that are unpacked.
NESTED = 3

#: A decompressor that wants more memory for its window is refused (bytes); zstd --ultra -22 and xz -9 want less.
WINDOW_BYTES = 128 << 20

#: A file that gives more than ``LEAST_GIVEN`` bytes, and ``MOST_RATIO`` for each of its own, was made to eat the
#: machine: captures of one packet again and again shrink to a fiftieth.
LEAST_GIVEN = 1 << 30
MOST_RATIO = 250

_INPUT_BYTES = 256 << 10


class ByteStream(ABC):
    """Bytes in order. ``damage`` says in words why they ended early, or is empty."""

    def __init__(self) -> None:
        self.damage = ""
        self._head = memoryview(b"")

    def peek(self, count: int) -> bytes:
        """The next ``count`` bytes, or fewer at the end; they are read again later."""
        have = len(self._head)
        if have < count:
            head = memoryview(bytearray(count))
            head[:have] = self._head
            while have < count:
                got = self._take(head[have:])
                if not got:
                    break
                have += got
            self._head = head[:have]
        return bytes(self._head[:count])

    def readinto(self, into: memoryview) -> int:
        """Fill some of ``into`` (at least one byte); 0 at the end."""
        if self._head:
            count = min(len(into), len(self._head))
            into[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        return self._take(into)

    @abstractmethod
    def _take(self, into: memoryview) -> int:
        """As ``readinto``, from where the bytes come from."""


class RawStream(ByteStream):
    """The bytes of a file or pipe as they are; ``taken`` counts them."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self.source = source
        self.taken = 0

    def _take(self, into: memoryview) -> int:
        try:
            count = int(self.source.readinto(into) or 0)  # type: ignore[attr-defined]
        except OSError as error:
            self.damage = f"reading failed after {self.taken:,} bytes ({error.strerror})"
            return 0
        self.taken += count
        return count


class Decompressor(Protocol):
    """What zlib, lzma, lz4 and zstandard have in common: one object per member or frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: memoryview, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Packing:
    """One compression: its name, what it begins with, and who unpacks it."""

    name: str
    suffix: str
    magics: tuple[bytes, ...]
    start: Callable[[], Decompressor]
    piece_bytes: int = PIECE_BYTES


def _start_gzip() -> Decompressor:
    return zlib.decompressobj(wbits=31)


def _start_xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=WINDOW_BYTES)


def _start_zstandard() -> Decompressor:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj()


def _start_lz4() -> Decompressor:
    import lz4.frame

    return lz4.frame.LZ4FrameDecompressor()  # type: ignore[no-any-return]


PACKINGS = (
    Packing("gzip", "gz", (b"\x1f\x8b",), _start_gzip, GZIP_PIECE_BYTES),
    Packing("xz", "xz", (b"\xfd7zXZ\x00",), _start_xz),
    # RFC 8878 §3.1.2: a skippable frame, magic 0x184D2A50 to 0x184D2A5F, may come first.
    Packing(
        "Zstandard",
        "zst",
        (b"\x28\xb5\x2f\xfd", *(bytes((0x50 + i, 0x2A, 0x4D, 0x18)) for i in range(16))),
        _start_zstandard,
    ),
    Packing("LZ4", "lz4", (b"\x04\x22\x4d\x18",), _start_lz4),
)


class UnpackedStream(ByteStream):
    """The decompressed bytes of another stream; several members or frames in a row are one stream."""

    def __init__(self, inner: ByteStream, packing: Packing) -> None:
        super().__init__()
        self.inner = inner
        self.packing = packing
        self.given = 0
        self._used = 0  # compressed bytes
        self._decompressor = packing.start()
        self._fresh = True  # the decompressor has not taken a byte yet
        self._first = True  # the first member
        self._input = memoryview(bytearray(_INPUT_BYTES))
        self._unread = self._input[:0]
        self._ready = memoryview(b"")
        self._file = inner  # the bytes as they are on disk
        while isinstance(self._file, UnpackedStream):
            self._file = self._file.inner

    def _take(self, into: memoryview) -> int:
        while not self._ready:
            if self.damage or not self._step():
                return 0
        count = min(len(into), len(self._ready))
        into[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        self.given += count
        return count

    def _step(self) -> bool:
        """Decompress one piece; False at the end, or where the data is damaged."""
        if not self._unread and not self._refill():
            return False
        if self._decompressor.eof:
            self._decompressor, self._fresh, self._first = self.packing.start(), True, False
        piece = self._unread[: min(FIRST_PIECE_BYTES + self._used // 16, self.packing.piece_bytes)]
        if self._fresh and not self._first and not piece.tobytes().strip(b"\x00"):
            self._unread = self._unread[len(piece) :]  # padding between or after members
            return True
        if self._fresh and not self._first:
            skipped = len(piece) - len(piece.tobytes().lstrip(b"\x00"))
            self._unread, piece = self._unread[skipped:], piece[skipped:]
        try:
            ready = self._decompressor.decompress(piece)
        except (zlib.error, lzma.LZMAError, RuntimeError, ValueError, EOFError, MemoryError) as error:
            self._say_damage(str(error))
            return False
        except Exception as error:
            if type(error).__name__ != "ZstdError":  # named without importing zstandard for other files
                raise
            self._say_damage(str(error))
            return False
        self._fresh = False
        left = len(self._decompressor.unused_data or b"") if self._decompressor.eof else 0
        self._unread = self._unread[len(piece) - left :]
        self._used += len(piece) - left
        self._ready = memoryview(ready)
        taken = self._file.taken if isinstance(self._file, RawStream) else self._used
        if self.given + len(ready) > max(LEAST_GIVEN, MOST_RATIO * taken):
            self.damage = (
                f"the {self.packing.name} data gives more than {LEAST_GIVEN:,} bytes and {MOST_RATIO} for each byte of "
                "the file: what follows was not read; unpack it first if it is sound"
            )
        return True

    def _refill(self) -> bool:
        count = self.inner.readinto(self._input)
        self._unread = self._input[:count]
        if not count:
            if self.inner.damage:
                self.damage = self.inner.damage
            elif not self._decompressor.eof and not self._fresh:
                self.damage = (
                    f"the {self.packing.name} data ends before its end mark: {self.given:,} bytes could be decompressed"
                )
        return count > 0

    def _say_damage(self, reason: str) -> None:
        name = self.packing.name
        if self._fresh and not self._first:
            self.damage = f"after the end of the {name} data, {self.given:,} bytes decompressed, other bytes follow"
        else:
            self.damage = f"the {name} data is damaged after {self.given:,} decompressed bytes ({clean_text(reason)})"


def unpacked(stream: ByteStream) -> tuple[ByteStream, str]:
    """The stream inside all compressions, and their suffixes, innermost first: ".gz", ".gz.xz", or ""."""
    suffixes = ""
    for _ in range(NESTED):
        head = stream.peek(16)
        packing = next((p for p in PACKINGS if head.startswith(p.magics)), None)
        if packing is None:
            break
        stream, suffixes = UnpackedStream(stream, packing), f".{packing.suffix}{suffixes}"
    return stream, suffixes


#: Formats that are told but not read: what they begin with, their name, and what to try.
_CONVERT = "convert it with: editcap -F pcapng IN OUT"
_UNPACK = "unpack it first"
KNOWN_OTHERS = (
    (b"\xa1\xb2\xcd\x34", "a pcap file as modified by Alexey Kuznetzov", _CONVERT),
    (b"\x34\xcd\xb2\xa1", "a pcap file as modified by Alexey Kuznetzov", _CONVERT),
    (b"\xa1\xe2\xcb\x12", "a pcap file as modified by Alexey Kuznetzov", _CONVERT),
    (b"\x12\xcb\xe2\xa1", "a pcap file as modified by Alexey Kuznetzov", _CONVERT),
    (b"\x1c\x00\x01\xac", "an IXIA pcap file", _CONVERT),
    (b"\xac\x01\x00\x1c", "an IXIA pcap file", _CONVERT),
    (b"snoop\x00\x00\x00", "a snoop file", _CONVERT),
    (b"btsnoop\x00", "a Bluetooth snoop file", "give a capture of an IP network"),
    (b"GMBU", "a Network Monitor file", _CONVERT),
    (b"RTSS", "a Network Monitor file", _CONVERT),
    (b"BZh", "bzip2 data", _UNPACK),
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"\x02\x21\x4c\x18", "LZ4 data in the legacy format", _UNPACK),
)


def describe_other(head: bytes) -> tuple[str, str]:
    """What a file that begins so and is no capture seems to be, and what to try."""
    from analyzer.packed import is_packed

    if is_packed(head):
        return "a saved scan, which commands do not read", "open it in Python with analyzer.open"
    for magic, name, advice in KNOWN_OTHERS:
        if head.startswith(magic):
            return f"{name}, which is not read", advice
    if head.startswith(tuple(magic for packing in PACKINGS for magic in packing.magics)):
        return f"compressed more than {NESTED} times", _UNPACK
    if all(32 <= c < 127 or c in b"\t\r\n" for c in head):
        return f'text that begins with "{clean_text(head[:16].decode())}"', "give the file that tcpdump -w wrote"
    return f"no capture format that is known (it begins with {head[:8].hex(' ')})", "check it with: capinfos FILE"
