"""Each recorded case says what it is, and the folder stays small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
CASES = sorted(key.parent.relative_to(CAPTURES).as_posix() for key in CAPTURES.rglob("expected.json"))
HEADINGS = ["What was recorded", "The fault", "Files", "Origin"]


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_complete(case: str) -> None:
    folder = CAPTURES / case
    expected = json.loads((folder / "expected.json").read_text())
    recorded = {path.name for path in folder.iterdir() if path.suffix not in (".json", ".keys", ".md")}
    assert set(expected) == recorded
    assert all(set(key) <= {"must", "may", "onset"} for key in expected.values())
    json.loads((folder / "truth.json").read_text())


@pytest.mark.parametrize("case", CASES)
def test_a_case_says_where_it_comes_from(case: str) -> None:
    lines = (CAPTURES / case / "PROVENANCE.md").read_text().splitlines()
    assert lines[0] == f"# {case}"
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == HEADINGS
    for capture in json.loads((CAPTURES / case / "expected.json").read_text()):
        assert any(line.startswith(f"| `{capture}` |") for line in lines)


def test_the_index_lists_every_case() -> None:
    index = (CAPTURES / "README.md").read_text()
    assert [case for case in CASES if f"({case}/PROVENANCE.md)" not in index] == []
    assert index.count("/PROVENANCE.md)") == len(CASES)


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in CAPTURES.rglob("*") if path.is_file()) < 8_000_000
