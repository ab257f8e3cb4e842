"""Packets made by hand or read from captures, as batches, scans and files: what tests put into the rooms."""

from __future__ import annotations

import ipaddress
import itertools
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analyzer.capture.records import Batch, Records, part
from analyzer.capture.source import open_captures
from analyzer.events.scan import Scan, scan

ETHERNET, RAW_IP = 1, 101
START = 1_700_000_000_000_000_000
MS = 1_000_000
SECOND = 1_000_000_000


class Captured(NamedTuple):
    """One record to be: its bytes, its time (ns), its length on the wire (-1: all of it was captured)."""

    raw: bytes
    time: int = START
    wire: int = -1
    link_type: int = RAW_IP
    capture: int = 0

    @property
    def original_length(self) -> int:
        return len(self.raw) if self.wire < 0 else self.wire


def batch_of(captured: Sequence[Captured], *, between: bytes = b"", first_number: int = 1) -> Batch:
    """A batch whose records are parted by the bytes ``between``, which no reader may look at."""
    buffer, offsets = bytearray(between), []
    for one in captured:
        offsets.append(len(buffer))
        buffer += one.raw + between
    numbers = range(first_number, first_number + len(captured))
    columns = (
        offsets,
        [len(one.raw) for one in captured],
        [one.original_length for one in captured],
        [one.time for one in captured],
        [one.link_type for one in captured],
        [0] * len(captured),
        [one.capture for one in captured],
        list(numbers),
        [24 + 16 * (number - 1) for number in numbers],
    )
    records = Records(*(np.array(column, np.int64) for column in columns))
    return Batch(np.frombuffer(bytearray(buffer), np.uint8), records)


def scan_of(captured: Sequence[Captured], *, compiled: bool = False) -> Scan:
    """The scan of some packets, not settled."""
    captures = 1 + max((one.capture for one in captured), default=0)
    return scan([batch_of(captured)], captures, compiled=compiled)


def copied(batch: Batch) -> Batch:
    """The batch in memory of its own: readers use theirs again."""
    return Batch(batch.buffer.copy(), Records(*(column.copy() for column in batch.records)))


def batches_of(path: Path) -> list[Batch]:
    """All batches of a capture file."""
    return [copied(batch) for batch in open_captures([str(path)]).batches(compiled=False)]


def joined(batches: Iterable[Batch]) -> Batch:
    """One batch with the records of several."""
    parts = list(batches)
    bases = np.cumsum([0, *(len(batch.buffer) for batch in parts)])
    columns = [np.concatenate(column) for column in zip(*(batch.records for batch in parts), strict=True)]
    columns[0] = np.concatenate([batch.records.offset + base for batch, base in zip(parts, bases, strict=False)])
    return Batch(np.concatenate([batch.buffer for batch in parts]), Records(*columns))


def pieces_of(batch: Batch, cuts: Sequence[int]) -> list[Batch]:
    """The batch cut before the records with these indices."""
    edges = [0, *cuts, len(batch.records.time)]
    return [Batch(batch.buffer, part(batch.records, a, b)) for a, b in itertools.pairwise(edges)]


def captured_of(batch: Batch) -> list[Captured]:
    """The records of a batch as values."""
    r = batch.records
    columns = (r.offset, r.captured_length, r.original_length, r.time, r.link_type, r.capture)
    return [
        Captured(batch.buffer[offset : offset + length].tobytes(), time, wire, link_type, capture)
        for offset, length, wire, time, link_type, capture in zip(*(c.tolist() for c in columns), strict=True)
    ]


def write_pcap(path: Path, captured: Sequence[Captured], *, snaplen: int = 262144) -> Path:
    """A pcap file (little endian, ns) of packets of one link type."""
    link_type = captured[0].link_type if captured else ETHERNET
    assert all(one.link_type == link_type for one in captured)
    out = bytearray(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snaplen, link_type))
    for one in captured:
        seconds, fraction = divmod(one.time, SECOND)
        out += struct.pack("<IIII", seconds, fraction, len(one.raw), one.original_length) + one.raw
    path.write_bytes(bytes(out))
    return path


def _checksum(summed: bytes) -> bytes:
    """RFC 1071, of the pseudo-header and what follows it."""
    padded = summed + b"\0" * (len(summed) % 2)
    total = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", (total ^ 0xFFFF) or 0xFFFF)


def ip(
    source: str, destination: str, protocol: int, body: bytes, *, ident: int = 0, ttl: int = 64, fragment: int = 0
) -> bytes:
    """An IP packet of the family of its addresses, without options; the IPv4 header checksum is left 0.

    A UDP or TCP checksum that is 0 is filled in. ``fragment`` are the flags and the fragment offset of IPv4.
    """
    ends = b"".join(ipaddress.ip_address(address).packed for address in (source, destination))
    at, least = {17: (6, 8), 6: (16, 20)}.get(protocol, (0, 0))
    if at and not fragment and len(body) >= least and body[at : at + 2] == b"\0\0":
        body = body[:at] + _checksum(ends + struct.pack(">II", protocol, len(body)) + body) + body[at + 2 :]
    if len(ends) == 32:
        return struct.pack(">IHBB", 0x60000000, len(body), protocol, ttl) + ends + body
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), ident, fragment, ttl, protocol, 0) + ends + body


def udp(ports: tuple[int, int], payload: bytes = b"") -> bytes:
    """A UDP datagram; ``ip`` fills in its checksum."""
    return struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload


def tcp(
    ports: tuple[int, int], flags: int, payload: bytes = b"", *, seq: int = 0, ack: int = 0, window: int = 65000
) -> bytes:
    """A TCP segment without options; ``ip`` fills in its checksum."""
    return struct.pack(">HHIIBBHHH", *ports, seq, ack, 0x50, flags, window, 0, 0) + payload
