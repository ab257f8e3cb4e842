"""Lines and branches of the rooms that read captures, covered by their own tests: ``make coverage``.

    python tools/covered.py [--least 95]

Kernels are plain functions that run interpreted wherever ``compiled`` is not asked for, so their lines are counted
like all others; what runs compiled in a test counts for nothing. Prints a table in Markdown; ends with 1 where a test
fails, or a room has less than ``--least`` percent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("capture", "wire", "events", "exchanges")
_COUNTS = ("covered_lines", "covered_branches", "num_statements", "num_branches")


def measured(data: Path) -> Mapping[str, Any]:
    """Run the tests of the rooms; what coverage counted, by file."""
    source = ",".join(f"analyzer/{room}" for room in ROOMS)
    environment = os.environ | {"COVERAGE_FILE": str(data)}
    run = [sys.executable, "-m", "coverage"]
    tests = ["-m", "pytest", "-q", *(f"tests/{room}" for room in ROOMS)]
    command = [*run, "run", "--branch", f"--source={source}", *tests]
    tested = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if tested.returncode:
        raise SystemExit(tested.returncode)
    report = data.with_suffix(".json")
    subprocess.run([*run, "json", "--quiet", "-o", str(report)], cwd=ROOT, env=environment, check=True)
    files: Mapping[str, Any] = json.loads(report.read_text(encoding="utf-8"))["files"]
    return files


def main() -> int:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--least", type=float, default=95.0)
    least = options.parse_args().least
    with tempfile.TemporaryDirectory() as folder:
        files = measured(Path(folder) / "coverage")
    print("\n| room | lines | branches | lines and branches covered |\n| --- | ---: | ---: | ---: |")
    shares = []
    for room in (*ROOMS, ""):
        counts = [each["summary"] for name, each in files.items() if name.startswith(f"analyzer/{room}")]
        lines, branches, all_lines, all_branches = (sum(each[key] for each in counts) for key in _COUNTS)
        shares.append(100 * (lines + branches) / (all_lines + all_branches))
        name = f"`{room}/`" if room else "together"
        print(f"| {name} | {lines:,} of {all_lines:,} | {branches:,} of {all_branches:,} | {shares[-1]:.1f} % |")
    return int(min(shares) < least)


if __name__ == "__main__":
    sys.exit(main())
