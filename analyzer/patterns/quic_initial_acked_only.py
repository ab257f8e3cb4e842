"""A server acknowledges the whole ClientHello and never says anything else.

What it sees
    Initials of the server that carry ACK for every client Initial of a complete ClientHello, no CRYPTO in any of
    them, and no Handshake or 1-RTT packet. One finding for each server socket and address family.

Why it matters
    The client knows that its hello arrived, so it waits instead of trying another way, and gives up after its own
    limit, often 10 s. The server was reached, so a test for "no reply" does not see this.

How it decides
    All server Initials could be opened; all client Initials with a part of the hello were acknowledged; the capture
    ran on for `wait` after the acknowledgment without CRYPTO.

What it cannot know
    Whether the server holds the hello back (a buffer that refuses gaps), waits for something else, or sent a
    ServerHello that was lost on the way to this capture point.

Look-alikes
    quic-client-hello-incomplete (a part of the hello is missing: the server waits rightly), quic-handshake-stalled
    (some CRYPTO of the server came), quic-initial-no-reply (nothing came).

What to do
    Update the server; capture there to see whether a ServerHello leaves; compare a client that sends its ClientHello
    in one CRYPTO frame with one that splits and shuffles it.

Seen in the wild
    HAProxy refuses CRYPTO frames that leave small gaps, as ngtcp2 and Chrome send them, after acknowledging the
    packets (haproxy#3141, haproxy#3071).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns import advice
from analyzer.patterns.evidence import WAIT, Attempts, attempts_by_socket, capture_end, finding_of, first_request
from analyzer.patterns.finding import ERROR, LIKELY, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.told import Told, chosen, to_the_end, told, total, which
from analyzer.patterns.words import FAMILIES, any_of, sentence

PATTERN = Pattern(
    "quic-initial-acked-only",
    ERROR,
    "the ClientHello is acknowledged and no ServerHello follows",
    ("RFC 9000 §13.2.1", "RFC 9001 §4.1", "RFC 9002 §6.2.1"),
    (WAIT,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that only acknowledged."""
    for attempts in attempts_by_socket(view, chosen(view, _is_acked_only)):
        yield to_the_end(finding_of(PATTERN, attempts, argument=_argument(attempts)), attempts)


def _is_acked_only(t: Told) -> bool:
    acked = t["hello_acked_time"]
    if acked < 0 or not t["hello_complete"] or t["server_crypto"] or t["unread_initials"]:
        return False
    if t.has_sent("server", "handshake", "1-rtt") or t["close_side"] == "server":
        return False
    given_up_soon = t["close_side"] == "client" and t["client_last_time"] - acked < WAIT.ns
    return capture_end(t.view) - acked >= WAIT.ns and not given_up_soon


def _argument(attempts: Attempts) -> Argument:
    stories, count = told(attempts), len(attempts)
    return Argument(
        severity=ERROR,
        confidence=LIKELY,
        title=f"QUIC over {FAMILIES[attempts.family]} to {attempts.words}: ClientHello acknowledged, no ServerHello",
        because=sentence(
            f"{which(attempts)} got acknowledgments of the whole ClientHello and no CRYPTO, although the client side "
            f"sent {total(stories, 'client_after', 'further packet')} and the capture ran on; the first is "
            f"{first_request(attempts)}"
        ),
        limitations=advice.vantage_limits(attempts.view),
        look_alikes=(
            LookAlike(
                "quic-client-hello-incomplete", True, f"the ClientHello was read whole in {any_of(count, 'case')}"
            ),
            LookAlike("quic-handshake-stalled", True, "no CRYPTO of the server was seen in any packet"),
        ),
        remedies=(
            "Update the server's QUIC stack; HAProxy needs the fix of 2025-08 for reordered CRYPTO frames (#3141).",
            "Try a client that sends its ClientHello in one piece (curl without post-quantum key shares) to compare.",
        ),
    )
