"""The clock of a capture was set: time runs backwards, or jumps forward.

What it sees
    Records that are more than a second older than one before them in the file; or 10 s and more without a record,
    across which open requests were answered although their clients never asked again.

Why it matters
    Waits and latencies across the step are wrong, and so is what rests on them: who was first, how long nothing came. A
    jump forward makes a short wait look like silence.

How it decides
    By the selected records of a file in its own order. Records of several interfaces are written up to a second apart.
    Forward: two TCP or QUIC clients at least should have repeated their request four times over in the gap. A server
    that is only quiet, or slow, leaves repeats in it.

What it cannot know
    Whether the clock was set (NTP, a virtual machine that woke up) or files were put together in the wrong order. A
    jump forward while no request was open looks like a quiet time: findings whose wait rests on it say so.

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
from analyzer.patterns import doubts
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import CERTAIN, INFO, LIKELY, Argument, Finding, Pattern
from analyzer.patterns.words import counted, frames_filter, seconds

PATTERN = Pattern(
    "capture-clock", INFO, "the clock of the capture was set back or forward", ("reordercap(1)", "mergecap(1)")
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture whose time runs backwards, and for each whose time jumps forward."""
    for capture in view.captures:
        if records := capture.backward_records:
            shown = frames_filter([record for _, record in records], f"frame.number >= {records[0][1]}")
            yield finding_about(PATTERN, capture, argument=_backward(capture), records=records, display_filter=shown)
        jumped = [jump for jump in doubts.jumps(view) if jump.capture == capture.index and jump.is_shown]
        if jumped:
            bounds = [record for jump in jumped for record in (jump.before, jump.after)]
            cited = [(capture.index, record) for record in bounds]
            shown = frames_filter(bounds, f"frame.number >= {bounds[0]}")
            yield finding_about(
                PATTERN, capture, argument=_forward(capture, jumped), records=cited, display_filter=shown
            )


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


def _forward(capture: CaptureView, jumped: list[doubts.Jump]) -> Argument:
    longest = max(jumped, key=lambda jump: jump.end - jump.start)
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"{capture.name}: time jumps forward",
        because=(
            f"Time jumps {counted(len(jumped), 'time')} in {capture.name}, by up to "
            f"{seconds(longest.end - longest.start)} between records {longest.before} and {longest.after}: "
            f"{counted(longest.witnesses, 'connection')} that had an open request were answered behind it, and no "
            "client had repeated its own."
        ),
        limitations=("Whether the clock was set forward or the capturing machine slept is open.",),
        remedies=("Take waits across the jump for shorter; capture again where the clock runs steadily.",),
    )
