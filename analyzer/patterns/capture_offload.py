"""A capture holds packets that never were on the wire in this form: offload to the interface.

What it sees
    UDP datagrams or TCP segments with more payload than an Ethernet frame carries; checksums that are partial.

Why it matters
    The interface cuts what is sent (TSO, USO), joins what comes in (GRO, LRO) and computes checksums, outside of what
    tcpdump sees. Such a packet says nothing about the MTU, its checksum is not the one that is sent, and one record
    stands for many.

How it decides
    By the payload's length by the headers, among the selected packets. Links with a larger MTU (loopback, jumbo frames)
    look the same. By the checksum, among the first selected packets: a partial one is the sum of the pseudo-header,
    which the interface completes; `least-partial` of them are no chance.

What it cannot know
    The size and number of the packets on the wire, and whether their checksums were right there.

Look-alikes
    Jumbo frames and loopback, where such packets are real; checksums that are wrong for another reason.

What to do
    Nothing, or `ethtool -K IF tso off gso off gro off lro off tx off` while capturing, where sizes or checksums matter.

Seen in the wild
    UDP datagrams of 20 kB with many QUIC packets on hosts whose servers use UDP segmentation offload. "Wrong" checksums
    of everything that the capturing host sends; containers and virtual machines never complete them between each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import INFO, LIKELY, Argument, Finding, Pattern, Record, Threshold
from analyzer.patterns.words import counted, frames_filter, sentence

LEAST_PARTIAL = Threshold(
    "least-partial", 2, "packets", "RFC 1071: a right checksum is the pseudo-header's sum once in 65,536 packets"
)

PATTERN = Pattern(
    "capture-offload",
    INFO,
    "packets are not what the wire carries: too large, or without checksum",
    ("wiki.wireshark.org/CaptureSetup/Offloading",),
    (LEAST_PARTIAL,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture with packets that offload has made large, or left without a checksum."""
    for capture in view.captures:
        partial = capture.partial_records if len(capture.partial_records) >= LEAST_PARTIAL.value else ()
        if records := tuple(sorted({*capture.large_records, *partial})):
            shown = frames_filter(
                [record for _, record in records], "frame.len > 1600" if not partial else "tcp || udp"
            )
            argument = _offloaded(capture, partial)
            yield finding_about(PATTERN, capture, argument=argument, records=records, display_filter=shown)


def _offloaded(capture: CaptureView, partial: Sequence[Record]) -> Argument:
    told = []
    if capture.large_records:
        told.append(
            f"{counted(len(capture.large_records), 'selected packet')} of {capture.name} (of the first 100) hold up "
            f"to {capture.largest_payload:,} bytes of payload; the first is record {capture.large_records[0][1]}"
        )
    if partial:
        told.append(
            f"{counted(len(partial), 'packet')} of {capture.name} (of the first 100) carry the checksum of the "
            f"pseudo-header alone, which the sender's interface completes; the first is record {partial[0][1]}"
        )
    what = "packets larger than the wire carries" if capture.large_records else "packets with partial checksums"
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"{capture.name} holds {what}",
        because=" ".join(sentence(each) for each in told),
        limitations=("Sizes, checksums and the number of packets on the wire cannot be told from such records.",),
        remedies=("Where they matter, capture with `ethtool -K IF tso off gso off gro off lro off tx off`.",),
    )
