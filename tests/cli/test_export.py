"""``halfshake export``: every table in every format, on standard output and into a file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from analyzer.analysis import analyse
from tests.running import COMMAND, call, run

TABLES = ("connections", "sockets", "exchanges", "resolutions", "packets", "findings")


@pytest.mark.parametrize("table", TABLES)
def test_csv_is_the_default(table: str, silent_capture: Path) -> None:
    done = call("export", table, silent_capture)
    expected = getattr(analyse([str(silent_capture)]), table)
    assert (done.status, done.stderr) == (0, "")
    header, *lines = csv.reader(io.StringIO(done.stdout))
    assert header == [column.name for column in expected.public()]
    assert len(lines) == len(expected)


@pytest.mark.parametrize("table", TABLES)
def test_formats_agree(table: str, silent_capture: Path, tmp_path: Path) -> None:
    printed = json.loads(call("export", table, silent_capture, "--format", "json").stdout)
    lines = [
        json.loads(line) for line in call("export", table, silent_capture, "--format", "jsonl").stdout.splitlines()
    ]
    assert printed == lines
    path = tmp_path / "table.parquet"
    done = call("export", table, silent_capture, "--format", "parquet", "-o", path)
    assert (done.status, done.stdout, done.stderr) == (0, "", "")
    stored = pyarrow.parquet.read_table(path)
    assert stored.num_rows == len(printed)
    if printed:
        assert stored.column_names == list(printed[0])


def test_a_file_holds_what_would_be_printed(silent_capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "connections.csv"
    assert call("export", "connections", silent_capture, "-o", path).stdout == ""
    assert path.read_text() == call("export", "connections", silent_capture).stdout


def test_a_file_that_cannot_be_written(silent_capture: Path, tmp_path: Path) -> None:
    done = call("export", "connections", silent_capture, "-o", tmp_path / "missing" / "a.csv")
    assert (done.status, done.stdout) == (2, "")
    assert "cannot be written" in done.complaint
    assert "Traceback" not in done.stderr


def test_parquet_on_standard_output(silent_capture: Path, tmp_path: Path) -> None:
    import subprocess

    arguments = ["export", "sockets", str(silent_capture), "--format", "parquet"]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, timeout=60, check=True)
    assert done.stdout[:4] == done.stdout[-4:] == b"PAR1"


def test_standard_input(silent_capture: Path) -> None:
    done = run("export", "sockets", "-", stdin=silent_capture.read_bytes())
    assert done.stdout == call("export", "sockets", silent_capture).stdout


def test_unreadable_files(silent_capture: Path, tmp_path: Path) -> None:
    alone = call("export", "sockets", tmp_path / "missing.pcap")
    assert (alone.status, alone.stdout) == (2, "")
    beside = call("export", "sockets", silent_capture, tmp_path / "missing.pcap")
    assert beside.status == 2
    assert "missing.pcap" in beside.complaint
    assert beside.stdout == call("export", "sockets", silent_capture).stdout


def test_all_connections_are_exported_and_the_document_has_those_of_findings(silent_capture: Path) -> None:
    exported = csv.DictReader(io.StringIO(call("export", "connections", silent_capture).stdout))
    names = [row["connection"] for row in exported]
    document = call("analyze", "--json", silent_capture).document
    assert names == [f"C{k}" for k in range(1, len(names) + 1)]
    assert {row["connection"] for row in document["connections"]} < set(names)


def test_times_are_utc_with_nine_decimals(silent_capture: Path) -> None:
    for row in csv.DictReader(io.StringIO(call("export", "packets", silent_capture).stdout)):
        assert len(row["time"]) == len("2026-11-21T23:05:24.499449000Z")
        assert row["time"].endswith("Z")
