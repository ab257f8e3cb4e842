"""What a pattern is and what it finds: the words of the report document, with times still in ns.

A finding is an argument. ``because`` is the claim with its numbers, ``records`` the evidence, ``look_alikes`` what else
would look the same and whether the data rules it out, ``limitations`` what this capture cannot tell and which command
would, ``remedies`` what to do. Severity is how much it hurts, confidence how far the capture proves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ERROR, WARNING, INFO = "error", "warning", "info"
SEVERITIES = (ERROR, WARNING, INFO)  # most important first
CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"
CONFIDENCES = (CERTAIN, LIKELY, POSSIBLE)
COUNTS = ("attempts", "answered", "refused", "silent", "undetermined", "affected", "clients", "records")
MOST_ENTRIES = 100  # of each list inside a finding, earliest first; the true totals are in ``counts``

Record = tuple[int, int]  # (capture index from 0, record number from 1)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that decides, with its unit and where it comes from."""

    name: str
    value: float
    unit: str
    source: str

    @property
    def ns(self) -> int:
        """The value in nanoseconds; the unit is s."""
        return round(self.value * 1_000_000_000)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is seen, never its cause. ``severity`` is the usual one; a finding may say a lesser one and why."""

    id: str
    severity: str
    summary: str
    references: tuple[str, ...]
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Another pattern that would look the same here, and what the data says about it."""

    pattern: str
    ruled_out: bool
    because: str


@dataclass(frozen=True, slots=True)
class Argument:
    """What a pattern itself has to say; the rest of a finding is read off the connections that it is about."""

    severity: str
    confidence: str
    title: str
    because: str
    limitations: tuple[str, ...] = ()
    look_alikes: tuple[LookAlike, ...] = ()
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry of ``findings`` in the report document.

    ``transport``, ``family``, ``name`` and ``part_of`` are "" and ``server`` is None where there is none; a server port
    of -1 is none; times are ns since the epoch, -1 where there is none. A pattern yields ``connections`` whole, since
    what explains and sums up what is read off them; ``catalogue.run`` caps them, as the other lists are from the start.
    """

    pattern: str
    severity: str
    confidence: str
    title: str
    because: str
    transport: str = ""
    family: str = ""
    server: tuple[str, int] | None = None
    name: str = ""
    clients: tuple[tuple[str, int], ...] = ()
    connections: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    first_time: int = -1
    last_time: int = -1
    onset: int = -1
    onset_bounds: tuple[int, int] | None = None  # (last good, first bad)
    records: tuple[Record, ...] = ()
    display_filter: str = ""
    limitations: tuple[str, ...] = ()
    look_alikes: tuple[LookAlike, ...] = ()
    causes: tuple[Mapping[str, object], ...] = ()
    remedies: tuple[str, ...] = ()
    id: str = ""
    sums_up: tuple[str, ...] = ()
    part_of: str = ""
