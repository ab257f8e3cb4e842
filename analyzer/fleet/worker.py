"""A process that scans for another: jobs come in by one pipe, pieces go out by the other.

Both ways by pickle, protocol 5, which writes and reads the arrays' bytes without copies. A message in is a job, or None
after the last; a message out is ``("read", bytes)``, ``("done", result)`` or ``("failed", error)``.
"""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

from analyzer.errors import AnalyzerError
from analyzer.fleet.local import SCANNING
from analyzer.kernels import cache_folder, runner
from analyzer.processes import give_back_memory, send

#: A message about progress is sent after so many bytes read.
TELL_EVERY_BYTES = 16 << 20


def prepare(_source: BinaryIO, _out: BinaryIO) -> None:
    """Load what scanning needs."""
    if any(cache_folder().glob("*.o")):
        for kernel in SCANNING:
            runner(kernel, True)


def work(source: BinaryIO, out: BinaryIO) -> None:
    """Do jobs until there are no more."""
    while (job := pickle.load(source)) is not None:
        send(out, _answer(job, out))
        give_back_memory()


def _answer(job: Any, out: BinaryIO) -> tuple[str, object]:
    told = 0

    def tell(count: int) -> None:
        nonlocal told
        if count - told >= TELL_EVERY_BYTES:
            told = count
            send(out, ("read", count))

    try:
        return "done", job.run(tell)
    except AnalyzerError as error:
        return "failed", error
