"""Connections open only after the SYN was sent again.

What it sees
    SYNs answered after one or more repeats: on most connections to a socket, or by the sixth repeat after 63 s. One
    finding for each server socket and address family.

Why it matters
    Each repeat costs a second or more: users see pages that begin late, at random.

How it decides
    `several` connections or more, and at least half of those to the socket; or one that waited for `very-late` or
    longer. The SYN/ACK came within a second of the last repeat, and the first SYN was not met by a bare ACK.

What it cannot know
    Whether the first SYN or its SYN/ACK was lost.

Look-alikes
    Random loss, which delays few of many; tuple-reused-too-soon; a burst at a full accept queue.

What to do
    Compare what the first SYN and the answered one differ in: options (ECN, Fast Open), time since the port was last
    used, checksums on tunnels.

Seen in the wild
    "63 s" connects over VXLAN with wrong checksums (kubernetes#88986); IPVS that swallows the first SYN of a reused
    port (kubernetes#81775).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import LIKELY, POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.segments import finding_of_segments
from analyzer.patterns.words import FAMILIES, sentence, share

SEVERAL = Threshold("several", 3, "connections", "fewer may be chance")
VERY_LATE = Threshold("very-late", 60.0, "s", "the sixth repeat of older Linux is due after 63 s")
LATE = Threshold("late", 0.9, "s", "the first repeat is due after 1 s (RFC 6298 §2.1)")

PATTERN = Pattern(
    "tcp-syn-delayed",
    WARNING,
    "connections open only after the SYN was sent again",
    ("RFC 6298 §2.1", "RFC 9293 §3.8.3"),
    (SEVERAL, VERY_LATE, LATE),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that answers repeated SYNs only."""
    table = view.connections
    opened = table.equal("transport", "tcp") & table.equal("outcome", "answered") & ~table["challenged"]
    late = opened & (table["repeats"] >= 1) & (table["reply_latency_s"] >= LATE.value)
    for attempts in attempts_by_socket(view, np.asarray(late, np.bool_)):
        answered = attempts.where(np.asarray(opened, np.bool_))
        most = len(attempts) >= SEVERAL.value and 2 * len(attempts) >= len(answered)
        if most or max(attempts.column("reply_latency_s")) >= VERY_LATE.value:
            yield finding_of_segments(PATTERN, attempts, argument=_delayed(attempts, answered))


def _delayed(attempts: Attempts, answered: Attempts) -> Argument:
    family, waits = FAMILIES[attempts.family], attempts.column("reply_latency_s")
    return Argument(
        severity=WARNING,
        confidence=LIKELY if len(attempts) >= SEVERAL.value else POSSIBLE,
        title=f"TCP {attempts.words} over {family}: answered only when the SYN is repeated",
        because=sentence(
            f"{share(len(attempts), len(answered), 'answered TCP attempt')} to {attempts.words} over {family} got the "
            f"SYN/ACK only after the SYN was sent again, {min(waits):.1f} s to {max(waits):.1f} s after the first one; "
            f"the first is {first_request(attempts)}"
        ),
        limitations=("Whether the first SYN or its SYN/ACK was lost: a capture at the other end tells.",),
        look_alikes=(LookAlike("tuple-reused-too-soon", True, "no bare ACK answered the first SYN"),),
        remedies=(
            "Compare the first SYN with the answered one: options, checksum on the outer header, reuse of ports.",
            "On the way: `conntrack -S` (insert_failed), `ipvsadm -Ln --rate`, `ethtool -k` on tunnel interfaces.",
        ),
    )
