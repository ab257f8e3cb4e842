"""After the handshake, data is sent again and again and never acknowledged.

What it sees
    A completed three-way handshake, then the client's or server's first data repeated with growing pauses, small
    segments too, and no acknowledgment. One finding for each server socket, address family and side.

Why it matters
    Connections open and then hang: something on the way lets SYNs pass and drops what follows.

How it decides
    `repeats` or more of one segment over `wait`, nothing of that side's data acknowledged, and the segment is small, or
    no smaller one got through.

What it cannot know
    Whether the data or its acknowledgment is lost: a capture at the other end tells.

Look-alikes
    pmtu-black-hole (only large segments are lost), random loss (repeats get through), tcp-accept-queue-overflow.

What to do
    Look for a stateful firewall on an asymmetric path, for inspection that drops a ClientHello, for a SYN proxy whose
    server is gone.

Seen in the wild
    ClientHellos that a filter drops (mtproto.zig#275); asymmetric routing through a stateful gateway (metallb#297).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import WAIT, Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import ERROR, LIKELY, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.segments import finding_of_segments, tcp_connections
from analyzer.patterns.words import FAMILIES, counted, seconds, sentence, share

REPEATS = Threshold(
    "repeats", 3, "repeats", "RFC 6298 §5: repeats after 1, 2, 4 s; random loss takes few of four in a row"
)

PATTERN = Pattern(
    "tcp-data-unacknowledged",
    ERROR,
    "data is repeated and never acknowledged",
    ("RFC 6298 §5", "RFC 1122 §4.2.3.5"),
    (REPEATS, WAIT),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket and side whose data is never acknowledged."""
    table = view.connections
    lasted = (table["stuck_repeats"] >= REPEATS.value) & (table["stuck_ns"] >= WAIT.ns) & ~table["small_passed"]
    for side in ("client", "server"):
        never = table.equal("stuck_by", side) & table.equal(f"{side}_acked", "none") & table.equal("zero_window_by", "")
        mask = np.asarray(tcp_connections(view) & lasted & never & (table["syn_acks_after_ack"] < 2), np.bool_)
        for attempts in attempts_by_socket(view, mask):
            yield finding_of_segments(PATTERN, attempts, argument=_never(attempts, side))


def _never(attempts: Attempts, side: str) -> Argument:
    family, lengths = FAMILIES[attempts.family], attempts.column("stuck_length")
    repeats = sum(attempts.column("stuck_repeats"))
    return Argument(
        severity=ERROR,
        confidence=LIKELY,
        title=f"TCP {attempts.words} over {family}: the {side}'s data is never acknowledged",
        because=sentence(
            f"In {share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"the handshake was completed, and then the {side}'s data ({min(lengths):,} to {max(lengths):,} bytes) "
            f"was sent again {counted(repeats, 'time')} over up to {seconds(max(attempts.column('stuck_ns')))} without "
            f"an acknowledgment; the first is {first_request(attempts)}"
        ),
        limitations=("Whether the data or its acknowledgment is lost: a capture at the other end tells.",),
        look_alikes=(
            LookAlike("pmtu-black-hole", max(lengths) < 1000, f"the segments hold up to {max(lengths):,} bytes"),
            LookAlike("tcp-request-no-response", True, "the data was not acknowledged"),
        ),
        remedies=(
            "Look for a stateful firewall that sees one direction only (asymmetric routing) or inspects the data.",
            "Capture at the other end in the same minutes: does the data arrive, does the acknowledgment leave?",
        ),
    )
