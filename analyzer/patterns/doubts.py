"""What makes attempts and refusals doubtful as proof: what a sender who wants to fool the reader can make.

Each doubt is a sentence for the limitations of a finding, whose confidence then falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, Mask, capture_end, shortest_wait
from analyzer.patterns.finding import POSSIBLE
from analyzer.patterns.words import counted, seconds, share

#: Attempts from which on it says something that none was repeated, and the time (ns) in which all clients would have:
#: RFC 9002 §6.2.2 asks for 1 s before the first probe, RFC 6298 §2.1 for as much before the second SYN.
MANY, REPEATED_WITHIN_NS = 3, 3_000_000_000
#: A client repeats a request after a second and then after twice as long each time; a gap that leaves out a repeat that
#: was due four times over, of two connections at once, was none for the clients.
FIRST_REPEAT_NS, OVERDUE, WITNESSES = 1_000_000_000, 4, 2


class Jump(NamedTuple):
    """A span without records (ns, and the records that bound it); how many connections show that no time passed."""

    capture: int
    start: int
    end: int
    before: int
    after: int
    witnesses: int

    @property
    def is_shown(self) -> bool:
        """The clock was set forward, or the machine slept; else it may as well have been quiet for so long."""
        return self.witnesses >= WITNESSES


def jumps(view: View) -> tuple[Jump, ...]:
    """The gaps of all captures, on the clock of the connections."""
    return view.once(_jumps)


def _jumps(view: View) -> tuple[Jump, ...]:
    found = []
    for capture in view.captures:
        for start, end, before, after in capture.gaps:
            span = (start - capture.clock, end - capture.clock)
            found.append(Jump(capture.index, *span, before, after, _witnesses(view, capture.index, span)))
    return tuple(found)


def _witnesses(view: View, capture: int, span: tuple[int, int]) -> int:
    """Connections whose request was open when the gap began, and answered behind it with a repeat long overdue."""
    table, (start, end) = view.connections, span
    asked = table["request_time"]
    last = np.maximum(table["last_request_time"], asked)
    due = last - asked + FIRST_REPEAT_NS
    open_then = (asked >= 0) & (last <= start) & (start - last <= due) & (table["capture"] == capture)
    asks_again = table.equal("transport", "quic", "tcp")
    return int((asks_again & open_then & (table["reply_time"] >= end) & (end - start > OVERDUE * due)).sum())


def of_silence(attempts: Attempts) -> tuple[str, ...]:
    """Why the silence that these attempts met may be none."""
    found = []
    used = attempts.distinct("capture")
    if any(capture.backward_records and capture.index in used for capture in attempts.view.captures):
        found.append("Time runs backwards in the capture: how long replies were waited for is not certain.")
    if short := _waited_without(attempts, shown=True):
        found.append(
            f"The clock jumped forward by {seconds(short[1])} in the wait, or the machine slept: requests that were "
            f"open then were answered behind it and never repeated. Without it {seconds(short[0])} were waited."
        )
    sent = list(filter(None, attempts.column("client_dcid")))
    copies = len(sent) - len(set(sent))
    if copies:
        found.append(
            f"{share(copies, len(attempts), 'attempt')} carry the connection ID of another: the same Initial was sent "
            "again from elsewhere (replayed), or captured on both sides of a translator of addresses."
        )
    if unfit := int(np.count_nonzero(attempts.array("unfit") > 0)):
        came = "a SYN/ACK came that acknowledges another SYN, so the client must ignore it (RFC 9293 §3.10.7.3)"
        if attempts.transport == "quic":
            came = "a datagram came that is too short for a packet of QUIC"
        found.append(f"At {share(unfit, len(attempts), 'attempt')} {came}: it may be forged, or of somebody before.")
    if len(attempts) >= MANY and sum(attempts.tries) == len(attempts) and shortest_wait(attempts) >= REPEATED_WITHIN_NS:
        found.append(
            f"None of {counted(len(attempts), 'request')} was repeated, as clients do that want an answer: scanners "
            "and spoofed sources look like this."
        )
    return tuple(found)


def unexplained_gaps(attempts: Attempts) -> tuple[str, ...]:
    """That the silence rests on time in which nothing was recorded, which is no doubt: servers are quiet for long."""
    short = _waited_without(attempts, shown=False)
    if not short:
        return ()
    words = (
        f"For {seconds(short[1])} of the wait the capture holds no request and no reply of anybody: it cannot tell a "
        "quiet time from a clock that was set forward."
    )
    return (words,)


def _waited_without(attempts: Attempts, *, shown: bool) -> tuple[int, int] | None:
    """(the shortest wait without gaps, the time of those), ns, where that is too short to call it silence."""
    used = attempts.distinct("capture")
    gaps = [jump for jump in jumps(attempts.view) if jump.is_shown == shown and jump.capture in used]
    if not gaps:
        return None
    end, waits = capture_end(attempts.view), []
    for asked in attempts.column("request_time"):
        left_out = sum(jump.end - jump.start for jump in gaps if asked <= jump.start and jump.end <= end)
        waits.append((end - asked - left_out, left_out))
    shortest = min(waits)
    return shortest if shortest[1] and shortest[0] < REPEATED_WITHIN_NS else None


def of_errors(attempts: Attempts) -> tuple[str, ...]:
    """Why ICMP errors that refuse these attempts may be forged."""
    words = (
        "At {} the error quotes a packet that the client was not seen to send: whoever forges errors can guess "
        "addresses and ports, and not the rest."
    )
    return of_some(attempts.array("misquoted") > 0, words)


def of_resets(attempts: Attempts) -> tuple[str, ...]:
    """Why RSTs may be forged."""
    words = (
        "In {} the RST has numbers that the client must ignore (RFC 9293 §3.10.7.3, RFC 5961 §3.2): whoever forges a "
        "RST without seeing the connection has to guess them."
    )
    return of_some(attempts.array("unfit") > 0, words, "connection")


def of_replies(attempts: Attempts) -> tuple[str, ...]:
    """Why datagrams that came back may be of somebody else."""
    words = (
        "In {} the first datagram back lacks the client's connection ID, which each packet of the server carries "
        "(RFC 9000 §17.3): it may be spoofed, or of a connection before."
    )
    return of_some(attempts.array("strange_reply"), words)


def of_strangers(attempts: Attempts) -> tuple[str, ...]:
    """Why replies from another socket may be forged."""
    words = (
        "In {} what came does not open with the keys of the client's Initial, or is a Retry with a wrong tag: a server "
        "that got the Initial sends no such packet."
    )
    return of_some(attempts.array("unfit") > 0, words)


def of_some(doubtful: Sequence[bool] | Mask, words: str, what: str = "attempt") -> tuple[str, ...]:
    """A doubt about those of some attempts that are doubtful, whose share is put into ``words``; none for none."""
    count = int(np.count_nonzero(doubtful))
    return (words.format(share(count, len(doubtful), what)),) if count else ()


def lowered(confidence: str, doubts: tuple[str, ...]) -> str:
    """``possible`` where there are doubts."""
    return POSSIBLE if doubts else confidence
