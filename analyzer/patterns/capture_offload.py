"""A capture holds packets that never were on the wire in this size: segmentation offload.

What it sees
    UDP datagrams or TCP segments with more payload than an Ethernet frame carries.

Why it matters
    The interface cuts what is sent (TSO, USO) and joins what comes in (GRO, LRO) outside of what tcpdump sees. Such a
    packet says nothing about the MTU, its checksum is not the one that is sent, and one record stands for many.

How it decides
    By the payload's length by the headers, among the selected packets. Links with a larger MTU (loopback, jumbo frames)
    look the same.

What it cannot know
    The size and number of the packets on the wire.

Look-alikes
    Jumbo frames and loopback, where such packets are real.

What to do
    Nothing, or `ethtool -K IF tso off gso off gro off lro off` while capturing, where sizes matter.

Seen in the wild
    UDP datagrams of 20 kB with many QUIC packets on hosts whose servers use UDP segmentation offload.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import INFO, LIKELY, Argument, Finding, Pattern
from analyzer.patterns.words import counted, frames_filter

PATTERN = Pattern(
    "capture-offload", INFO, "packets are larger than the wire carries", ("wiki.wireshark.org/CaptureSetup/Offloading",)
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture with packets that offload has made large."""
    for capture in view.captures:
        if records := capture.large_records:
            shown = frames_filter([record for _, record in records], "frame.len > 1600")
            yield finding_about(PATTERN, capture, argument=_large(capture), records=records, display_filter=shown)


def _large(capture: CaptureView) -> Argument:
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"{capture.name} holds packets larger than the wire carries",
        because=(
            f"{counted(len(capture.large_records), 'selected packet')} of {capture.name} (of the first 100) hold up "
            f"to {capture.largest_payload:,} bytes of payload; the first is record {capture.large_records[0][1]}."
        ),
        limitations=("Sizes, checksums and the number of packets on the wire cannot be told from such records.",),
        remedies=("Where sizes matter, capture with `ethtool -K IF tso off gso off gro off lro off`.",),
    )
