"""The capturing host lost packets while it captured.

What it sees
    Drop counters of the interfaces, as pcapng files carry them.

Why it matters
    A packet that is missing in the file may have been on the wire: silence is less sure.

How it decides
    By the interface statistics and the packets' own drop counts. Plain pcap files carry none.

What it cannot know
    Which packets were lost, and whether a plain pcap file is complete: tcpdump says so on stderr when it ends.

Look-alikes
    Loss on the network, which leaves no such counter.

What to do
    A larger buffer (`tcpdump -B 16384`), a narrower filter, a smaller snap length (not below what is needed), a faster
    disk.

Seen in the wild
    "ACKed unseen segment" in busy captures (gvisor#10243).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import CERTAIN, INFO, Argument, Finding, Pattern
from analyzer.patterns.words import counted

PATTERN = Pattern("capture-drops", INFO, "the capturing host lost packets", ("draft-ietf-opsawg-pcapng §4.6",))


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture whose host lost packets."""
    for capture in view.captures:
        if capture.dropped > 0:
            records = ((capture.index, capture.records),) if capture.records > 0 else ()
            yield finding_about(PATTERN, capture, argument=_lost(capture), records=records, display_filter="frame")


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
