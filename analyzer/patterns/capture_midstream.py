"""Connections had begun before the capture did.

What it sees
    TCP connections of which neither SYN nor SYN/ACK is in the capture.

Why it matters
    Who is client is told by the ports then, the window scale is not known, and a request may lie before the capture.

How it decides
    Nothing but later segments of the connection is seen. One finding for each capture.

What it cannot know
    What was said before.

Look-alikes
    A capture filter that leaves out SYNs, a one-way capture.

What to do
    Start the capture before the program connects, or let it connect again.

Seen in the wild
    Every capture on a busy host: usually harmless.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import CERTAIN, INFO, Argument, Finding, Pattern
from analyzer.patterns.words import counted, frames_filter, share

PATTERN = Pattern("capture-midstream", INFO, "connections began before the capture", ("RFC 9293 §3.5",))


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture with connections that began before it."""
    table = view.connections
    is_tcp = table.equal("transport", "tcp")
    begun = is_tcp & ~table.equal("roles_from", "syn", "")
    for capture in view.captures:
        mine = np.flatnonzero(begun & (table["capture"] == capture.index))
        if len(mine):
            everything = int(np.count_nonzero(is_tcp & (table["capture"] == capture.index)))
            numbers = sorted(table["first_record"][mine].tolist())
            records = tuple((capture.index, number) for number in numbers)
            shown = frames_filter(numbers[:100], "tcp")
            argument = _begun(capture, mine, everything)
            yield finding_about(PATTERN, capture, argument=argument, records=records, display_filter=shown)


def _begun(capture: CaptureView, mine: NDArray[np.int64], everything: int) -> Argument:
    return Argument(
        severity=INFO,
        confidence=CERTAIN,
        title=f"{capture.name}: {counted(len(mine), 'TCP connection')} had begun before",
        because=f"Of {share(len(mine), everything, 'TCP connection')} in {capture.name} no SYN and no SYN/ACK is seen.",
        limitations=("Roles are told by ports; requests before the capture, options and window scale are not known.",),
        remedies=("Start the capture first and let the program connect again, where that matters.",),
    )
