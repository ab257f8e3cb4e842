"""A capture holds the same packets more than once.

What it sees
    Records that repeat a packet already seen: taken on several interfaces (`-i any`, a bridge and its ports), by a SPAN
    port in both directions, or before and after NAT.

Why it matters
    Counted twice, a copy looks like a retransmission or a repeated request. The copies are left out of all counts.

How it decides
    Two records within a short time whose bytes are equal but for what changes on the way (TTL, checksums, addresses
    translated). A QUIC packet that is sent again has a new packet number, a TCP segment a new IP id: no copies.

What it cannot know
    Whether a network device duplicated the packet for real; that is rare, and the copies then differ in TTL or timing.

Look-alikes
    Retransmissions and repeated requests, which are told apart as said above.

What to do
    Nothing, or capture on one interface (`tcpdump -i eth0`); `editcap -d` removes exact copies.

Seen in the wild
    `tcpdump -i any` on a Docker or Kubernetes host: a packet passes the physical interface, the bridge and the veth.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import INFO, LIKELY, Argument, Finding, Pattern
from analyzer.patterns.words import counted, frames_filter

PATTERN = Pattern(
    "capture-duplicates",
    INFO,
    "the capture holds the same packets more than once",
    ("wiki.wireshark.org/DuplicatePackets", "wiki.wireshark.org/SLL"),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture with copies of packets."""
    for capture in view.captures:
        if capture.ledger.get("duplicates", 0) > 0:
            records = capture.duplicate_records
            first = f"frame.number >= {records[0][1] if records else 1}"
            shown = frames_filter([record for _, record in records], first)
            argument = _views(capture) if _overlaps(view, capture) else _copies(capture)
            yield finding_about(PATTERN, capture, argument=argument, records=records, display_filter=shown)


def _overlaps(view: View, capture: CaptureView) -> bool:
    """Whether another capture shows the same minutes: a copy may then be that one's view of the packet."""
    return any(
        other.index != capture.index and other.first_time <= capture.last_time and capture.first_time <= other.last_time
        for other in view.captures
        if min(other.first_time, capture.first_time) >= 0
    )


def _views(capture: CaptureView) -> Argument:
    copies = capture.ledger["duplicates"]
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"{capture.name} shows packets that were seen before, in it or in another capture of the same minutes",
        because=(
            f"{copies:,} of {counted(capture.records, 'record')} of {capture.name} repeat a packet that was already "
            "seen, which is what captures made at two places give; they are left out of all counts."
        ),
        limitations=("Read together, captures of two places do not say here which of them missed a packet.",),
        remedies=("Analyse each capture alone as well: what one shows and the other does not was lost between them.",),
    )


def _copies(capture: CaptureView) -> Argument:
    copies = capture.ledger["duplicates"]
    share = 100 * copies / max(capture.records, 1)
    first = f"; the first is record {capture.duplicate_records[0][1]}" if capture.duplicate_records else ""
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"{capture.name} holds the same packets more than once",
        because=(
            f"{copies:,} of {counted(capture.records, 'record')} of {capture.name} ({share:.1f} %) repeat a packet "
            f"that was already seen{first}; they are left out of all counts."
        ),
        limitations=("A device that really duplicates packets looks the same in one capture.",),
        remedies=("Capture on one interface in place of `-i any` where copies are in the way.",),
    )
