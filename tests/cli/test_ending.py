"""How the command ends when it is interrupted, its reader goes away or the disk is full, and what it leaves behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analyzer.cli.ending import written
from analyzer.errors import OutputError
from tests.running import COMMAND, call

LIMIT = 2000  # bytes of a file: less than any report


@pytest.fixture
def never_ending(tmp_path: Path, silent_capture: Path) -> Iterator[Path]:
    """A pipe with a capture that does not end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # open for reading too, so that opening does not wait for the command
    descriptor = os.open(pipe, os.O_RDWR)
    os.write(descriptor, silent_capture.read_bytes()[:30_000])
    yield pipe
    os.close(descriptor)


def interrupted(number: signal.Signals, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, sent a signal while it waits for more of its input."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*COMMAND, *map(str, arguments)], **pipes) as process:  # type: ignore[call-overload]
        wait_until_reading(process.pid)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_until_reading(process: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        names = [os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()]
        if any(name.endswith("/pipe") for name in names) and "pipe" in Path(f"/proc/{process}/wchan").read_text():
            return
        if any(name.endswith("/pipe") for name in names):
            time.sleep(0.5)
            return
        time.sleep(0.02)
    raise AssertionError("the command never opened its input")


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (signal.SIGINT, 130, "halfshake: interrupted\n"),
        (signal.SIGTERM, 143, ""),
        (signal.SIGHUP, 129, ""),
    ],
)
def test_interrupted_while_reading(number: signal.Signals, status: int, words: str, never_ending: Path) -> None:
    folder = never_ending.parent
    done = interrupted(number, "analyze", never_ending, "-o", folder / "report")
    assert (done.returncode, done.stdout, done.stderr) == (status, "", words)
    assert list(folder.iterdir()) == [never_ending]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, MemoryError])
def test_a_file_is_whole_or_not_there(stop: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("earlier")

    def write_half() -> None:
        with written(path) as file:
            file.write(b"half")
            raise stop

    with pytest.raises(stop):
        write_half()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("out.csv", "earlier")]


def test_a_reader_that_goes_away_is_no_error(silent_capture: Path) -> None:
    for arguments in (["analyze", "--json"], ["export", "packets"], ["explain", "tcp-reset"]):
        command = [*COMMAND, *arguments, *([str(silent_capture)] if arguments[0] != "explain" else [])]
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        os.close(write)
        assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["analyze"], ["analyze", "--json"], ["export", "connections"], ["check"]])
def test_standard_output_on_a_full_disk(arguments: list[str], silent_capture: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [*COMMAND, *arguments, str(silent_capture)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == "halfshake: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "arguments",
    [["analyze", "-o"], ["export", "connections", "-o"], ["excerpt", "--finding", "F1", "-o"]],
    ids=lambda arguments: str(arguments[0]),
)
def test_a_full_disk_is_one_line_and_leaves_nothing(arguments: list[str], silent_capture: Path, tmp_path: Path) -> None:
    command = [*COMMAND, *arguments, str(tmp_path / "out"), "--quiet", str(silent_capture)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=limit_of_files, cwd=tmp_path
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"halfshake: {tmp_path / 'out'}: ")
    assert line.endswith("cannot be written: File too large")
    assert list(tmp_path.iterdir()) == []


def limit_of_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


def test_the_umask_is_respected(silent_capture: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        call("analyze", "--quiet", silent_capture, "-o", tmp_path / "report")
        call("export", "sockets", "--quiet", silent_capture, "-o", tmp_path / "sockets.csv")
    finally:
        os.umask(before)
    modes = {path: oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {"0o750"}
    assert {mode for path, mode in modes.items() if path.is_file()} == {"0o640"}


def test_a_device_is_written_to_and_stays_one(silent_capture: Path) -> None:
    device = Path("/dev/null").stat().st_rdev
    assert call("export", "sockets", "--quiet", silent_capture, "-o", "/dev/null").status == 0
    assert call("excerpt", "--finding", "F1", "--quiet", silent_capture, "-o", "/dev/null").status == 0
    assert Path("/dev/null").stat().st_rdev == device


def test_what_a_link_names_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "out.csv"
    link.symlink_to(tmp_path / "elsewhere" / "real.csv")
    with written(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert link.read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["real.csv"]


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / f".out.partial-{os.getpid()}").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match="cannot be written"), written(tmp_path / "out") as file:
        file.write(b"new")
    assert not (tmp_path / "victim").exists()


def test_arguments_are_escaped_in_complaints(silent_capture: Path, tmp_path: Path) -> None:
    done = call("analyze", silent_capture, "-o", tmp_path / "\x1b[31m" / "\u202ex" / "y")
    assert done.status == 0
    done = call("analyze", silent_capture, "--quiet", "-o", silent_capture / "\x1b[31m")
    assert done.status == 2
    assert "\x1b" not in done.stderr
    assert "\\x1b[31m" in done.stderr


@pytest.mark.parametrize("name", ["n" * 300, "n" * 250, "a/" * 3000])
def test_a_name_that_no_file_can_have_is_one_line(name: str, silent_capture: Path, tmp_path: Path) -> None:
    done = call("analyze", silent_capture, "--quiet", "-o", tmp_path / name)
    assert done.status == (0 if len(name) == 250 else 2)
    assert "Traceback" not in done.stderr
    done = call("export", "sockets", silent_capture, "--quiet", "-o", tmp_path / (name + ".csv"))
    assert done.status == (0 if len(name) == 250 else 2)
    assert call("analyze", tmp_path / name / "x").status == 2


@pytest.fixture(scope="session")
def without_network(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command in a Python that raises where any module makes a socket or starts a program."""
    guard = (
        "import sys\n"
        "def forbid(event, arguments):\n"
        "    if event.startswith(('socket.', 'subprocess.', 'os.system', 'os.exec', 'os.posix_spawn', 'os.fork')):\n"
        "        print('FORBIDDEN', event, arguments, file=sys.__stderr__, flush=True)\n"
        "        raise RuntimeError(event)\n"
        "sys.addaudithook(forbid)\n"
        "sys.argv[0] = 'halfshake'\n"
        "from analyzer.cli.main import main\n"
        "main()\n"
    )

    def run_guarded(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", guard, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run_guarded


def test_no_command_uses_the_network(
    without_network: Callable[..., subprocess.CompletedProcess[str]], silent_capture: Path, tmp_path: Path
) -> None:
    commands: tuple[list[str | Path], ...] = (
        ["analyze", silent_capture, "-o", tmp_path / "report"],
        ["export", "connections", silent_capture, "--format", "parquet", "-o", tmp_path / "c.parquet"],
        ["check", silent_capture],
        ["compare", silent_capture, silent_capture],
        ["excerpt", silent_capture, "--finding", "F1", "-o", tmp_path / "f.pcapng"],
        ["explain", "quic-initial-no-reply"],
        ["capture-command"],
    )
    for command in commands:
        done = without_network(*command)
        assert "FORBIDDEN" not in done.stderr, done.stderr
        assert done.returncode in (0, 1), done.stderr
