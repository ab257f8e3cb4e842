"""UDP datagrams of the recorded captures (classic pcap, little endian, Ethernet), without the code under test."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CAPTURES = Path(__file__).resolve().parents[3] / "captures"


class Datagram(NamedTuple):
    """One UDP datagram; ``record`` counts from 1."""

    record: int
    source: tuple[bytes, int]
    destination: tuple[bytes, int]
    payload: bytes


def frames(name: str) -> Iterator[tuple[int, bytes]]:
    """Record numbers and frames of a capture."""
    raw = (CAPTURES / name).read_bytes()
    at, number = 24, 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at + 8)
        number += 1
        yield number, raw[at + 16 : at + 16 + length]
        at += 16 + length


def datagrams(name: str) -> Iterator[Datagram]:
    """UDP datagrams over IPv4 without options and IPv6 without extension headers."""
    for number, frame in frames(name):
        kind, ip = frame[12:14], frame[14:]
        if kind == b"\x08\x00" and ip[9] == 17:
            source, destination, udp = ip[12:16], ip[16:20], ip[20 : int.from_bytes(ip[2:4], "big")]
        elif kind == b"\x86\xdd" and ip[6] == 17:
            source, destination, udp = ip[8:24], ip[24:40], ip[40 : 40 + int.from_bytes(ip[4:6], "big")]
        else:
            continue
        from_port, to_port = struct.unpack_from(">HH", udp)
        yield Datagram(number, (source, from_port), (destination, to_port), udp[8:])
