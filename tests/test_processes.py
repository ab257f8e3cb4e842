"""A second Python: it calls what it is told to, with the modules of this one, and nothing else gets in its way."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from analyzer import processes
from analyzer.processes import hand_back, helper, helpers, processors, python_beside, send


def test_it_calls_a_function_of_a_module_that_this_one_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text(
        "import pickle, sys\n"
        "def serve():\n"
        "    sys.stdout.buffer.write(pickle.dumps([sys.path, pickle.load(sys.stdin.buffer)]))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with python_beside("only_here:serve") as process:
        send(cast(BinaryIO, process.stdin), {"asked": 1})
        answer, _ = process.communicate()
    assert pickle.loads(answer) == [sys.path, {"asked": 1}]


def test_the_folder_that_it_is_started_in_lends_it_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    with python_beside("analyzer.processes:attend") as process:
        process.communicate()
    assert process.returncode == 0


def test_there_is_a_processor() -> None:
    assert processors() >= 1


def answers(source: BinaryIO, out: BinaryIO) -> None:
    """What a helper is told to call: it sends back what comes, until None does."""
    while (message := pickle.load(source)) is not None:
        send(out, [message])


ANSWERS = f"{__name__}:answers"


def asked(process: subprocess.Popen[bytes], message: object) -> object:
    send(cast(BinaryIO, process.stdin), message)
    return pickle.load(cast(BinaryIO, process.stdout))


def test_a_helper_is_used_again_and_ended_in_the_end() -> None:
    seen = []
    with helpers(1):
        assert processes._free
        for turn in range(3):
            process = helper(ANSWERS)
            assert not processes._free
            assert asked(process, turn) == [turn]
            send(cast(BinaryIO, process.stdin), None)
            hand_back(process)
            seen.append(process)
        with helpers(5):
            assert processes._free == [process]
        assert not processes._free
    assert len(set(seen)) == 1
    assert seen[0].returncode is not None
    assert not processes._free


def test_a_helper_that_died_meanwhile_is_replaced() -> None:
    with helpers(2):
        for process in processes._free or ():
            process.kill()
            process.wait()
        process = helper(ANSWERS)
        assert asked(process, 1) == [1]
        hand_back(process)


def test_a_helper_that_nobody_keeps_is_ended() -> None:
    process = helper(ANSWERS)
    assert asked(process, 1) == [1]
    hand_back(process)
    assert process.returncode is not None


def test_without_processes_there_are_no_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with helpers(1):
        assert not processes._free
