"""One side takes no more data: its receive window stays at zero.

What it sees
    A window of zero for more than `stalled`, asked about by probes or by the data that waits. One finding for each
    server socket, address family and side.

Why it matters
    The receiver's program does not read. The sender waits, for hours if need be, and holds memory for what waits.

How it decides
    From the first segment with window 0 to the last one, or to the connection's end, with no larger window between.
    Zero needs no window scale.

What it cannot know
    Why the program does not read: it may be stopped, busy, or waiting for its own output to drain.

Look-alikes
    tcp-request-no-response (all was taken, nothing answered), pauses below `stalled`, which are flow control at work.

What to do
    On the host that does not read: `ss -tnmp` shows Recv-Q and the process; `strace -p PID` what it waits for.

Seen in the wild
    ntttcp#5, smoltcp#199 (the window update was never sent), gvisor#10243 (probes unanswered).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import LIKELY, WARNING, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.segments import finding_of_segments, tcp_connections
from analyzer.patterns.words import FAMILIES, counted, seconds, sentence, share

STALLED = Threshold("stalled", 1.0, "s", "RFC 9293 §3.8.6.1: probes begin after one RTO, which is 1 s without a sample")

PATTERN = Pattern(
    "tcp-zero-window",
    WARNING,
    "one side takes no more data",
    ("RFC 9293 §3.8.6.1", "RFC 1122 §4.2.2.17"),
    (STALLED,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket and side that stopped reading."""
    table = view.connections
    stalled = tcp_connections(view) & (table["zero_window_ns"] > STALLED.ns)
    for side in ("server", "client"):
        for attempts in attempts_by_socket(view, np.asarray(stalled & table.equal("zero_window_by", side), np.bool_)):
            yield finding_of_segments(PATTERN, attempts, argument=_stalled(attempts, side))


def _stalled(attempts: Attempts, side: str) -> Argument:
    family, longest = FAMILIES[attempts.family], max(attempts.column("zero_window_ns"))
    where = attempts.address if side == "server" else ", ".join(sorted(attempts.clients)[:3])
    return Argument(
        severity=WARNING,
        confidence=LIKELY,
        title=f"TCP {attempts.words} over {family}: the {side} does not read (zero window)",
        because=sentence(
            f"In {share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"the {side}'s window was zero for up to {seconds(longest)}, so that "
            f"{counted(sum(attempts.column('client_bytes' if side == 'server' else 'server_bytes')), 'byte')} sent so "
            f"far were not followed by more; the first is {first_request(attempts)}"
        ),
        limitations=("Why the program does not read: only its host shows.",),
        look_alikes=(
            LookAlike("tcp-request-no-response", False, "a program that does not read does not answer either"),
        ),
        remedies=(f"On {where}: `ss -tnmp` (Recv-Q, process), then `strace -f -p PID`: what does it wait for?",),
    )
