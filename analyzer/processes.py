"""Other Pythons beside this one: how they are started, and how many pay.

They see the modules that this one sees, and nothing of the environment or the folder that they are started in could put
others in their place. Both sides talk by pickle through standard input and output: nobody else holds these pipes.

How helpers work
----------------
A *helper* is such a process that is told which function to call next, time and again. ``helpers`` starts some as soon
as a command knows that they will be wanted, so that they load their modules while this process loads its own; whoever
needs one takes it by ``helper`` and hands it back when it is idle, for the next who does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

#: A pipe holds so much before who writes waits for who reads.
PIPE_BYTES = 1 << 20

#: Started or handed back, and free; None where nobody would end them.
_free: list[subprocess.Popen[bytes]] | None = None


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def python_beside(target: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a Python that calls ``target`` ("package.module:function"); ``options`` as for ``Popen``.

    If nobody says else numpy's OpenBLAS gets no threads there: nobody multiplies matrices, and starting them takes a
    processor away.

    Raises OSError where no process or pipe is to be had.
    """
    module, _, function = target.partition(":")
    start = f"import sys; sys.path[:] = {sys.path!r}; from {module} import {function}; {function}()"
    command = [sys.executable, "-I", "-c", start]
    environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, **options)


def send(file: BinaryIO, message: object) -> None:
    """Write one message whole, for ``pickle.load``; arrays go without a copy."""
    pickle.dump(message, file, protocol=5)
    file.flush()


def give_back_memory() -> None:
    """Let the system have what was freed: the allocator keeps it, where the last that was allocated lies above it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU C library
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def helpers(count: int, first: str = "") -> Iterator[None]:
    """Within: ``count`` helpers started now, which call ``first``, and whoever is handed back; ended at the end.

    A block inside another starts none, and ends those of the outer one as well.
    """
    global _free
    is_outer = _free is None
    try:
        if is_outer:
            _free = []
            with contextlib.suppress(OSError):  # no processes to be had: who needs one will see
                for _ in range(count):
                    hand_back(_started(first))
        yield
    finally:
        while _free:
            end(_free.pop())
        if is_outer:
            _free = None


def helper(target: str) -> subprocess.Popen[bytes]:
    """A helper that calls ``target`` with its two pipes; raises OSError where no process or pipe is to be had."""
    while _free:
        process = _free.pop()
        with contextlib.suppress(OSError):
            send(cast(BinaryIO, process.stdin), target)
            return process
        end(process)
    return _started(target)


def _started(target: str) -> subprocess.Popen[bytes]:
    """A new helper that calls ``target``, if there is one."""
    process = python_beside("analyzer.processes:attend", stderr=subprocess.DEVNULL, pipesize=PIPE_BYTES)
    if target:
        send(cast(BinaryIO, process.stdin), target)
    return process


def hand_back(process: subprocess.Popen[bytes]) -> None:
    """A helper whose function is about to return, for the next who needs one."""
    if _free is None:
        end(process)
    else:
        _free.append(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, whatever it does."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was not sent cannot be
            cast(BinaryIO, pipe).close()
    process.wait()


def attend() -> None:
    """What a helper does: call the functions that it is told, until nobody can tell it any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the program that asked, and that closes the pipe
    gc.disable()  # as in the command: live objects are many and reference cycles few
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not spoil the messages
    with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            module, _, function = pickle.load(source).partition(":")
            getattr(importlib.import_module(module), function)(source, out)
    os._exit(0)
