"""Kills at random points: ``make kills``. A worker, a watcher and an analysis are killed again and again.

After each kill the work goes on, or is begun again, and the result must be that of a run that was left alone. The seed
is an option; a failure says which kill it was.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
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
from tests.running import COMMAND  # noqa: E402
from tests.watch.rotated import Watched, result, rotate  # noqa: E402
from tests.watch.test_kills import about, findings_of, killed_runs  # noqa: E402

FILES = 8
IN_A_ROW = 5  # kills of a watcher before it is left alone


def workers(kills: int, chance: random.Random, folder: Path) -> None:
    """Two processes scan files; one of them is killed at a random moment."""
    files = [str(path) for path in rotate(folder / "in", FILES)]
    expected = document_json(analyse(files, work=Work(jobs=1)).document)
    began = time.perf_counter()
    analyse(files, work=Work(jobs=2))
    takes, original = time.perf_counter() - began, Pool._take
    for kill in range(kills):
        armed: list[threading.Timer] = []

        def take(pool: Pool, armed: list[threading.Timer] = armed) -> Any:
            worker = original(pool)
            if not armed:
                armed.append(threading.Timer(chance.uniform(0, takes), worker.process.kill))
                armed[0].start()
            return worker

        with mock.patch.object(Pool, "_take", take):
            found = document_json(analyse(files, work=Work(jobs=2)).document)
        armed[0].cancel()
        say("worker", kill, found == expected)


def watchers(kills: int, chance: random.Random, folder: Path) -> None:
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


def analyses(kills: int, chance: random.Random, folder: Path) -> None:
    """An analysis that writes a report is killed: the folder has the report of before, or that of after, whole."""
    files = [str(path) for path in rotate(folder / "in", FILES)]
    report = folder / "report"
    line = [*COMMAND, "analyze", "--quiet", "--jobs", "2", *files, "-o", str(report)]
    began = time.perf_counter()
    subprocess.run(line, check=True, capture_output=True)
    takes, expected = time.perf_counter() - began, contents(report)
    for kill in range(kills):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 1.0) * takes)
        process.kill()
        process.wait()
        subprocess.run(line, check=True, capture_output=True)
        say("analysis", kill, contents(report) == expected)


def contents(folder: Path) -> dict[str, bytes]:
    """The data of a report, without the pictures."""
    return {name: (folder / name).read_bytes() for name in ("report.json", "report.sarif", "report.md")}


def say(what: str, kill: int, same: bool) -> None:
    """One line; a difference ends the run."""
    print(f"{what} killed {kill + 1}: {'same result' if same else 'ANOTHER RESULT'}", flush=True)
    if not same:
        raise SystemExit(1)


def main() -> None:
    """Kill each of the three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for task in (workers, watchers, analyses):
        with tempfile.TemporaryDirectory() as folder:
            task(options.kills, random.Random(options.seed), Path(folder))


if __name__ == "__main__":
    main()
