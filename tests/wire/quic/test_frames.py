"""Frames: each kind, every prefix, bytes conserved, nothing raised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.quic import frames as f
from analyzer.wire.quic.frames import FrameFlaw, message_in_front, read_frames
from tests.wire.quic import vectors

EXAMPLES: list[tuple[str, f.Frame]] = [
    ("000000", f.Padding(3)),
    ("01", f.Ping()),
    ("02 05 40c8 00 02", f.Ack(5, 200, ((3, 5),), ())),
    ("03 14 00 02 00 00 03 01 02 0a 0b 0c", f.Ack(20, 0, ((20, 20), (15, 18), (10, 12)), (10, 11, 12))),
    ("04 04 0a 4400", f.OtherFrame(4, 5)),
    ("06 4100 03 616263", f.Crypto(256, b"abc")),
    ("06 00 412c" + "61" * 300, f.Crypto(0, b"a" * 300)),
    ("06 05 00", f.Crypto(5, b"")),
    ("06 4040 4003 616263", f.Crypto(64, b"abc")),
    ("07 03 746f6b", f.NewToken(b"tok")),
    ("0a 04 02 6869", f.OtherFrame(0x0A, 5)),
    ("0e 04 05 02 6869", f.OtherFrame(0x0E, 6)),
    ("10 80100000", f.OtherFrame(0x10, 5)),
    ("18 01 00 04 aabbccdd" + "ee" * 16, f.NewConnectionId(1, 0, b"\xaa\xbb\xcc\xdd", b"\xee" * 16)),
    ("18 02 01 01 aa" + "ee" * 16, f.NewConnectionId(2, 1, b"\xaa", b"\xee" * 16)),
    ("1a 0102030405060708", f.OtherFrame(0x1A, 9)),
    ("1c 4178 06 03 626164", f.ConnectionClose(False, 0x178, 6, b"bad")),
    ("1d 4101 00", f.ConnectionClose(True, 0x101, -1, b"")),
    ("1e", f.OtherFrame(0x1E, 1)),
    ("31 02 6869", f.OtherFrame(0x31, 4)),
    ("4001", f.Ping()),
    ("4000", f.Padding(1)),
]
WIRE = [bytes.fromhex(text) for text, _ in EXAMPLES]
#: Frames that have no length run to the end of the packet.
TO_THE_END = [
    ("08 04 68656c6c6f", f.OtherFrame(0x08, 7)),
    ("09 04 6869", f.OtherFrame(0x09, 4)),
    ("30 6869", f.OtherFrame(0x30, 3)),
]


@pytest.mark.parametrize(("text", "frame"), EXAMPLES + TO_THE_END)
def test_each_kind(text: str, frame: f.Frame) -> None:
    payload = bytes.fromhex(text)
    assert read_frames(payload) == ([frame], FrameFlaw.NONE, len(payload))


def test_all_in_a_row() -> None:
    payload = b"".join(WIRE)
    assert read_frames(payload) == ([frame for _, frame in EXAMPLES], FrameFlaw.NONE, len(payload))


@pytest.mark.parametrize(("text", "frame"), EXAMPLES)
def test_every_prefix(text: str, frame: f.Frame) -> None:
    payload = bytes.fromhex(text)
    for n in range(1, len(payload)):
        frames, flaw, read = read_frames(b"\x01" + payload[:n])
        if isinstance(frame, f.Padding) and payload[0] == 0:
            assert (frames, flaw) == ([f.Ping(), f.Padding(n)], FrameFlaw.NONE)
        else:
            assert (frames, flaw, read) == ([f.Ping()], FrameFlaw.CUT, 1)


def test_the_client_initial_of_the_rfc() -> None:
    (crypto, padding), flaw, read = read_frames(vectors.CLIENT_PAYLOAD)
    assert crypto == f.Crypto(0, vectors.CLIENT_FRAMES[4:])
    assert (padding, flaw, read) == (f.Padding(917), FrameFlaw.NONE, 1162)


def test_the_server_initial_of_the_rfc() -> None:
    (ack, crypto), flaw, _ = read_frames(vectors.SERVER_PAYLOAD)
    assert ack == f.Ack(0, 0, ((0, 0),), ())
    assert isinstance(crypto, f.Crypto)
    assert (crypto.offset, len(crypto.piece), flaw) == (0, 90, FrameFlaw.NONE)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("21", FrameFlaw.UNKNOWN_TYPE),
        ("7fff", FrameFlaw.UNKNOWN_TYPE),
        ("ffffffffffffffff", FrameFlaw.UNKNOWN_TYPE),
        ("02 01 00 00 02", FrameFlaw.MALFORMED),  # acknowledges number -1
        ("02 05 00 01 00 04 00", FrameFlaw.MALFORMED),
        ("02 05 00 bfffffff 00", FrameFlaw.CUT),  # a billion ranges in no bytes
        ("06 00 bfffffff", FrameFlaw.CUT),
        ("18 01 00 00" + "ee" * 16, FrameFlaw.MALFORMED),
        ("18 01 00 15" + "ee" * 40, FrameFlaw.MALFORMED),
    ],
)
def test_what_cannot_be_read_ends_the_packet(text: str, flaw: FrameFlaw) -> None:
    payload = b"\0\x01" + bytes.fromhex(text)
    assert read_frames(payload) == ([f.Padding(1), f.Ping()], flaw, 2)


@given(
    st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(WIRE), max_size=8).map(b"".join)), st.binary(max_size=2)
)
def test_any_bytes_are_conserved(payload: bytes, tail: bytes) -> None:
    payload += tail
    frames, flaw, read = read_frames(payload)
    assert (read == len(payload)) == (flaw is FrameFlaw.NONE)
    assert read_frames(payload[:read])[:2] == (frames, FrameFlaw.NONE)


def test_a_message_that_the_first_frame_holds_whole() -> None:
    message = b"\x02\0\0\x03abc"
    for piece in (message, message + b"\x0b\0"):
        payload = bytes([6, 0, len(piece)]) + piece
        assert message_in_front(payload) == message
        assert message_in_front(payload + b"\0") == message
        assert [message_in_front(payload[:n]) for n in range(len(payload))] == [b""] * len(payload)
    assert message_in_front(b"\x06\0\x04\x0e\0\0\0") == b"\x0e\0\0\0"  # a message without a body
    for other in (b"\x06\x01\x07", b"\x07\0\x07", b"\x06\0\x06"):  # from elsewhere, no CRYPTO, goes on behind
        assert message_in_front(other + message) == b""
    assert message_in_front(b"\x06\0\x03\x02\0\0") == b""


def test_the_highest_range_may_begin_at_packet_number_0() -> None:
    assert read_frames(bytes.fromhex("02 01 00 00 01")) == ([f.Ack(1, 0, ((0, 1),), ())], FrameFlaw.NONE, 5)
    whole = bytes.fromhex("02 05 00 01 00 03 00")
    assert read_frames(whole) == ([f.Ack(5, 0, ((5, 5), (0, 0)), ())], FrameFlaw.NONE, len(whole))
    longest = f.NewConnectionId(1, 0, b"\xcc" * 20, b"\xee" * 16)
    assert read_frames(b"\x18\x01\0\x14" + b"\xcc" * 20 + b"\xee" * 16).frames == [longest]
