"""A second Python beside this one: how it is started, and how many pay.

It sees the modules that this one sees, and nothing of the environment or the folder that it is started in could put
others in their place. Both talk by pickle through its standard input and output: nobody else holds these pipes.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any, BinaryIO


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def python_beside(target: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a Python that calls ``target`` ("package.module:function"); ``options`` as for ``Popen``.

    Raises OSError where no process or pipe is to be had.
    """
    module, _, function = target.partition(":")
    start = f"import sys; sys.path[:] = {sys.path!r}; from {module} import {function}; {function}()"
    command = [sys.executable, "-I", "-c", start]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def send(file: BinaryIO, message: object) -> None:
    """Write one message whole, for ``pickle.load``; arrays go without a copy."""
    pickle.dump(message, file, protocol=5)
    file.flush()
