"""The capture lacks packets that were on the wire.

What it sees
    Drop counters of the interfaces, as pcapng files carry them. In any format: acknowledgments of TCP data that the
    capture does not hold, although it holds data before and behind.

Why it matters
    A packet that is missing in the file may have been on the wire: silence is less sure.

How it decides
    By the interface statistics and the packets' own drop counts. By TCP: a receiver acknowledges only what arrived, so
    a hole in one side's data that the other side acknowledged was sent past this capture. Holes at the beginning and at
    the end of what was seen do not count, nor do files with fragments, flawed or unread records, in which the missing
    data may lie.

What it cannot know
    Which packets were lost, and whether a plain pcap file without TCP is complete: tcpdump says so on stderr when it
    ends. Whether the host lost them or they took another way.

Look-alikes
    Loss on the network, which leaves no such counter, and data that is never acknowledged, or comes again;
    capture-one-way; a file that somebody cut packets out of.

What to do
    A larger buffer (`tcpdump -B 16384`), a narrower filter, a smaller snap length (not below what is needed), a faster
    disk.

Seen in the wild
    "ACKed unseen segment" in busy captures (gvisor#10243).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import CERTAIN, INFO, LIKELY, Argument, Finding, LookAlike, Pattern, Record
from analyzer.patterns.words import counted, frames_filter, share

PATTERN = Pattern(
    "capture-drops", INFO, "the capture lacks packets", ("draft-ietf-opsawg-pcapng §4.6", "RFC 9293 §3.4")
)

_ELSEWHERE = ("fragments", "flawed", "unread_link_type")


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture whose host lost packets, or that lacks data which TCP acknowledged."""
    for capture in view.captures:
        rows = _incomplete(view, capture)
        if capture.dropped > 0:
            records: tuple[Record, ...] = ((capture.index, capture.records),) if capture.records > 0 else ()
            yield finding_about(PATTERN, capture, argument=_lost(capture), records=records, display_filter="frame")
        elif len(rows):
            cells = view.connections.at("unseen_records", rows)
            records = tuple(sorted({(int(c), int(r)) for c, r in chain.from_iterable(cells)}))
            shown = frames_filter([record for _, record in records], "tcp.analysis.ack_lost_segment")
            argument = _unseen(view, capture, rows, records)
            yield finding_about(PATTERN, capture, argument=argument, records=records, display_filter=shown)


def _incomplete(view: View, capture: CaptureView) -> list[int]:
    """Rows of a capture's connections of which acknowledged data is missing; none where it may lie in the file."""
    if any(capture.ledger.get(part, 0) for part in _ELSEWHERE):
        return []
    table = view.connections
    unseen = (table["client_unseen"] > 0) | (table["server_unseen"] > 0)
    rows: list[int] = np.flatnonzero(unseen & (table["capture"] == capture.index)).tolist()
    return rows


def _lost(capture: CaptureView) -> Argument:
    share = 100 * capture.dropped / max(capture.dropped + capture.records, 1)
    return Argument(
        severity=INFO,
        confidence=CERTAIN,
        title=f"{capture.name} lacks packets that its host lost",
        because=(
            f"The interfaces of {capture.name} lost {counted(capture.dropped, 'packet')} while "
            f"{counted(capture.records, 'record')} were written ({share:.1f} % lost)."
        ),
        limitations=("Which packets are missing: a request that seems unanswered may have been answered.",),
        remedies=("Capture again with a larger buffer (`tcpdump -B 16384`) or a narrower filter.",),
    )


def _unseen(view: View, capture: CaptureView, rows: list[int], records: tuple[Record, ...]) -> Argument:
    table = view.connections
    missing = sum(sum(max(value, 0) for value in table.at(f"{side}_unseen", rows)) for side in ("client", "server"))
    everything = int(np.count_nonzero(table.equal("transport", "tcp") & (table["capture"] == capture.index)))
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"{capture.name} lacks TCP data that arrived",
        because=(
            f"In {share(len(rows), everything, 'TCP connection')} of {capture.name} the receiver acknowledged "
            f"{counted(missing, 'byte')} that the capture does not hold, with data before and behind; the first "
            f"segment behind such a hole is record {records[0][1]}."
        ),
        limitations=(
            "Which other packets are missing: a request that seems unanswered may have been answered.",
            "Whether the capturing host lost them, or they took a way that is not captured.",
        ),
        look_alikes=(
            LookAlike("capture-one-way", True, "data before and behind was seen in the same direction"),
            LookAlike("capture-truncated", True, "a short snap length cuts packets; it leaves none out"),
        ),
        remedies=("Capture again with a larger buffer (`tcpdump -B 16384`) or a narrower filter.",),
    )
