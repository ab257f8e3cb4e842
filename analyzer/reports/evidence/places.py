"""Records read from their places in a plain pcap file, which are known since the scan, without walking the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from analyzer.capture.pcap import FILE_HEADER_BYTES, LONGEST_RECORD, MAGICS, RECORD_HEADER_BYTES
from analyzer.capture.source import open_captures
from analyzer.capture.writer import NewInterface, NewRecord
from analyzer.reports.evidence.chosen import Record
from analyzer.reports.text import visible

_FIRST_BYTES = 4096
_NANOSECONDS = 1_000_000_000
_MOST_BYTES = 2048  # of most records


def read_at(
    paths: Sequence[str], comments: Mapping[Record, str], places: Mapping[Record, int]
) -> Iterator[NewRecord] | None:
    """The records with these comments in the order of the file; ``places`` are byte offsets of their headers.

    None where that cannot be done: several captures (which are merged by time), a file that is compressed or no pcap,
    a record without a place.
    """
    used = {capture for capture, _ in comments}
    if len(used) != 1 or any(places.get(record, -1) < FILE_HEADER_BYTES for record in comments):
        return None
    path = paths[used.pop()]
    captured = open_captures([path], block_bytes=_FIRST_BYTES)
    if not captured.captures or captured.captures[0].format != "pcap":
        return None
    for _ in captured.batches(False):  # the header is read with the first records
        break
    facts = captured.captures[0]
    interface = NewInterface(facts.link_types[0], facts.snaplen, "", visible(f"of {facts.name}"))
    return _read(path, interface, [(places[record], comments[record]) for record in sorted(comments)])


def _read(path: str, interface: NewInterface, wanted: Sequence[tuple[int, str]]) -> Iterator[NewRecord]:
    """What does not fit together any more is left out, and missed by who counts."""
    with open(path, "rb", buffering=0) as file:
        order, ticks = MAGICS.get(file.read(4), ("", 0))
        header = struct.Struct("<IIII" if order == "little" else ">IIII")
        for place, comment in wanted if order else ():
            # Header and bytes at once, as far as most records go.
            file.seek(place)
            record = file.read(RECORD_HEADER_BYTES + _MOST_BYTES)
            if len(record) < RECORD_HEADER_BYTES:
                return
            seconds, fraction, captured, original = header.unpack_from(record)
            if captured > LONGEST_RECORD:
                return
            end = RECORD_HEADER_BYTES + captured
            if captured > _MOST_BYTES:
                record += file.read(end - len(record))
            if len(record) < end:
                return
            time = seconds * _NANOSECONDS + fraction * (_NANOSECONDS // ticks)
            yield NewRecord(interface, time, original, record[RECORD_HEADER_BYTES:end], comment)
