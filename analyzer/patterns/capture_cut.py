"""A capture file ends in the middle of a record.

What it sees
    The last record is cut, claims more bytes than the file holds, or is followed by bytes that are no record.

Why it matters
    What came after the cut is not in the file. An attempt shortly before it is undetermined, not silent.

How it decides
    The reader met the end of the file inside a record, or a record header that cannot be one, and says where.

What it cannot know
    How much is missing, and whether the writer was stopped, the disk was full or a transfer was cut short.

Look-alikes
    capture-truncated, where every record is whole in the file but its packets were cut by the snap length.

What to do
    Stop tcpdump with Ctrl-C or SIGTERM and let it write its last block (`-U` writes each packet at once); copy the file
    again and compare its size.

Seen in the wild
    A file that was copied while tcpdump still wrote it, which is the usual case and harmless.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import CERTAIN, INFO, Argument, Finding, Pattern
from analyzer.patterns.words import counted

PATTERN = Pattern(
    "capture-cut",
    INFO,
    "a capture file ends in the middle of a record",
    ("draft-ietf-opsawg-pcap §5", "draft-ietf-opsawg-pcapng §3.1"),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture file that is cut."""
    for capture in view.captures:
        if capture.cut:
            records = ((capture.index, capture.records),) if capture.records > 0 else ()
            last = f"frame.number >= {max(capture.records, 1)}"
            yield finding_about(PATTERN, capture, argument=_cut(capture), records=records, display_filter=last)


def _cut(capture: CaptureView) -> Argument:
    return Argument(
        severity=INFO,
        confidence=CERTAIN,
        title=f"{capture.name} is cut: it ends in the middle of a record",
        because=f"After {counted(capture.records, 'whole record')} of {capture.name}: {capture.cut.rstrip('.')}.",
        limitations=("What the missing part held; attempts just before the cut are undetermined.",),
        remedies=("Let tcpdump end by itself or stop it with SIGTERM, then copy the file; compare the sizes.",),
    )
