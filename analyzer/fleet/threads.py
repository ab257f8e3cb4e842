"""One large file scanned by threads of this process, a range each.

How it works
------------
Kernels and the reading of a file let other threads run. Each thread reads its range and scans it at once, so that the
bytes are near the processor that looks at them: a thread that only read ahead for another one gained nothing. The
ranges are joined as those of several processes are (``fleet.ranges``), without processes to start and scans to send.

What one thread alone would do otherwise is left to it: where the file has no place to be cut, where it cannot be read,
and where so much would have to be remembered that some may have to be left out (``fleet.ranges.is_crowded``).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

from analyzer.capture.source import CaptureSet, is_url
from analyzer.errors import CaptureError
from analyzer.events.scan import Scan, Scanner
from analyzer.fleet.pieces import How, Piece
from analyzer.fleet.ranges import RangeJob, cuts_of, is_crowded, join
from analyzer.processes import processors

#: Each thread gets at least so many bytes.
RANGE_BYTES = 24 << 20

#: The Python around the kernels runs in one thread at a time: more threads would only wait.
MOST_THREADS = 4

_BETWEEN_TOLD = 0.05  # s


class _Enough(Exception):
    """A thread is not to go on: too much would have to be remembered, or another one cannot go on."""


def scan_by_threads(captures: CaptureSet, *, with_secrets: bool) -> Scan | None:
    """The scan of one large file, the same as one thread makes, with its facts filled in.

    None where threads do not pay, and where one thread must do it: nothing is changed then.
    """
    file = captures.files[0]
    count = min(processors(), MOST_THREADS, file.size_hint // RANGE_BYTES)
    if len(captures.files) != 1 or count < 2 or file.size_hint != file.disk_bytes or is_url(file.facts.path):
        return None
    plan, how = cuts_of(file.facts.path, file.disk_bytes, count), How(True, with_secrets)
    if plan is None:
        return None
    threads = _Threads([RangeJob(file.facts.path, begin, end, how) for begin, end in plan.ranges()])
    pieces = threads.run(captures.told)
    if pieces is None:
        return None
    try:
        found = join(file, plan, pieces, how, seen=functools.partial(threads.seen, len(pieces)))
    except (_Enough, CaptureError):
        return None
    captures.told(file.taken)
    return found


class _Threads:
    """A thread for each range, this one for the first; how far each is, and last of all what is read after them."""

    def __init__(self, jobs: Sequence[RangeJob]) -> None:
        self._jobs = jobs
        self._taken = [0] * (len(jobs) + 1)
        self._remembered = [(0, 0, 0, 0)] * (len(jobs) + 1)
        self._done: dict[int, Piece] = {}
        self._errors: list[BaseException] = []
        self._ending = False

    def run(self, told: Callable[[int], None]) -> list[Piece] | None:
        """The scans of all ranges, None where one could not be made; no thread is left, even where this raises.

        ``told`` is called in this thread with the bytes read so far.
        """
        started: list[threading.Thread] = []

        def seen(scanner: Scanner, taken: int) -> None:
            self.seen(0, scanner, taken)
            told(sum(self._taken))

        try:
            for k in range(1, len(self._jobs)):
                thread = threading.Thread(target=self._scan, args=(k,), daemon=True)
                thread.start()
                started.append(thread)
            self._done[0] = self._jobs[0].watched(seen)
            for thread in started:
                while thread.is_alive():
                    thread.join(_BETWEEN_TOLD)
                    told(sum(self._taken))
        except (_Enough, CaptureError, RuntimeError) as why:  # the last: no thread is to be had
            self._errors.append(why)
        finally:
            self._ending = True
            for thread in started:
                thread.join()
        for error in self._errors:
            if not isinstance(error, (_Enough, CaptureError, RuntimeError)):
                raise error
        self._ending = bool(self._errors)
        return None if self._errors else [self._done[k] for k in range(len(self._jobs))]

    def seen(self, k: int, scanner: Scanner, taken: int) -> None:
        """Note how far range ``k`` is; raises ``_Enough`` where it is not to be read on."""
        self._taken[k], self._remembered[k] = taken, scanner.remembered
        if self._ending or is_crowded(self._remembered):
            raise _Enough

    def _scan(self, k: int) -> None:
        try:
            self._done[k] = self._jobs[k].watched(functools.partial(self.seen, k))
        except BaseException as error:
            self._errors.append(error)
            self._ending = True
