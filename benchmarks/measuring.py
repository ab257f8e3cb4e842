"""Running a command and measuring it: wall clock, processor time, and the memory of its whole process tree."""

from __future__ import annotations

import compileall
import functools
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

#: What looks takes time from what it looks at, which may use all processors: it looks seldom.
SAMPLE_S = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")
PACKAGE = Path(__file__).resolve().parent.parent / "analyzer"


class Measured(NamedTuple):
    """One run."""

    wall_s: float
    cpu_s: float  # user and system, of the process and the children that it waited for
    peak_mb: float  # largest sum of resident sets seen at one time; pages that processes share count for each
    status: int


def measure(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end with its output thrown away."""
    null = subprocess.DEVNULL
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=null,
        stdout=null,
        stderr=null,
        env={**os.environ, **(environment or {})},
    )
    peaks, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(SAMPLE_S):
            peaks.append(_tree_bytes(process.pid))

    looking = threading.Thread(target=look)
    looking.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # still there to be looked at
    wall = time.perf_counter() - began
    ended.set()
    looking.join()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(wall, usage.ru_utime + usage.ru_stime, max(peaks) / 1e6, process.returncode)


def _tree_bytes(process: int) -> int:
    """Resident bytes of a process and all its descendants; of a single process, the most that it ever had."""
    family = _family(process)
    return sum(map(resident_bytes, family)) if len(family) > 1 else peak_bytes(process)


def _family(process: int) -> list[int]:
    found, at = [process], 0
    while at < len(found):
        tasks = f"/proc/{found[at]}/task"
        try:
            for task in os.listdir(tasks):
                with open(f"{tasks}/{task}/children", "rb", buffering=0) as file:
                    found += map(int, file.read().split())
        except OSError:
            pass  # it ended meanwhile
        at += 1
    return found


def resident_bytes(process: int | str = "self") -> int:
    """Resident memory of a process, 0 where it ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def peak_bytes(process: int | str = "self") -> int:
    """The most resident memory that a process ever had, 0 where it ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def medians(runs: Sequence[Measured]) -> tuple[float, float, float]:
    """Median wall and processor seconds, and the largest peak in MB."""
    return median(run.wall_s for run in runs), median(run.cpu_s for run in runs), max(run.peak_mb for run in runs)


@functools.cache
def keep_bytecode() -> None:
    """Compile the package as an installer does: where Python may not write, each start would do it again."""
    compileall.compile_dir(PACKAGE, quiet=2)


def warm(filename: Path) -> None:
    """Read a file once, so that it lies in the page cache; see that bytecode lies beside the code."""
    keep_bytecode()
    with filename.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass
