"""What the tables cost in Python: ``make bench-api`` (needs the file of ``make bench``).

Two questions. How long does a fresh Python take until ``sockets``, ``connections``, ``exchanges`` and ``resolutions``
of ``mix`` are there, against the command line on the same file, in alternated pairs? How long does a saved scan of a
million connections take to open, and to give what is asked of it? The answers are printed and written to ``API.md``.
"""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import Measured, warm  # noqa: E402  (the folder is no installed package)
from benchmarks.run import cells, checked, halfshake, holds, in_pairs, make, processor, ratio_of  # noqa: E402

RESULTS = ROOT / "benchmarks" / "API.md"
PAIRS = 5
#: It ends as the command does, without handing back object by object: a notebook goes on when it has its tables.
TABLES = """
import os, sys, analyzer
capture = analyzer.open(sys.argv[1])
capture.sockets, capture.connections, capture.exchanges, capture.resolutions
os._exit(0)
"""
WANTED_WALL, WANTED_PEAK_MB, WANTED_OPEN_S = 1.2, 600, 1.0
MILLION = 1_000_000
#: What is asked of a saved scan, each in a fresh process; the import of pandas is timed apart.
QUESTIONS = {
    "open it, and its warnings": "capture.warnings",
    "`sockets`": "capture.sockets",
    "one column of `analysis.connections`: `outcome`": "capture.analysis.connections['outcome']",
    "`connections`, every column": "capture.connections",
}
ASK = """
import sys, time, analyzer, analyzer.api.capture, analyzer.api.saving, pandas, pyarrow.parquet
began = time.perf_counter()
capture = analyzer.open(sys.argv[1])
{question}
print(time.perf_counter() - began)
"""


def save_many(file: Path, saved: Path, count: int) -> None:
    """A saved scan whose tables have ``count`` connections: those of ``file`` again and again, each with its name."""
    import pyarrow

    import analyzer
    from analyzer.api.saving import TABLES as SAVED
    from analyzer.events.saved import SCHEMA, read_scan, write_scan
    from analyzer.packed import PackedReader, PackedWriter

    few = analyzer.open(file).save(saved.with_suffix(".few"))
    reader = PackedReader(few, SCHEMA)
    with saved.open("wb") as written:
        writer = PackedWriter(written, reader.facts)
        write_scan(writer, read_scan(reader))
        for name in SAVED:
            columns = reader.columns(name, reader.column_names(name))
            if name in ("connections", "exchanges"):
                length = len(columns["connection"])
                times = -(-count // length)
                repeated = {key: pyarrow.chunked_array(column.chunks * times) for key, column in columns.items()}
                columns = {key: column.slice(0, count) for key, column in repeated.items()}
                own = name.removesuffix("s")
                columns[own] = pyarrow.array([f"{own[0].upper()}{number}" for number in range(1, count + 1)])
            writer.write(name, columns)
        writer.close()


def asked(saved: Path) -> dict[str, float]:
    """Seconds of each question, the median of three fresh processes."""
    seconds = {}
    for words, question in QUESTIONS.items():
        command = [sys.executable, "-c", ASK.format(question=question), str(saved)]
        runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
        seconds[words] = median(float(run.stdout) for run in runs)
        print(f"{words}: {seconds[words]:.2f} s", flush=True)
    return seconds


def report(in_python: list[Measured], command: list[Measured], seconds: dict[str, float], size: int) -> str:
    """The Markdown page of what was measured."""
    ratios = [ratio_of(in_python, command, figure) for figure in range(3)]
    peak = max(run.peak_mb for run in in_python)
    wanted = f"{WANTED_WALL} × {holds(ratios[0] <= WANTED_WALL)}, {WANTED_PEAK_MB} MB {holds(peak < WANTED_PEAK_MB)}"
    load = os.getloadavg()[0]
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    opened = seconds[next(iter(QUESTIONS))]
    return "\n".join(
        [
            "# What the tables cost in Python",
            "",
            "Written by `make bench-api`; what is compared is in [README.md](README.md).",
            f"Measured on {day}: {os.cpu_count()} processors ({processor()}), Python {platform.python_version()},",
            f"load {load:.1f} at the end: other work disturbs wall clocks more than processor times.",
            "",
            f"`mix`, {len(command)} alternated pairs: medians of wall clock and processor time, and the largest peak",
            "of resident memory; ratios are medians over the pairs, Python's figure over the command's.",
            "",
            "| four tables in Python | `halfshake analyze --json` | wall | processor | memory | wanted |",
            "| --- | --- | --- | --- | --- | --- |",
            f"| {cells(in_python)} | {cells(command)} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} | {wanted} |",
            "",
            f"A saved scan of {MILLION:,} connections ({size / 1e6:,.0f} MB; those of `mix` again and again), modules",
            "imported before; each question in a fresh process:",
            "",
            "| what is asked | seconds |",
            "| --- | --- |",
            *(f"| {words} | {each:.2f} |" for words, each in seconds.items()),
            "",
            f"Wanted: it opens within {WANTED_OPEN_S:.0f} s; {holds(opened < WANTED_OPEN_S)}.",
            "",
        ]
    )


def main() -> None:
    """Measure, print, write."""
    file = make("mix", again=False)
    warm(file)
    checked(halfshake(file))  # compiles the kernels
    in_python, command = in_pairs([sys.executable, "-c", TABLES, file], halfshake(file), PAIRS)
    print(f"in Python {cells(in_python)}; the command {cells(command)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "many.scan"
        began = time.perf_counter()
        save_many(file, saved, MILLION)
        print(f"a scan of {MILLION:,} connections made in {time.perf_counter() - began:.0f} s", flush=True)
        page = report(in_python, command, asked(saved), saved.stat().st_size)
    print("\n" + page)
    RESULTS.write_text(page)


if __name__ == "__main__":
    main()
