"""A watcher killed at random points, again and again, comes to the result of one that was never killed."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from analyzer.watch.state import Store
from tests.running import COMMAND
from tests.watch.rotated import Watched, result, rotate

KILLS = 4


def command(folder: Path, state: Path) -> list[str]:
    return [*COMMAND, "watch", str(folder), "--state", str(state), "--once", "--json", "--settle", "0"]


def findings_of(text: str) -> list[dict[str, Any]]:
    """Findings in whole lines: the last may be cut by the kill."""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def about(findings: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    return {(each["pattern"], each["family"], each["server"], each["port"], each["name"]) for each in findings}


def killed_runs(folder: Path, state: Path, kills: int, chance: random.Random) -> str:
    """What a watcher printed in all, killed so many times after a random time and then left alone."""
    printed = ""
    began = time.perf_counter()
    subprocess.run(command(folder, state.with_name(f"{state.name}-timed")), check=True, capture_output=True)
    takes = time.perf_counter() - began
    for _ in range(kills):
        process = subprocess.Popen(command(folder, state), stdout=subprocess.PIPE)
        time.sleep(chance.uniform(0.1, 1) * takes)
        process.kill()
        printed += process.communicate()[0].decode()
    return printed + subprocess.run(command(folder, state), check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("seed", [1])
def test_killed_at_random_points(seed: int, tmp_path: Path) -> None:
    rotate(tmp_path / "in", 8)
    straight = Watched(tmp_path / "in", tmp_path / "straight")
    straight.steps()
    printed = findings_of(killed_runs(tmp_path / "in", tmp_path / "state", KILLS, random.Random(seed)))
    assert result(Store(tmp_path / "state").load()) == result(straight.state)
    assert about(printed) == about(straight.said)
