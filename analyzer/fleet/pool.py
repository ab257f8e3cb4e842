"""Processes of this machine that scan at the same time, this one among them.

How it works
------------
Jobs lie in a queue, the longest first. This process takes one after another; so does each worker, a process beside,
for which a thread asks. A worker that dies is replaced and its job is done again. Workers that are left idle at the end
are handed back for whoever needs one next.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Protocol, cast

from analyzer.errors import AnalyzerError
from analyzer.fleet.pieces import Told
from analyzer.processes import end, hand_back, helper, send

#: How often a job is begun by a worker before it is given up.
ATTEMPTS = 3


class Job(Protocol):
    """What a worker can do: a value that travels by pickle."""

    @property
    def size(self) -> int: ...  # bytes that are to be read

    def run(self, told: Told) -> Any: ...


class WorkerLost(AnalyzerError):
    """The processes that did a job ended before they had done it, each time."""


class _NoProcess(Exception):
    """The system gives no process: this one does all the work."""


class _Worker:
    """One process, waiting for jobs on its standard input."""

    def __init__(self) -> None:
        self.process = helper("analyzer.fleet.worker:work")

    def ask(self, job: Job, told: Told) -> Any:
        """The answer to a job; raises what the job raised, or EOFError or OSError if the process ended."""
        send(cast(BinaryIO, self.process.stdin), job)
        while True:
            try:
                kind, value = pickle.load(cast(BinaryIO, self.process.stdout))
            except pickle.UnpicklingError as error:  # the process ended in the middle of a message
                raise EOFError from error
            if kind == "done":
                return value
            if kind == "failed":
                raise value
            told(value)

    def release(self) -> None:
        """Tell the process that there are no more jobs."""
        with contextlib.suppress(OSError):
            send(cast(BinaryIO, self.process.stdin), None)
            hand_back(self.process)
            return
        end(self.process)


class Pool:
    """This process and up to ``size - 1`` workers, started when needed; ``with`` hands them back or ends them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._busy: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            for worker in self._busy:
                worker.process.kill()  # the thread that waits for it goes on
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().release()

    def run(self, jobs: Sequence[Job], progress: Callable[[int], None]) -> Iterator[tuple[int, Any]]:
        """Index and result of each job as they are done; a result that is an AnalyzerError says why there is none.

        ``progress`` is called with the bytes read so far for all jobs.
        """
        order = deque(sorted(range(len(jobs)), key=lambda index: -jobs[index].size))
        read = [0] * len(jobs)
        done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

        def do(how: Callable[[Job, Told], Any]) -> bool:
            """Do a job that nobody does yet, and put its result into ``done``; False where there is none."""
            try:
                index = order.popleft()
            except IndexError:
                return False

            def told(count: int) -> None:
                read[index] = count
                progress(sum(read))

            try:
                done.put((index, how(jobs[index], told)))
            except _NoProcess:
                order.appendleft(index)
                done.put((-1, None))
                return False
            except Exception as error:
                done.put((index, error))
            return True

        def ask() -> None:
            while do(self._ask):
                pass

        for _ in range(min(self.size, len(jobs)) - 1):
            threading.Thread(target=ask, daemon=True).start()
        left = len(jobs)
        while left:
            do(lambda job, told: job.run(told))
            index, result = done.get()
            if isinstance(result, Exception) and not isinstance(result, AnalyzerError):
                raise result
            if index >= 0:
                left -= 1
                yield index, result

    def _ask(self, job: Job, told: Told) -> Any:
        """The answer of a worker."""
        for _ in range(ATTEMPTS):
            worker = self._take()
            try:
                answer = worker.ask(job, told)
            except (EOFError, OSError):
                status = self._drop(worker)
            except AnalyzerError:
                self._put_back(worker)
                raise
            else:
                self._put_back(worker)
                return answer
        raise WorkerLost(f"the process that read it ended {ATTEMPTS} times ({_ended(status)}); try --jobs 1")

    def _take(self) -> _Worker:
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            try:
                worker = _Worker()
            except OSError as error:
                raise _NoProcess from error
        with self._lock:
            self._busy.add(worker)
            if self._closed:
                worker.process.kill()
        return worker

    def _put_back(self, worker: _Worker) -> None:
        with self._lock:
            self._busy.discard(worker)
            if not self._closed:
                self._idle.put(worker)
                return
        end(worker.process)

    def _drop(self, worker: _Worker) -> int:
        with self._lock:
            self._busy.discard(worker)
        end(worker.process)
        return int(worker.process.returncode)


def _ended(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
