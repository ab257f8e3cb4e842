"""Findings about a capture itself: what they share."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.exchanges.view import CaptureView
from analyzer.patterns.finding import COUNTS, MOST_ENTRIES, Argument, Finding, Pattern, Record


def finding_about(
    pattern: Pattern, capture: CaptureView, *, argument: Argument, records: Sequence[Record], display_filter: str
) -> Finding:
    """A finding about a capture file, with its first and last time; ``records`` are all that are cited."""
    return Finding(
        pattern=pattern.id,
        severity=argument.severity,
        confidence=argument.confidence,
        title=argument.title,
        because=argument.because,
        counts=dict.fromkeys(COUNTS, 0) | {"records": len(records)},
        first_time=capture.first_time,
        last_time=capture.last_time,
        records=tuple(records[:MOST_ENTRIES]),
        display_filter=display_filter,
        limitations=argument.limitations,
        look_alikes=argument.look_alikes,
        remedies=argument.remedies,
    )
