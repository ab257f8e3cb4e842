"""A capture's snap length cut packets that had to be read.

What it sees
    Records whose captured length is less than the packet's, where the missing bytes were needed: a QUIC Initial that
    cannot be opened, a TLS hello or DNS message that stops short, headers that end early.

Why it matters
    A hello that is cut cannot be judged complete, nor a request valid: what depends on it stays undetermined.

How it decides
    The reader names the records that it needed and found cut. Bulk data that is cut costs nothing and is not counted.

What it cannot know
    What the missing bytes held.

Look-alikes
    quic-client-hello-incomplete and quic-initial-undersized, which a cut record would imitate: lengths are taken from
    the headers, not from what was captured. capture-cut, where the file itself ends early.

What to do
    Capture with `tcpdump -s 0` (262144 bytes, the default of today) or at least `-s 2048`.

Seen in the wild
    `tcpdump -s 96` from an old runbook; capture appliances that keep headers only.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import CERTAIN, INFO, MOST_ENTRIES, Argument, Finding, Pattern
from analyzer.patterns.words import counted

PATTERN = Pattern(
    "capture-truncated",
    INFO,
    "the snap length cut packets that had to be read",
    ("pcap-savefile(5): snapshot length", "tcpdump(8): -s"),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture with records that were needed and are cut."""
    for capture in view.captures:
        if records := capture.cut_records:
            cut = "frame.cap_len < frame.len"
            yield finding_about(PATTERN, capture, argument=_truncated(capture), records=records, display_filter=cut)


def _truncated(capture: CaptureView) -> Argument:
    count = len(capture.cut_records)
    needed = f"{counted(count, 'record')}{' or more' * (count >= MOST_ENTRIES)}"
    snaplen = f", whose snap length is {capture.snaplen:,} bytes" if capture.snaplen > 0 else ""
    return Argument(
        severity=INFO,
        confidence=CERTAIN,
        title=f"{capture.name} holds packets that are cut short",
        because=(
            f"{needed} of {capture.name}{snaplen}, had to be read further than they were captured; "
            f"the first is record {capture.cut_records[0][1]}."
        ),
        limitations=("Requests in these records cannot be judged valid or complete.",),
        remedies=("Capture again with `tcpdump -s 0`, or at least `-s 2048`.",),
    )
