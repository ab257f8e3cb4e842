"""``halfshake excerpt`` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running import call, run


def test_a_finding_becomes_a_capture_that_shows_it_again(silent_capture: Path, tmp_path: Path) -> None:
    done = call("excerpt", silent_capture, "--finding", "F2", "-o", tmp_path / "f2.pcapng")
    assert (done.status, done.stdout) == (0, "")
    assert "22 records" in done.complaint
    (found,) = call("analyze", "--json", "--quiet", tmp_path / "f2.pcapng").document["sockets"]
    assert (found["address"], found["attempts"]) == ("192.0.2.80", 5)
    assert [path.name for path in tmp_path.iterdir()] == ["f2.pcapng"]


def test_a_pattern_names_findings_too_and_standard_output_will_do(silent_capture: Path, tmp_path: Path) -> None:
    call("excerpt", silent_capture, "--finding", "F2", "-o", tmp_path / "f2.pcapng", "--quiet")
    done = run_bytes("excerpt", str(silent_capture), "--finding", "quic-initial-no-reply", "-o", "-", "--quiet")
    assert done == (tmp_path / "f2.pcapng").read_bytes()


def run_bytes(*arguments: str) -> bytes:
    import subprocess

    from tests.running import COMMAND

    return subprocess.run([*COMMAND, *arguments], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--finding", "F99", "-o", "x.pcapng"], "F1 (address-family-silent)"),
        (["-o", "x.pcapng"], "--finding"),
        (["--finding", "F1"], "-o"),
        (["--finding", "F1", "-o", "missing/x.pcapng"], "cannot be written"),
    ],
)
def test_wrong_usage_is_status_2_and_leaves_nothing(
    silent_capture: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = run("excerpt", silent_capture, *arguments, cwd=tmp_path)
    assert (done.status, done.stdout) == (2, "")
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_capture_is_never_overwritten(silent_capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "server.pcap"
    path.write_bytes(silent_capture.read_bytes())
    done = call("excerpt", path, "--finding", "F1", "-o", path)
    assert done.status == 2
    assert path.read_bytes() == silent_capture.read_bytes()


def test_standard_input_is_refused_before_it_is_read(silent_capture: Path, tmp_path: Path) -> None:
    done = run("excerpt", "-", "--finding", "F1", "-o", tmp_path / "x", stdin=silent_capture.read_bytes())
    assert done.status == 2
    assert "only once" in done.stderr


def test_a_report_from_standard_input_says_that_it_has_no_evidence(silent_capture: Path, tmp_path: Path) -> None:
    done = run("analyze", "-", "-o", tmp_path / "report", stdin=silent_capture.read_bytes())
    assert done.status == 0
    assert "evidence.pcapng was not written" in done.stderr
    assert not (tmp_path / "report" / "evidence.pcapng").exists()
    assert (tmp_path / "report" / "report.json").exists()
