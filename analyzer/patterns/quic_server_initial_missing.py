"""Handshake or 1-RTT packets of the server are seen, and none of its Initials.

What it sees
    Long headers of type Handshake, or short headers, from the server to a client whose Initial was seen; no Initial
    of the server, alone or coalesced, and a client that cannot go on. One finding for each server socket and family.

Why it matters
    Without the ServerHello in the Initial the client derives no Handshake keys, drops the rest, and times out.

How it decides
    Every QUIC packet in every datagram was looked at. The client sends neither Handshake nor 1-RTT packets: it cannot
    have got the Initial on another way. The capture ran on for `wait`.

What it cannot know
    Seen at the client or between: whether the Initial was lost on the way or never sent.

Look-alikes
    quic-handshake-stalled (an Initial came), quic-version-mismatch (the packets are of another version),
    capture-midstream (the capture began late: then the client's Initial is missing as well).

What to do
    Capture at the server. If the Initial leaves there, look for a device that drops by size or type; if not, update.

Seen in the wild
    Traefik on a cluster with IPv4 only: its first flight has no usable Initial (traefik#13633).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns import advice, doubts
from analyzer.patterns.evidence import WAIT, Attempts, attempts_by_socket, finding_of, first_request
from analyzer.patterns.finding import ERROR, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.told import Told, chosen, to_the_end, told, total, which
from analyzer.patterns.words import FAMILIES, sentence

PATTERN = Pattern(
    "quic-server-initial-missing",
    ERROR,
    "the server's Handshake or 1-RTT packets come without its Initial",
    ("RFC 9000 §17.2.2", "RFC 9001 §4.1.4"),
    (WAIT,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket whose Initials are missing."""
    for attempts in attempts_by_socket(view, chosen(view, _is_missing)):
        yield to_the_end(finding_of(PATTERN, attempts, argument=_argument(attempts)), attempts)


def _is_missing(t: Told) -> bool:
    if t.has_sent("server", "initial") or not t.has_sent("server", "handshake", "1-rtt"):
        return False
    if t.has_sent("client", "handshake", "1-rtt", "0-rtt") or t["completed"] or t.was_ended:
        return False
    same_version = not t["server_version"] or t["server_version"] in t["versions_offered"].split(",")
    return same_version and t.has_sent("client", "initial") and t.is_watched


def _argument(attempts: Attempts) -> Argument:
    stories, why = told(attempts), doubts.of_replies(attempts)
    return Argument(
        severity=ERROR,
        confidence=doubts.lowered(LIKELY if sum(t["client_after"] for t in stories) else POSSIBLE, why),
        title=f"QUIC over {FAMILIES[attempts.family]} from {attempts.words}: Handshake packets without an Initial",
        because=sentence(
            f"{which(attempts)} got {total(stories, 'server_after', 'datagram')} of Handshake or 1-RTT "
            f"packets and no Initial; the client side sent {total(stories, 'client_after', 'Initial datagram')}; "
            f"the first is {first_request(attempts)}"
        ),
        limitations=(*why, *advice.vantage_limits(attempts.view)),
        look_alikes=(
            LookAlike("capture-midstream", True, "the client's first Initial was seen"),
            LookAlike(
                "quic-handshake-stalled", True, "no Initial lies in any datagram of the server, coalesced or not"
            ),
            LookAlike(
                "pmtu-black-hole", False, "a path that loses large datagrams takes the one with the Initial first"
            ),
        ),
        remedies=(
            "Capture at the server and see whether its first datagram carries an Initial.",
            "If it does, compare the sizes of what leaves and what arrives; else update the server.",
        ),
    )
