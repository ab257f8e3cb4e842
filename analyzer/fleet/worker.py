"""A process that scans for another: jobs come in on standard input, pieces go out where standard output was.

Both ways by pickle, protocol 5, which writes and reads the arrays' bytes without copies. The two ends are one program,
started by the other, and nobody else holds the pipes. A message out is ``("read", bytes)``, ``("done", result)`` or
``("failed", error)``.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
from typing import Any, BinaryIO

from analyzer.errors import AnalyzerError
from analyzer.processes import send

#: A message about progress is sent after so many bytes read.
TELL_EVERY_BYTES = 16 << 20


def main() -> None:
    """Do jobs until the other end closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the program that asked, and that closes the pipe
    gc.disable()  # as in the command: live objects are many and reference cycles few
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not spoil the messages
    while True:
        try:
            job = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            send(out, _answer(job, out))
        except BrokenPipeError:
            os._exit(0)


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
