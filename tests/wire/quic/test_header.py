"""The plain header readers; their equality with the kernel is in test_split."""

from __future__ import annotations

import pytest

from analyzer.wire.quic.header import (
    read_datagram,
    read_invariants,
    read_long_header,
    read_varint,
    read_versions,
)
from analyzer.wire.quic.split import SHORT, VERSION_NEGOTIATION, Flaw


@pytest.mark.parametrize(
    ("wire", "value"),
    [("c2197c5eff14e88c", 151288809941952652), ("9d7f3e7d", 494878333), ("7bbd", 15293), ("25", 37), ("4025", 37)],
)
def test_varints_of_rfc_9000_a_1(wire: str, value: int) -> None:
    b = bytes.fromhex(wire)
    assert read_varint(b, 0) == (value, len(b))
    assert read_varint(b"\xff" + b, 1, 1 + len(b)) == (value, 1 + len(b))
    assert read_varint(b + b, 0, len(b) - 1) == (-1, 0)


def test_version_negotiation() -> None:
    wire = bytes.fromhex("80 00000000 02aabb 03ccddee 00000001 6b3343cf 1a2a3a4a")
    packet = read_long_header(wire, 0, len(wire), len(wire))
    assert packet is not None
    assert (packet.kind, packet.dcid, packet.scid) == (VERSION_NEGOTIATION, b"\xaa\xbb", b"\xcc\xdd\xee")
    assert read_versions(wire, packet.payload_offset, packet.end) == [1, 0x6B3343CF, 0x1A2A3A4A]
    assert read_versions(wire, packet.payload_offset, packet.end - 1) == [1, 0x6B3343CF]


def test_the_invariants_of_any_version() -> None:
    wire = bytes.fromhex("c0 12345678 15" + "aa" * 21 + "ff" + "bb" * 255)
    invariants = read_invariants(wire, 0, len(wire))
    assert invariants == (0x12345678, b"\xaa" * 21, b"\xbb" * 255, len(wire))
    assert all(read_invariants(wire[:n], 0, n) is None for n in range(len(wire)))


def test_nibbles_of_q046() -> None:
    wire = bytes.fromhex("c3 51303436 50 0102030405060708 00000001") + bytes(30)
    packet = read_long_header(wire, 0, len(wire), len(wire))
    assert packet is not None
    assert (packet.dcid.hex(), packet.scid, packet.end) == ("0102030405060708", b"", len(wire))


def test_a_datagram_of_a_short_header_only() -> None:
    (packet,) = read_datagram(b"\x55" + bytes(40), 0, 41, 41)
    assert (packet.kind, packet.version, packet.end, packet.flaw) == (SHORT, -1, 41, Flaw.NONE)
    assert read_datagram(b"", 0, 0, 0) == []
