"""What the tables cost in Python: what the page says holds and does not."""

from __future__ import annotations

from pathlib import Path

import pandas

import analyzer
from benchmarks.api import QUESTIONS, report, save_many
from benchmarks.measuring import Measured
from tests.api.opened import SILENT


def page(wall: float, opened: float) -> str:
    seconds = dict.fromkeys(QUESTIONS, opened)
    return report([Measured(wall, 2.0, 300.0, 0)] * 3, [Measured(1.0, 1.0, 200.0, 0)] * 3, seconds, 1_000_000)


def test_the_page_says_what_holds() -> None:
    assert "DOES NOT HOLD" not in page(1.2, 0.9)
    assert "1.2 × DOES NOT HOLD" in page(1.21, 0.9)
    assert "within 1 s; DOES NOT HOLD" in page(1.2, 1.0)


def test_a_saved_scan_of_many_connections_opens(tmp_path: Path) -> None:
    saved = tmp_path / "many.scan"
    save_many(SILENT, saved, 30)
    many, few = analyzer.open(saved).connections, analyzer.open(SILENT).connections
    assert many["connection"].tolist() == [f"C{number}" for number in range(1, 31)]
    pandas.testing.assert_frame_equal(many[: len(few)], few, check_categorical=False)
