"""What makes attempts and refusals doubtful as proof: what a sender who wants to fool the reader can make.

Each doubt is a sentence for the limitations of a finding, whose confidence then falls.
"""

from __future__ import annotations

from collections import Counter

from analyzer.patterns.evidence import Attempts, shortest_wait
from analyzer.patterns.finding import POSSIBLE
from analyzer.patterns.words import counted, share

#: Attempts from which on it says something that none was repeated, and the time (ns) in which all clients would have:
#: RFC 9002 §6.2.2 asks for 1 s before the first probe, RFC 6298 §2.1 for as much before the second SYN.
MANY, REPEATED_WITHIN_NS = 3, 3_000_000_000


def of_silence(attempts: Attempts) -> tuple[str, ...]:
    """Why the silence that these attempts met may be none."""
    found = []
    used = set(attempts.column("capture"))
    if any(capture.backward_records and capture.index in used for capture in attempts.view.captures):
        found.append("Time runs backwards in the capture: how long replies were waited for is not certain.")
    repeated = Counter(dcid for dcid in attempts.column("client_dcid") if dcid)
    copies = sum(repeated.values()) - len(repeated)
    if copies:
        found.append(
            f"{share(copies, len(attempts), 'attempt')} carry the connection ID of another: the same Initial was sent "
            "again from elsewhere (replayed), or captured on both sides of a translator of addresses."
        )
    if len(attempts) >= MANY and sum(attempts.tries) == len(attempts) and shortest_wait(attempts) >= REPEATED_WITHIN_NS:
        found.append(
            f"None of {counted(len(attempts), 'request')} was repeated, as clients do that want an answer: scanners "
            "and spoofed sources look like this."
        )
    return tuple(found)


def of_errors(attempts: Attempts) -> tuple[str, ...]:
    """Why ICMP errors that refuse these attempts may be forged."""
    wrong = sum(count > 0 for count in attempts.column("misquoted"))
    if not wrong:
        return ()
    words = (
        f"At {share(wrong, len(attempts), 'attempt')} the error quotes a packet that the client was not seen to send: "
        "whoever forges errors can guess addresses and ports, and not the rest."
    )
    return (words,)


def of_replies(attempts: Attempts) -> tuple[str, ...]:
    """Why datagrams that came back may be of somebody else."""
    strange = sum(attempts.column("strange_reply"))
    if not strange:
        return ()
    words = (
        f"In {share(strange, len(attempts), 'attempt')} the first datagram back lacks the client's connection ID, "
        "which each packet of the server carries (RFC 9000 §17.3): it may be spoofed, or of a connection before."
    )
    return (words,)


def lowered(confidence: str, doubts: tuple[str, ...]) -> str:
    """``possible`` where there are doubts."""
    return POSSIBLE if doubts else confidence
