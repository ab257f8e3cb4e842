"""The comparison: what is measured of a process tree, and what is counted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.measuring import Measured, measure
from benchmarks.run import Results as RunResults
from benchmarks.run import first_records, peers, ratio_of, report

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
CHILD = "import time; held = bytearray(100_000_000); time.sleep(0.3)"


def test_memory_of_children_counts() -> None:
    measured = measure([sys.executable, "-c", PARENT, CHILD])
    assert measured.status == 0
    assert measured.wall_s > 0.3
    assert 105 < measured.peak_mb < 200


def test_status_is_handed_on() -> None:
    assert measure([sys.executable, "-c", "raise SystemExit(3)"]).status == 3


def test_ratio_is_the_median_over_pairs() -> None:
    ours = [Measured(wall, 1.0, 10.0, 0) for wall in (1.0, 2.0, 30.0)]
    theirs = [Measured(1.0, 1.0, 10.0, 0)] * 3
    assert ratio_of(ours, theirs, 0) == 2.0


def test_first_records_keeps_whole_records(silent_capture: Path) -> None:
    capture = silent_capture.read_bytes()
    cut = first_records(capture, 100)
    assert capture.startswith(cut)
    assert first_records(cut, 100) == cut
    assert len(capture) > len(cut) > 24 + 100 * 16


@pytest.mark.parametrize("peer", sorted(peers()))
def test_peer_commands_read_the_file_they_are_given(peer: str) -> None:
    assert Path("a.pcap") in peers()[peer](Path("a.pcap"))


def test_report_has_what_was_measured() -> None:
    page = report(RunResults(pairs=["| mix | peer | 1 |"], single=["| what | 2 |"]), 5)
    assert "| mix | peer | 1 |" in page
    assert "| what | 2 |" in page
