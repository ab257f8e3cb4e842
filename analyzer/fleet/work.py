"""Who does the reading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """How many processes read, or which cluster does, and how much memory one process may fill: then it reads alone."""

    jobs: int | None = None  # None: as many as pay
    cluster: str = ""  # address of a Dask scheduler
    max_memory: int = 0  # bytes; 0: no limit
