"""Kernels of QUIC flows are built by a second process, once, and are those that reading plain flows needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analyzer import kernels
from analyzer.fleet import building

ONE = building.KERNELS[-1]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder without kernels."""
    monkeypatch.setattr(building, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(building, "processors", lambda: 2)
    monkeypatch.setattr(building, "_started", [])
    return tmp_path


def test_a_process_is_started_once_and_builds_into_the_cache(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALFSHAKE_KERNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(building, "_TARGET", "tests.fleet.test_building:build_one")
    building.build_beside()
    (process,) = building._started
    process.communicate(timeout=120)
    assert process.returncode == 0
    (built,) = (tmp_path / "cache").glob("*/*.o")
    assert ONE.__name__ in built.name
    (empty / "kernel.o").touch()
    building.build_beside()
    assert building._started == [process]


def build_one() -> None:
    """What the second process does here: one kernel, the quickest."""
    building.KERNELS = (ONE,)
    building.build()


def test_without_a_second_processor_or_processes_none_is_started(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(building, "python_beside", refuse)
    building.build_beside()
    monkeypatch.setattr(building, "processors", lambda: 1)
    monkeypatch.setattr(building, "python_beside", None)
    building.build_beside()
    assert not building._started


def test_they_are_all_that_plain_flows_need() -> None:
    read = (
        "from analyzer.events.quic import plain; from analyzer import kernels;"
        "print(*(kernel.__name__ for kernel in kernels.registered_kernels()))"
    )
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    scanning = {"track_flows", "insert_keys", "decode_packets"}
    assert set(done.stdout.split()) - scanning == {kernel.__name__ for kernel in building.KERNELS}
    assert all(kernel in kernels.registered_kernels() for kernel in building.KERNELS)
