"""What is taken for QUIC by its bytes alone, and what only resembles it."""

from __future__ import annotations

import pytest

from analyzer.wire.quic.split import HANDSHAKE, INITIAL, OTHER_LONG
from analyzer.wire.quic.summary import SHORT_BIT, datagram_kinds, quic_kinds


def long_header(version: int, dcid: int, scid: int, size: int, *, first: int = 0xC3) -> bytes:
    ids = bytes([dcid, *range(dcid), scid, *range(scid)])
    return (bytes([first]) + version.to_bytes(4, "big") + ids).ljust(size, b"\x01")


def kinds(datagram: bytes, *, at_443: bool = False) -> int:
    return datagram_kinds(datagram, 0, len(datagram), len(datagram), at_443)


OTHER = 1 << OTHER_LONG


@pytest.mark.parametrize("version", [0x1A2A3A4A, 0x12345678])
def test_an_unknown_version(version: int) -> None:
    first = long_header(version, 8, 0, 1200)
    assert kinds(first) == kinds(first, at_443=True) == OTHER
    assert kinds(first[:1199]) == 0
    assert kinds(first[:60], at_443=True) == OTHER
    answer = long_header(version, 0, 8, 1200)
    assert (kinds(answer), kinds(answer, at_443=True)) == (0, OTHER)
    for dcid, scid in ((7, 7), (21, 8), (8, 21), (64, 0)):
        assert kinds(long_header(version, dcid, scid, 1200), at_443=True) == 0


def test_a_known_version_needs_no_port_and_no_size() -> None:
    short_initial = long_header(1, 0, 4, 11) + b"\0\x15" + bytes(21)
    assert kinds(short_initial) == 1 << INITIAL
    handshake = long_header(1, 0, 4, 11, first=0xE3) + b"\x15" + bytes(21)
    assert kinds(short_initial + handshake + b"\x40") == 1 << INITIAL | 1 << HANDSHAKE | SHORT_BIT
    assert quic_kinds(b"", 0, 0) == kinds(b"") == kinds(b"\x40" + bytes(1300)) == 0


def test_protocols_that_have_bytes_in_these_places() -> None:
    rdp_syn = bytes.fromhex("ffffffff00401801 0b127f1504d004d07855d064fbaf43f0b6e8f8aadfad".replace(" ", "")).ljust(
        1232, b"\0"
    )
    dns_answer = bytes.fromhex("d43f81800001000400000001087765626572").ljust(1702, b"e")
    for packet in (rdp_syn, dns_answer):
        assert kinds(packet) == 0
    assert kinds(dns_answer[:45], at_443=True) == 0
