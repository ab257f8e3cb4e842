"""The door: every format and compression, pipes, several files, and one clear line for what is no capture."""

from __future__ import annotations

import builtins
import gzip
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from analyzer.capture.source import open_captures
from analyzer.errors import CaptureError, DamagedCompression, NotACapture, UnreadableFile, UsageError
from tests.capture import plain

MADE = plain.packets(200)
PCAP = plain.pcap(MADE)
PCAPNG = plain.section() + plain.interface() + b"".join(map(plain.enhanced, MADE))


def failure(path: Path | str) -> CaptureError:
    captures = open_captures([str(path)])
    ((name, error),) = captures.failures
    assert name == str(path)
    assert captures.captures == []
    assert "\n" not in str(error)
    return error


class Stdin:
    """Standard input that holds these bytes."""

    def __init__(self, written: bytes, *, terminal: bool = False) -> None:
        self.buffer = plain.Trickle(written, 1000)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("suffix", list(plain.COMPRESSIONS))
@pytest.mark.parametrize("written", [PCAP, PCAPNG], ids=["pcap", "pcapng"])
@pytest.mark.parametrize("compiled", [False, True])
def test_every_format_and_compression(suffix: str, written: bytes, compiled: bool, tmp_path: Path) -> None:
    path = tmp_path / "named.anyhow"
    path.write_bytes(plain.COMPRESSIONS[suffix](written))
    found, captures = plain.read(path, compiled=compiled)
    expected = plain.read_pcap(written) if written is PCAP else plain.read_pcapng(written)
    assert found == list(expected)
    facts = captures.captures[0]
    assert facts.format == ("pcap" if written is PCAP else "pcapng") + suffix
    assert (facts.name, facts.path) == ("named.anyhow", str(path))
    assert captures.size_hint == len(written)


@pytest.mark.parametrize("suffix", list(plain.COMPRESSIONS))
def test_standard_input(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(plain.COMPRESSIONS[suffix](PCAP)))
    captures = open_captures(["-"])
    assert captures.size_hint == len(PCAP)
    assert plain.rows(captures.batches(False)) == list(plain.read_pcap(PCAP))
    assert (captures.captures[0].name, captures.captures[0].format) == ("-", "pcap" + suffix)


def test_standard_input_that_is_large_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    written = plain.pcap([plain.Packet(plain.START, bytes(60_000), 60_000)] * 100)
    monkeypatch.setattr(sys, "stdin", Stdin(written))
    captures = open_captures(["-"], block_bytes=100_000)
    assert captures.size_hint == -1
    assert len(plain.rows(captures.batches(False))) == 100


def test_standard_input_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(b"", terminal=True))
    assert "pipe one" in str(failure("-"))
    monkeypatch.setattr(sys, "stdin", Stdin(b""))
    assert "empty (0 bytes)" in str(failure("-"))
    monkeypatch.setattr(sys, "stdin", Stdin(PCAP))
    captures = open_captures(["-", "-"])
    assert len(captures.captures) == 1
    assert "named twice" in str(captures.failures[0][1])


def test_a_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(gzip.compress(PCAPNG)))
    writer.start()
    found, captures = plain.read(pipe)
    writer.join()
    assert found == list(plain.read_pcapng(PCAPNG))
    assert captures.captures[0].format == "pcapng.gz"


def test_what_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "empty.pcap").write_bytes(b"")
    (tmp_path / "empty.pcap.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "notes.txt").write_text("12:00:00.0 IP 192.0.2.1.443\n" * 9)
    (tmp_path / "notes.gz").write_bytes(gzip.compress(b"12:00:00.0 IP 192.0.2.1.443\n"))
    (tmp_path / "old.pcap").write_bytes(bytes.fromhex("34cdb2a1") + bytes(40))
    (tmp_path / "damaged.gz").write_bytes(gzip.compress(PCAP)[:6])
    (tmp_path / "a\x1b[31m\n.pcap").write_bytes(b"\x00\x01\x02\x03")
    expected = [
        ("missing.pcap", UnreadableFile, "missing.pcap: no such file"),
        (".", UnreadableFile, "a directory; name the captures in it"),
        ("empty.pcap", UnreadableFile, "empty.pcap: empty (0 bytes)"),
        ("empty.pcap.gz", UnreadableFile, "empty.pcap.gz: empty (0 bytes)"),
        ("notes.txt", NotACapture, 'notes.txt: not a packet capture: at byte 0 is text that begins with "12:00:00'),
        ("notes.gz", NotACapture, "text that begins with"),
        ("old.pcap", NotACapture, "modified by Alexey Kuznetzov, which is not read; convert it with: editcap"),
        ("damaged.gz", DamagedCompression, "the gzip data ends before its end mark"),
        ("a\x1b[31m\n.pcap", NotACapture, "a [31m .pcap: not a packet capture"),
        ("x" * 300, UnreadableFile, "cannot be opened (File name too long)"),
        ("nul\x00.pcap", UnreadableFile, "cannot be opened (embedded null byte)"),
        ("short.pcap", NotACapture, "short.pcap: the pcap header is cut: 3 of 24 bytes"),
        ("short.pcapng", NotACapture, "short.pcapng: the pcapng header at byte 0 cannot be read: only 2 bytes"),
    ]
    (tmp_path / "short.pcap").write_bytes(PCAP[:3])
    (tmp_path / "short.pcapng").write_bytes(PCAPNG[:2])
    for name, kind, words in expected:
        error = failure(tmp_path / name)
        assert type(error) is kind, name
        assert words in str(error)
        assert ";" in str(error), "says what to try"


def test_a_file_without_permission(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)
    error = failure(tmp_path / "made.pcap")
    assert type(error) is UnreadableFile
    assert str(error).startswith("made.pcap: may not be read (permission denied);")


def test_the_other_files_are_read_and_numbered_without_the_failures(tmp_path: Path) -> None:
    (tmp_path / "b.pcap").write_bytes(PCAP)
    captures = open_captures([str(tmp_path / "a.pcap"), str(tmp_path / "b.pcap")])
    assert [Path(name).name for name, _ in captures.failures] == ["a.pcap"]
    assert {row.capture for row in plain.rows(captures.batches(False))} == {0}
    assert captures.captures[0].name == "b.pcap"


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_compressed_data_that_is_cut_is_read_up_to_the_cut(suffix: str, tmp_path: Path) -> None:
    packed = plain.COMPRESSIONS[suffix](PCAP)
    (tmp_path / "made").write_bytes(packed[:-1500])
    found, captures = plain.read(tmp_path / "made")
    assert 0 < len(found) < len(MADE)
    assert found == list(plain.read_pcap(PCAP))[: len(found)]
    cut = captures.captures[0].cut
    assert f"record {len(found) + 1} at byte" in cut
    assert "data ends before its end mark" in cut


@pytest.mark.parametrize("compiled", [False, True])
def test_pieces_of_a_capture_give_the_capture_again(compiled: bool, tmp_path: Path) -> None:
    paths = []
    for i, (begin, end) in enumerate([(0, 60), (60, 60), (60, 61), (61, 150), (150, 200)]):
        paths.append(tmp_path / f"{i}.pcap")
        paths[-1].write_bytes(plain.pcap(MADE[begin:end]))
    whole = [row[:3] for row in plain.read_pcap(PCAP)]
    for order in (paths, paths[::-1]):
        found, _ = plain.read(*order, compiled=compiled, block_bytes=500)
        assert [row[:3] for row in found] == whole


def test_captures_that_overlap_are_merged_by_time(tmp_path: Path) -> None:
    written = [plain.pcap(MADE[0::2]), plain.section(">") + plain.interface(">")]
    written[1] += b"".join(plain.enhanced(packet, ">") for packet in MADE[1::2])
    for i, content in enumerate(written):
        (tmp_path / str(i)).write_bytes(plain.COMPRESSIONS[".zst"](content) if i else content)
    found, captures = plain.read(tmp_path / "1", tmp_path / "0", block_bytes=1000)
    assert [row[:3] for row in found] == [row[:3] for row in plain.read_pcap(PCAP)]
    assert [row.capture for row in found] == [1, 0] * 100
    assert [facts.records for facts in captures.captures] == [100, 100]


def test_captures_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "made.pcap").write_bytes(PCAP)
    _, captures = plain.read(tmp_path / "made.pcap")
    with pytest.raises(UsageError, match="read already"):
        list(captures.batches(False))


def test_a_file_that_went_away_is_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "made.pcap"
    path.write_bytes(PCAP)
    captures = open_captures([str(path)])
    path.unlink()
    assert list(captures.batches(False)) == []
    assert "no such file" in captures.captures[0].cut
    path.write_bytes(PCAP)
    captures = open_captures([str(path)])
    path.write_bytes(b"something else")
    assert list(captures.batches(False)) == []
    assert "not a packet capture" in captures.captures[0].cut


def test_progress_counts_bytes_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "a.gz", tmp_path / "b"]
    paths[0].write_bytes(gzip.compress(PCAP))
    paths[1].write_bytes(PCAP)
    seen: list[tuple[int, int]] = []
    captures = open_captures([str(path) for path in paths], progress=lambda *step: seen.append(step))
    plain.rows(captures.batches(False))
    total = sum(path.stat().st_size for path in paths)
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)
    monkeypatch.setattr(sys, "stdin", Stdin(PCAP))
    plain.rows(open_captures(["-"], progress=lambda *step: seen.append(step)).batches(False))
    assert seen[-1] == (len(PCAP), -1)


def test_no_captures_at_all() -> None:
    captures = open_captures([])
    assert (list(captures.batches(False)), captures.captures, captures.size_hint) == ([], [], 0)


MEMORY = """
import resource, sys
from analyzer.capture.source import open_captures
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
captures = open_captures(sys.argv[1:])
for batch in captures.batches(False):
    batch.buffer[:] += 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, captures.captures[0].records)
"""


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".xz"])
def test_memory_stays_bounded(suffix: str, tmp_path: Path) -> None:
    """200 MB of records and then a record that claims 200 MB, and is not there, take a few blocks of memory."""
    record = plain.pcap([plain.Packet(plain.START, bytes(200_000), 200_000)])[24:]
    claim = plain.pcap([plain.Packet(plain.START, b"", 0)])[24:32] + (200 << 20).to_bytes(4, "little") * 2
    written = io.BytesIO()
    written.write(plain.pcap([]))
    for _ in range(1000):
        written.write(record)
    written.write(claim + bytes(1000))
    path = tmp_path / "made"
    path.write_bytes(plain.COMPRESSIONS[suffix](written.getvalue()))
    command = [sys.executable, "-c", MEMORY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    kilobytes, records = map(int, done.stdout.split())
    assert records == 1000
    assert kilobytes < 60_000


BOUNDS = """
import numba, struct
from analyzer.capture.blocks import Blocks
from analyzer.capture.formats import RawStream
from analyzer.capture.pcap import PcapReader
from analyzer.capture.pcapng_reader import PcapngReader
from analyzer.capture.records import CaptureFacts
from tests.capture import plain
assert numba.config.BOUNDSCHECK
made, comment = plain.packets(4), plain.option(1, b"hello")
written = plain.section() + plain.interface() + plain.enhanced(made[1], "<", comment) + plain.simple(made[2])
written += plain.obsolete(made[3]) + plain.enhanced(made[2], "<", comment[:-4] + bytes(4))
for reader, whole in ((PcapReader, plain.pcap(made)), (PcapngReader, written)):
    for length in range(28, len(whole) + 1):
        blocks = Blocks(RawStream(plain.Trickle(whole[:length])), block_bytes=64)
        plain.rows(reader(blocks, CaptureFacts("made", "made"), index=0, compiled=True).batches())
"""


def test_compiled_walks_stay_inside_the_buffer(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "HALFSHAKE_KERNEL_CACHE": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", BOUNDS]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def test_the_format_is_known_before_reading(captures: Path) -> None:
    """Of pcapng, which may hold secrets, more is kept while it is read."""
    pcapng = captures / "15-any-interface" / "dnat" / "host-3if.pcapng"
    assert open_captures([str(pcapng)]).captures[0].format == "pcapng"
