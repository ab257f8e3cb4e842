"""Captures made byte by byte, and readers of them small enough to be checked by eye."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import lz4.frame
import zstandard

from analyzer.capture.records import Batch
from analyzer.capture.source import CaptureSet, open_captures

START = 1_700_000_000_123_456_000


class Packet(NamedTuple):
    """What goes into a capture: time in ns, the captured bytes, how many there were on the wire."""

    time: int
    captured: bytes
    original_length: int


class Row(NamedTuple):
    """What should come out: one record of all columns, with its bytes in place of their offset."""

    captured: bytes
    original_length: int
    time: int
    link_type: int
    interface: int
    capture: int
    number: int
    position: int


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".lz4": lz4.frame.compress,
    ".xz": lzma.compress,
}


class Trickle(io.BytesIO):
    """A pipe: bytes that come in pieces of at most ``piece``."""

    def __init__(self, written: bytes, piece: int = 1 << 20) -> None:
        super().__init__(written)
        self.piece = piece

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        return super().readinto(into[: self.piece])


def packets(count: int, *, step: int = 1_000_000) -> list[Packet]:
    """Packets of unlike lengths, some captured only in part, ``step`` ns apart."""
    made = []
    for i in range(count):
        captured = bytes((i * 7 + j) % 256 for j in range(i * 13 % 90))
        made.append(Packet(START + i * step, captured, len(captured) + (40 if i % 5 == 0 else 0)))
    return made


def pcap(made: Sequence[Packet], *, order: str = "<", nanoseconds: bool = False, link_type: int = 1) -> bytes:
    """A pcap file; times are cut to what it can hold."""
    magic, tick = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)]
    for packet in made:
        seconds, rest = divmod(packet.time, 10**9)
        header = struct.pack(order + "IIII", seconds, rest // tick, len(packet.captured), packet.original_length)
        parts.append(header + packet.captured)
    return b"".join(parts)


def read_pcap(written: bytes) -> Iterator[Row]:
    """Every whole record of a pcap file."""
    order = "<" if written[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    (magic,) = struct.unpack_from(order + "I", written)
    (link_type,) = struct.unpack_from(order + "I", written, 20)
    tick = 1 if magic == 0xA1B23C4D else 1000
    at, number = 24, 1
    while at + 16 <= len(written):
        seconds, rest, length, original = struct.unpack_from(order + "IIII", written, at)
        if at + 16 + length > len(written):
            return
        captured = written[at + 16 : at + 16 + length]
        yield Row(captured, original, seconds * 10**9 + rest * tick, link_type, 0, 0, number, at)
        at, number = at + 16 + length, number + 1


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block; the body is padded."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """One option, padded."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<", options: bytes = b"") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + options, order)


def interface(order: str = "<", options: bytes = b"", *, link_type: int = 1, snaplen: int = 0) -> bytes:
    return block(1, struct.pack(order + "HHI", link_type, 0, snaplen) + options, order)


def enhanced(packet: Packet, order: str = "<", options: bytes = b"", *, number: int = 0, tick: int = 1000) -> bytes:
    """An EPB of an interface that counts ticks of ``tick`` ns."""
    ticks = packet.time // tick
    head = struct.pack(
        order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet.captured), packet.original_length
    )
    return block(6, head + packet.captured + bytes(-len(packet.captured) % 4) + options, order)


def obsolete(packet: Packet, order: str = "<", *, number: int = 0, drops: int = 0) -> bytes:
    """A PB of an interface that counts microseconds."""
    ticks = packet.time // 1000
    lengths = (len(packet.captured), packet.original_length)
    head = struct.pack(order + "HHIIII", number, drops, ticks >> 32, ticks & 0xFFFFFFFF, *lengths)
    return block(2, head + packet.captured, order)


def simple(packet: Packet, order: str = "<") -> bytes:
    """An SPB."""
    return block(3, struct.pack(order + "I", packet.original_length) + packet.captured, order)


def read_pcapng(written: bytes) -> Iterator[Row]:
    """Every EPB, PB and SPB of a pcapng file without damage whose interfaces count microseconds."""
    at, number, order, known, first = 0, 1, "<", [], 0
    while at + 12 <= len(written):
        (kind,) = struct.unpack_from(order + "I", written, at)
        if kind == 0x0A0D0D0A:
            order = "<" if written[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            first = len(known)
        (length,) = struct.unpack_from(order + "I", written, at + 4)
        body = written[at + 8 : at + length - 4]
        if kind == 1:
            known.append(struct.unpack_from(order + "HHI", body))
        if kind in (2, 6):
            which, high, low, captured, original = struct.unpack_from(order + "IIIII", body)
            if kind == 2:
                (which,) = struct.unpack_from(order + "H", body)
            place, time = first + which, (high * 2**32 + low) * 1000
            yield Row(body[20 : 20 + captured], original, time, known[place][0], place, 0, number, at)
        if kind == 3:
            (original,) = struct.unpack_from(order + "I", body)
            snaplen = known[first][2] or original
            captured = body[4 : 4 + min(original, snaplen)]
            yield Row(captured, original, -1, known[first][0], first, 0, number, at)
        number += kind in (2, 3, 6, 9, 0xBAD, 0x40000BAD, 0x204, 0x216, 0x221)
        at += length


def rows(batches: Iterable[Batch]) -> list[Row]:
    """All records of all batches, in the order in which they come."""
    found = []
    for batch in batches:
        columns = [column.tolist() for column in batch.records]
        assert len({len(column) for column in columns}) == 1
        for offset, length, *others in zip(*columns, strict=True):
            found.append(Row(batch.buffer[offset : offset + length].tobytes(), *others))
    return found


def read(*paths: Path, compiled: bool = False, block_bytes: int = 4 << 20) -> tuple[list[Row], CaptureSet]:
    """The records of files that must all be readable, and what is known of these."""
    captures = open_captures([str(path) for path in paths], block_bytes=block_bytes)
    assert captures.failures == []
    return rows(captures.batches(compiled)), captures
