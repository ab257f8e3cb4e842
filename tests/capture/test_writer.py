"""The pcapng writer, against this package's own reader and, where they are installed, Wireshark's."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.records import CaptureFacts
from analyzer.capture.source import open_captures
from analyzer.capture.writer import NewInterface, NewRecord, PcapngWriter

INTERFACES = [
    NewInterface(1, 262144, "eth0", "of server.pcap"),
    NewInterface(101, 0),
    NewInterface(276, 65535, "any"),
]
records = st.builds(
    NewRecord,
    st.sampled_from(INTERFACES),
    st.integers(-1, 2**62),
    st.integers(0, 2**16),
    st.binary(max_size=80),
    st.text(max_size=40),
)


def written(rows: list[NewRecord], comments: tuple[str, ...] = ()) -> bytes:
    file = io.BytesIO()
    writer = PcapngWriter(file, application="halfshake 0", comments=comments)
    for row in rows:
        writer.write(row)
    return file.getvalue()


def read_back(path: Path) -> tuple[list[NewRecord], CaptureFacts]:
    captures = open_captures([str(path)])
    assert captures.failures == []
    rows = []
    for batch in captures.batches(False):
        for offset, captured, original, time, link_type, interface, *_ in zip(*batch.records, strict=True):
            described = captures.captures[0].interfaces[interface]
            assert described.link_type == link_type
            one = NewInterface(int(link_type), described.snaplen, described.name, described.description)
            content = batch.buffer[offset : offset + captured].tobytes()
            rows.append(NewRecord(one, int(time), int(original), content))
    return rows, captures.captures[0]


@given(st.lists(records, max_size=6))
def test_what_is_written_is_read_back(tmp_path_factory: object, rows: list[NewRecord]) -> None:
    path = tmp_path_factory.getbasetemp() / "written.pcapng"  # type: ignore[attr-defined]
    path.write_bytes(written(rows))
    found, facts = read_back(path)
    assert facts.cut == ""
    assert facts.warnings == []
    expected = [
        row._replace(comment="", time=max(row.time, 0), original_length=max(row.original_length, len(row.captured)))
        for row in rows
    ]
    assert found == expected


def test_blocks_are_whole_words_and_say_their_length_twice() -> None:
    content = written([NewRecord(INTERFACES[0], 1, 5, b"hello", "why")], ("two", "comments"))
    at, kinds = 0, []
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        assert length % 4 == 0
        assert struct.unpack_from("<I", content, at + length - 4) == (length,)
        kinds.append(kind)
        at += length
    assert kinds == [0x0A0D0D0A, 1, 6]


def test_a_comment_longer_than_an_option_is_cut_between_characters(tmp_path: Path) -> None:
    path = tmp_path / "long.pcapng"
    path.write_bytes(written([NewRecord(INTERFACES[0], 1, 4, b"abcd", "€" * 40_000)]))
    rows, facts = read_back(path)
    assert len(rows) == 1
    assert facts.cut == ""


def test_wireshark_reads_times_lengths_names_and_comments(tmp_path: Path, tshark: str) -> None:
    path = tmp_path / "made.pcapng"
    frame = bytes(12) + b"\x08\x06" + bytes(28)
    path.write_bytes(
        written([NewRecord(INTERFACES[0], 1_795_302_324_499_449_123, 99, frame, "F1: request")], ("of x",))
    )
    fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.interface_name", "frame.comment"]
    options = [word for field in fields for word in ("-e", field)]
    done = subprocess.run([tshark, "-r", path, "-T", "fields", *options], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n").split("\t") == ["1795302324.499449123", "99", "42", "eth0", "F1: request"]
