"""The report folder: whole or not there, and never over what is not ours."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.errors import OutputError, UsageError
from analyzer.reports import bundle
from analyzer.reports.bundle import MARKER, check_folder, write_reports
from tests.reports import example

FILES = [
    *(MARKER, "evidence.pcapng", "plots/reply-latency.png", "plots/reply-latency.svg"),
    *("plots/timeline.png", "plots/timeline.svg"),
    *("report.html", "report.json", "report.md", "report.sarif"),
]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_new_folder_holds_all_reports(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    write_reports(example.silent(), folder, force=False, full=False)
    assert files(folder) == FILES
    assert json.loads((folder / "report.json").read_text(encoding="utf-8"))["schema"] == "halfshake-report/1"
    assert files(tmp_path) == [f"new/report/{name}" for name in FILES]


def test_a_report_replaces_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    write_reports(example.silent(), tmp_path / "report", force=False, full=False)
    (tmp_path / "report" / "notes.txt").write_text("mine", encoding="utf-8")
    write_reports(example.healthy(), tmp_path / "report", force=False, full=False)
    assert files(tmp_path / "report") == sorted([*(name for name in FILES if "latency" not in name), "notes.txt"])
    assert (tmp_path / "report" / "report.md").read_text(encoding="utf-8").startswith("# No silent sockets seen")


def test_the_same_analysis_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_reports(example.silent(), tmp_path / name, force=False, full=True)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_evidence_that_cannot_be_read_again_is_said_and_leaves_none_of_an_earlier_report(tmp_path: Path) -> None:
    write_reports(example.silent(), tmp_path, force=False, full=False)
    assert (tmp_path / "evidence.pcapng").is_file()
    (sentence,) = write_reports(replace(example.silent(), paths=("-",)), tmp_path, force=False, full=False)
    assert "standard input" in sentence
    assert files(tmp_path) == [name for name in FILES if name != "evidence.pcapng"]


def test_a_folder_of_others_needs_force(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(UsageError, match="--force"):
        write_reports(example.silent(), tmp_path, force=False, full=False)
    assert files(tmp_path) == ["letter.txt"]
    write_reports(example.silent(), tmp_path, force=True, full=False)
    assert files(tmp_path) == sorted([*FILES, "letter.txt"])


def test_an_empty_folder_is_as_good_as_a_new_one(tmp_path: Path) -> None:
    write_reports(example.silent(), tmp_path, force=False, full=False)
    assert files(tmp_path) == FILES


def test_a_file_in_the_way_is_a_usage_error_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("", encoding="utf-8")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for name in ("report", "gone"):
        with pytest.raises(UsageError, match="not a folder"):
            check_folder(tmp_path / name, force=True)


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        write_reports(example.silent(), tmp_path / "file" / "report", force=False, full=False)

    def full_disk(folder: Path, contents: dict[str, bytes]) -> None:
        (folder / "report.md").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "_write", full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        write_reports(example.silent(), tmp_path / "report", force=False, full=False)
    assert files(tmp_path) == ["file"]


def test_nothing_is_written_through_a_link_out_of_the_folder(tmp_path: Path) -> None:
    victim, elsewhere = tmp_path / "victim", tmp_path / "elsewhere"
    victim.write_text("mine", encoding="utf-8")
    elsewhere.mkdir()
    write_reports(example.silent(), tmp_path / "report", force=False, full=False)
    (tmp_path / "report" / "report.md").unlink()
    (tmp_path / "report" / "report.md").symlink_to(victim)
    write_reports(example.silent(), tmp_path / "report", force=False, full=False)
    assert victim.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "report" / "report.md").is_symlink()
    for path in (tmp_path / "report" / "plots").iterdir():
        path.unlink()
    (tmp_path / "report" / "plots").rmdir()
    (tmp_path / "report" / "plots").symlink_to(elsewhere)
    for force in (False, True):
        with pytest.raises(UsageError, match="symbolic link"):
            write_reports(example.silent(), tmp_path / "report", force=force, full=False)
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_the_unfinished_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f".report.partial-{os.getpid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="cannot be written"):
        write_reports(example.silent(), tmp_path / "report", force=False, full=False)
    assert list((tmp_path / "elsewhere").iterdir()) == []
