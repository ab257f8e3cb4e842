"""What a report costs: ``python benchmarks/report.py`` (needs the file of ``make bench``, and chromium for the page).

Two questions. How long does writing the report take, measured against the analysis in the same run, on ``mix``? How
large is the page of a capture with 100,000 connections, and how long does a browser take to open it?
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import keep_bytecode
from benchmarks.workloads import MIX, WORK, make_workload
from tests.running import COMMAND

ROOT = Path(__file__).resolve().parent.parent
RUNS = 5
#: 100,000 connections of all kinds without bulk, a fifth of them unanswered.
MANY = replace(
    MIX,
    name="many",
    packets=2_600_000,
    connections=100_000,
    unanswered=0.2,
    bulk=0.0,
    lasts_s=600,
    transfer_s=(0.05, 0.5),
)
WANTED_SHARE, WANTED_BYTES, WANTED_OPEN_S = 0.3, 8_000_000, 2.0


#: A process of its own: seconds from its start to the verdict, as in ``halfshake analyze``, and of writing the report.
ONCE = """
import gc, sys, time
from pathlib import Path
gc.disable()
from analyzer.reports.plots.aside import artist_for
_, capture, folder, began = sys.argv
with artist_for([capture]) as artist:
    from analyzer.analysis import analyse
    from analyzer.reports.bundle import write_reports
    from analyzer.reports.terminal import verdict
    analysis = analyse([capture], progress=None if artist is None else artist.progress)
    if artist is not None:
        artist.expect(analysis)
    verdict(analysis, color=False, width=100, full=False)
    analysed = time.perf_counter()
    write_reports(analysis, Path(folder), force=True, full=False, artist=artist)
    print(analysed - float(began), time.perf_counter() - analysed)
"""


def write_once(capture: Path, folder: Path) -> tuple[float, float]:
    """What ``ONCE`` says of one run."""
    began = time.perf_counter()  # of the system: the other process subtracts it
    command = [sys.executable, "-c", ONCE, str(capture), str(folder), str(began)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    analysed, written = map(float, done.stdout.split())
    return analysed, written


def shares(capture: Path) -> list[tuple[float, float]]:
    """Several runs."""
    told = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            told.append(write_once(capture, Path(folder) / "report"))
    return told


def walls(capture: Path) -> tuple[float, float]:
    """Median seconds from begin to end of ``halfshake analyze`` without and with a report, by turns.

    A second process draws the plots of a report; here what it takes from the analysis counts as well.
    """
    command = [*COMMAND, "analyze", "--quiet", str(capture)]
    told: tuple[list[float], list[float]] = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            for times, more in zip(told, ([], ["-o", str(Path(folder) / "report")]), strict=True):
                began = time.perf_counter()
                subprocess.run([*command, *more], stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
                times.append(time.perf_counter() - began)
    plain, reported = (sorted(times)[RUNS // 2] for times in told)
    return plain, reported


def open_page(page: Path) -> float | None:
    """The least seconds until the page has loaded, of several runs; None without a browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    from tests.reports.browser import Page

    with Page(chromium) as browser:
        times = []
        for _ in range(RUNS):
            browser.open(page)
            times.append(browser.run("performance.timing.loadEventEnd - performance.timing.navigationStart"))
        assert browser.complaints == []
    return float(min(times)) / 1000


def main() -> None:
    """Print both answers."""
    keep_bytecode()
    mix, many = WORK / "mix.pcap", WORK / "many.pcap"
    if mix.exists():
        told = shares(mix)
        analysed, written = (sorted(each[place] for each in told)[RUNS // 2] for place in (0, 1))
        share = sorted(w / a for a, w in told)[RUNS // 2]
        print(f"mix: analysis {analysed:.2f} s, report {written:.2f} s, {share:.0%}; wanted {WANTED_SHARE:.0%}")
        plain, reported = walls(mix)
        print(f"mix: analyze {plain:.2f} s, with -o {reported:.2f} s, {reported / plain - 1:.0%} more")
    if not many.exists():
        make_workload(MANY, many)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        write_once(many, report)
        page = report / "report.html"
        size, took = page.stat().st_size, open_page(page)
        opened = "not opened: no chromium" if took is None else f"opens in {took:.2f} s; wanted {WANTED_OPEN_S} s"
        print(f"100,000 connections: {size / 1e6:.1f} MB; wanted {WANTED_BYTES / 1e6:.0f} MB; {opened}")


if __name__ == "__main__":
    main()
