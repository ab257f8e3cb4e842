"""``check``, ``compare`` and ``capture-command`` as a pipeline runs them."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.running import COMMAND, call, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def good(captures: Path) -> Path:
    return captures / "01-caddy-http3-ok" / "caddy-2.6.2" / "server.pcap"


def test_check_holds_or_fails_by_its_status(silent_capture: Path, good: Path) -> None:
    assert call("check", good).status == 0
    assert call("check", silent_capture).status == 1
    done = call("check", silent_capture, "--expect", "tcp answered", "--expect", "udp/443 ipv4 answered")
    assert done.status == 1
    first, second = done.stdout.splitlines()
    assert first.startswith("holds      tcp answered: ")
    assert second == "fails      udp/443 ipv4 answered: udp 192.0.2.80:443 over IPv4: 0 of 5 answered"


def test_check_is_undecided_where_nothing_bears_on_it(good: Path, tmp_path: Path) -> None:
    assert call("check", good, "--expect", "udp/53 answered").status == 3
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(good.read_bytes()[:24])
    assert call("check", empty).status == 3


def test_check_says_wrong_usage_before_it_reads(tmp_path: Path) -> None:
    done = call("check", tmp_path / "missing.pcap", "--expect", "all is well")
    assert (done.status, done.stdout) == (2, "")
    assert "'all is well'" in done.stderr
    assert call("check", tmp_path / "missing.pcap").status == 2


def test_check_reads_standard_input(silent_capture: Path) -> None:
    done = run("check", "-", "--expect", "udp ipv6 answered", stdin=silent_capture.read_bytes())
    assert done.status == 0


def test_a_file_that_cannot_be_read_is_2_even_if_the_others_fail(silent_capture: Path, tmp_path: Path) -> None:
    done = call("check", silent_capture, tmp_path / "missing.pcap")
    assert done.status == 2
    assert done.stdout.startswith("fails")


def test_compare_is_1_when_worse(silent_capture: Path, good: Path) -> None:
    worse = call("compare", good, silent_capture)
    assert worse.status == 1
    assert "worse    udp 192.0.2.80:443 over IPv4: answered 5 of 5" in worse.stdout
    assert call("compare", silent_capture, good).status == 0
    same = call("compare", good, good)
    assert (same.status, same.stdout) == (0, "nothing changed\n")


def test_compare_takes_several_files_and_folders(silent_capture: Path, good: Path, tmp_path: Path) -> None:
    both = [good, good.with_name("client.pcap")]
    options = [word for path in both for word in ("--before", path)]
    told = call("compare", *options, "--after", silent_capture)
    assert told.status == 1
    assert "worse    appeared: error address-family-silent" in told.stdout
    assert call("compare", *options, silent_capture).stdout == told.stdout
    (tmp_path / "before").mkdir()
    for path in both:
        (tmp_path / "before" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "before" / "notes.txt").write_text("not a capture")
    assert call("compare", tmp_path / "before", silent_capture).stdout == told.stdout
    assert call("compare", "--after", silent_capture, tmp_path / "before").stdout == told.stdout


def test_compare_says_which_sides_it_wants(good: Path, tmp_path: Path) -> None:
    for arguments in ([good, good, good], ["--before", good], [good, good, "--before", good], [good, "-"] * 2):
        assert "name two captures" in call("compare", *arguments).stderr
    assert "no captures in this folder" in call("compare", tmp_path, good).stderr
    assert call("compare", "--before", "-", "--before", "-", good).status == 2


def test_compare_is_2_where_a_file_of_one_side_cannot_be_read(good: Path, tmp_path: Path) -> None:
    done = call("compare", "--before", good, "--before", tmp_path / "missing.pcap", "--after", good)
    assert done.status == 2
    assert "missing.pcap" in done.stderr
    assert done.stdout == "nothing changed\n"


def test_compare_needs_two_captures(good: Path, tmp_path: Path) -> None:
    assert call("compare", good).status == 2
    assert call("compare", "-", "-").status == 2
    assert call("compare", good, tmp_path / "missing.pcap").status == 2


def test_capture_command_prints_one_command(tmp_path: Path) -> None:
    done = call("capture-command", "-i", "eth0", "--host", "192.0.2.80", "--port", "8443", "--files", "5")
    assert done.status == 0
    (line,) = done.stdout.splitlines()
    words = shlex.split(line)
    assert words[:3] == ["tcpdump", "-i", "eth0"]
    assert "host 192.0.2.80 and port 8443" in words[-1]
    assert "IPv6" in done.stderr
    assert call("capture-command", "--quiet").stderr == ""
    assert call("capture-command", "--host", "example.com").status == 2


def scripts() -> list[str]:
    """The shell scripts of the page about pipelines."""
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    workflow = re.findall(r"^ +run: \|\n((?: +.*\n)+)", page, re.MULTILINE)
    return found + ["".join(line.strip() + "\n" for line in block.splitlines()) for block in workflow]


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with ``halfshake`` on its path, as ``sh -e`` does."""
    command = folder / "bin" / "halfshake"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    return subprocess.run(
        ["sh", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(("capture", "status"), [("good", 0), ("bad", 1), ("empty", 125)])
def test_the_bisect_script_of_the_docs_works(
    silent_capture: Path, good: Path, tmp_path: Path, capture: str, status: int
) -> None:
    (script,) = [each for each in scripts() if "125" in each]
    content = {"good": good.read_bytes(), "bad": silent_capture.read_bytes(), "empty": good.read_bytes()[:24]}[capture]
    (tmp_path / "test.pcap").write_bytes(content)
    assert shell(script, tmp_path).returncode == status


def test_the_workflow_of_the_docs_works(silent_capture: Path, good: Path, tmp_path: Path) -> None:
    (script,) = [each for each in scripts() if "--expect" in each and "125" not in each]
    (tmp_path / "test.pcap").write_bytes(good.read_bytes())
    done = shell(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "report" / "report.sarif").is_file()
    (tmp_path / "bin" / "halfshake").unlink()
    (tmp_path / "bin").rmdir()
    (tmp_path / "test.pcap").write_bytes(silent_capture.read_bytes())
    assert shell(script, tmp_path).returncode == 1
