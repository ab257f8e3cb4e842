"""Captures of other projects, each read by a process of its own: time, memory, and what the ledger could not read.

    HALFSHAKE_PUBLIC=FOLDER python benchmarks/public.py

Prints a table of what is not decoded, by kind, and the captures that took longest and most; ends with 1 where one took
over ``MOST_S`` or ``MOST_MB``, ended with another status than 0 or 2, or left a traceback.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_S, MOST_MB = 5.0, 500.0
PARTS = ("decoded", "not_ip", "fragments", "flawed", "unread_link_type")
COMMAND = [Path(sys.executable).parent / "halfshake", "analyze", "--json", "--quiet"]


def captures(folder: Path) -> list[Path]:
    """Every file that is no description."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".json", ".md"))


def main() -> int:
    folder = Path(os.environ.get("HALFSHAKE_PUBLIC") or ROOT.parent / "shared" / "public")
    records: Counter[str] = Counter()
    files: Counter[str] = Counter()
    times, peaks, wrong, unread = [], [], [], 0
    for path in captures(folder):
        began = time.process_time(), time.monotonic()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*COMMAND, path], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append((cpu, time.monotonic() - began[1], path.name))
        peaks.append(after.ru_maxrss / 1e3)
        if done.returncode not in (0, 2) or "Traceback" in done.stderr or cpu > MOST_S:
            wrong.append(f"{path.name}: status {done.returncode}, {cpu:.1f} s, {done.stderr[-200:]}")
        if done.returncode == 2:
            unread += 1
            continue
        for capture in json.loads(done.stdout)["captures"]:
            ledger = capture["ledger"]
            for part in (*PARTS, "truncated", "cut"):
                records[part] += ledger[part]
                files[part] += ledger[part] > 0
            records["records"] += ledger["records"]
    print(f"{len(times)} files, {unread} of them no captures; {records['records']:,} records")
    print("\n| part of the ledger | records | files |\n| --- | ---: | ---: |")
    for part in (*PARTS, "truncated", "cut"):
        print(f"| {part.replace('_', ' ')} | {records[part]:,} | {files[part]:,} |")
    slowest = sorted(times, reverse=True)[:3]
    print("\nslowest, in processor time:", ", ".join(f"{name} {cpu:.2f} s" for cpu, _, name in slowest))
    print(f"most memory of any: {max(peaks, default=0):.0f} MB")
    for sentence in wrong:
        print("WRONG", sentence)
    return int(bool(wrong) or max(peaks, default=0) > MOST_MB)


if __name__ == "__main__":
    sys.exit(main())
