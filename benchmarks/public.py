"""Captures of other projects, read one after the other: time, memory, and what the ledger could not read.

    HALFSHAKE_PUBLIC=FOLDER python benchmarks/public.py

Prints a table of what is not decoded, by kind, the captures that took longest, and the peak memory of this one process;
ends with 1 where one took over ``MOST_S`` of processor time, or all together over ``MOST_MB``. An exception is not
caught.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from analyzer.analysis import analyse  # noqa: E402  (the folder is no installed package)

MOST_S, MOST_MB = 5.0, 500.0
PARTS = ("decoded", "not_ip", "fragments", "flawed", "unread_link_type", "truncated", "cut")


def captures(folder: Path) -> list[Path]:
    """Every file that is no description."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".json", ".md"))


def main() -> int:
    folder = Path(os.environ.get("HALFSHAKE_PUBLIC") or ROOT.parent / "shared" / "public")
    records: Counter[str] = Counter()
    files: Counter[str] = Counter()
    times, unread = [], 0
    for path in captures(folder):
        began = time.process_time()
        analysis = analyse([str(path)])
        unread += bool(analysis.failures)
        for capture in analysis.document["captures"]:
            for part in ("records", *PARTS):
                records[part] += capture["ledger"][part]
                files[part] += capture["ledger"][part] > 0
        times.append((time.process_time() - began, path.name))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{len(times)} files, {unread} of them no captures; {records['records']:,} records")
    print("\n| part of the ledger | records | files |\n| --- | ---: | ---: |")
    for part in PARTS:
        print(f"| {part.replace('_', ' ')} | {records[part]:,} | {files[part]:,} |")
    slowest = sorted(times, reverse=True)[:3]
    print("\nslowest, in processor time:", ", ".join(f"{name} {seconds:.2f} s" for seconds, name in slowest))
    print(f"peak memory of the process: {peak:.0f} MB")
    return int(slowest[0][0] > MOST_S or peak > MOST_MB)


if __name__ == "__main__":
    sys.exit(main())
