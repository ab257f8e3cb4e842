"""Both sides speak, and the QUIC handshake never completes.

What it sees
    A client Initial and datagrams of the server that belong to it, repeats by one side or both, and no 1-RTT packets
    of the client with 1-RTT packets of the server after them. It says which flight is missing here and who repeats.
    One finding for each server socket and address family.

Why it matters
    The user waits for the client's whole timeout. A test for "does the server answer" passes.

How it decides
    The exchange went on for `stall` after the server's first packet without completing, the capture ran on for
    `wait`, and neither side closed. Patterns that say more (a close, Retry, the amplification limit, no CRYPTO, no
    Initial) come first. Where the client sent nothing after the server's first packet it may have given up, or its
    address is forged: info. So is a tenth or less of the attempts where others had to be sent again: loss may be
    unlucky.

What it cannot know
    Packets seen to leave may not arrive. Handshake packets are under protection: without a key log it is their types,
    sizes and repeats that speak.

Look-alikes
    pmtu-black-hole (large datagrams are lost, small ones pass), quic-amplification-stall (the server stands at three
    times the bytes it got), quic-handshake-closed (a close under protection).

What to do
    Capture at both ends in the same minutes and compare which datagrams arrive, by size; lower the server's datagram
    size.

Seen in the wild
    nginx never sends a lost part of a post-quantum ServerHello again (nginx#1616); several nginx workers without
    `reuseport`; a path that takes small datagrams only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

from analyzer.exchanges.view import View
from analyzer.patterns import advice
from analyzer.patterns.evidence import WAIT, Attempts, attempts_by_socket, finding_of, first_request
from analyzer.patterns.finding import ERROR, INFO, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.told import RARE, SECOND, Told, between, chosen, may_be_loss, to_the_end, told, total, which
from analyzer.patterns.words import FAMILIES, counted, sentence

STALL = Threshold("stall", 1.0, "s", "RFC 9002 §6.2: three probes at a round trip of 50 ms")

PATTERN = Pattern(
    "quic-handshake-stalled",
    ERROR,
    "both sides spoke and the QUIC handshake never completed",
    ("RFC 9000 §7", "RFC 9001 §4.1.2", "RFC 9002 §6.2"),
    (STALL, WAIT, RARE),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket with handshakes that stood still, and one for those that nobody went on with."""
    for went_on in (True, False):
        mask = chosen(view, partial(_is_stalled, went_on=went_on))
        for attempts in attempts_by_socket(view, mask):
            yield to_the_end(finding_of(PATTERN, attempts, argument=_argument(attempts, went_on=went_on)), attempts)


def _is_stalled(t: Told, *, went_on: bool) -> bool:
    if (t["client_after"] > 0) is not went_on or t["completed"] or t.was_ended or t["close_shape"] or not t.is_watched:
        return False
    if not t.has_sent("server", "initial", "handshake", "1-rtt"):
        return False
    return t.last - int(t["server_first_time"]) >= STALL.ns


def _missing(t: Told) -> str:
    """Which flight was not seen to get through, in words."""
    if t.has_sent("client", "1-rtt"):
        return "1-RTT packets of the server after the client's"
    if t.has_sent("client", "handshake"):
        return "the rest of the server's Handshake flight, as far as the client shows"
    if not t["server_crypto"] and not t["unread_initials"]:
        return "the ServerHello"
    if not t.has_sent("server", "handshake"):
        return "the server's Handshake flight"
    return "any Handshake packet of the client"


def _closed_initials(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    words = (
        f"The server's Initials in {counted(count, 'connection')} do not open with the keys of the connection: they "
        "are damaged, forged, or replies to something else."
    )
    return (words,)


def _argument(attempts: Attempts, *, went_on: bool) -> Argument:
    stories = told(attempts)
    missing = Counter(_missing(t) for t in stories).most_common(1)[0][0]
    lasted = between([(t.last - t["server_first_time"]) / SECOND for t in stories], "s")
    clients, servers = (sum(t[f"{side}_after"] for t in stories) for side in ("client", "server"))
    repeats = "mostly the server repeats" if servers > 2 * clients else "mostly the client repeats"
    repeats = "both repeat" if clients <= 2 * servers <= 4 * clients else repeats
    by_loss = may_be_loss(attempts)
    closed = sum(t["unread_initials"] > 0 and not t["server_crypto"] for t in stories)
    return Argument(
        severity=ERROR if went_on and not by_loss else INFO,
        confidence=LIKELY if went_on and not by_loss and not closed else POSSIBLE,
        title=f"QUIC over {FAMILIES[attempts.family]} with {attempts.words}: the handshake stands still",
        because=sentence(
            f"{which(attempts)} never completed the handshake: missing is {missing}; after the server's first packet "
            f"the client side sent {total(stories, 'client_after', 'datagram')} and the server "
            f"{total(stories, 'server_after', 'datagram')} over {lasted} ({repeats}); the first is "
            f"{first_request(attempts)}"
        ),
        limitations=(*_closed_initials(closed), "What left may not have arrived: only captures at both ends show it."),
        look_alikes=(
            LookAlike("pmtu-black-hole", False, "loss that depends on size looks like this from one end"),
            LookAlike("quic-amplification-stall", True, "no pause at three times the client's bytes explains these"),
            LookAlike("quic-handshake-closed", True, "no CONNECTION_CLOSE was read, and the packets go on"),
            *advice.other_icmp_look_alikes(attempts),
        ),
        remedies=(
            "Capture at both ends in the same minutes and compare which of the server's datagrams arrive, by size.",
            "Lower the server's datagram size to 1,200 bytes; let ICMP `too big` through.",
            "Update the server; with several workers make each packet of a connection reach the same one.",
        ),
    )
