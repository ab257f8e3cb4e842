"""What people expect of a command line: typos, completion, the manual, colours, help that begins with examples."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from analyzer.cli.main import main
from analyzer.cli.manual import manual
from tests.running import COMMAND, call

COMMANDS = main.list_commands(click.Context(main))


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["anlyze", "x.pcap"], "No such command 'anlyze'; did you mean 'analyze'?"),
        (["analyze", "--jsn", "x.pcap"], "--json"),
        (["analyze", "--fail-on", "eror", "x.pcap"], "did you mean 'error'?"),
        (["export", "conections", "x.pcap"], "did you mean 'connections'?"),
        (["export", "sockets", "x.pcap", "--format", "jsn"], "did you mean 'json'?"),
        (
            ["export", "sockets", "x.pcap", "--columns", "adress"],
            "no column 'adress' in sockets; did you mean 'address'?",
        ),
        (["export", "sockets", "x.pcap", "--columns", "zzz"], "there are transport, family, address"),
        (["explain", "quic-initial-noreply"], "did you mean 'quic-initial-no-reply'?"),
        (["explain", "--incident", "nginx-reload-reusport"], "did you mean 'nginx-reload-reuseport'?"),
        (["check", "x.pcap", "--expect", "no quic-initial-noreply"], "did you mean 'quic-initial-no-reply'?"),
        (["nonsense"], "No such command 'nonsense'\n"),
    ],
)
def test_a_typo_is_met_with_the_nearest_word(arguments: list[str], hint: str) -> None:
    done = call(*arguments)
    assert (done.status, done.stdout) == (2, "")
    assert hint in done.stderr


def test_a_file_in_place_of_a_command_is_met_with_the_command_for_it(silent_capture: Path) -> None:
    assert f"to analyse the file: halfshake analyze {silent_capture}" in call(silent_capture).stderr


def test_a_finding_that_is_not_there_is_met_with_the_nearest(silent_capture: Path, tmp_path: Path) -> None:
    done = call("excerpt", silent_capture, "--finding", "quic-initial-noreply", "-o", tmp_path / "x.pcapng")
    assert "did you mean 'quic-initial-no-reply'?" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_a_sentence_and_examples(name: str) -> None:
    for option in ("-h", "--help"):
        done = call(name, option)
        assert done.status == 0
        _usage, sentence, examples, *_ = re.split(r"\n\n", done.stdout)
        assert sentence.strip().endswith((".", ":"))
        assert all(line.startswith(("  halfshake", "  tcpdump", "  sudo")) for line in examples.splitlines()), examples


def test_chosen_columns_are_written_in_their_order(silent_capture: Path) -> None:
    done = call("export", "connections", silent_capture, "--columns", "history, connection")
    assert done.stdout.splitlines()[:2] == ["history,connection", "IQQQQ,C1"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_that_shell(shell: str, tmp_path: Path) -> None:
    done = call("--completion", shell)
    assert done.status == 0
    assert "_HALFSHAKE_COMPLETE" in done.stdout
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "completion"
    script.write_text(done.stdout, encoding="utf-8")
    subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["halfshake", "ana"], {"analyze"}),
        (["halfshake", "explain", "quic-initial-no"], {"quic-initial-no-reply"}),
        (["halfshake", "explain", "--incident", "nginx-reload"], {"nginx-reload-reuseport"}),
        (["halfshake", "export", "conn"], {"connections"}),
        (["halfshake", "analyze", "--fil"], {"--filter"}),
    ],
)
def test_words_are_completed(words: list[str], wanted: set[str]) -> None:
    asked = {"_HALFSHAKE_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(COMMAND, env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert wanted <= {line.split(",")[1] for line in done.stdout.splitlines()}


def test_the_manual_is_that_of_the_commands(root: Path) -> None:
    page = (root / "docs" / "halfshake.1").read_text(encoding="utf-8")
    assert page == manual(), "python -m analyzer.cli.manual > docs/halfshake.1"
    assert [name for name in COMMANDS if f".SS halfshake {name.replace('-', chr(92) + '-')} " not in page] == []


def test_man_formats_the_manual_without_a_complaint(root: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    command = [groff, "-man", "-Tutf8", "-ww", str(root / "docs" / "halfshake.1")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "halfshake analyze" in re.sub(r"\x1b\[[\d;]*m|.\x08", "", done.stdout)


@pytest.mark.parametrize(("setting", "coloured"), [(None, True), ("1", False), ("", True)])
def test_no_color_is_obeyed_on_a_terminal(silent_capture: Path, setting: str | None, coloured: bool) -> None:
    import pty

    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    environment |= {} if setting is None else {"NO_COLOR": setting}
    ours, theirs = pty.openpty()
    command = [*COMMAND, "analyze", str(silent_capture)]
    process = subprocess.Popen(command, env=environment, stdout=theirs)
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 65536):
            written += piece
    except OSError:
        pass  # Linux says so when the other end is closed and all was read
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    assert (b"\x1b[" in written) == coloured


def test_quiet_leaves_stderr_empty(silent_capture: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(silent_capture.read_bytes()[:-7])
    assert "warning" in call("analyze", cut).stderr
    assert call("analyze", cut, "--quiet").stderr == ""
    assert call("export", "sockets", cut, "-q").stderr == ""


def test_the_manual_is_printed_by_a_module_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-m", "analyzer.cli.manual"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(".TH HALFSHAKE 1")
