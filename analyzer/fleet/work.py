"""Who does the reading."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.processes import processors

#: What a helper loads before it is asked for anything.
PREPARE = "analyzer.fleet.worker:prepare"

#: Bytes on disk from which on a second process may pay for its start.
PARALLEL_FROM_BYTES = 64 << 20

#: A file is cut into ranges of at least so many bytes.
RANGE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Work:
    """How many processes read, or which cluster does, and how much memory one process may fill: then it reads alone."""

    jobs: int | None = None  # None: as many as pay
    cluster: str = ""  # address of a Dask scheduler
    max_memory: int = 0  # bytes; 0: no limit


def helpers_worth(names: Sequence[str], work: Work) -> int:
    """How many processes beside this one are to be started before it is known what the files hold."""
    if work.cluster or work.max_memory or work.jobs == 1 or (work.jobs is None and len(names) == 1):
        return 0  # threads read one file, unless processes are asked for
    size = sum(os.path.getsize(name) for name in names if os.path.isfile(name))
    if work.jobs is None:
        return min(processors(), len(names), size // PARALLEL_FROM_BYTES + 1) - 1
    return min(work.jobs, max(len(names), size // RANGE_BYTES)) - 1
