"""Packets and pcap files, as cheap to make as they can be: no checksums."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

START_S = 1_700_000_000
ETHERNET, RAW_IP = 1, 101
CLIENT, SERVER = b"\xc0\x00\x02\x01", b"\xc6\x33\x64\x50"
CLIENT_6, SERVER_6 = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01", b"\x20\x01\x0d\xb8" + bytes(11) + b"\x50"


def ip4(source: bytes, destination: bytes, protocol: int, body: bytes, *, ident: int = 0, fragment: int = 0) -> bytes:
    """An IPv4 packet without options and checksum."""
    return (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), ident, fragment, 64, protocol, 0)
        + source
        + destination
        + body
    )


def ip6(source: bytes, destination: bytes, following: int, body: bytes) -> bytes:
    """An IPv6 packet."""
    return struct.pack(">IHBB", 0x60000000, len(body), following, 64) + source + destination + body


def udp(ports: tuple[int, int], payload: bytes) -> bytes:
    """A UDP datagram without a checksum."""
    return struct.pack(">HHHH", *ports, min(8 + len(payload), 0xFFFF), 0) + payload


def tcp(ports: tuple[int, int], flags: int, payload: bytes = b"", *, seq: int = 0, ack: int = 0) -> bytes:
    """A TCP segment without options and checksum."""
    return struct.pack(">HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack, 0x50, flags, 65000, 0, 0) + payload


def pcap(path: Path, packets: Iterable[bytes], *, count: int = 1000, link_type: int = RAW_IP) -> None:
    """A pcap file of about ``count`` packets, a millisecond apart, or less where they would take over an hour."""
    step = min(1000, max(3_600_000_000 // max(count, 1), 1))
    with path.open("wb", buffering=1 << 20) as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link_type))
        for number, raw in enumerate(packets):
            seconds, micros = divmod(number * step, 1_000_000)
            file.write(struct.pack("<IIII", START_S + seconds, micros, len(raw), len(raw)) + raw)


def address(number: int) -> bytes:
    return struct.pack(">I", 0x0A000000 + number)
