"""What one process scans at a time: a file, a range of a file, or files that must be read together.

A *job* says what to scan and travels to whoever does it; a ``Piece`` is what comes back. Both are plain values:
they travel by pickle between processes that this package started itself, and through Dask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.records import Batch, CaptureFacts
from analyzer.capture.source import CaptureFile, CaptureSet
from analyzer.errors import CaptureError
from analyzer.events.scan import Scan
from analyzer.fleet.limit import Counts, scan_bounded
from analyzer.kernels import worth_compiling

#: Called with the bytes of a job read so far.
Told = Callable[[int], None]

#: Bytes read at once from a file; several processes read at the same time.
BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class How:
    """How to scan: by compiled kernels (None: by the file's size), keeping what secrets may open."""

    compiled: bool | None = None
    with_secrets: bool = False


@dataclass(slots=True)
class Piece:
    """The scan of one capture or of a range of it, as capture 0, and what is known of it."""

    facts: CaptureFacts
    scan: Scan
    first_time: int = -1  # by which captures are put in order (ns), -1: unknown
    orderly: bool = True  # each record has a time, and none is earlier than the one before
    number: int = 0  # of the last record of a range
    end: int = 0  # position in the file that was read up to
    with_secrets: bool = False  # whether what secrets may open was kept
    remembered: Counts = (0, 0, 0, 0)  # as in ``Scanner``
    counts: NDArray[np.int64] | None = None  # of a pcapng range: records and drops per interface


class InOrder:
    """Passes batches on and notes whether their times ever step back."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.holds = True
        self._batches = batches
        self._latest = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            time = batch.records.time
            if len(time) and self.holds:
                self.holds = int(time[0]) >= self._latest and bool(np.all(time[1:] >= time[:-1]))
                self._latest = int(time[-1])
            yield batch


@dataclass(frozen=True, slots=True)
class FileJob:
    """One capture file. What a look at it found travels along; ``disk_bytes`` of -2 asks for the look."""

    path: str
    how: How
    disk_bytes: int = -2
    first_time: int = -1

    @property
    def size(self) -> int:
        """Bytes that are to be read, as they lie on disk."""
        return self.disk_bytes

    def run(self, told: Told) -> Piece:
        """Scan the file; raises CaptureError only where the look was asked for."""
        file = CaptureFile(self.path)
        compiled, with_secrets = bool(self.how.compiled), self.how.with_secrets
        if self.disk_bytes == -2:
            file.look(for_time=True)
            compiled = worth_compiling(file.size_hint)
            with_secrets |= file.facts.format.startswith("pcapng")
        else:
            file.disk_bytes, file.first_time = self.disk_bytes, self.first_time
        batches = InOrder(_told(file, file.read(index=0, compiled=compiled, block_bytes=BLOCK_BYTES), told))
        found, remembered = scan_bounded(batches, 1, compiled=compiled, with_secrets=with_secrets)
        piece = Piece(file.facts, found, file.first_time, batches.holds, end=file.taken)
        piece.with_secrets, piece.remembered = with_secrets, remembered
        return piece


def _told(file: CaptureFile, batches: Iterator[Batch], told: Told) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        told(file.taken)


@dataclass(frozen=True, slots=True)
class TogetherJob:
    """Files whose packets interleave: read by one process, merged by time."""

    paths: tuple[str, ...]
    how: How
    size: int = 0  # it is done alone

    def run(self, told: Told) -> tuple[list[CaptureFacts], Scan]:
        """Facts of the files in their order, and the scan with capture indices in that order."""
        files = [CaptureFile(path) for path in self.paths]
        for file in files:
            try:
                file.look(for_time=True)
            except CaptureError as error:  # it was read a moment ago: what went away since is a cut
                file.facts.cut = str(error)
        captures = CaptureSet(files, block_bytes=BLOCK_BYTES, progress=lambda done, _: told(done))
        compiled = self.how.compiled if self.how.compiled is not None else worth_compiling(captures.size_hint)
        facts, with_secrets = captures.captures, self.how.with_secrets
        batches = captures.batches(compiled)
        return facts, scan_bounded(batches, len(files), compiled=compiled, with_secrets=with_secrets).scan
