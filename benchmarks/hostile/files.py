"""Files that claim more than they hold, or hold more than they seem to."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.hostile.making import CLIENT, RAW_IP, SERVER, START_S, ip4, pcap, udp


def giant_lengths(path: Path, size: int) -> None:
    """A record that claims 4 GB, behind ``size`` sound ones."""
    pcap(path, [ip4(CLIENT, SERVER, 17, udp((1024, 443), b"x" * 40))] * size)
    with path.open("ab") as file:
        file.write(struct.pack("<IIII", START_S, 0, 0xFFFFFFF0, 0xFFFFFFF0))


def zero_records(path: Path, size: int) -> None:
    """``size`` records of no bytes."""
    pcap(path, [])
    with path.open("ab") as file:
        block = struct.pack("<IIII", START_S, 0, 0, 0) * 65536
        for at in range(0, size, 65536):
            file.write(block[: 16 * min(65536, size - at)])


def _bomb(path: Path, size: int, compress: Callable[[Iterator[bytes]], Iterator[bytes]]) -> None:
    """A compressed capture of ``size`` MB of records of no bytes."""

    def plain() -> Iterator[bytes]:
        yield struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, RAW_IP)
        block = struct.pack("<IIII", START_S, 0, 0, 0) * 65536
        for _ in range(size):
            yield block

    with path.open("wb") as file:
        for piece in compress(plain()):
            file.write(piece)


def bomb_gz(path: Path, size: int) -> None:
    """gzip, 1,000 to 1."""

    def compress(pieces: Iterator[bytes]) -> Iterator[bytes]:
        yield gzip.compress(next(pieces))
        packed = gzip.compress(next(pieces) * 16, 9)
        for _ in range(max(size // 16, 1)):
            yield packed

    _bomb(path, size, compress)


def bomb_gz_gz(path: Path, size: int) -> None:
    """gzip in gzip, 100,000 to 1 and more."""
    bomb_gz(path, size)
    path.write_bytes(gzip.compress(path.read_bytes(), 9))


def bomb_zst(path: Path, size: int) -> None:
    """Zstandard, 10,000 to 1 and more."""
    import zstandard

    def compress(pieces: Iterator[bytes]) -> Iterator[bytes]:
        packer = zstandard.ZstdCompressor(level=19).compressobj()
        for piece in pieces:
            yield packer.compress(piece)
        yield packer.flush()

    _bomb(path, size, compress)


def bomb_xz(path: Path, size: int) -> None:
    """xz, 7,000 to 1."""

    def compress(pieces: Iterator[bytes]) -> Iterator[bytes]:
        packer = lzma.LZMACompressor(preset=1)
        for piece in pieces:
            yield packer.compress(piece)
        yield packer.flush()

    _bomb(path, size, compress)


def bomb_lz4(path: Path, size: int) -> None:
    """LZ4, 250 to 1."""
    import lz4.frame

    def compress(pieces: Iterator[bytes]) -> Iterator[bytes]:
        packer = lz4.frame.LZ4FrameCompressor()
        yield packer.begin()
        for piece in pieces:
            yield packer.compress(piece)
        yield packer.flush()

    _bomb(path, size, compress)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


_SECTION = _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
_INTERFACE = _block(1, struct.pack("<HHI", RAW_IP, 0, 0))


def pcapng_options(path: Path, size: int) -> None:
    """``size`` packets, each with 4,000 comments and no end of options."""
    raw = ip4(CLIENT, SERVER, 17, udp((1024, 443), b"x" * 40))
    head = struct.pack("<IIIII", 0, 395810, 0, len(raw), len(raw)) + raw + bytes(-len(raw) % 4)
    comments = (struct.pack("<HH", 1, 4) + b"text") * 4000
    with path.open("wb") as file:
        file.write(_SECTION + _INTERFACE)
        for _ in range(size):
            file.write(_block(6, head + comments))


def pcapng_blocks(path: Path, size: int) -> None:
    """``size`` interfaces, host names, secrets and statistics in turn, a section for each thousand of them."""
    with path.open("wb") as file:
        for number in range(size):
            if number % 1000 == 0:
                file.write(_SECTION)
            name = struct.pack(">I", 0x0A000000 + number) + b"host%d.example\0" % number
            record = struct.pack("<HH", 1, len(name)) + name + bytes(-len(name) % 4)
            file.write(_INTERFACE + _block(4, record) + _block(0xA, struct.pack("<II", 0x544C534B, 4) + b"text"))
            file.write(_block(5, struct.pack("<III", 0, 0, 0)))
