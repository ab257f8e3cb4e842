"""``halfshake analyze``: what it prints and writes where, and with which status it ends."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from analyzer.version import __version__
from tests.crafted import batches_of, captured_of, joined, write_pcap
from tests.running import COMMAND, call, run

REPORT = ["evidence.pcapng", "plots", "report.html", "report.json", "report.md", "report.sarif"]


@pytest.fixture
def sound_capture(captures: Path) -> Path:
    """A capture in which everything was answered."""
    return captures / "01-caddy-http3-ok" / "caddy-2.6.2" / "client.pcap"


def test_the_verdict(silent_capture: Path) -> None:
    done = call("analyze", silent_capture)
    assert (done.status, done.stderr) == (0, "")
    assert "192.0.2.80" in done.stdout
    assert "\x1b" not in done.stdout, "colours are for terminals"


def test_the_document_alone(silent_capture: Path) -> None:
    done = call("analyze", "--json", silent_capture)
    assert (done.status, done.stderr) == (0, "")
    assert list(done.document) == ["schema", "tool", "captures", "sockets", "connections", "findings"]
    assert done.document["schema"] == "halfshake-report/1"
    assert done.document["tool"] == {"name": "halfshake", "version": __version__}
    assert done.stdout.endswith("}\n")
    assert not done.stdout.endswith("\n\n")


def test_findings_are_data_and_no_failure(silent_capture: Path) -> None:
    done = call("analyze", "--json", silent_capture)
    assert done.status == 0
    assert any(finding["severity"] == "error" for finding in done.document["findings"])


@pytest.mark.parametrize("level", ["error", "warning"])
def test_fail_on(level: str, silent_capture: Path, sound_capture: Path) -> None:
    assert call("analyze", "--fail-on", level, silent_capture).status == 1
    assert call("analyze", "--fail-on", level, sound_capture).status == 0


def test_fail_on_is_about_severity(captures: Path) -> None:
    """A capture whose worst finding is a warning or less."""
    path = captures / "15-any-interface" / "dnat" / "host-any.pcap"
    severities = {finding["severity"] for finding in call("analyze", "--json", path).document["findings"]}
    for level, failing in (("error", {"error"}), ("warning", {"error", "warning"})):
        assert call("analyze", "--fail-on", level, path).status == int(bool(severities & failing))


def test_an_unreadable_file_outweighs_findings(silent_capture: Path, tmp_path: Path) -> None:
    done = call("analyze", "--fail-on", "error", silent_capture, tmp_path / "missing.pcap")
    assert done.status == 2
    assert "missing.pcap" in done.complaint


def test_a_report_folder(silent_capture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    done = call("analyze", silent_capture, "-o", folder)
    assert done.status == 0
    assert done.stdout == call("analyze", silent_capture).stdout
    assert str(folder) in done.complaint
    written = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    assert {"plots", "report.html", "report.json", "report.md"} <= set(written) <= set(REPORT)
    assert (folder / "report.json").read_text() == call("analyze", "--json", silent_capture).stdout
    assert any((folder / "plots").iterdir())


def test_a_report_folder_is_replaced_and_any_other_one_is_not(silent_capture: Path, tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    assert call("analyze", "-q", silent_capture, "-o", ours).status == 0
    assert call("analyze", "-q", silent_capture, "-o", ours).status == 0
    other.mkdir()
    (other / "diary.txt").write_text("mine")
    refused = call("analyze", silent_capture, "-o", other)
    assert (refused.status, refused.stdout) == (2, "")
    assert "--force" in refused.stderr
    assert [path.name for path in other.iterdir()] == ["diary.txt"]
    assert call("analyze", "-q", "--force", silent_capture, "-o", other).status == 0
    assert (other / "report.json").exists()


def test_a_folder_that_is_a_file(silent_capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    done = call("analyze", silent_capture, "-o", path)
    assert (done.status, path.read_text()) == (2, "mine")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input(packed: bool, silent_capture: Path) -> None:
    content = silent_capture.read_bytes()
    done = run("analyze", "--json", "-", stdin=gzip.compress(content) if packed else content)
    expected = call("analyze", "--json", silent_capture).document
    assert (done.status, done.stderr) == (0, "")
    assert done.document["captures"][0]["name"] == "-"
    assert done.document["connections"] == expected["connections"]
    assert [f["records"] for f in done.document["findings"]] == [f["records"] for f in expected["findings"]]


def test_no_standard_input() -> None:
    done = run("analyze", "-")
    assert (done.status, done.stdout) == (2, "")
    assert "-: empty" in done.complaint


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_several_files_are_merged_by_time(order: list[int], silent_capture: Path, tmp_path: Path) -> None:
    """Rotated files, in whatever order they are named."""
    captured = captured_of(joined(batches_of(silent_capture)))
    pieces = [captured[:40], captured[40:100], captured[100:]]
    files = [write_pcap(tmp_path / f"{k}.pcap", piece) for k, piece in enumerate(pieces)]
    document = call("analyze", "--json", *(files[k] for k in order)).document
    whole = call("analyze", "--json", silent_capture).document
    assert [capture["name"] for capture in document["captures"]] == [f"{k}.pcap" for k in order]
    assert [capture["records"] for capture in document["captures"]] == [len(pieces[k]) for k in order]
    assert document["sockets"] == whole["sockets"]
    assert [f["pattern"] for f in document["findings"]] == [f["pattern"] for f in whole["findings"]]
    assert [f["counts"] for f in document["findings"]] == [f["counts"] for f in whole["findings"]]


def test_files_that_overlap_are_merged_record_by_record(silent_capture: Path, tmp_path: Path) -> None:
    captured = captured_of(joined(batches_of(silent_capture)))
    files = [write_pcap(tmp_path / f"{k}.pcap", captured[k::2]) for k in (0, 1)]
    document = call("analyze", "--json", *files).document
    whole = call("analyze", "--json", silent_capture).document
    assert document["sockets"] == whole["sockets"]


def test_the_same_capture_gives_the_same_bytes(silent_capture: Path) -> None:
    """In two processes, whose hashes of text differ."""
    first, second = (run("analyze", "--json", silent_capture) for _ in range(2))
    assert first.stdout == second.stdout
    assert first.stdout == call("analyze", "--json", silent_capture).stdout


def test_warnings_are_on_stderr_and_may_be_silenced(silent_capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(silent_capture.read_bytes()[:-7])
    assert "cut.pcap" in call("analyze", "--json", path).complaint
    quiet = call("analyze", "--json", "--quiet", path)
    assert (quiet.status, quiet.stderr) == (0, "")
    assert json.loads(quiet.stdout)["captures"][0]["ledger"]["cut"] == 1


def test_errors_are_said_even_when_quiet(tmp_path: Path) -> None:
    done = call("analyze", "--quiet", tmp_path / "missing.pcap")
    assert done.status == 2
    assert "missing.pcap" in done.complaint


def test_a_reader_that_goes_away(silent_capture: Path) -> None:
    """``halfshake analyze --json big.pcap | head -1`` ends without a traceback."""
    shell = ["bash", "-c", '"$@" | head -c 10', "bash", *COMMAND, "analyze", "--json", str(silent_capture)]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert len(done.stdout) == 10
    assert "Traceback" not in done.stderr


def test_vantages_are_taken_from_the_command_line(silent_capture: Path) -> None:
    document = call("analyze", "--json", "--vantage", f"{silent_capture}=client", silent_capture).document
    assert (document["captures"][0]["vantage"], document["captures"][0]["vantage_reason"]) == ("client", "given")


def test_the_version() -> None:
    done = call("--version")
    assert (done.status, done.stdout) == (0, f"halfshake, version {__version__}\n")


@pytest.mark.parametrize("command", [[], ["analyze"], ["export"], ["explain"]])
def test_help(command: list[str]) -> None:
    for option in ("--help", "-h"):
        done = call(*command, option)
        assert (done.status, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage: ")
