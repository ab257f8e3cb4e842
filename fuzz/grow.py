"""Grow the corpus by mutations that lead where no seed leads: ``python fuzz/grow.py [--seconds 10] [--target NAME]...``

An input is kept in ``fuzz/corpus/TARGET/`` if it takes a step from line to line of ``analyzer/`` that nothing before it
took, and is made shorter as long as it does. Tests run what is kept. The seconds are of processor time, a target.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fuzz.mutation import mutated  # noqa: E402  (the folders are no installed packages)
from fuzz.seeds import CORPUS, seeds  # noqa: E402
from fuzz.targets import TARGETS, Target  # noqa: E402

MOST_BYTES, MOST_FILES = 1500, 12  # of an input, and inputs that are new in one run
Step = tuple[int, int, int]

_PACKAGE = str(ROOT / "analyzer")


def steps(run: Target, data: bytes) -> set[Step]:
    """The steps from line to line of the package that a target takes with this input."""
    taken: set[Step] = set()

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            return None
        last, number = 0, id(code)

        def go(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal last
            if event == "line":
                taken.add((number, last, frame.f_lineno))
                last = frame.f_lineno
            return go

        return go

    sys.settrace(enter)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return taken


def shortened(run: Target, data: bytes, wanted: set[Step]) -> bytes:
    """The input without what the wanted steps do not need: pieces of half its size, of a quarter, and so on."""
    size = len(data) // 2
    while size >= max(len(data) // 32, 1):
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if wanted <= steps(run, shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def grow(name: str, seconds: float) -> tuple[int, int]:
    """Keep what leads to new steps; how many inputs were tried and kept."""
    run, chance, pool = TARGETS[name], random.Random(name), list(seeds(name))
    known: set[Step] = set()
    for data in pool:
        known |= steps(run, data)
    ends, tried, kept = time.process_time() + seconds, 0, 0
    while time.process_time() < ends and kept < MOST_FILES:
        data = mutated(chance.choice(pool), chance, pool)
        tried += 1
        new = steps(run, data) - known
        if new:
            known |= new
            pool.append(data)
            data = shortened(run, data, new)
            if len(data) <= MOST_BYTES:
                folder = CORPUS / name
                folder.mkdir(parents=True, exist_ok=True)
                (folder / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
                kept += 1
    return tried, kept


def main() -> None:
    """Print what became of each target."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--target", action="append", choices=[*TARGETS])
    given = options.parse_args()
    for name in given.target or TARGETS:
        tried, kept = grow(name, given.seconds)
        print(f"{name}: {tried:,} inputs tried, {kept} kept", flush=True)


if __name__ == "__main__":
    main()
