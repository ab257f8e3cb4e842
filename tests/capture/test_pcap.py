"""pcap: each byte order and resolution equal to a plain reader, however the file is cut into blocks."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import pcap as module
from analyzer.capture.blocks import Blocks
from analyzer.capture.formats import RawStream
from analyzer.capture.pcap import LONGEST_RECORD, PcapReader
from analyzer.capture.records import CaptureFacts
from analyzer.errors import NotACapture
from tests.capture import plain

FORMS = [(order, nanoseconds) for order in "<>" for nanoseconds in (False, True)]


def read(written: bytes, *, block_bytes: int = 64, piece: int = 1 << 20) -> tuple[list[plain.Row], CaptureFacts]:
    """The records of a stream of unknown length that gives ``piece`` bytes at a time."""
    facts = CaptureFacts("made.pcap", "made.pcap")
    blocks = Blocks(RawStream(plain.Trickle(written, piece)), block_bytes=block_bytes)
    reader = PcapReader(blocks, facts, index=0, compiled=False)
    return plain.rows(reader.batches()), facts


@pytest.mark.parametrize(("order", "nanoseconds"), FORMS)
def test_every_byte_order_and_resolution(order: str, nanoseconds: bool, tmp_path: Path) -> None:
    made = plain.packets(300)
    written = plain.pcap(made, order=order, nanoseconds=nanoseconds, link_type=101)
    (tmp_path / "made.pcap").write_bytes(written)
    for compiled in (False, True):
        found, captures = plain.read(tmp_path / "made.pcap", compiled=compiled, block_bytes=4096)
        assert found == list(plain.read_pcap(written))
        assert [(row.captured, row.time, row.original_length) for row in found] == [
            (packet.captured, packet.time, packet.original_length) for packet in made
        ]
    facts = captures.captures[0]
    assert (facts.byte_order, facts.link_types, facts.snaplen) == ("little" if order == "<" else "big", [101], 262144)
    assert (facts.records, facts.first_time, facts.last_time) == (300, made[0].time, made[-1].time)
    assert facts.interfaces[0].ticks_per_second == (10**9 if nanoseconds else 10**6)
    assert facts.interfaces[0].records == 300
    assert facts.cut == ""


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 300), max_size=20),
    block_bytes=st.integers(1, 700),
    piece=st.integers(1, 700),
    form=st.sampled_from(FORMS),
)
def test_blocks_of_any_size_give_the_same_records(
    lengths: list[int], block_bytes: int, piece: int, form: tuple[str, bool]
) -> None:
    made = [plain.Packet(plain.START + i, bytes([i]) * length, length) for i, length in enumerate(lengths)]
    written = plain.pcap(made, order=form[0], nanoseconds=form[1])
    found, facts = read(written, block_bytes=block_bytes, piece=piece)
    assert found == list(plain.read_pcap(written))
    assert facts.cut == ""


@pytest.mark.parametrize(("order", "nanoseconds"), FORMS)
def test_cut_at_every_byte_of_its_first_records(order: str, nanoseconds: bool) -> None:
    written = plain.pcap(plain.packets(4)[1:], order=order, nanoseconds=nanoseconds)
    ends = {24, *(row.position + 16 + len(row.captured) for row in plain.read_pcap(written))}
    for length in range(4, len(written) + 1):
        if length < 24:
            with pytest.raises(NotACapture, match=f"header is cut: {length} of 24 bytes"):
                read(written[:length])
            continue
        found, facts = read(written[:length])
        assert found == list(plain.read_pcap(written[:length]))
        assert (facts.cut == "") == (length in ends)
        if facts.cut:
            start = max(end for end in ends if end <= length)
            assert f"record {len(found) + 1} at byte {start}" in facts.cut
            assert f"{length - start} bytes" in facts.cut


@pytest.mark.parametrize("claim", [LONGEST_RECORD + 1, 0xFFFFFFFF, LONGEST_RECORD, 5000])
def test_a_record_that_claims_more_than_there_is(claim: int, tmp_path: Path) -> None:
    good = plain.pcap(plain.packets(5))
    written = good + struct.pack("<IIII", 1_700_000_000, 0, claim, claim) + b"x" * 4000
    (tmp_path / "made.pcap").write_bytes(written)
    for compiled in (False, True):
        found, captures = plain.read(tmp_path / "made.pcap", compiled=compiled)
        assert len(found) == 5
        cut = captures.captures[0].cut
        assert f"record 6 at byte {len(good)}" in cut
        assert ("no record has" in cut) == (claim > LONGEST_RECORD)
        assert "4,016 bytes" in cut or claim > LONGEST_RECORD
    found, facts = read(written)
    assert (len(found), facts.cut) == (5, cut)


def test_rubbish_and_zeros_behind_the_records() -> None:
    good = plain.pcap(plain.packets(5))
    for rubbish, words in [(b"Killed: 9 (tcpdump)\n", "not a capture"), (bytes(4096), "all zeros")]:
        found, facts = read(good + rubbish)
        assert len(found) == 5
        assert f"record 6 at byte {len(good)}" in facts.cut
        assert words in facts.cut


def test_only_a_header_is_a_capture_without_records() -> None:
    found, facts = read(plain.pcap([]))
    assert (found, facts.cut, facts.records, facts.first_time, facts.link_types) == ([], "", 0, -1, [1])


def test_a_record_larger_than_the_block_makes_the_buffer_grow_and_shrink_again() -> None:
    made = [plain.Packet(plain.START, b"a" * 70_000, 70_000), *plain.packets(200)]
    written = plain.pcap(made)
    blocks = Blocks(RawStream(plain.Trickle(written, 1000)), block_bytes=256)
    reader = PcapReader(blocks, CaptureFacts("made", "made"), index=0, compiled=False)
    sizes = [len(batch.buffer) for batch in reader.batches()]
    assert max(sizes) == 70_016
    assert sizes[-1] == 256


def test_more_records_than_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_RECORDS", 7)
    written = plain.pcap(plain.packets(100))
    found, _ = read(written, block_bytes=1 << 16)
    assert found == list(plain.read_pcap(written))


def test_an_unknown_version_is_no_capture() -> None:
    written = bytearray(plain.pcap(plain.packets(2)))
    written[4:8] = struct.pack("<HH", 1, 2)
    with pytest.raises(NotACapture, match=r"pcap version 1\.2 at byte 4"):
        read(bytes(written))


def test_bits_above_the_link_type_are_left_out() -> None:
    _, facts = read(plain.pcap([], link_type=0x5400_0001))
    assert facts.link_types == [1]


@settings(max_examples=80)
@given(start=st.integers(0, 400), damage=st.binary(max_size=40), compiled=st.booleans())
def test_damaged_files_never_raise(start: int, damage: bytes, compiled: bool) -> None:
    written = bytearray(plain.pcap(plain.packets(12)))
    written[24 + start : 24 + start + len(damage)] = damage
    blocks = Blocks(RawStream(plain.Trickle(bytes(written), 100)), block_bytes=128)
    facts = CaptureFacts("made", "made")
    seen = sum(
        int(batch.records.captured_length.sum()) + 16 * len(batch.records.time)
        for batch in PcapReader(blocks, facts, index=0, compiled=compiled).batches()
    )
    assert 24 + seen == blocks.position, "bytes in = bytes of records + bytes after the cut"
    assert (facts.cut == "") == (blocks.left == 0)


def test_interpreted_and_compiled_columns_are_equal_on_recorded_captures(captures: Path) -> None:
    paths = sorted(captures.rglob("*.pcap"))
    assert paths
    for path in paths:
        written = path.read_bytes()
        both = [plain.read(path, compiled=compiled, block_bytes=100_000)[0] for compiled in (False, True)]
        assert both[0] == both[1] == list(plain.read_pcap(written)), path
        assert np.all(np.diff([row.number for row in both[0]]) == 1)
