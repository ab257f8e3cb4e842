"""Mutated inputs over every file reader and decoder: none may raise or take long, and kernels must equal plain readers.

    python benchmarks/mutate.py [--count 10000000] [--seed 1] [--target NAME]...

The targets of ``fuzz/targets.py`` but ``program`` (``fuzz/run.py --whole``) get about as much time as each other, in
rounds, each input one to four changes of a seed (``fuzz/seeds.py``, ``fuzz/mutation.py``). After each
round the compiled kernels take the same inputs in one batch and must give what the interpreted ones give: the split
of datagrams, packets and flows, records of files. Prints a table: inputs and slowest input of each target, and memory.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from analyzer.capture.records import Batch
from analyzer.capture.source import open_captures
from analyzer.events.scan import Scan, scan
from analyzer.wire.quic.header import read_datagram
from analyzer.wire.quic.split import Datagrams, quic_packets
from benchmarks.measuring import resident_bytes
from fuzz.mutation import mutated
from fuzz.seeds import seeds
from fuzz.targets import TARGETS, Target, file_of, record_of
from tests.crafted import batch_of

#: Inputs of a target in one round: such that each takes about as much time as the others.
ROUND = {
    "capture": 100,
    "saved_scan": 60,
    "settings": 250,
    "packets": 100,
    "copies": 200,
    "datagram": 250,
    "opened": 250,
    "flow": 20,
    "frames": 1400,
    "hello": 1400,
    "records": 1400,
    "http": 1200,
    "dns": 500,
    "control": 1200,
    "certificates": 1200,
    "keylog": 1000,
}
MOST_S, MOST_ROUND_S, MOST_MB = 1.0, 600, 700.0


def same_split(inputs: Sequence[bytes]) -> None:
    """The compiled splitting of datagrams has a row for each packet that the plain reader finds."""
    joined = np.frombuffer(bytearray(b"".join(inputs)), np.uint8)
    ends = np.cumsum([len(b) for b in inputs])
    starts = ends - np.array([len(b) for b in inputs])
    table = quic_packets(joined, Datagrams(starts, ends, ends), compiled=True)
    expected = [packet for b in inputs for packet in read_datagram(b, 0, len(b), len(b))]
    assert table.kind.tolist() == [packet.kind for packet in expected]
    assert table.version.tolist() == [packet.version for packet in expected]
    assert (table.end - table.start).tolist() == [packet.end - packet.start for packet in expected]


def same_scan(inputs: Sequence[bytes]) -> None:
    """Compiled and interpreted kernels find the same flows, rows and kept bytes in one batch of records."""
    batch = batch_of([record_of(b) for b in inputs if b])

    def found(one: Scan) -> list[object]:
        columns = [column.tolist() for column in one.rows]
        return [*columns, [one.row_bytes(row) for row in range(len(one.rows.time))], one.ledger.tolist()]

    one, other = (found(scan([batch], 1, compiled=compiled, with_secrets=True)) for compiled in (True, False))
    assert one == other


def same_records(inputs: Sequence[bytes]) -> None:
    """Compiled and interpreted kernels walk the records of files alike; one in four files."""

    def found(path: str, compiled: bool) -> list[object]:
        captures = open_captures([path], block_bytes=1 << 14)
        return [_values(batch) for batch in captures.batches(compiled=compiled)]

    for b in inputs[::4]:
        path = file_of(b)
        assert found(path, True) == found(path, False)


def _values(batch: Batch) -> list[object]:
    ends = batch.records.offset + batch.records.captured_length
    pieces = zip(batch.records.offset.tolist(), ends.tolist(), strict=True)
    return [*(column.tolist() for column in batch.records), [batch.buffer[a:b].tobytes() for a, b in pieces]]


SAME: dict[str, Callable[[Sequence[bytes]], None]] = {
    "datagram": same_split,
    "packets": same_scan,
    "capture": same_records,
}


@dataclass(slots=True)
class Tally:
    """What became of the inputs of one target."""

    run: Target
    sources: list[bytes]
    done: int = 0
    seconds: float = 0.0
    slowest: float = 0.0

    def round(self, name: str, count: int, chance: random.Random) -> None:
        """So many inputs more."""
        sources, run, clock = self.sources, self.run, time.thread_time
        inputs = [mutated(sources[int(chance.random() * len(sources))], chance, sources) for _ in range(count)]
        last = begun = clock()
        b = b""
        try:
            for b in inputs:
                run(b)
                now = clock()
                if now - last > self.slowest:
                    self.slowest = now - last
                last = now
            b = b""
            if name in SAME:
                SAME[name](inputs)
        except BaseException:
            print(f"{name}: raised on {b.hex()}" if b else f"{name}: compiled kernels and plain readers differ")
            raise
        self.done += count
        self.seconds += clock() - begun


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=10_000_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--target", action="append", choices=[name for name in TARGETS if name != "program"])
    given = options.parse_args()
    chance = random.Random(given.seed)
    names = given.target or [name for name in TARGETS if name != "program"]
    tallies = {name: Tally(TARGETS[name], [*seeds(name)]) for name in names}
    done, began, said = 0, time.monotonic(), 0
    while done < given.count:
        signal.alarm(MOST_ROUND_S)  # what hangs ends here, with a traceback of its place
        for name, tally in tallies.items():
            count = min(ROUND[name], given.count - done)
            tally.round(name, count, chance)
            done += count
        if done - said >= 100_000 or done == given.count:
            said = done
            print(f"{done:,} in {time.monotonic() - began:,.0f} s, {resident_bytes() / 1e6:.0f} MB", flush=True)
    signal.alarm(0)
    return told(tallies)


def told(tallies: dict[str, Tally]) -> int:
    """Print the table; 1 where an input took too long or memory is over its bound."""
    print("\n| target | seeds | inputs | slowest | processor time |\n| --- | ---: | ---: | ---: | ---: |")
    for name, tally in tallies.items():
        cells = f"{len(tally.sources)} | {tally.done:,} | {tally.slowest * 1e3:.1f} ms | {tally.seconds:,.0f} s"
        print(f"| `{name}` | {cells} |")
    slowest, memory = max(tally.slowest for tally in tallies.values()), resident_bytes() / 1e6
    print(f"\n{sum(t.done for t in tallies.values()):,} inputs, no exception; {memory:.0f} MB at the end")
    return int(slowest > MOST_S or memory > MOST_MB)


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("a round took too long")))
    sys.exit(main())
