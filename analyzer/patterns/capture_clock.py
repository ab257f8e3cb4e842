"""Time runs backwards in a capture.

What it sees
    Records that are more than a second older than one before them in the file.

Why it matters
    Waits and latencies across the step are wrong, and so is what rests on them: who was first, how long nothing came.

How it decides
    By the selected records of a file in its own order. Records of several interfaces are written up to a second apart.

What it cannot know
    Whether the clock was set (NTP, a virtual machine that woke up) or files were put together in the wrong order.

Look-alikes
    Captures merged with `mergecap -a`, which joins files one behind the other.

What to do
    `reordercap IN OUT` sorts a file by time; capture again where the clock was set.

Seen in the wild
    Suspended virtual machines, containers without NTP, ring buffers joined out of order.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import CERTAIN, INFO, Argument, Finding, Pattern
from analyzer.patterns.words import counted, frames_filter

PATTERN = Pattern("capture-clock", INFO, "time runs backwards in the capture", ("reordercap(1)", "mergecap(1)"))


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture whose time runs backwards."""
    for capture in view.captures:
        if records := capture.backward_records:
            shown = frames_filter([record for _, record in records], f"frame.number >= {records[0][1]}")
            yield finding_about(PATTERN, capture, argument=_backward(capture), records=records, display_filter=shown)


def _backward(capture: CaptureView) -> Argument:
    first = capture.backward_records[0][1]
    return Argument(
        severity=INFO,
        confidence=CERTAIN,
        title=f"{capture.name}: time runs backwards",
        because=(
            f"{counted(len(capture.backward_records), 'selected record')} of {capture.name} (of the first 100) lie "
            f"more than a second before an earlier one; the first is record {first}."
        ),
        limitations=("Waits across the step are wrong; whether the clock or the order of files is at fault is open.",),
        remedies=(f"`reordercap {capture.name} sorted.pcapng` sorts the records by time.",),
    )
