"""Captures scanned by several processes of this machine: files side by side, a large file by ranges."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from analyzer.capture.pcap import walk_pcap
from analyzer.capture.pcapng import walk_pcapng
from analyzer.capture.source import CaptureFile, CaptureSet
from analyzer.errors import AnalyzerError, CaptureError, UnreadableFile
from analyzer.events.flows import insert_keys, track_flows
from analyzer.events.scan import Scan
from analyzer.fleet.combine import Interleaved, Part, Span, followed, groups, ranks_of, tree, whole_of, woven
from analyzer.fleet.pieces import FileJob, How, Piece, TogetherJob
from analyzer.fleet.pool import Job, Pool
from analyzer.fleet.ranges import Crowded, Plan, RangeJob, cuts_of, is_crowded, join, last_time_of
from analyzer.fleet.work import PARALLEL_FROM_BYTES, RANGE_BYTES
from analyzer.kernels import cache_folder, runner, worth_compiling
from analyzer.processes import processors

#: The kernels of a scan.
SCANNING = (walk_pcap, walk_pcapng, track_flows, insert_keys)

#: Files whose ends are looked at, and how far apart files begin that follow one another (ns).
MOST_LOOKED_AT = 64
APART_NS = 10_000_000_000


def jobs_that_pay(captures: CaptureSet, jobs: int | None) -> int:
    """How many processes are to read: one where it is standard input or a pipe, that no other process can read.

    If nobody asked for a number, one per processor where several files are large; threads read a single one
    (``fleet.threads``). Files that seem to overlap may be those of one traffic at two places, which one process must
    read together in any case.
    """
    if captures.disk_bytes < 0 or not captures.files:
        return 1
    if jobs is not None:
        return jobs
    most = min(processors(), len(captures.files), captures.disk_bytes // PARALLEL_FROM_BYTES + 1)
    return 1 if most > 1 and _seem_to_overlap(captures.files[:MOST_LOOKED_AT]) else most


def scan_in_parallel(captures: CaptureSet, *, jobs: int, with_secrets: bool) -> Scan | None:
    """The scan of opened captures, the same as one process makes; their facts are filled in.

    A file that no process could read ends up in ``captures.failures``. None where one process must read several files,
    since together they hold too much to be remembered; nothing is changed then.
    """
    compiled = worth_compiling(captures.size_hint)
    if compiled:
        _prepare_kernels()
    how = How(compiled, with_secrets)
    plans = [
        cuts_of(file.facts.path, file.disk_bytes, _parts(file, jobs, len(captures.files))) for file in captures.files
    ]
    tasks: list[Job] = []
    for file, plan in zip(captures.files, plans, strict=True):
        path = file.facts.path
        if plan is None:
            tasks.append(FileJob(path, how, file.disk_bytes, file.first_time))
        else:
            tasks += [RangeJob(path, begin, end, how) for begin, end in plan.ranges()]
    with Pool(min(jobs, len(tasks))) as pool:
        try:
            results = _all(pool, tasks, captures.told, together=len(captures.files) > 1)
        except Crowded:
            return None
        pieces: list[Piece] = []
        lost: list[tuple[CaptureFile, AnalyzerError]] = []
        for file, plan in zip(list(captures.files), plans, strict=True):
            mine = [results.pop(0) for _ in range(1 if plan is None else len(plan.cuts))]
            try:
                pieces.append(_piece_of(file, plan, mine, how))
            except AnalyzerError as why:
                lost.append((file, why))
        for file, error in lost:
            reason = error if isinstance(error, CaptureError) else UnreadableFile(f"{file.facts.name}: {error}")
            captures.give_up(file, reason)
        paths = [file.facts.path for file in captures.files]
        return combined(pieces, lambda group: _together(pool, [paths[k] for k in group], how))


def _piece_of(file: CaptureFile, plan: Plan | None, found: Sequence[Piece | AnalyzerError], how: How) -> Piece:
    """The piece of a file of what was found in its ranges, or in all of it; raises the error that is among it."""
    pieces = [each for each in found if isinstance(each, Piece)]
    error = next((each for each in found if isinstance(each, AnalyzerError) and not isinstance(each, Crowded)), None)
    if error is not None:
        raise error
    if plan is None:
        (piece,) = pieces
    elif len(pieces) < len(found) or is_crowded([each.remembered for each in pieces]):
        piece = FileJob(file.facts.path, how, file.disk_bytes, file.first_time).run(lambda _: None)
    else:
        joined = join(file, plan, pieces, how)
        return Piece(file.facts, joined, file.first_time, all(each.orderly for each in pieces))
    file.facts = piece.facts
    return piece


def _seem_to_overlap(files: Sequence[CaptureFile]) -> bool:
    """Whether a file ends after the next begins; where its end cannot be seen, whether they begin at about one time."""
    ordered = sorted(files, key=lambda file: file.first_time)
    for file, following in itertools.pairwise(ordered):
        last = last_time_of(file.facts.path, file.disk_bytes)
        if last > following.first_time or (last < 0 and following.first_time - file.first_time < APART_NS):
            return True
    return False


def _parts(file: CaptureFile, jobs: int, files: int) -> int:
    """Into how many ranges a file is cut: none where there are files enough for all processes."""
    return 1 if files >= 2 * jobs else max(1, min(jobs, file.disk_bytes // RANGE_BYTES))


def combined(pieces: Sequence[Piece], together: Callable[[list[int]], Scan]) -> Scan:
    """One scan of the pieces, by index of the captures; ``together`` reads those again whose packets interleave."""
    spans = [Span(piece.first_time, piece.facts.last_time, piece.orderly) for piece in pieces]
    ranks = ranks_of(spans)
    parts = []
    for group in groups(spans):
        try:
            if len(group) > 1 and not all(spans[k].orderly for k in group):
                raise Interleaved("times step back")
            alone = [Part((k,), pieces[k].scan) for k in group]
            parts.append(tree(alone, lambda one, other: woven(one, other, ranks)))
        except Interleaved:
            parts.append(Part(tuple(group), together(group)))
    return whole_of(tree(parts, followed))


def _together(pool: Pool, paths: Sequence[str], how: How) -> Scan:
    ((_, answer),) = pool.run([TogetherJob(tuple(paths), how)], lambda _: None)
    if isinstance(answer, AnalyzerError):
        raise answer
    _, found = answer
    return found  # type: ignore[no-any-return]


def _all(pool: Pool, tasks: Sequence[Job], progress: Callable[[int], None], *, together: bool) -> list[Any]:
    """The results of all tasks. Raises ``Crowded`` where they are not to be remembered ``together``."""
    results: list[Any] = [None] * len(tasks)
    remembered = []
    for index, result in pool.run(tasks, progress):
        results[index] = result
        if isinstance(result, Piece):
            remembered.append(result.remembered)
        if together and (isinstance(result, Crowded) or is_crowded(remembered)):
            raise Crowded
    return results


def _prepare_kernels() -> None:
    """Compile what the processes need, once, where that was not done before."""
    if not any(cache_folder().glob("*.o")):
        for kernel in SCANNING:
            runner(kernel, True)
