"""Splitting datagrams: equal to the plain reader, bytes conserved, nothing raised, interpreted like compiled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.wire.quic import split
from analyzer.wire.quic.header import QuicPacket, read_datagram
from analyzer.wire.quic.split import Datagrams, QuicPackets, quic_packets
from analyzer.wire.quic.versions import version_of

VERSIONS = [
    *(1, 0x6B3343CF, 0x709A50C4, 0xFF000016, 0xFF00001D, 0xFF000022, 0xFF000023, 0xFACEB001, 0xFACEB002),
    *(0x51303436, 0x51303530, 0x54303530, 0x54303531, 0, 0x1A2A3A4A, 0xFAFAFAFA, 0xABCD1234, 0x51303433),
]


def varint(value: int) -> bytes:
    for size, top in ((1, 0), (2, 1), (4, 2), (8, 3)):
        if value < 1 << (8 * size - 2):
            return (value | top << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError(value)


def long_packet(version: int, kind: int, *, dcid: bytes = b"\x01" * 8, scid: bytes = b"", token: bytes = b"") -> bytes:
    """A long header packet of 40 bytes of payload."""
    bits = {split.LAYOUT_V2: (kind + 1) & 3}.get(version_of(version).layout, kind)
    head = (
        bytes([0xC0 | bits << 4]) + version.to_bytes(4, "big") + bytes([len(dcid)]) + dcid + bytes([len(scid)]) + scid
    )
    if kind == split.RETRY:
        return head + token + bytes(16)
    return head + (varint(len(token)) + token if kind == split.INITIAL else b"") + varint(40) + b"\x5a" * 40


def batch(payloads: list[tuple[bytes, int]], gap: bytes) -> tuple[np.ndarray, Datagrams]:
    """The payloads with a gap between them in one buffer; each with the bytes that its capture cut off."""
    buffer, starts, ends, full = bytearray(gap), [], [], []
    for payload, cut_off in payloads:
        starts.append(len(buffer))
        buffer += payload
        ends.append(len(buffer))
        full.append(len(buffer) + cut_off)
        buffer += gap
    columns = (np.array(column, np.int64) for column in (starts, ends, full))
    return np.frombuffer(buffer, np.uint8), Datagrams(*columns)


def rows_of(packets: QuicPackets, buffer: bytes) -> list[tuple[int, QuicPacket]]:
    """The rows as the plain reader would give them."""
    rows = []
    for d, kind, version, first, do, dl, so, sl, to, tl, start, end, payload, flaw in zip(*packets, strict=True):
        cids = buffer[do : do + dl] if do >= 0 else b"", buffer[so : so + sl] if so >= 0 else b""
        token = buffer[to : to + tl] if to >= 0 else b""
        rows.append((d, QuicPacket(kind, version, first, *cids, token, start, end, payload, split.Flaw(flaw))))
    return rows


def check(payloads: list[tuple[bytes, int]], gap: bytes, compiled: bool) -> QuicPackets:
    buffer, datagrams = batch(payloads, gap)
    packets = quic_packets(buffer, datagrams, compiled=compiled)
    raw = buffer.tobytes()
    expected = [
        (d, packet)
        for d, (start, end, full) in enumerate(zip(*datagrams, strict=True))
        for packet in read_datagram(raw, int(start), int(end), int(full))
    ]
    assert rows_of(packets, raw) == expected
    for d, (payload, _) in enumerate(payloads):
        mine = packets.datagram == d
        assert (packets.end - packets.start)[mine].sum() == len(payload)
    return packets


def test_kinds_of_version_1_and_2() -> None:
    for version in (1, 0x6B3343CF):
        for kind in (split.INITIAL, split.ZERO_RTT, split.HANDSHAKE, split.RETRY):
            packet = long_packet(version, kind, token=b"tok")
            assert split.quic_long_kind(packet, 0, len(packet)) == kind


def test_a_coalesced_datagram() -> None:
    parts = [long_packet(1, split.INITIAL, token=b"t"), long_packet(1, split.HANDSHAKE), b"\x41" + bytes(40)]
    packets = check([(b"".join(parts), 0), (parts[0] + bytes(30), 0)], b"", False)
    assert list(packets.kind) == [split.INITIAL, split.HANDSHAKE, split.SHORT, split.INITIAL, split.REST]
    assert list(packets.start[:3]) == [0, len(parts[0]), len(parts[0] + parts[1])]


def test_the_end_of_a_packet_that_is_cut() -> None:
    initial = long_packet(1, split.INITIAL)
    assert split.long_packet_end(initial[:30], 0, 30, split.INITIAL) == 30


def test_lengths_that_lie() -> None:
    initial = long_packet(1, split.INITIAL)
    packets = check([(initial[:-1], 0), (initial[:-1], 1), (initial[:15], 9)], b"", False)
    assert list(packets.flaw) == [split.FLAW_BEYOND_DATAGRAM, split.FLAW_CUT, split.FLAW_CUT_HEADER]


def test_version_negotiation_needs_a_version_that_is_known() -> None:
    head = bytes([0x80, 0, 0, 0, 0, 2, 1, 1, 0])
    assert split.quic_long_kind(head + bytes.fromhex("00000001"), 0, 13) == split.VERSION_NEGOTIATION
    assert split.quic_long_kind(head + bytes.fromhex("12345678"), 0, 13) == split.NOT_LONG
    assert split.quic_long_kind(b"\xc0" + head[1:] + bytes.fromhex("12345678"), 0, 13) == split.OTHER_LONG


def test_what_only_looks_like_a_long_header() -> None:
    dns = bytes.fromhex("c0000100000100000000000003777777076578616d706c6503636f6d0000010001")
    assert split.quic_long_kind(dns, 0, len(dns)) in (split.NOT_LONG, split.OTHER_LONG)
    too_long = b"\xc0\0\0\0\x01\x15" + bytes(40)
    assert split.quic_long_kind(too_long, 0, len(too_long)) == split.NOT_LONG


def test_a_cleared_fixed_bit_needs_a_length_that_fits() -> None:
    cleared = b"\x80" + long_packet(1, split.INITIAL)[1:]
    assert split.quic_long_kind(cleared, 0, len(cleared)) == split.INITIAL
    assert split.quic_long_kind(cleared, 0, len(cleared) - 1) == split.NOT_LONG
    retry = b"\xb0" + long_packet(1, split.RETRY)[1:]
    assert split.quic_long_kind(retry, 0, len(retry)) == split.NOT_LONG
    check([(cleared + cleared, 0), (cleared[:-1], 1), (retry, 0)], b"", False)


def test_the_layouts_of_the_kernel_are_those_of_the_registry() -> None:
    numbers = [*VERSIONS, *range(0xFF000014, 0xFF000026), *range(0xFACEB000, 0xFACEB020), 2, 0xFFFFFFFF]
    assert [split.version_layout(n) for n in numbers] == [version_of(n).layout for n in numbers]


def test_more_packets_than_a_datagram_may_have_rows() -> None:
    tiny = b"\xe0\0\0\0\x01\0\0\0"  # a Handshake packet of length 0
    packets = check([(tiny * 100, 0)] * 40, b"\xff", False)
    assert packets.flaw[split.MAX_PACKETS] == split.FLAW_TOO_MANY
    assert len(packets.start) == 40 * (split.MAX_PACKETS + 1)


def test_no_datagrams() -> None:
    assert len(check([], b"", False).start) == 0
    assert len(check([(b"", 0), (b"", 5)], b"", False).start) == 0


cids = st.binary(max_size=24)
packet_strategy = st.builds(
    lambda version, kind, dcid, scid, token, bit: bytes(
        [(packet := long_packet(version, kind, dcid=dcid, scid=scid, token=token))[0] & bit, *packet[1:]]
    ),
    st.sampled_from(VERSIONS),
    st.integers(0, 3),
    cids,
    cids,
    st.binary(max_size=70),
    st.sampled_from([0xFF, 0xFF, 0xBF]),
)
tails = st.one_of(st.just(b""), st.binary(max_size=30), st.integers(0, 40).map(bytes))


@st.composite
def datagrams(draw: st.DrawFn) -> tuple[bytes, int]:
    """A datagram of valid packets, half of the time damaged or cut."""
    payload = bytearray(b"".join(draw(st.lists(packet_strategy, max_size=4))) + draw(tails))
    cut_off = 0
    if payload and draw(st.booleans()):
        for _ in range(draw(st.integers(0, 3))):
            payload[draw(st.integers(0, len(payload) - 1))] = draw(st.integers(0, 255))
        keep = draw(st.integers(0, len(payload)))
        cut_off = draw(st.sampled_from([0, len(payload) - keep, 7]))
        del payload[keep:]
    return bytes(payload), cut_off


@pytest.mark.parametrize("compiled", [False, True])
@given(payloads=st.lists(datagrams(), max_size=6), gap=st.sampled_from([b"", b"\0", b"\xff" * 9]))
@settings(deadline=None, derandomize=True, max_examples=150)
def test_equal_to_the_plain_reader(payloads: list[tuple[bytes, int]], gap: bytes, compiled: bool) -> None:
    check(payloads, gap, compiled)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_prefix(version: int) -> None:
    whole = long_packet(version, split.INITIAL, scid=b"\x02" * 5, token=b"t" * 70) + long_packet(version, split.RETRY)
    check([(whole[:n], len(whole) - n) for n in range(len(whole))], b"\xee", False)
    check([(whole[:n], 0) for n in range(len(whole))], b"\xee", False)


@given(st.lists(st.tuples(st.binary(max_size=80), st.integers(0, 3)), max_size=4))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_any_bytes(payloads: list[tuple[bytes, int]]) -> None:
    check(payloads, b"\xc0\0\0\0\x01", False)
