"""How cost grows: ``make scaling``, or ``python benchmarks/scaling.py --help`` for parts of it.

Time per packet and memory from 1 to 10 million packets of the same connections (snaplen 256), one and two processes on
eight files and on ranges of one file, and ``--max-memory``. What was measured is printed and written to
``benchmarks/SCALING.md``. Processor time says what the work costs; wall clock depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import itertools
import os
import statistics
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from analyzer.capture.source import open_captures  # noqa: E402  (the folder is no installed package)
from analyzer.packed import written_whole  # noqa: E402
from benchmarks.measuring import Measured, medians, warm  # noqa: E402
from benchmarks.run import WANTED_GROWTH, WORK, checked, holds, in_pairs, make, processor, ratio_of  # noqa: E402
from benchmarks.workloads import MIX, make_workload  # noqa: E402
from tests.running import COMMAND  # noqa: E402

RESULTS = ROOT / "benchmarks" / "SCALING.md"
SNAPLEN = 256
CONNECTIONS = 4_000
MILLIONS = (1, 3, 10)
FILES = 8
LIMIT_MB = 256
#: What this project wants: two workers over one on eight files; the time for each million more, over that of the first.
WANTED_GAIN, SAME_WITHIN = 1.6, 0.15


def halfshake(*arguments: str | Path) -> Measured:
    """One analysis; a run that fails ends the benchmark."""
    return checked([*COMMAND, "analyze", "--json", "--quiet", *arguments], {"PYTHONPATH": str(ROOT)})


def grown(millions: int) -> Path:
    """A capture of so many million packets of always the same connections, cut to SNAPLEN bytes."""
    filename = WORK / f"grown{millions}.pcap"
    if not filename.exists():
        whole = WORK / f"grown{millions}.whole"
        workload = replace(
            MIX,
            name=filename.stem,
            packets=1_000_000 * millions,
            connections=CONNECTIONS,
            lasts_s=80 * millions,
            transfer_s=(2 * millions, 14 * millions),
        )
        make_workload(workload, whole)
        _cut(whole, filename)
        whole.unlink()
    return filename


def _cut(source: Path, target: Path) -> None:
    """Copy a capture with SNAPLEN bytes of each packet."""
    with written_whole(target) as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, SNAPLEN, 1))
        for batch in open_captures([str(source)]).batches(compiled=True):
            r, bytes_of = batch.records, batch.buffer.data
            columns = (r.offset.tolist(), r.captured_length.tolist(), r.original_length.tolist(), r.time.tolist())
            for offset, captured, original, time in zip(*columns, strict=True):
                kept = min(captured, SNAPLEN)
                file.write(struct.pack("<IIII", *divmod(time, 1_000_000_000), kept, original))
                file.write(bytes_of[offset : offset + kept])


def split(source: Path, count: int, work: Path = WORK) -> list[Path]:
    """The capture in ``count`` files of about the same size, as a rotating tcpdump writes them."""
    folder = work / f"{source.stem}-in-{count}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        unfinished.mkdir(exist_ok=True)
        content, size, at, begin, number = source.read_bytes(), source.stat().st_size, 24, 24, 0
        while at < size:
            at += 16 + int.from_bytes(content[at + 8 : at + 12], "little")
            if at >= size * (number + 1) // count or at >= size:
                (unfinished / f"{source.stem}-{number:02d}.pcap").write_bytes(content[:24] + content[begin:at])
                begin, number = at, number + 1
        unfinished.rename(folder)
    return sorted(folder.glob("*.pcap"))


def zipped(files: Sequence[Path]) -> list[Path]:
    """The files beside themselves, compressed by gzip."""
    for file in files:
        target = file.with_suffix(".pcap.gz")
        if not target.exists():
            with written_whole(target) as packed:
                packed.write(gzip.compress(file.read_bytes(), 1))
    return [file.with_suffix(".pcap.gz") for file in files]


def growth(runs: int) -> list[str]:
    """Time per packet and memory, from 1 to 10 million packets of the same connections."""
    files = [grown(millions) for millions in MILLIONS]
    for file in files:
        warm(file)
    turns = [[halfshake("--jobs", "1", file) for file in files] for _ in range(runs)]
    rows = [medians([turn[k] for turn in turns]) for k in range(len(files))]
    marginal = [
        statistics.median((turn[k + 1].cpu_s - turn[k].cpu_s) / (after - before) for turn in turns)
        for k, (before, after) in enumerate(itertools.pairwise(MILLIONS))
    ]
    lines = []
    for k, (millions, (wall, cpu, peak)) in enumerate(zip(MILLIONS, rows, strict=True)):
        more = f"{marginal[k - 1]:.3f} s for each million more" if k else ""
        lines.append(f"| {millions} million packets | {wall:.2f} s | {cpu:.2f} s | {peak:.0f} MB | {more} |")
    change, memory = marginal[-1] / marginal[0], rows[-1][2] / rows[0][2]
    steady, lean = holds(abs(change - 1) <= SAME_WITHIN), holds(memory <= WANTED_GROWTH)
    lines.append(f"| each million more, 3 to 10 over 1 to 3 | | {change:.2f} | | within {SAME_WITHIN:.0%} {steady} |")
    lines.append(f"| peak, 10 million over 1 million | | | {memory:.2f} | {WANTED_GROWTH} {lean} |")
    reading = marginal[-1] * MILLIONS[-1]
    bound = rows[-1][1] / (rows[-1][1] - reading / 2)
    lines.append(f"| reading 10 of 10 million | | {reading:.2f} s | | two processes can be {bound:.2f} times as fast |")
    print("\n".join(lines), flush=True)
    return lines


def processes(what: str, files: Sequence[Path], runs: int) -> list[str]:
    """One process against two, alternated."""
    for file in files:
        warm(file)
    commands = [
        [*COMMAND, "analyze", "--json", "--quiet", *(str(each) for each in ("--jobs", jobs, *files))] for jobs in (1, 2)
    ]
    alone, beside = in_pairs(commands[0], commands[1], runs)
    gain = 1 / ratio_of(beside, alone, 0)
    size = sum(file.stat().st_size for file in files) / 1e6
    verdict = f"{gain:.2f} times as fast"
    if len(files) > 1:
        verdict += f"; {WANTED_GAIN} {holds(gain >= WANTED_GAIN)}"
    lines = []
    for jobs, measured, ratio in ((1, alone, ""), (2, beside, verdict)):
        wall, cpu, peak = medians(measured)
        lines.append(
            f"| {what}, {size:,.0f} MB, --jobs {jobs} | {wall:.2f} s | {cpu:.2f} s | {peak:.0f} MB | {ratio} |"
        )
        print(lines[-1], flush=True)
    return lines


def compressed(runs: int) -> list[str]:
    """Eight files as a rotating tcpdump and gzip leave them."""
    return processes(f"mix in {FILES} gzip files", zipped(split(make("mix", again=False), FILES)), runs)


def plain(runs: int) -> list[str]:
    """Eight files that are not compressed, of whole packets and of ten million that are cut."""
    lines = processes(f"mix in {FILES} files", split(make("mix", again=False), FILES), runs)
    millions = MILLIONS[-1]
    return lines + processes(f"{millions} million packets in {FILES} files", split(grown(millions), FILES), runs)


def ranges(runs: int) -> list[str]:
    """One file."""
    return processes("mix by ranges", [make("mix", again=False)], runs)


def limits(runs: int) -> list[str]:
    """Memory with a limit, where more connections come than fit."""
    lines = []
    for name in ("flood", "mix"):
        file = make(name, again=False)
        for more in ((), ("--max-memory", f"{LIMIT_MB}M")):
            wall, cpu, peak = medians([halfshake("--jobs", "1", *more, file) for _ in range(runs)])
            lines.append(f"| {name} {' '.join(more)} | {wall:.2f} s | {cpu:.2f} s | {peak:.0f} MB | |")
            print(lines[-1], flush=True)
    return lines


#: What bounds the gain by a second process.
WHY = (
    "Two processes share the reading and nothing else: starting, judging and findings are the work of one. With",
    "`r` for reading and `s` for the rest two take `s + r / 2` at least, and are 1.6 times as fast where `r` is three",
    "times `s`. Compressed files are nearly all reading. Plain ones are where packets are many for each connection, as",
    "ten million are for 4,000; but two processes that read plain files share one memory, and are less than twice as",
    "fast at it.",
)

PARTS: dict[str, Callable[[int], list[str]]] = {
    "growth": growth,
    "compressed": compressed,
    "plain": plain,
    "ranges": ranges,
    "limits": limits,
}


def main() -> None:
    """Make the files, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="default: all")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-report", action="store_true", help=f"leave {RESULTS.name} as it is")
    options = parser.parse_args()
    halfshake("--jobs", "2", grown(1))  # compiles the kernels
    lines = [line for name in options.part or PARTS for line in PARTS[name](options.runs)]
    text = page(lines, options.runs)
    if not options.no_report:
        RESULTS.write_text(text)


def page(lines: Sequence[str], runs: int) -> str:
    """The Markdown page of what was measured."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    return "\n".join(
        [
            "# How cost grows",
            "",
            "Written by `make scaling`. Medians of wall clock and processor time, the largest peak of resident memory",
            f"of the process tree, of {runs} runs each, on {day}: {os.cpu_count()} processors ({processor()}), load",
            f"average at the end {os.getloadavg()[0]:.1f}. Packets are those of {CONNECTIONS:,} connections, cut to",
            f"{SNAPLEN} bytes, so that only the number of packets grows.",
            "One process and two run in alternated pairs; how much faster two are is the median over the pairs.",
            "",
            "| what | wall | processor | peak | |",
            "| --- | --- | --- | --- | --- |",
            *lines,
            "",
            *WHY,
            "",
        ]
    )


if __name__ == "__main__":
    main()
