"""Copies of records that may be shown to anyone: what ``--anonymize`` writes as evidence.

How it works: all records are walked twice. The first walk puts together what is spread over several of them: crypto
streams, TCP streams. The second writes each anew. A record whose end may not be shown is cut: its captured length is
below the original one. One that cannot be made safe at all is dropped, and both are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.packets.links import LinkCopies
from analyzer.anonymize.packets.payloads import Payloads
from analyzer.capture.link_types import link_type_name
from analyzer.capture.writer import NewInterface, NewRecord
from analyzer.wire.links import READ_LINK_TYPES


@dataclass(slots=True)
class Counts:
    """What became of records; ``dropped`` says of what kind the dropped ones were."""

    written: int = 0
    cut: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def safe_copies(records: Sequence[NewRecord], maps: Maps) -> tuple[list[NewRecord], Counts]:
    """The records with other names and addresses, in the same order; their times and comments are those given.

    Interfaces keep their link type and snap length, and lose their names.
    """
    payloads = Payloads(maps)
    links = LinkCopies(maps, payloads)
    for record in records:
        links.record(record.captured, record.interface.link_type)
    payloads.learned()
    counts, copies = Counts(), []
    for record in records:
        link_type = record.interface.link_type
        written = links.record(record.captured, link_type)
        if not written.payload:
            known = link_type in READ_LINK_TYPES
            counts.dropped["no IP or ARP packet" if known else f"link type {link_type_name(link_type)}"] += 1
            continue
        counts.written += 1
        counts.cut += len(written.payload) < len(record.captured)
        interface = NewInterface(link_type, record.interface.snaplen)
        original = max(record.original_length, len(record.captured))
        copies.append(record._replace(interface=interface, captured=written.payload, original_length=original))
    return copies, counts
