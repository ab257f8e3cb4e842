"""Fuzz the targets: ``make fuzz SECONDS=600``, or ``python fuzz/run.py --help``.

With atheris (``pip install atheris``) each target is run under libFuzzer, guided by coverage; without it inputs are
mutated blindly. Either way the time is shared out evenly. Input that makes a target raise is written to
``fuzz/crashes/`` and printed; once it is fixed it belongs into ``fuzz/corpus/TARGET/``, which tests run.

    python fuzz/run.py --whole 20000

puts that many mutated captures through the whole program in this one process, and prints what the memory did.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import resident_bytes  # noqa: E402  (the folders are no installed packages)
from fuzz.mutation import mutated, mutated_capture  # noqa: E402
from fuzz.seeds import seeds, small_captures  # noqa: E402
from fuzz.targets import TARGETS, program  # noqa: E402

CRASHES = ROOT / "fuzz" / "crashes"
_MOST_BYTES = 20_000


def keep(target: str, data: bytes) -> Path:
    """Write input that made a target raise."""
    CRASHES.mkdir(exist_ok=True)
    path = CRASHES / f"{target}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def blindly(target: str, seconds: float) -> bool:
    """Mutate the corpus for so long; whether the target stood."""
    chance, sources, run = random.Random(target), [*seeds(target)], TARGETS[target]
    ends, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        data = mutated(chance.choice(sources), chance, sources)
        count += 1
        try:
            run(data)
        except Exception:
            traceback.print_exc()
            print(f"{target}: raised on {keep(target, data)}")
            return False
    print(f"{target}: {count:,} inputs, no exception", flush=True)
    return True


def guided(target: str, seconds: float) -> bool:
    """The same under libFuzzer, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds(target)):
            (Path(folder) / str(number)).write_bytes(data[:_MOST_BYTES])
        CRASHES.mkdir(exist_ok=True)
        command = [sys.executable, __file__, "--atheris", target, folder, f"-max_total_time={int(seconds)}"]
        command += [f"-artifact_prefix={CRASHES}/{target}-", "-timeout=30", "-rss_limit_mb=2048", "-verbosity=0"]
        command += ["-print_final_stats=1", f"-max_len={_MOST_BYTES}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    count = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-6000:])
    print(f"{target}: {', '.join(count) or '?'} inputs, {'raised' if done.returncode else 'no exception'}", flush=True)
    return done.returncode == 0


def under_atheris(target: str, arguments: list[str]) -> None:
    """What the process of ``guided`` does."""
    import atheris

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def whole_program(count: int, seed: int) -> bool:
    """Mutated captures through the whole program in this process; prints time and memory as it goes."""
    chance, sources = random.Random(seed), list(small_captures())
    began, slowest, first = time.monotonic(), 0.0, 0.0
    for number in range(1, count + 1):
        data = mutated_capture(chance.choice(sources), chance)
        start = time.process_time()
        try:
            program(data)
        except Exception:
            traceback.print_exc()
            print(f"program: raised on {keep('program', data)}")
            return False
        slowest = max(slowest, time.process_time() - start)
        if number == min(1000, count):
            first = resident_bytes() / 1e6
        if number % 1000 == 0 or number == count:
            took = time.monotonic() - began
            print(f"{number:,} in {took:,.0f} s, slowest {slowest:.2f} s, {resident_bytes() / 1e6:.0f} MB", flush=True)
    last = resident_bytes() / 1e6
    print(f"{count:,} captures, no exception, memory {first:.0f} MB after 1,000 and {last:.0f} MB at the end")
    return True


def main() -> int:
    if sys.argv[1:2] == ["--atheris"]:
        under_atheris(sys.argv[2], sys.argv[3:])
        return 0
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--target", action="append", choices=[*TARGETS])
    options.add_argument("--blind", action="store_true", help="not under libFuzzer, even where atheris is installed")
    options.add_argument("--whole", type=int, metavar="COUNT")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    if given.whole:
        return 0 if whole_program(given.whole, given.seed) else 1
    chosen = given.target or [*TARGETS]
    run = blindly if given.blind or importlib.util.find_spec("atheris") is None else guided
    stood = [run(target, given.seconds / len(chosen)) for target in chosen]
    return 0 if all(stood) else 1


if __name__ == "__main__":
    sys.exit(main())
