"""The command starts at once: what takes long to import is imported by who needs it.

Times are compared with what this machine takes for a bare import of click or numpy, the fastest of several
alternated runs, and with generous factors: the benchmarks hold the exact figures.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.running import COMMAND

HEAVY = ("numba", "pandas", "matplotlib", "rich", "jinja2", "cryptography", "scapy", "pyshark", "pyarrow", "numpy")


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def ratio(command: list[str], yardstick: str) -> float:
    """How many times longer the command takes than importing the yardstick."""
    pairs = [(seconds(command), seconds([sys.executable, "-c", f"import {yardstick}"])) for _ in range(5)]
    return min(own for own, _ in pairs) / min(other for _, other in pairs)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["analyze", "--help"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print(*sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr))\n"
        f"sys.argv = ['halfshake', *{arguments!r}]\n"
        "from analyzer.cli.main import main\n"
        "main(prog_name='halfshake')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.split("\n") == ["", ""]


def test_analysing_a_small_capture_never_loads_what_only_large_ones_need(silent_capture: Path) -> None:
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sorted(set(sys.modules) & {'numba', 'scapy', 'pyshark'}), file=sys.stderr))\n"
        f"sys.argv = ['halfshake', 'analyze', '--json', {str(silent_capture)!r}]\n"
        "from analyzer.cli.main import main\n"
        "main(prog_name='halfshake')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.split("\n") == ["", ""]


def test_version_takes_little_longer_than_click() -> None:
    assert ratio([*COMMAND, "--version"], "click") < 2


def test_a_small_capture_takes_a_few_times_as_long_as_numpy(silent_capture: Path) -> None:
    assert ratio([*COMMAND, "analyze", "--json", str(silent_capture)], "numpy") < 8
