"""Scans saved and loaded: the same values, other versions and damage told apart."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
from pathlib import Path

import numpy as np
import pandas
import pytest

from analyzer.capture.records import CaptureFacts, Interface
from analyzer.capture.source import open_captures
from analyzer.errors import CaptureError, NotACapture, OtherVersion
from analyzer.events import saved
from analyzer.events.saved import facts_of_file, read_facts, scan_from, scan_to_bytes, scan_to_file
from analyzer.events.scan import Scan, merge, scan, settle
from analyzer.exchanges.build import Given, exchanges
from analyzer.packed import PackedReader, PackedWriter, written_whole
from tests.crafted import batches_of, joined, pieces_of


def values_of(each: Scan) -> list[object]:
    """Everything that a scan holds, to compare."""
    arrays = (*each.rows, each.chunk, each.table.size, each.table.keys, each.table.state, each.ledger)
    return [*((array.dtype, array.shape, array.tolist()) for array in arrays), each.chunks]


@pytest.fixture(scope="module")
def small(silent_capture: Path) -> tuple[Scan, list[CaptureFacts]]:
    captures = open_captures([str(silent_capture)])
    found = scan(captures.batches(compiled=False), 1, compiled=False)
    return found, captures.captures


def test_a_scan_comes_back_as_it_was(small: tuple[Scan, list[CaptureFacts]]) -> None:
    for before in (small[0], settle(small[0])):
        after, facts = scan_from(scan_to_bytes(before, small[1]))
        assert values_of(after) == values_of(before)
        assert facts == small[1]


def test_a_scan_without_a_packet_comes_back() -> None:
    after, facts = scan_from(scan_to_bytes(scan([], 2, compiled=False), []))
    assert values_of(after) == values_of(scan([], 2, compiled=False))
    assert facts == []


def test_pieces_that_were_sent_are_merged_as_those_that_were_not(silent_capture: Path) -> None:
    first, second = (scan([piece], 1, compiled=False) for piece in pieces_of(joined(batches_of(silent_capture)), [70]))
    sent = [scan_from(scan_to_bytes(each, []))[0] for each in (first, second)]
    assert values_of(settle(merge(*sent))) == values_of(settle(merge(first, second)))


def test_what_is_found_is_the_same(small: tuple[Scan, list[CaptureFacts]]) -> None:
    fresh = exchanges(settle(small[0]), small[1], Given())
    again, facts = scan_from(scan_to_bytes(settle(small[0]), small[1]))
    loaded = exchanges(again, facts, Given())
    pandas.testing.assert_frame_equal(loaded.view.connections.to_pandas(), fresh.view.connections.to_pandas())
    pandas.testing.assert_frame_equal(loaded.packets().to_pandas(), fresh.packets().to_pandas())


def test_facts_keep_every_byte_and_every_name() -> None:
    facts = CaptureFacts("\udcff.pcap", "/a/\udcff.pcap", "pcapng", secrets=[bytes(range(256))])
    facts.interfaces = [Interface(1, name="any", dropped=3)]
    facts.names = {"192.0.2.1": ["a.example"]}
    assert scan_from(scan_to_bytes(scan([], 1, compiled=False), [facts]))[1] == [facts]


def test_the_same_scan_gives_the_same_bytes(small: tuple[Scan, list[CaptureFacts]]) -> None:
    assert scan_to_bytes(*small) == scan_to_bytes(*small)


def test_another_version_is_named(small: tuple[Scan, list[CaptureFacts]], monkeypatch: pytest.MonkeyPatch) -> None:
    content = scan_to_bytes(*small)
    monkeypatch.setattr(saved, "SCHEMA", "halfshake-scan/2")
    with pytest.raises(OtherVersion, match=r"'halfshake-scan/1'.*reads 'halfshake-scan/2'; scan the capture again"):
        scan_from(content)


@pytest.mark.parametrize(("name", "other"), [("gap", "pause"), ("time", None)])
def test_other_columns_are_another_version(
    name: str, other: str | None, small: tuple[Scan, list[CaptureFacts]]
) -> None:
    file = io.BytesIO()
    writer = PackedWriter(file, facts_of_file(small[1]))
    rows = small[0].rows._asdict() | {"chunk": small[0].chunk}
    if other:
        rows = {other if each == name else each: column for each, column in rows.items()}
    else:
        rows[name] = rows[name].astype(np.int32)
    whole = PackedReader(scan_to_bytes(*small), saved.SCHEMA)
    for table in ("flow_keys", "flow_states", "packet_bytes", "ledger"):
        writer.write(table, whole.columns(table, whole.column_names(table)))
    writer.write("packets_selected", rows)
    writer.close()
    with pytest.raises(OtherVersion, match=name):
        scan_from(file.getvalue())


def test_tables_must_fit_together(small: tuple[Scan, list[CaptureFacts]]) -> None:
    found, facts = small
    for wrong in (
        Scan(found.table, found.rows, found.chunk, (), found.ledger),
        Scan(found.table._replace(keys=found.table.keys[:10]), found.rows, found.chunk, found.chunks, found.ledger),
    ):
        with pytest.raises(CaptureError, match="do not fit together"):
            scan_from(scan_to_bytes(wrong, facts))


def test_no_prefix_is_taken_for_a_scan(small: tuple[Scan, list[CaptureFacts]]) -> None:
    content = scan_to_bytes(*small)
    for end in (*range(0, 200, 7), *range(200, len(content), len(content) // 97)):
        with pytest.raises(NotACapture, match="cut"):
            scan_from(content[:end])


def test_a_byte_that_changed_is_noticed(small: tuple[Scan, list[CaptureFacts]]) -> None:
    content = scan_to_bytes(*small)
    before = values_of(small[0])
    for place in range(400, len(content), len(content) // 61):
        damaged = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
        try:
            after = values_of(scan_from(damaged)[0])
        except CaptureError:
            continue
        # What is no part of a value, such as the metadata of a Parquet file, may change.
        assert after == before


def test_a_file_appears_whole_or_not_at_all(small: tuple[Scan, list[CaptureFacts]], tmp_path: Path) -> None:
    path = tmp_path / "server.scan"
    path.write_bytes(b"earlier")
    with contextlib.suppress(RuntimeError), written_whole(path) as file:
        file.write(b"some")
        raise RuntimeError
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("server.scan", b"earlier")]
    (tmp_path / f".server.scan.partial-{os.getpid()}").write_bytes(b"of one that was killed")
    with written_whole(path) as file:
        scan_to_file(file, *small)
    assert [each.name for each in tmp_path.iterdir()] == ["server.scan"]
    assert values_of(scan_from(path)[0]) == values_of(small[0])


def test_what_is_no_saved_scan_is_said(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"none\.scan: cannot be opened"):
        scan_from(tmp_path / "none.scan")
    with pytest.raises(NotACapture, match="not a saved scan"):
        scan_from(b"PK\x03\x04 but nothing more")


def test_facts_of_another_version_are_told(small: tuple[Scan, list[CaptureFacts]]) -> None:
    reader = PackedReader(scan_to_bytes(*small), saved.SCHEMA)
    reader.facts["captures"][0]["colour"] = "blue"
    with pytest.raises(OtherVersion, match="facts"):
        read_facts(reader)


class FullDisk(io.BytesIO):
    """A file that takes so many bytes and no more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, content: object) -> int:
        if self.tell() + memoryview(content).nbytes > self.room:  # type: ignore[arg-type]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)  # type: ignore[arg-type]


def test_a_full_disk_is_one_error(small: tuple[Scan, list[CaptureFacts]]) -> None:
    """Wherever it is full, nothing is written or said later, when what wrote is collected."""
    size = len(scan_to_bytes(*small))
    for room in (0, 100, size // 2, size - 100):
        file = FullDisk(room)
        with pytest.raises(OSError, match="No space left"):
            scan_to_file(file, *small)
        file.close()
        gc.collect()  # an exception in a finalizer would fail the test
