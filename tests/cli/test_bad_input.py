"""Files that are no captures, or only the beginning of one: one clear line, the right status, never a traceback.

Status 2 where nothing of a file can be read; 0 where a capture was read up to a cut, with a warning. Either way
the other files are analysed.
"""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import Run, call, run

PCAP_HEADER, RECORD_HEADER = 24, 16


def nothing(path: Path) -> None:
    """The file is missing."""


def a_directory(path: Path) -> None:
    path.mkdir()


def zero_bytes(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("12:00:00.000000 IP 192.0.2.10.50660 > 192.0.2.80.443: UDP, length 1200\n" * 40)


def half_a_header(path: Path) -> None:
    path.write_bytes(bytes.fromhex("d4c3b2a1020004000000"))


def an_empty_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(b""))


def gzipped_text(path: Path) -> None:
    path.write_bytes(gzip.compress(b"not a capture\n" * 40))


def half_a_gzip_header(path: Path) -> None:
    path.write_bytes(b"\x1f\x8b\x08\x00")


def terminal_controls(path: Path) -> None:
    path.write_bytes(b"\x1b]0;title\x07\x1b[31m" * 8)


UNREADABLE = [
    nothing,
    a_directory,
    zero_bytes,
    text,
    half_a_header,
    an_empty_gzip,
    gzipped_text,
    half_a_gzip_header,
    terminal_controls,
]


@pytest.mark.parametrize("make", UNREADABLE, ids=lambda make: make.__name__)
def test_an_unreadable_file_is_one_line_and_status_2(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "given.pcap"
    make(path)
    done = call("analyze", "--json", path)
    assert done.status == 2
    assert "given.pcap" in done.complaint
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.complaint)


@pytest.mark.parametrize("make", UNREADABLE, ids=lambda make: make.__name__)
def test_the_other_files_are_still_analysed(make: Callable[[Path], None], tmp_path: Path, silent_capture: Path) -> None:
    path = tmp_path / "given.pcap"
    make(path)
    done = call("analyze", "--json", path, silent_capture)
    assert done.status == 2
    assert "given.pcap" in done.complaint
    assert "server.pcap" in {capture["name"] for capture in done.document["captures"]}
    assert "quic-initial-no-reply" in patterns(done)


def patterns(done: Run) -> set[str]:
    return {finding["pattern"] for finding in done.document["findings"]}


def test_a_process_ends_with_the_same_status_and_no_traceback(tmp_path: Path) -> None:
    done = run("analyze", "missing.pcap", cwd=tmp_path)
    assert (done.status, done.stdout) == (2, "")
    assert "missing.pcap" in done.complaint


def test_a_name_with_terminal_controls_is_printed_without_them(tmp_path: Path) -> None:
    done = run("analyze", "\x1b]0;title\x07.pcap", cwd=tmp_path)
    assert done.status == 2
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.complaint)


@pytest.fixture(scope="module")
def two_records(silent_capture: Path) -> tuple[bytes, int]:
    """The first two records of a capture, and where the second one begins."""
    content = silent_capture.read_bytes()
    second = PCAP_HEADER + RECORD_HEADER + captured(content, PCAP_HEADER)
    return content[: second + RECORD_HEADER + captured(content, second)], second


def captured(content: bytes, header: int) -> int:
    (length,) = struct.unpack_from("<I", content, header + 8)
    assert isinstance(length, int)
    return length


def test_a_pcap_cut_in_its_header_is_status_2(tmp_path: Path, two_records: tuple[bytes, int]) -> None:
    for end in range(PCAP_HEADER):
        path = tmp_path / f"cut-{end}.pcap"
        path.write_bytes(two_records[0][:end])
        done = call("analyze", "--json", path)
        assert (done.status, done.stdout) == (2, ""), end
        assert path.name in done.complaint


def test_a_pcap_cut_in_its_first_two_records_is_read_up_to_there(
    tmp_path: Path, two_records: tuple[bytes, int]
) -> None:
    content, second = two_records
    whole = {PCAP_HEADER: 0, second: 1, len(content): 2}
    for end in range(PCAP_HEADER, len(content) + 1):
        path = tmp_path / f"cut-{end}.pcap"
        path.write_bytes(content[:end])
        done = call("analyze", "--json", path)
        (capture,) = done.document["captures"]
        assert done.status == 0, end
        assert capture["records"] == int(end >= second) + int(end == len(content)), end
        if end in whole:
            assert done.stderr == ""
        else:
            assert path.name in done.complaint
            assert capture["ledger"]["cut"]


def test_a_valid_header_without_records_says_so(tmp_path: Path, two_records: tuple[bytes, int]) -> None:
    path = tmp_path / "empty.pcap"
    path.write_bytes(two_records[0][:PCAP_HEADER])
    done = call("analyze", path)
    assert done.status == 0
    assert "0 records" in done.stdout


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_truncated_gz_is_read_up_to_the_cut(share: float, tmp_path: Path, silent_capture: Path) -> None:
    packed = gzip.compress(silent_capture.read_bytes(), mtime=0)
    path = tmp_path / "cut.pcap.gz"
    path.write_bytes(packed[: int(len(packed) * share)])
    done = call("analyze", "--json", path)
    (capture,) = done.document["captures"]
    assert done.status == 0
    assert "cut.pcap.gz" in done.complaint
    assert 0 < capture["records"] <= 155


@pytest.mark.parametrize(("link_type", "name"), [(105, "IEEE802_11"), (147, "USER0"), (4711, "")])
def test_a_link_type_that_is_not_read_is_said_by_name_and_number(
    link_type: int, name: str, tmp_path: Path, two_records: tuple[bytes, int]
) -> None:
    content = bytearray(two_records[0])
    struct.pack_into("<I", content, 20, link_type)
    path = tmp_path / "radio.pcap"
    path.write_bytes(content)
    done = call("analyze", "--json", path)
    (capture,) = done.document["captures"]
    assert done.status == 0
    assert str(link_type) in done.complaint
    assert name in done.complaint
    assert capture["ledger"]["unread_link_type"] == 2


def test_a_record_that_claims_more_than_the_file_holds_is_a_cut(tmp_path: Path, two_records: tuple[bytes, int]) -> None:
    content, second = bytearray(two_records[0]), two_records[1]
    struct.pack_into("<II", content, second + 8, 0x7FFFFFFF, 0x7FFFFFFF)
    path = tmp_path / "claims.pcap"
    path.write_bytes(content)
    done = call("analyze", "--json", path)
    assert done.status == 0
    assert "claims.pcap" in done.complaint
    assert done.document["captures"][0]["records"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze"],
        ["nonsense"],
        ["analyze", "--nonsense", "x.pcap"],
        ["export", "nonsense", "x.pcap"],
        ["analyze", "--fail-on", "nonsense", "x.pcap"],
        ["explain", "nonsense"],
    ],
)
def test_a_usage_error_is_status_2_without_a_traceback(arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.status == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr
