"""gQUIC: the public header, the CHLO in clear and in a Q050 Initial, prefixes, anything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.quic.frames import Crypto, FrameFlaw, Padding, Ping
from analyzer.wire.quic.gquic import find_chlo, read_gquic_frames, read_public_header
from analyzer.wire.quic.header import read_long_header
from analyzer.wire.quic.protection import initial_keys, open_packet
from analyzer.wire.quic.seal import InitialHeader, seal_initial
from analyzer.wire.quic.split import INITIAL

TAGS = {b"PAD\0": b"-" * 40, b"SNI\0": b"www.example.org", b"VER\0": b"Q043", b"UAID": b"Chrome/71", b"PDMD": b""}
CID = bytes.fromhex("0102030405060708")


def chlo() -> bytes:
    entries, values = b"", b""
    for tag, value in TAGS.items():
        values += value
        entries += tag + len(values).to_bytes(4, "little")
    return b"CHLO" + len(TAGS).to_bytes(2, "little") + bytes(2) + entries + values


#: flags, CID, version, packet number 1, hash of 12 bytes, STREAM frame of stream 1 with a data length
Q043 = (
    b"\x09" + CID + b"Q043" + b"\x01" + bytes(12) + b"\xa0\x01" + len(chlo()).to_bytes(2, "big") + chlo() + bytes(900)
)


def test_a_public_header_with_a_chlo() -> None:
    header = read_public_header(b"?" + Q043, 1, len(Q043) + 1)
    assert header == (0x51303433, CID, 15)
    hello = find_chlo(Q043)
    assert hello is not None
    assert (hello.tags, hello.is_whole) == (TAGS, True)
    assert hello.server_name == "www.example.org"


def test_a_long_header_of_q046() -> None:
    packet = b"\xc3Q046\x50" + CID + b"\0\0\0\x01" + bytes(12) + b"\xa0\x01\0\xff" + chlo() + bytes(900)
    header = read_long_header(packet, 0, len(packet), len(packet))
    assert header is not None
    assert (header.kind, header.dcid, header.scid) == (INITIAL, CID, b"")
    hello = find_chlo(packet[header.payload_offset :])
    assert hello is not None
    assert hello.server_name == "www.example.org"


def test_an_initial_of_q050() -> None:
    keys = initial_keys(0x51303530, CID)
    assert keys is not None
    packet = seal_initial(InitialHeader(0x51303530, CID, b""), b"\x08\0\x40\xff" + chlo(), keys.client)
    hello = find_chlo(open_packet(packet, len(packet) - len(chlo()) - 4 - 16 - 1, keys.client).payload)
    assert hello is not None
    assert hello.server_name == "www.example.org"


def test_frames_of_t051() -> None:
    payload = b"\x07\x08\x41\x00\x03abc\0\0"
    whole = [Ping(), Crypto(256, b"abc"), Padding(2)]
    assert read_gquic_frames(payload) == (whole, FrameFlaw.NONE, 10)
    assert read_gquic_frames(payload + b"\x80") == (whole, FrameFlaw.UNKNOWN_TYPE, 10)
    for n in range(2, 8):
        assert read_gquic_frames(payload[:n]) == ([Ping()], FrameFlaw.CUT, 1)


def test_every_prefix() -> None:
    message = chlo()
    for n in range(len(message)):
        hello = find_chlo(message[:n])
        assert (hello is None) == (n < 16)
        if hello is not None:
            assert not hello.is_whole
            assert list(hello.tags.items()) == list(TAGS.items())[: len(hello.tags)]
    assert all(read_public_header(Q043[:n], 0, n) is None for n in range(14))


def test_what_is_no_public_header() -> None:
    for wrong in (b"\x08" + Q043[1:], b"\x0b" + Q043[1:], b"\x49" + Q043[1:], Q043.replace(b"Q043", b"QABC", 1)):
        assert read_public_header(wrong, 0, len(wrong)) is None
    assert read_public_header(b"\x39" + CID + b"Q0431", 0, 14) is None
    assert find_chlo(b"CHLO" + bytes(30)) is None
    assert find_chlo(b"nothing") is None


@given(st.binary(max_size=80))
def test_any_bytes(b: bytes) -> None:
    find_chlo(b"CHLO" + b)
    find_chlo(b"CHLO\x02\0\0\0" + b)
    read_public_header(b"\x09" + b, 0, len(b) + 1)
    read_gquic_frames(b"\x08" + b)
