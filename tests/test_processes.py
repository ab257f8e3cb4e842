"""A second Python: it calls what it is told to, with the modules of this one, and nothing else gets in its way."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from analyzer.processes import processors, python_beside, send


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
    with python_beside("analyzer.events.quic.aside:serve") as process:
        process.communicate()
    assert process.returncode == 0


def test_there_is_a_processor() -> None:
    assert processors() >= 1
