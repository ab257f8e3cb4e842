"""Captures made to eat the machine, and what reading them takes: ``make limits``, or parts of it.

    python benchmarks/limits.py [--case NAME]... [--scale 1.0] [--no-report]

Each case of ``benchmarks/hostile/`` is made in its big version in ``benchmarks/work/`` and read by ``halfshake analyze
--json``. Processor time and peak memory go into the table of ``docs/limits.md``, between its marks; tests read the
small versions. A case holds when it takes no more than ``bound_s`` and ``bound_mb`` allow a file of its size on disk.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.hostile.cases import CASES, Case  # noqa: E402  (the folder is no installed package)
from benchmarks.measuring import Measured, measure, warm  # noqa: E402
from benchmarks.run import WORK, halfshake  # noqa: E402

PAGE = ROOT / "docs" / "limits.md"
MARKS = "<!-- measured -->", "<!-- /measured -->"

#: What a file may take: so much in any case, and so much for each MB of it; never more memory than that.
BASE_S, S_PER_MB = 15.0, 6.0
BASE_MB, MB_PER_MB, MOST_MB = 600.0, 110.0, 6000.0


def bound_s(size: int) -> float:
    """Seconds that a file of so many bytes may take."""
    return BASE_S + S_PER_MB * size / 1e6


def bound_mb(size: int) -> float:
    """MB that reading a file of so many bytes may take."""
    return min(BASE_MB + MB_PER_MB * size / 1e6, MOST_MB)


def run(case: Case, scale: float) -> str:
    """Make a case, measure it, and give its line of the table."""
    WORK.mkdir(exist_ok=True)
    path = WORK / f"limit-{case.name}"
    case.make(path, max(int(case.big * scale), 2))
    warm(path)
    size = path.stat().st_size
    try:
        taken = measure([*halfshake(path), "--quiet"])
    finally:
        path.unlink()
    line = line_of(case, size, taken)
    print(line, flush=True)
    return line


def line_of(case: Case, size: int, taken: Measured) -> str:
    """A row of the table; bold where the case does not hold."""
    holds = taken.status == 0 and taken.cpu_s <= bound_s(size) and taken.peak_mb <= bound_mb(size)
    word = "holds" if holds else f"**no** (status {taken.status})"
    shown = f"{size / 1e6:,.1f} MB" if size >= 50_000 else f"{size / 1e3:,.1f} kB"
    return f"| `{case.name}` | {case.what} | {shown} | {taken.cpu_s:.1f} s | {taken.peak_mb:,.0f} MB | {word} |"


def write(lines: list[str]) -> None:
    """Put the table into the page."""
    day = datetime.date.today().isoformat()
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    head = [
        f"Measured on {day} ({machine}) by `make limits`; time is processor time, memory the largest resident set.",
        "",
        "| case | what | file | time | memory | bound |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    page = PAGE.read_text(encoding="utf-8")
    begin, end = (re.escape(mark) for mark in MARKS)
    table = "\n".join([MARKS[0], *head, *lines, MARKS[1]])
    PAGE.write_text(re.sub(f"{begin}.*{end}", lambda _: table, page, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--case", action="append", choices=[case.name for case in CASES], metavar="NAME")
    options.add_argument("--scale", type=float, default=1.0)
    options.add_argument("--no-report", action="store_true")
    given = options.parse_args()
    lines = [run(case, given.scale) for case in CASES if given.case is None or case.name in given.case]
    if not given.no_report and given.case is None:
        write(lines)


if __name__ == "__main__":
    main()
