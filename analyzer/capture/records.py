"""What the capture room hands on: batches of records, and the facts of each capture file.

A batch is one buffer of bytes and one set of columns that point into it. Buffer and columns are used again
for the next batch: whoever keeps something copies it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Records of one batch at most; a block with more of them makes several batches.
BATCH_RECORDS = 32_768


class Records(NamedTuple):
    """Columns of equal length, one entry per record, in the order of the file."""

    offset: NDArray[np.int64]  # of the first captured byte in Batch.buffer
    captured_length: NDArray[np.int64]  # bytes
    original_length: NDArray[np.int64]  # bytes on the wire
    time: NDArray[np.int64]  # ns since the epoch; -1: no timestamp, or one that no clock shows
    link_type: NDArray[np.int64]  # LINKTYPE_ number
    interface: NDArray[np.int64]  # index over the whole pcapng file, 0 in pcap
    capture: NDArray[np.int64]  # index in CaptureSet.captures
    number: NDArray[np.int64]  # from 1 in each file, Wireshark's frame.number
    position: NDArray[np.int64]  # byte offset of the record's header in the decompressed file


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records and the bytes that they point into (uint8, writable, contiguous)."""

    buffer: NDArray[np.uint8]
    records: Records


@dataclass(slots=True)
class Interface:
    """One network interface that a capture names; a pcap file has one without a name."""

    link_type: int
    snaplen: int = 0  # bytes; 0: unlimited
    ticks_per_second: int = 1_000_000
    name: str = ""
    description: str = ""
    filter: str = ""
    os: str = ""
    hardware: str = ""
    offset_seconds: int = 0  # if_tsoffset, already added to the times
    records: int = 0
    received: int = -1  # packets, by the interface's own count (ISB); -1: not said
    dropped: int = -1  # packets that the interface or the system dropped (ISB); -1: not said


@dataclass(slots=True)
class CaptureFacts:
    """What one capture file says about itself; complete once all its batches were taken."""

    name: str  # base name; "-" for standard input
    path: str
    format: str = ""  # "pcap" or "pcapng", then one suffix per compression: "pcap.gz"
    byte_order: str = ""  # "little", "big"; "mixed": pcapng sections differ
    link_types: list[int] = field(default_factory=list)  # of the records; of the interfaces if there are none
    snaplen: int = 0  # the largest of all interfaces; 0: unlimited
    interfaces: list[Interface] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)  # address -> names (NRB)
    secrets: list[bytes] = field(default_factory=list)  # TLS key logs (DSB)
    application: str = ""  # what wrote the file
    hardware: str = ""
    os: str = ""
    records: int = 0
    first_time: int = -1  # ns since the epoch, the earliest; -1: none
    last_time: int = -1  # ns since the epoch, the latest; -1: none
    untimed: int = 0  # records without a time
    cut: str = ""  # one sentence: where and why reading stopped before the end
    warnings: list[str] = field(default_factory=list)

    def saw(self, records: Records) -> None:
        """Count the records of a batch, and keep the earliest and the latest time."""
        self.records += len(records.time)
        times = records.time
        if len(times) and times.min() < 0:
            times = times[times >= 0]
            self.untimed += len(records.time) - len(times)
        if len(times):
            earliest, latest = int(times.min()), int(times.max())
            self.first_time = earliest if self.first_time < 0 else min(self.first_time, earliest)
            self.last_time = max(self.last_time, latest)


def new_records(capacity: int) -> Records:
    """Columns with room for ``capacity`` records."""
    return Records(*(np.empty(capacity, dtype=np.int64) for _ in Records._fields))


def part(records: Records, begin: int, end: int) -> Records:
    """Records ``begin`` up to ``end`` of the same columns, not copied."""
    return Records(*(column[begin:end] for column in records))


def views(records: Records) -> Records:
    """The same columns as memoryviews: interpreted, their items cost half as much."""
    return Records(*(column.data for column in records))  # type: ignore[arg-type]


def clean_text(text: str, limit: int = 4096) -> str:
    """Text of a capture or a file name without control characters, at most ``limit`` characters."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])
