"""Processes of this machine that scan at the same time; one that dies is replaced and its job is done again."""

from __future__ import annotations

import contextlib
import pickle
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, BinaryIO, Protocol, cast

from analyzer.errors import AnalyzerError
from analyzer.fleet.pieces import Told
from analyzer.processes import python_beside, send

#: How often a job is begun before it is given up.
ATTEMPTS = 3


class Job(Protocol):
    """What a worker can do: a value that travels by pickle."""

    def run(self, told: Told) -> Any: ...


class WorkerLost(AnalyzerError):
    """The processes that did a job ended before they had done it, each time."""


class _Worker:
    """One process, waiting for jobs on its standard input."""

    def __init__(self) -> None:
        self.process = python_beside("analyzer.fleet.worker:main")

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

    def end(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # what was not sent cannot be
                cast(BinaryIO, pipe).close()
        self.process.wait()


class Pool:
    """Up to ``size`` worker processes, started as they are needed; ``with`` ends them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            for worker in self._all:
                worker.process.kill()  # a thread that waits for it goes on
        for worker in list(self._all):
            worker.end()

    def run(self, jobs: Sequence[Job], progress: Callable[[int], None]) -> Iterator[tuple[int, Any]]:
        """Index and result of each job as they are done; a result that is an AnalyzerError says why there is none.

        ``progress`` is called with the bytes read so far for all jobs.
        """
        read = [0] * len(jobs)

        def do(index: int) -> Any:
            def told(count: int) -> None:
                read[index] = count
                progress(sum(read))

            try:
                return self._do(jobs[index], told)
            except AnalyzerError as error:
                return error

        with ThreadPoolExecutor(self.size) as threads:
            waiting = {threads.submit(do, index): index for index in range(len(jobs))}
            for done in as_completed(waiting):
                yield waiting.pop(done), done.result()

    def _do(self, job: Job, told: Told) -> Any:
        for _ in range(ATTEMPTS):
            worker = self._take()
            try:
                answer = worker.ask(job, told)
            except (EOFError, OSError):
                status = self._drop(worker)
            except AnalyzerError:
                self._idle.put(worker)
                raise
            else:
                self._idle.put(worker)
                return answer
        raise WorkerLost(f"the process that read it ended {ATTEMPTS} times ({_ended(status)}); try --jobs 1")

    def _take(self) -> _Worker:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            worker = _Worker()
            with self._lock:
                self._all.add(worker)
                if self._closed:
                    worker.process.kill()
            return worker

    def _drop(self, worker: _Worker) -> int:
        with self._lock:
            self._all.discard(worker)
        worker.end()
        return int(worker.process.returncode)


def _ended(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
