"""The walk over pcapng blocks: equal to a plain reader, in both byte orders, interpreted and compiled."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture.pcapng import clock_time, no_clocks, set_clock
from analyzer.capture.records import Interface
from tests.capture import plain

#: Blocks without a packet that Wireshark numbers as frames, and some that it does not.
NUMBERED = (9, 0xBAD, 0x40000BAD, 0x204)
UNNUMBERED = (7, 8, 0x99, 0x208, 0x80000001)


def times(interface: Interface, ticks: int) -> int:
    clocks = no_clocks(1)
    set_clock(clocks, 0, interface)
    return clock_time(ticks >> 32, ticks & 0xFFFFFFFF, clocks, 0)


@pytest.mark.parametrize("order", "<>")
def test_every_kind_of_block(order: str, tmp_path: Path) -> None:
    made = plain.packets(120)
    parts = [plain.section(order), plain.interface(order, snaplen=50), plain.interface(order, link_type=113)]
    for i, packet in enumerate(made):
        parts.append(
            [
                plain.enhanced(packet, order, number=i % 2),
                plain.enhanced(packet, order, plain.option(2, bytes(4), order) + plain.option(0, b"", order)),
                plain.simple(packet, order),
                plain.obsolete(packet, order, number=i % 2, drops=0xFFFF),
                plain.block((*NUMBERED, *UNNUMBERED)[i % 9], packet.captured, order),
            ][i % 5]
        )
    written = b"".join(parts)
    expected = list(plain.read_pcapng(written))
    path = tmp_path / "made.pcapng"
    path.write_bytes(written)
    for compiled in (False, True):
        found, captures = plain.read(path, compiled=compiled, block_bytes=700)
        assert found == expected
        facts = captures.captures[0]
        assert (facts.cut, facts.link_types, facts.untimed) == ("", [1, 113], 24)
        assert facts.byte_order == ("little" if order == "<" else "big")
        assert sum(interface.records for interface in facts.interfaces) == len(found) == 96
        assert [interface.dropped for interface in facts.interfaces] == [-1, -1]


def test_sections_of_both_byte_orders_count_interfaces_over_the_file(tmp_path: Path) -> None:
    made = plain.packets(60)
    parts = []
    for i, order in enumerate("<><"):
        parts += [plain.section(order), plain.interface(order, link_type=i), plain.interface(order, link_type=10 + i)]
        parts += [plain.enhanced(packet, order, number=j % 2) for j, packet in enumerate(made[i * 20 : i * 20 + 20])]
    written = b"".join(parts)
    (tmp_path / "made.pcapng").write_bytes(written)
    found, captures = plain.read(tmp_path / "made.pcapng", block_bytes=300)
    assert found == list(plain.read_pcapng(written))
    assert [row.interface for row in found[18:24]] == [0, 1, 2, 3, 2, 3]
    assert (captures.captures[0].byte_order, captures.captures[0].link_types) == ("mixed", [0, 1, 2, 10, 11, 12])


@given(st.integers(0, 2**63 - 1), st.integers(0, 18), st.integers(-(10**12), 10**12))
def test_decimal_clocks(ticks: int, power: int, offset: int) -> None:
    expected = ticks * 10**9 // 10**power + offset * 10**9
    inside = 0 <= expected < 9 * 10**18
    interface = Interface(1, ticks_per_second=10**power, offset_seconds=offset)
    assert times(interface, ticks) == (expected if inside else -1)


@given(st.integers(0, 2**63 - 1), st.integers(0, 62), st.integers(-(10**12), 10**12))
def test_binary_clocks(ticks: int, power: int, offset: int) -> None:
    exact = ticks * 10**9 // 2**power + offset * 10**9
    found = times(Interface(1, ticks_per_second=2**power, offset_seconds=offset), ticks)
    if 0 <= exact < 9 * 10**18 - 1:
        assert exact - 1 <= found <= exact
    else:
        assert found == -1 or found >= 9 * 10**18 - 2


@pytest.mark.parametrize("ticks_per_second", [10**19, 10**127, 2**63, 2**127])
def test_a_resolution_that_no_clock_has_gives_no_time(ticks_per_second: int) -> None:
    assert times(Interface(1, ticks_per_second=ticks_per_second), 12345) == -1


def test_a_time_beyond_int64_is_no_time() -> None:
    assert times(Interface(1), 2**64 - 1) == -1


@pytest.mark.parametrize(
    ("options", "tick"),
    [
        (plain.option(9, b"\x09"), 1),
        (plain.option(9, b"\x06"), 1000),
        (plain.option(9, b"\x03") + plain.option(14, struct.pack("<q", 1_600_000_000)), 1_000_000),
        (plain.option(9, b"\x8a"), 0),
    ],
)
def test_resolution_and_offset_of_an_interface(options: bytes, tick: int, tmp_path: Path) -> None:
    time = 77_500_000_000  # a whole number of 1024ths of a second too
    offset = 1_600_000_000 * 10**9 if tick == 1_000_000 else 0
    packet = plain.Packet(time, b"abc", 3)
    stored = packet if tick else packet._replace(time=time * 1024 // 10**9)
    written = plain.section() + plain.interface(options=options) + plain.enhanced(stored, tick=tick or 1)
    (tmp_path / "made.pcapng").write_bytes(written)
    for compiled in (False, True):
        found, _ = plain.read(tmp_path / "made.pcapng", compiled=compiled)
        assert [row.time for row in found] == [time + offset]


@settings(max_examples=100)
@given(
    kinds=st.lists(st.integers(0, 6), max_size=25),
    order=st.sampled_from("<>"),
    block_bytes=st.integers(1, 500),
    compiled=st.booleans(),
)
def test_blocks_of_any_size_give_the_same_records(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[int], order: str, block_bytes: int, compiled: bool
) -> None:
    made = plain.packets(len(kinds))
    parts = [plain.section(order), plain.interface(order, snaplen=30)]
    for kind, packet in zip(kinds, made, strict=True):
        comment = plain.option(1, b"seen twice", order)
        parts.append(
            [
                plain.enhanced(packet, order),
                plain.simple(packet, order),
                plain.obsolete(packet, order),
                plain.block(0x99, packet.captured, order),
                plain.section(order, comment) + plain.interface(order),
                plain.enhanced(packet, order, comment),
                plain.interface(order),
            ][kind]
        )
    written = b"".join(parts)
    path = tmp_path_factory.mktemp("made") / "made.pcapng"
    path.write_bytes(written)
    found, captures = plain.read(path, compiled=compiled, block_bytes=block_bytes)
    assert found == list(plain.read_pcapng(written))
    assert len(captures.captures[0].comments) == kinds.count(4) + kinds.count(5)
    assert captures.captures[0].cut == ""


def test_interpreted_and_compiled_columns_are_equal_on_recorded_captures(captures: Path) -> None:
    paths = sorted(captures.rglob("*.pcapng"))
    assert paths
    for path in paths:
        interpreted, set_ = plain.read(path, block_bytes=50_000)
        compiled, _ = plain.read(path, compiled=True, block_bytes=50_000)
        assert interpreted == compiled
        ticks = {interface.ticks_per_second for interface in set_.captures[0].interfaces}
        plain_rows = [
            row._replace(time=row.time // 1000 * 10**9 // max(ticks)) for row in plain.read_pcapng(path.read_bytes())
        ]
        assert interpreted == plain_rows
        assert np.all(np.diff([row.number for row in interpreted]) == 1)


@settings(max_examples=100)
@given(
    resolution=st.one_of(st.integers(0, 255), st.sampled_from([6, 9, 0x80, 0xA1, 0xA2, 0xBE])),
    offset=st.one_of(st.just(0), st.integers(-(2**63), 2**63 - 1)),
    ticks=st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1), st.just(2**63 - 1)),
)
def test_any_clock_interpreted_and_compiled(
    tmp_path_factory: pytest.TempPathFactory, resolution: int, offset: int, ticks: int
) -> None:
    options = plain.option(9, bytes([resolution])) + plain.option(14, struct.pack("<q", offset))
    path = tmp_path_factory.mktemp("made") / "made.pcapng"
    packet = plain.Packet(ticks, b"abc", 3)
    path.write_bytes(plain.section() + plain.interface(options=options) + plain.enhanced(packet, tick=1))
    found = [plain.read(path, compiled=compiled)[0][0].time for compiled in (False, True)]
    assert found[0] == found[1]
    assert -1 <= found[0] < 9 * 10**18
