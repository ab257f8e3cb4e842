"""Captures scanned by the workers of a Dask cluster, where they are; one scan comes back.

How it works
------------
Each file is a task whose result, a ``Piece``, stays with the worker that made it. The client learns of each what is
needed to put the pieces in order, and then has them placed, woven and merged by tasks as well, as a tree. Dask does
again what a worker that died had done. A file that cannot be read is a result that says so, and stops nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.records import CaptureFacts
from analyzer.capture.source import Progress, expanded, is_url
from analyzer.errors import CaptureError, UnreadableFile, UsageError
from analyzer.events.scan import Scan, scan
from analyzer.fleet.combine import Interleaved, Part, Span, followed, groups, ranks_of, tree, whole_of, woven
from analyzer.fleet.pieces import FileJob, How, Piece, TogetherJob
from analyzer.version import __version__

#: How often a file is tried again where its task raises (a network error, say), and how often where its worker dies.
RETRIES = 2

CONNECT_SECONDS = 30


class Gathered(NamedTuple):
    """What came of the files: the scan of those that could be read, their facts, and why the others could not."""

    scan: Scan
    facts: list[CaptureFacts]
    failures: list[tuple[str, CaptureError]]


class _About(NamedTuple):
    """What the client must know of a piece."""

    error: str
    facts: CaptureFacts | None = None
    first_time: int = -1
    orderly: bool = True
    with_secrets: bool = False
    taken: int = 0  # bytes


def scan_on_cluster(
    names: Sequence[str], address: str, *, with_secrets: bool, progress: Progress | None = None
) -> Gathered:
    """Scan files or URLs that the workers of the scheduler at ``address`` can open.

    Raises ``UsageError`` where there is no scheduler, or where Dask is not installed.
    """
    paths = [name if is_url(name) else os.path.abspath(name) for name in expanded(names)]
    if "-" in names:
        raise UsageError("standard input cannot be read by a cluster; give files that its workers can open")
    with _client(address) as client:
        return _Run(client, with_secrets, progress).gather(paths)


def _client(address: str) -> Any:
    try:
        import distributed
    except ImportError:
        raise UsageError("--cluster needs Dask; pip install 'halfshake[cluster]'") from None
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"--cluster {address}: no scheduler answers ({error})") from None


class _Run:
    """One run on a cluster."""

    def __init__(self, client: Any, with_secrets: bool, progress: Progress | None) -> None:
        self._client = client
        self._how = How(None, with_secrets)
        self._progress = progress

    def gather(self, paths: Sequence[str]) -> Gathered:
        pieces, abouts = self._scanned(paths, self._how)
        self._with_equal_secrets(paths, pieces, abouts)
        read = [k for k, about in enumerate(abouts) if not about.error]
        failures: list[tuple[str, CaptureError]] = [
            (path, UnreadableFile(about.error)) for path, about in zip(paths, abouts, strict=True) if about.error
        ]
        facts = [found for k in read if (found := abouts[k].facts) is not None]
        if not read:
            return Gathered(scan((), 0, compiled=False), facts, failures)
        whole = self._combined([paths[k] for k in read], [pieces[k] for k in read], [abouts[k] for k in read])
        return Gathered(whole_of(whole.result()), facts, failures)

    def _submit(self, task: Callable[..., Any], *arguments: Any) -> Any:
        return self._client.submit(task, *arguments, pure=False, retries=RETRIES)

    def _scanned(self, paths: Sequence[str], how: How) -> tuple[list[Any], list[_About]]:
        """A future piece of each file, and what is known of it."""
        from distributed import as_completed

        pieces = [self._submit(scan_file, FileJob(path, how), __version__) for path in paths]
        known = {self._submit(about, piece): k for k, piece in enumerate(pieces)}
        abouts: list[_About] = [_About("not read")] * len(paths)
        taken = 0
        for done, future in enumerate(as_completed(list(known), loop=self._client.loop), 1):
            k, error = known[future], future.exception()
            abouts[k] = future.result() if error is None else _About(f"{os.path.basename(paths[k])}: {_why(error)}")
            taken += abouts[k].taken
            if self._progress is not None:
                self._progress(taken, taken * len(paths) // done)
        return pieces, abouts

    def _with_equal_secrets(self, paths: Sequence[str], pieces: list[Any], abouts: list[_About]) -> None:
        """Where one capture may hold secrets, what they may open is kept of all, as by one process."""
        if not any(about.with_secrets for about in abouts):
            return
        again = [k for k, about in enumerate(abouts) if not about.error and not about.with_secrets]
        found, known = self._scanned([paths[k] for k in again], replace(self._how, with_secrets=True))
        self._how = replace(self._how, with_secrets=True)
        for k, piece, about_it in zip(again, found, known, strict=True):
            pieces[k], abouts[k] = piece, about_it

    def _combined(self, paths: Sequence[str], pieces: Sequence[Any], abouts: Sequence[_About]) -> Any:
        """The future part of all pieces; the same as ``fleet.local.combined``, by tasks."""
        spans = [Span(each.first_time, each.facts.last_time if each.facts else -1, each.orderly) for each in abouts]
        ranks = ranks_of(spans)
        parts = []
        for group in groups(spans):
            part = None
            if len(group) == 1 or all(spans[k].orderly for k in group):
                alone = [self._submit(part_of, pieces[k], k) for k in group]
                part = tree(alone, lambda one, other: self._submit(weave_two, one, other, ranks))
            if part is None or (len(group) > 1 and not self._submit(is_part, part).result()):
                job = TogetherJob(tuple(paths[k] for k in group), self._how)
                part = self._submit(scan_together, job, group)
            parts.append(part)
        return tree(parts, lambda one, other: self._submit(followed, one, other))


def _why(error: BaseException) -> str:
    if type(error).__name__ == "KilledWorker":
        return "the workers that read it died, one after another"
    return f"{type(error).__name__}: {error}"


# What the workers do.


def scan_file(job: FileJob, version: str) -> Piece | CaptureError:
    """The piece of a file, or why there is none."""
    if version != __version__:
        return CaptureError(f"{os.path.basename(job.path)}: the worker has halfshake {__version__}, not {version}")
    try:
        return job.run(lambda _: None)
    except CaptureError as error:
        return error


def about(piece: Piece | CaptureError) -> _About:
    """What the client must know of a piece."""
    if isinstance(piece, CaptureError):
        return _About(str(piece))
    return _About("", piece.facts, piece.first_time, piece.orderly, piece.with_secrets, piece.end)


def part_of(piece: Piece, capture: int) -> Part:
    """The scan of a piece as that of one of all captures."""
    return Part((capture,), piece.scan)


def weave_two(first: Part | None, second: Part | None, ranks: NDArray[np.int64]) -> Part | None:
    """Two scans woven; None where they cannot be."""
    if first is None or second is None:
        return None
    try:
        return woven(first, second, ranks)
    except Interleaved:
        return None


def is_part(part: Part | None) -> bool:
    """Whether the weaving succeeded."""
    return part is not None


def scan_together(job: TogetherJob, captures: Sequence[int]) -> Part:
    """The scan of files read together, as those of some of all captures."""
    return Part(tuple(captures), job.run(lambda _: None)[1])
