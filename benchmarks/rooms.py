"""Where the time goes, room by room: ``make profile``, or at the end of ``make bench``.

How it works
------------
The command runs in a process of its own, alone (``--jobs 1``), while a timer looks at it every few milliseconds of its
processor time. What passed since the last look belongs to the innermost frame of this package, and so to its room. A
kernel is looked at when it returns: then all of its time passed since the last look, and it belongs to the room of
its module. Nothing of this is in the product. Beside the rooms stands the limit: what it costs to read the same file
once from the page cache, and to walk over its records (``capinfos -c``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import medians, warm  # noqa: E402  (the folder is no installed package)
from benchmarks.run import RESULTS, checked, halfshake, make, peers  # noqa: E402

HEADING = "## Where the time goes"
PACKAGE = f"{ROOT / 'analyzer'}{os.sep}"
WORKLOADS = ("mix", "flood")
EVERY_S = 0.001
#: Rooms in their order; what is in none of them stands before and behind.
START, CLI = "start", "command line"
ROOMS = ("capture", "wire", "events", "fleet", "exchanges", "patterns", "knowledge", "reports")
#: Parts of a room that are named: so many, of this share of all at least; and rooms of so much.
PARTS_SHOWN, PART_FROM, LEAST_S = 4, 0.02, 0.0005


class Sampler:
    """Processor time of this process by (room, part of it), from its start on."""

    def __init__(self) -> None:
        self.seconds: Counter[tuple[str, str]] = Counter()
        self._last = time.process_time()
        self.seconds[START, "Python"] = self._last

    def __enter__(self) -> Sampler:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._add((CLI, "end"))

    def _look(self, _signal: int, frame: FrameType | None) -> None:
        self._add(place_of(frame))

    def _add(self, place: tuple[str, str]) -> None:
        now = time.process_time()
        self.seconds[place] += now - self._last
        self._last = now


def place_of(frame: FrameType | None) -> tuple[str, str]:
    """The room and the part of it that a stack belongs to."""
    found: tuple[str, str] | None = None
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return START, "modules"
        if found is None and name.startswith(PACKAGE):
            inside = Path(name[len(PACKAGE) :])
            if inside.name == "kernels.py" and frame.f_code.co_name == "run":
                found = kernel_place(str(frame.f_locals.get("name", "")))
            elif len(inside.parts) > 1:
                room = inside.parts[0]
                found = (room, inside.with_suffix("").parts[1]) if room in ROOMS else (CLI, room)
        frame = frame.f_back
    return found or (CLI, "other")


def kernel_place(name: str) -> tuple[str, str]:
    """The room of a kernel."""
    from analyzer.kernels import registered_kernels

    modules = {kernel.__name__: kernel.__module__ for kernel in registered_kernels()}
    return modules.get(name, "analyzer.kernels").split(".")[1], f"kernel {name}"


def sampled(file: Path) -> Counter[tuple[str, str]]:
    """Seconds by place of one analysis in a process of its own."""
    with tempfile.NamedTemporaryFile() as answer:
        command = [sys.executable, __file__, "--sample", file, answer.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return Counter({(room, part): seconds for room, part, seconds in json.load(answer)})


def sample(file: Path, answer: Path) -> None:
    """Run the command here, and write what was seen."""
    with Sampler() as sampler, contextlib.suppress(SystemExit):
        from analyzer.cli.main import main as command

        command(["analyze", "--json", "--quiet", "--jobs", "1", str(file)])
    answer.write_text(json.dumps([[*place, seconds] for place, seconds in sampler.seconds.items()]))


def rows_of(runs: Sequence[Counter[tuple[str, str]]]) -> list[str]:
    """A line for each room: its mean over the runs, its share, and its largest parts."""
    total: Counter[tuple[str, str]] = Counter()
    for run in runs:
        total.update(run)
    mean = {place: seconds / len(runs) for place, seconds in total.items()}
    everything = sum(mean.values())
    lines = []
    for room in (START, *ROOMS, CLI):
        parts = sorted(((seconds, part) for (where, part), seconds in mean.items() if where == room), reverse=True)
        seconds = sum(each for each, _ in parts)
        if seconds < LEAST_S:
            continue
        shown = [f"{part} {1e3 * each:.0f}" for each, part in parts[:PARTS_SHOWN] if each >= PART_FROM * everything]
        lines.append(f"| {room} | {1e3 * seconds:.0f} ms | {seconds / everything:.0%} | {', '.join(shown)} |")
    return [*lines, f"| all | {1e3 * everything:.0f} ms | | |"]


def about(name: str, file: Path, runs: int) -> list[str]:
    """The part of the section about one workload."""
    warm(file)
    checked([*halfshake(file), "--jobs", "1"])  # compiles the kernels
    rows = rows_of([sampled(file) for _ in range(runs)])
    limits = {"reading the file once (`cat`)": ["cat", file]}
    if "capinfos" in peers():
        limits["walking over its records (`capinfos -c`)"] = ["capinfos", "-c", file]
    alone = medians([checked([*halfshake(file), "--jobs", "1"]) for _ in range(runs)])
    helped = medians([checked(halfshake(file)) for _ in range(runs)])
    compared = [
        f"| {what} | {wall:.2f} s | {cpu:.2f} s | {alone[0] / wall:.1f} |"
        for what, command in limits.items()
        for wall, cpu, _ in [medians([checked([str(part) for part in command]) for _ in range(runs)])]
    ]
    return [
        f"### {name}",
        "",
        "| room | processor time | share | of it, ms |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        "| | wall clock | processor time | halfshake by one process takes so many times as long |",
        "| --- | --- | --- | --- |",
        *compared,
        f"| halfshake, one process | {alone[0]:.2f} s | {alone[1]:.2f} s | |",
        f"| halfshake, as it comes | {helped[0]:.2f} s | {helped[1]:.2f} s | |",
        "",
    ]


def section(runs: int) -> list[str]:
    """The section of ``RESULTS.md``."""
    lines = [
        HEADING,
        "",
        f"Written by `make profile`, and at the end of `make bench`: means of {runs} runs of one process, looked at",
        "every few ms from outside (`benchmarks/rooms.py`). The kernel that scans, `track_flows`, reads headers as it",
        "goes: that part of `wire` is counted as `events`.",
        "`start` is Python, its modules and this package's. `as it comes` uses the second processor where that pays.",
        "",
    ]
    for name in WORKLOADS:
        lines += about(name, make(name, again=False), runs)
    return lines


def replaced(page: str, lines: Sequence[str]) -> str:
    """The page with this section in place of the one that it has, at its end."""
    return "\n".join([page.split(HEADING)[0].rstrip("\n"), "", *lines])


def main() -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-report", action="store_true", help=f"leave {RESULTS.name} as it is")
    parser.add_argument("--sample", nargs=2, type=Path, metavar=("CAPTURE", "ANSWER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sample:
        sample(*options.sample)
        return
    lines = section(options.runs)
    print("\n".join(lines))
    if not options.no_report:
        RESULTS.write_text(replaced(RESULTS.read_text(), lines))


if __name__ == "__main__":
    main()
