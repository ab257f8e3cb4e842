"""The speed and memory comparison: ``make bench``, or ``python benchmarks/run.py --help`` for parts of it.

halfshake and each peer that is installed read the same file in turn, in alternated pairs. The ratio of a pair is
halfshake's figure over the peer's; what counts is the median of the ratios. Times alone say little: they are of one
machine at one moment. What was measured is printed and written to ``benchmarks/RESULTS.md``.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import Measured, measure, medians, warm  # noqa: E402  (the folder is no installed package)

WORK = ROOT / "benchmarks" / "work"
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
BIN = Path(sys.executable).parent
HALFSHAKE = BIN / "halfshake"
SMALL = ROOT / "captures/02-caddy-ipv4-silent/nft-output-drop/server.pcap"
SMALL_RECORDS = 100
#: How a workload is made: its name in benchmarks/workloads.py, and how many times its length.
WORKLOADS = {"mix": ("mix", 1), "flood": ("flood", 1), "long": ("long", 1), "mix2": ("mix", 2)}
#: Twice the length of mix, read for their memory alone: with the same connections, and with twice as many.
TWICE = {"long": "twice the packets of the same connections", "mix2": "twice the connections as well"}
COUNT_FLOWS = "import sys; from nfstream import NFStreamer; print(sum(1 for _ in NFStreamer(source=sys.argv[1])))"
TSHARK = ["-Y", "quic.long.packet_type==0", "-T", "fields", "-e", "frame.number"]
#: What this project wants of itself: halfshake's wall clock over the peer's, at most.
WANTED_WALL = {
    ("mix", "ndpiReader"): 0.8,
    ("mix", "NFStream"): 0.22,
    ("mix", "tshark"): 0.05,
    ("flood", "ndpiReader"): 1.0,
    ("flood, one process", "ndpiReader"): 1.5,
}
#: Compared once more with one process alone.
BY_ONE_PROCESS = ("flood", "ndpiReader")
WANTED_PEAK_MB = 600
WANTED_GROWTH = 1.15
WANTED_S = {"halfshake --version": 0.15, f"capture of {SMALL_RECORDS} packets": 1.0, "first compilation": 10.0}

Arguments = list[str | Path]
Command = Callable[[Path], Arguments]


@dataclass(slots=True)
class Results:
    """Lines of the report, and the peak of halfshake on each workload."""

    pairs: list[str] = field(default_factory=list)
    single: list[str] = field(default_factory=list)
    peaks: dict[str, list[float]] = field(default_factory=dict)

    def add_pairs(self, what: str, peer: str, ours: list[Measured], theirs: list[Measured]) -> None:
        """A line about alternated pairs of runs."""
        ratios = [ratio_of(ours, theirs, figure) for figure in range(3)]
        wanted = WANTED_WALL.get((what, peer))
        verdict = "" if wanted is None else f"{wanted} × {holds(ratios[0] <= wanted)}"
        self.pairs.append(f"| {what} | {peer} | {cells(ours)} | {cells(theirs)} | {per_pair(ratios)} | {verdict} |")
        say(self.pairs[-1])


def peers() -> dict[str, Command]:
    """The commands of all peers that are installed."""
    programs: dict[str, Command] = {
        "capinfos": lambda file: ["capinfos", "-c", file],
        "ndpiReader": lambda file: ["ndpiReader", "-q", "-i", file],
        "NFStream": lambda file: [sys.executable, "-c", COUNT_FLOWS, file],
        "tshark": lambda file: ["tshark", "-n", "-r", file, *TSHARK],
    }
    found = {name for name in programs if shutil.which(name)}
    if importlib.util.find_spec("nfstream"):
        found.add("NFStream")
    return {name: command for name, command in programs.items() if name in found}


def halfshake(file: Path) -> Arguments:
    """The command that is compared."""
    return [HALFSHAKE, "analyze", "--json", file]


def make(name: str, *, again: bool) -> Path:
    """The file of a workload, made where it is missing."""
    filename = WORK / f"{name}.pcap"
    if again or not filename.exists():
        base, times = WORKLOADS[name]
        command = [sys.executable, "-m", "benchmarks.workloads", base, "--times", str(times)]
        subprocess.run(command, cwd=ROOT, check=True)
    return filename


def checked(command: Arguments, environment: dict[str, str] | None = None) -> Measured:
    """A run that must end well: a figure of a failed run is no figure."""
    measured = measure(command, environment)
    if measured.status:
        raise SystemExit(f"exit status {measured.status}: {' '.join(map(str, command))}")
    return measured


def compare(name: str, peer: str, command: Command, pairs: int, results: Results) -> None:
    """Alternated pairs of halfshake and a peer on one workload."""
    file = WORK / f"{name}.pcap"
    runs = in_pairs(halfshake(file), command(file), pairs)
    results.peaks.setdefault(name, []).extend(run.peak_mb for run in runs[0])
    results.add_pairs(name, peer, *runs)
    if (name, peer) == BY_ONE_PROCESS:
        results.add_pairs(
            f"{name}, one process", peer, *in_pairs([*halfshake(file), "--jobs", "1"], command(file), pairs)
        )


def alone(name: str, peer: str, command: Command, runs: int, results: Results) -> None:
    """One program by itself on one workload."""
    measured = [checked(command(WORK / f"{name}.pcap")) for _ in range(runs)]
    if peer == "halfshake":
        results.peaks.setdefault(name, []).extend(run.peak_mb for run in measured)
        results.pairs.append(f"| {name} | none | {cells(measured)} | | | |")
    else:
        results.pairs.append(f"| {name} | {peer} | | {cells(measured)} | | |")
    say(results.pairs[-1])


def in_pairs(ours: Arguments, theirs: Arguments, pairs: int) -> tuple[list[Measured], list[Measured]]:
    """Runs of two commands in alternated pairs: each is the first of every other pair."""
    runs: tuple[list[Measured], list[Measured]] = ([], [])
    for turn in range(pairs):
        for which in (turn % 2, 1 - turn % 2):
            runs[which].append(checked((ours, theirs)[which]))
    return runs


def ratio_of(ours: list[Measured], theirs: list[Measured], figure: int) -> float:
    """Median over the pairs of our figure over theirs."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(our[figure] / max(their[figure], 1e-3) for our, their in pairs)


def cells(runs: list[Measured]) -> str:
    """Median wall and processor seconds, and the largest peak."""
    wall, cpu, peak = medians(runs)
    return f"{wall:.2f} s, {cpu:.2f} s, {peak:.0f} MB"


def per_pair(ratios: list[float]) -> str:
    """Ratios of wall, processor time, memory."""
    return ", ".join(f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}" for ratio in ratios)


def holds(right: bool) -> str:
    """In words, for people and for search."""
    return "holds" if right else "DOES NOT HOLD"


def singles(results: Results, runs: int) -> None:
    """Start-up, a small capture, and the first compilation."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder, "small.pcap")
        small.write_bytes(first_records(SMALL.read_bytes(), SMALL_RECORDS))
        timed = {
            "halfshake --version": statistics.median(checked([HALFSHAKE, "--version"]).wall_s for _ in range(runs)),
            f"capture of {SMALL_RECORDS} packets": statistics.median(
                checked(halfshake(small)).wall_s for _ in range(runs)
            ),
        }
        flood = make("flood", again=False)
        warm(flood)
        cold = checked(halfshake(flood), {"HALFSHAKE_KERNEL_CACHE": folder}).wall_s
        timed["first compilation"] = cold - checked(halfshake(flood)).wall_s
    for what, seconds in timed.items():
        wanted = WANTED_S[what]
        results.single.append(f"| {what} | {seconds:.2f} s | {wanted} s {holds(seconds < wanted)} |")
        say(results.single[-1])


def first_records(capture: bytes, count: int) -> bytes:
    """A pcap file (little endian) cut after so many records."""
    at = 24
    for _ in range(count):
        at += 16 + int.from_bytes(capture[at + 8 : at + 12], "little")
    return capture[:at]


def memory(results: Results) -> None:
    """What the peaks say about memory."""
    for name, peaks in results.peaks.items():
        peak = max(peaks)
        verdict = "" if name in TWICE else f"{WANTED_PEAK_MB} MB {holds(peak < WANTED_PEAK_MB)}"
        results.single.append(f"| peak memory on {name} | {peak:.0f} MB | {verdict} |")
    for name, words in TWICE.items():
        if {"mix", name} <= results.peaks.keys():
            growth = max(results.peaks[name]) / max(results.peaks["mix"])
            wanted = f"{WANTED_GROWTH} {holds(growth <= WANTED_GROWTH)}"
            results.single.append(f"| peak memory, {name} over mix ({words}) | {growth:.2f} | {wanted} |")


def report(results: Results, pairs: int) -> str:
    """The Markdown page of what was measured."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("numba", "numpy", "nfstream"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    for program in ("tshark", "ndpiReader"):
        versions.append(f"{program} {version_line(program)}")
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    files = [file for name in sorted(WORKLOADS) if (file := WORK / f"{name}.pcap").exists()]
    sizes = ", ".join(f"{file.stem} {file.stat().st_size / 1e6:,.0f} MB" for file in files)
    return "\n".join(
        [
            "# What the benchmark measured",
            "",
            "Written by `make bench`; what is compared and how to repeat parts of it is in [README.md](README.md).",
            f"Measured on {day}: {os.cpu_count()} processors ({processor()}), {', '.join(filter(None, versions))}.",
            f"Files: {sizes}; in the page cache, kernels compiled before.",
            "",
            f"Alternated pairs, {pairs} of each. A cell has the medians of wall clock and processor time, and the",
            "largest peak of resident memory of the process tree. Ratios are medians over the pairs of halfshake's",
            "figure over the peer's: wall clock, processor time, memory.",
            "",
            "| workload | peer | halfshake | the peer | ratios | wanted wall |",
            "| --- | --- | --- | --- | --- | --- |",
            *results.pairs,
            "",
            "| what | measured | wanted |",
            "| --- | --- | --- |",
            *results.single,
            "",
        ]
    )


def version_line(program: str) -> str:
    """The version that Debian's package or the program itself gives; empty if neither does."""
    path = shutil.which(program)
    if not path:
        return "(not installed)"
    shown = subprocess.run([path, "-h"], capture_output=True, text=True, check=False)
    words = (shown.stdout + shown.stderr).split()
    return next((word.strip("(),") for word in words if word.strip("(),v")[:1].isdigit() and "." in word), "")


def processor() -> str:
    """The model that the kernel reports."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def say(line: str) -> None:
    """Print at once, for those who watch."""
    print(line, flush=True)


def main() -> None:
    """Make, warm, compare, report."""
    installed = peers()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--workload", action="append", choices=sorted(WORKLOADS), help="default: all")
    parser.add_argument("--peer", action="append", choices=sorted(installed), help="default: all installed")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--peers-only", action="store_true", help="time the peers without halfshake")
    parser.add_argument("--again", action="store_true", help="make the files anew")
    parser.add_argument("--no-report", action="store_true", help=f"leave {RESULTS.name} as it is")
    options = parser.parse_args()
    results = Results()
    chosen = {name: installed[name] for name in options.peer or installed}
    for name in options.workload or WORKLOADS:
        file = make(name, again=options.again)
        warm(file)
        if options.peers_only:
            for peer, command in chosen.items():
                alone(name, peer, command, options.pairs, results)
            continue
        checked(halfshake(file))  # compiles the kernels
        if name in TWICE:
            alone(name, "halfshake", halfshake, options.pairs, results)
            continue
        for peer, command in chosen.items():
            compare(name, peer, command, options.pairs, results)
    if not options.peers_only:
        singles(results, options.pairs)
        memory(results)
    page = report(results, options.pairs)
    print("\n" + page)
    if not options.no_report:
        from benchmarks import rooms

        RESULTS.write_text(rooms.replaced(page, rooms.section(options.pairs)))


if __name__ == "__main__":
    main()
