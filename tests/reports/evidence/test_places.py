"""Records from their places are those of a walk through the file."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from analyzer.reports.evidence.chosen import chosen_records
from analyzer.reports.evidence.copy import read_again
from analyzer.reports.evidence.places import read_at
from tests.conftest import ROOT

PLAIN = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "captures").rglob("s*.pcap"))


@pytest.mark.parametrize("name", PLAIN[::4])
def test_they_are_those_of_a_walk(name: str) -> None:
    analysis = analyse([str(ROOT / name)])
    chosen = chosen_records(analysis, analysis.document["findings"])
    found = read_at(analysis.paths, chosen.comments, chosen.places)
    walked = list(read_again(analysis.paths, chosen.comments))
    assert (list(found) if found is not None else []) == walked


def test_what_has_no_place_is_walked(silent_capture: Path, tmp_path: Path) -> None:
    analysis = analyse([str(silent_capture)])
    chosen = chosen_records(analysis, analysis.document["findings"])
    assert read_at(analysis.paths, chosen.comments, {}) is None
    assert read_at([*analysis.paths, "x"], {**chosen.comments, (1, 1): "x"}, {**chosen.places, (1, 1): 24}) is None
    packed = tmp_path / "server.pcap.gz"
    packed.write_bytes(gzip.compress(silent_capture.read_bytes()))
    assert read_at([str(packed)], chosen.comments, chosen.places) is None


def test_a_file_that_became_shorter_gives_fewer(silent_capture: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(silent_capture, tmp_path / "server.pcap"))
    analysis = analyse([str(path)])
    chosen = chosen_records(analysis, analysis.document["findings"])
    path.write_bytes(path.read_bytes()[: chosen.places[0, 20] + 20])
    found = read_at(analysis.paths, chosen.comments, chosen.places)
    assert found is not None
    assert 0 < len(list(found)) < len(chosen.comments)
