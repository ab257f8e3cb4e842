"""A pcapng file as a whole: cuts, damage, comments and counts end in words and never raise."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import pcapng_reader as module
from analyzer.capture.blocks import Blocks
from analyzer.capture.formats import RawStream
from analyzer.capture.pcapng_reader import PcapngReader
from analyzer.capture.records import CaptureFacts
from analyzer.errors import NotACapture
from tests.capture import plain

HEAD = plain.section() + plain.interface()
PACKETS = plain.packets(4)[1:]


def read(written: bytes, *, compiled: bool = False) -> tuple[list[plain.Row], CaptureFacts]:
    facts = CaptureFacts("made.pcapng", "made.pcapng")
    blocks = Blocks(RawStream(plain.Trickle(written)), block_bytes=64)
    return plain.rows(PcapngReader(blocks, facts, index=0, compiled=compiled).batches()), facts


def ends_of(written: bytes) -> list[int]:
    """Places where a block ends."""
    ends, at = [0], 0
    while at < len(written):
        at += struct.unpack_from("<I", written, at + 4)[0]
        ends.append(at)
    return ends


def test_cut_at_every_byte() -> None:
    written = HEAD + b"".join(map(plain.enhanced, PACKETS)) + plain.section() + plain.interface() + HEAD
    ends = ends_of(written)
    for length in range(4, len(written) + 1):
        if length < 28:
            with pytest.raises(NotACapture, match=f"byte 0 cannot be read: only {length} bytes"):
                read(written[:length])
            continue
        found, facts = read(written[:length])
        start = max(end for end in ends if end <= length)
        assert found == list(plain.read_pcapng(written[:start]))
        assert (facts.cut == "") == (length == start)
        if facts.cut:
            assert f"block at byte {start}, after record {len(found)}" in facts.cut
            assert f"{length - start} bytes" in facts.cut


DAMAGES = {
    "an interface that the file does not describe": plain.enhanced(PACKETS[0], number=7),
    "its lengths contradict each other": plain.enhanced(PACKETS[0])[:-4] + bytes(4),
    "lengths contradict": struct.pack("<II", 6, 13) + bytes(20),
    "which no block has": struct.pack("<II", 6, 0xFFFFFFF0) + bytes(20),
    "claims a length of 4": struct.pack("<III", 0x0A0D0D0A, 4, 0x1A2B3C4D) + bytes(20),
    "no byte-order magic": plain.block(0x0A0D0D0A, bytes(16)),
    "its two lengths differ": plain.section()[:-4] + bytes(4),
    "version 7.0 is not read": plain.block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 7, 0, -1)),
    "needs 200,000,000 bytes": struct.pack("<II", 0x99, 200_000_000) + bytes(20),
}


@pytest.mark.parametrize("words", list(DAMAGES))
@pytest.mark.parametrize("compiled", [False, True])
def test_damage_ends_the_reading_in_words(words: str, compiled: bool) -> None:
    good = HEAD + plain.enhanced(PACKETS[0]) + plain.enhanced(PACKETS[1])
    found, facts = read(good + DAMAGES[words] + plain.enhanced(PACKETS[2]), compiled=compiled)
    assert len(found) == 2
    assert words in facts.cut
    assert f"byte {len(good)}, after record 2" in facts.cut


@pytest.mark.parametrize("kind", [2, 3, 6])
@pytest.mark.parametrize("body", [b"", bytes(4), bytes(16)])
def test_a_packet_block_that_is_too_short(kind: int, body: bytes) -> None:
    found, facts = read(HEAD + plain.block(kind, body))
    assert bool(facts.cut) != bool(found)
    assert bool(found) == (kind == 3 and len(body) >= 4)


def test_a_packet_that_claims_more_than_its_block() -> None:
    head = struct.pack("<IIIII", 0, 0, 0, 9, 9)
    for compiled in (False, True):
        assert "contradict" in read(HEAD + plain.block(6, head + bytes(8)), compiled=compiled)[1].cut
        assert read(HEAD + plain.block(6, head + bytes(9)), compiled=compiled)[1].records == 1


def test_a_first_section_that_is_damaged_is_no_capture() -> None:
    for damage in (plain.block(0x0A0D0D0A, bytes(16)), plain.section()[:-4] + bytes(4)):
        with pytest.raises(NotACapture, match="header at byte 0"):
            read(damage)


def test_a_file_without_packets_names_its_interfaces() -> None:
    found, facts = read(plain.section() + plain.interface(link_type=276))
    assert (found, facts.cut, facts.link_types) == ([], "", [276])
    assert read(plain.section())[1].link_types == []


def test_comments_of_records_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.capture.descriptions.COMMENTS_LIMIT", 3)
    monkeypatch.setattr(module, "COMMENTS_LIMIT", 3)
    options = plain.option(4, bytes(8)) + plain.option(1, "été\x1b[31m\n".encode()) + plain.option(1, b"two")
    written = HEAD + b"".join(plain.enhanced(packet, "<", options) for packet in PACKETS)
    for compiled in (False, True):
        found, facts = read(written, compiled=compiled)
        assert len(found) == 3
        assert facts.comments == ["record 1: été [31m ", "record 1: two", "record 2: été [31m "]
        assert len(facts.warnings) == 1


@pytest.mark.parametrize("order", "<>")
def test_drops_that_packets_report_are_added_up(order: str) -> None:
    dropped = plain.option(4, struct.pack(order + "Q", 5), order)
    written = plain.section(order) + plain.interface(order)
    written += plain.enhanced(PACKETS[0], order, dropped) + plain.obsolete(PACKETS[1], order, drops=6)
    for compiled in (False, True):
        assert read(written, compiled=compiled)[1].interfaces[0].dropped == 11


def test_records_without_a_packet_are_counted() -> None:
    _, facts = read(HEAD + plain.enhanced(PACKETS[0]) + plain.block(9, b"MESSAGE=x") + plain.enhanced(PACKETS[1]))
    assert facts.records == 2
    assert facts.warnings == [
        "made.pcapng: 1 records hold no packet (journal entries, custom blocks, system calls) and were left out"
    ]


def test_more_interfaces_than_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERFACES_LIMIT", 20)
    written = HEAD + b"".join(plain.interface(link_type=i) for i in range(1, 20))
    assert read(written + plain.enhanced(PACKETS[0], number=19))[0][0].link_type == 19
    _, facts = read(written + plain.interface() + plain.enhanced(PACKETS[0]))
    assert "interface number 21" in facts.cut


@settings(max_examples=150)
@given(start=st.integers(0, 500), damage=st.binary(min_size=1, max_size=40), compiled=st.booleans())
def test_damaged_files_never_raise(start: int, damage: bytes, compiled: bool) -> None:
    comment = plain.option(1, b"hello")
    written = HEAD + b"".join(plain.enhanced(packet, "<", comment) for packet in plain.packets(3))
    written += plain.section(">", plain.option(4, b"me", ">")) + plain.interface(">", plain.option(9, b"\x09", ">"))
    written += plain.obsolete(PACKETS[0], ">") + plain.simple(PACKETS[1], ">")
    damaged = bytearray(written)
    damaged[28 + start : 28 + start + len(damage)] = damage
    facts = CaptureFacts("made", "made")
    blocks = Blocks(RawStream(plain.Trickle(bytes(damaged), 50)), block_bytes=64)
    plain.rows(PcapngReader(blocks, facts, index=0, compiled=compiled).batches())
    assert (facts.cut == "") == (blocks.left == 0)


def test_a_recorded_capture_says_what_its_interfaces_saw(captures: Path) -> None:
    path = captures / "15-any-interface" / "dnat" / "host-3if.pcapng"
    found, set_ = plain.read(path)
    facts = set_.captures[0]
    assert [interface.name for interface in facts.interfaces] == ["eth0", "br0", "vethweb"]
    assert [interface.received for interface in facts.interfaces] == [116, 163, 158]
    assert [interface.records for interface in facts.interfaces] == [116, 163, 158]
    assert [interface.dropped for interface in facts.interfaces] == [0, 0, 0]
    assert facts.application.startswith("Dumpcap")
    assert len(found) == 437


def test_records_have_the_numbers_times_and_lengths_that_wireshark_gives_them(tshark: str, tmp_path: Path) -> None:
    parts = [plain.section(">"), plain.interface(">"), plain.interface(">", plain.option(9, b"\x09", ">"))]
    for i, packet in enumerate(plain.packets(40)):
        full = packet._replace(original_length=len(packet.captured))
        parts.append(
            [
                plain.enhanced(packet, ">"),
                plain.enhanced(packet, ">", number=1, tick=1),
                plain.obsolete(packet, ">"),
                plain.simple(full, ">"),
                plain.block(9, b"__REALTIME_TIMESTAMP=1700000000000000\n", ">"),
                plain.block(0xBAD, struct.pack(">I", 32473) + b"custom", ">"),
                plain.block(0x99, b"unknown", ">"),
            ][i % 7]
        )
    path = tmp_path / "made.pcapng"
    path.write_bytes(b"".join(parts))
    command = [tshark, "-n", "-r", str(path), "-T", "fields", "-E", "separator=,"]
    for field in ("number", "time_epoch", "cap_len", "len"):
        command += ["-e", f"frame.{field}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    theirs = {int(number): rest for number, *rest in (line.split(",") for line in printed)}
    found, _ = plain.read(path)
    assert {row.number for row in found} < set(theirs)
    for row in found:
        time = "" if row.time < 0 else f"{row.time // 10**9}.{row.time % 10**9:09}"
        assert theirs[row.number] == [time, str(len(row.captured)), str(row.original_length)]
    assert max(theirs) == 35, "so 5 of 40 blocks have no number"
