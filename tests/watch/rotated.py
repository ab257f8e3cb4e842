"""A capture written as rotated files, a moment apart, and what a watcher makes of them."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analyzer.watch.state import State, Store
from analyzer.watch.watcher import Settings, Watcher
from tests.conftest import ROOT
from tests.crafted import Captured, batches_of, captured_of, joined, pieces_of, write_pcap

SILENT = ROOT / "captures" / "02-caddy-ipv4-silent" / "nft-output-drop" / "server.pcap"
BEGAN = 1_700_000_000  # s, when the first file was written
LATER_NS = (BEGAN + 1_000_000) * 1_000_000_000


@functools.cache
def pieces(count: int) -> list[list[Captured]]:
    """The records of a capture in ``count`` equal parts."""
    batch = joined(batches_of(SILENT))
    records = len(batch.records.time)
    return [captured_of(piece) for piece in pieces_of(batch, [records * k // count for k in range(1, count)])]


def write(folder: Path, number: int, captured: Sequence[Captured]) -> Path:
    """The n-th file of the series ``web``."""
    folder.mkdir(exist_ok=True)
    path = write_pcap(folder / f"web-2026-{number:04d}.pcap", captured)
    os.utime(path, (BEGAN + 60 * number, BEGAN + 60 * number))
    return path


def rotate(folder: Path, count: int) -> list[Path]:
    """The capture in ``count`` files."""
    return [write(folder, number, captured) for number, captured in enumerate(pieces(count))]


class Watched:
    """A watcher with what it said and complained of."""

    def __init__(self, folder: Path, state: Path, **settings: Any) -> None:
        self.said: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.watcher = Watcher(Settings(folder, **settings), Store(state), self.complaints.append)
        self.watcher.say(self.said.append)

    @property
    def state(self) -> State:
        return self.watcher.state

    def steps(self, most: int = 1000, *, now_ns: int = LATER_NS) -> int:
        """Take files until none is complete, at most so many."""
        for count in range(most):
            if not self.watcher.step(now_ns):
                return count
            self.watcher.save()
            self.watcher.say(self.said.append)
        return most

    @property
    def patterns(self) -> list[str]:
        return sorted(finding["pattern"] for finding in self.said)


def result(state: State) -> dict[str, Any]:
    """What must not depend on how the watcher came there."""
    return dataclasses.asdict(state)
