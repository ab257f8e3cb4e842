"""Kills at random points: ``make kills``. A worker, a watcher and an analysis are killed again and again.

After each kill the work goes on, or is begun again, and the result must be that of a run that was left alone. The seed
is an option; a failure says which kill it was.
"""

from __future__ import annotations

import argparse
import datetime
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from analyzer.analysis import analyse  # noqa: E402  (the folder is no installed package)
from analyzer.fleet.pool import Pool  # noqa: E402
from analyzer.fleet.work import Work  # noqa: E402
from analyzer.reports.export import document_json  # noqa: E402
from analyzer.watch.state import Store  # noqa: E402
from benchmarks.scaling import split  # noqa: E402
from benchmarks.workloads import MIX, make_workload  # noqa: E402
from tests.running import COMMAND  # noqa: E402
from tests.watch.rotated import Watched, result, rotate  # noqa: E402
from tests.watch.test_kills import about, findings_of, killed_runs  # noqa: E402

RESULTS = ROOT / "benchmarks" / "KILLS.md"
FILES = 8
IN_A_ROW = 5  # kills of a watcher before it is left alone
#: What workers and analyses read: large enough that several processes are at work for most of the time.
READ = replace(MIX, name="kills", packets=150_000, connections=1_200)


def captures(folder: Path) -> list[str]:
    """The capture in files, as a rotating tcpdump writes them."""
    make_workload(READ, folder / "kills.pcap")
    return [str(path) for path in split(folder / "kills.pcap", FILES, folder)]


def workers(kills: int, chance: random.Random, folder: Path) -> str:
    """Two processes scan files; the second is killed at a random moment from its start on."""
    files = captures(folder)
    expected = document_json(analyse(files, work=Work(jobs=1)).document)
    moments: list[float] = []
    original, runs = Pool._take, Pool.run

    def run(pool: Pool, *arguments: Any) -> Iterator[tuple[int, Any]]:
        began = time.perf_counter()
        yield from runs(pool, *arguments)
        moments.append(time.perf_counter() - began)

    with mock.patch.object(Pool, "run", run):
        for _ in range(3):
            analyse(files, work=Work(jobs=2))
    takes, hit = max(moments), 0
    for kill in range(kills):
        armed: list[threading.Timer] = []

        def take(pool: Pool, armed: list[threading.Timer] = armed) -> Any:
            worker = original(pool)
            if not armed:
                armed.append(threading.Timer(chance.uniform(0, takes), worker.process.kill))
                armed[0].start()
            return worker

        with mock.patch.object(Pool, "_take", take), mock.patch.object(Pool, "_drop", wraps_drop(lost := [])):
            found = document_json(analyse(files, work=Work(jobs=2)).document)
        for timer in armed:
            timer.cancel()
        hit += bool(lost)
        say("worker", kill, found == expected)
    return f"the second of two processes that scan {FILES} files; its file was begun again {hit} times"


def wraps_drop(lost: list[int]) -> Callable[..., int]:
    """``Pool._drop``, which notes that a worker was lost."""
    original = Pool._drop

    def drop(pool: Pool, worker: Any) -> int:
        lost.append(1)
        return original(pool, worker)

    return drop


def watchers(kills: int, chance: random.Random, folder: Path) -> str:
    """A watcher is killed at random moments, a few times until it has taken all files, and then begun anew."""
    source = folder / "in"
    rotate(source, FILES)
    straight = Watched(source, folder / "straight")
    straight.steps()
    for first in range(0, kills, IN_A_ROW):
        state = folder / f"state{first}"
        printed = findings_of(killed_runs(source, state, IN_A_ROW, chance))
        same = result(Store(state).load()) == result(straight.state)
        say("watcher", first + IN_A_ROW - 1, same and about(printed) == about(straight.said))
    return (
        f"`halfshake watch` over {FILES} files, {IN_A_ROW} times in a row, then left alone with the state that it kept"
    )


def analyses(kills: int, chance: random.Random, folder: Path) -> str:
    """An analysis that writes a report is killed: the folder has the report of before, or that of after, whole."""
    files = captures(folder)
    report, fresh = folder / "report", folder / "fresh"
    line = [*COMMAND, "analyze", "--quiet", "--jobs", "2", *files, "-o"]
    began = time.perf_counter()
    subprocess.run([*line, str(report)], check=True, capture_output=True)
    takes, expected, written = time.perf_counter() - began, contents(report), 0
    for kill in range(kills):
        # Every other one into a folder that does not exist yet.
        target = (report, fresh)[kill % 2]
        process = subprocess.Popen([*line, str(target)], stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.05, 1.0) * takes)
        process.kill()
        process.wait()
        whole = contents(report) == expected and (not fresh.exists() or contents(fresh) == expected)
        written += target == fresh and fresh.exists()
        subprocess.run([*line, str(target)], check=True, capture_output=True)
        say("analysis", kill, whole and contents(target) == expected)
        shutil.rmtree(fresh, ignore_errors=True)
    return (
        f"`halfshake analyze -o` of {FILES} files by two processes, into a folder with a report and into none; "
        f"none was left half written ({written} of the new ones were there already), and the next run wrote the same"
    )


def contents(folder: Path) -> dict[str, bytes]:
    """The data of a report, without the pictures."""
    return {name: (folder / name).read_bytes() for name in ("report.json", "report.sarif", "report.md")}


def say(what: str, kill: int, same: bool) -> None:
    """One line; a difference ends the run."""
    print(f"{what} killed {kill + 1}: {'same result' if same else 'ANOTHER RESULT'}", flush=True)
    if not same:
        raise SystemExit(1)


def page(kills: int, seed: int, lines: list[str]) -> str:
    """The Markdown page."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    head = [
        "# Kills",
        "",
        f"Written by `make kills` on {day}: SIGKILL at random moments, {kills} of each kind, seed {seed}. After each",
        "the result was compared whole with that of a run that was left alone. It was the same every time: nothing",
        "lost, nothing counted twice.",
        "",
    ]
    return "\n".join([*head, *(f"- {kills} times {line}." for line in lines), ""])


def main() -> None:
    """Kill each of the three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-report", action="store_true", help=f"leave {RESULTS.name} as it is")
    options = parser.parse_args()
    lines = []
    for task in (workers, watchers, analyses):
        with tempfile.TemporaryDirectory() as folder:
            lines.append(task(options.kills, random.Random(options.seed), Path(folder)))
    if not options.no_report:
        RESULTS.write_text(page(options.kills, options.seed, lines))


if __name__ == "__main__":
    main()
