"""Sealing; that what is sealed can be opened is in test_protection."""

from __future__ import annotations

import pytest

from analyzer.wire.quic.protection import initial_keys, open_packet
from analyzer.wire.quic.seal import InitialHeader, initial_header, seal_packet, write_varint


@pytest.mark.parametrize(
    ("value", "size", "wire"),
    [(37, 0, "25"), (37, 2, "4025"), (15293, 0, "7bbd"), (494878333, 0, "9d7f3e7d"), (63, 0, "3f"), (64, 0, "4040")],
)
def test_varints(value: int, size: int, wire: str) -> None:
    assert write_varint(value, size).hex() == wire


def test_the_clear_header_of_rfc_9001() -> None:
    fields = InitialHeader(1, bytes.fromhex("8394c8f03e515708"), b"", b"", 2, 4)
    assert initial_header(fields, 1162).hex() == "c300000001088394c8f03e5157080000449e00000002"
    v2 = fields._replace(version=0x6B3343CF)
    assert initial_header(v2, 1162).hex() == "d36b3343cf088394c8f03e5157080000449e00000002"


def test_a_short_header_hides_five_bits() -> None:
    keys = initial_keys(1, b"any")
    assert keys is not None
    packet = seal_packet(b"\x41dcid\x01\x02", bytes(30), keys.server, packet_number=0x30102)
    clear = open_packet(packet, 5, keys.server, largest=0x300FF)
    assert (clear.first_byte, clear.packet_number, clear.payload) == (0x41, 0x30102, bytes(30))
