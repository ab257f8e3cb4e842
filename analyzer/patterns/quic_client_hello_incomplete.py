"""A part of the ClientHello is missing here, so that the server's silence is expected.

What it sees
    Client Initials that open, with CRYPTO that leaves a hole in the ClientHello, and no CRYPTO from the server. One
    finding for each server socket and address family.

Why it matters
    A server cannot answer a hello that it has not got whole. Large hellos (post-quantum key shares) take two or three
    datagrams; the loss of one silences the server, and blaming its firewall leads nowhere.

How it decides
    After all repeats that were kept, bytes of the ClientHello are still missing; no record of it was cut; the server
    sent nothing or only acknowledgments; the capture ran on for `wait`. A tenth or less of the attempts, where others
    had to be sent again, is info: loss may be unlucky. So it is where a whole hello to the same socket stays
    unanswered as well.

What it cannot know
    Seen at the client, the missing part may have left by another interface or was dropped by the capture. Seen at the
    server, it was lost on the way or never sent. Of a client that repeats often, only the first datagrams are read.

Look-alikes
    quic-initial-no-reply (the hello is complete), capture-truncated (records are cut), capture-drops.

What to do
    Capture at the other end in the same minutes; look for a size limit on the path; try the client without a
    post-quantum key share.

Seen in the wild
    ngtcp2 resends a hello of two datagrams with a hole of a few bytes (ngtcp2#1994); paths that lose the second of
    two datagrams sent at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns import advice
from analyzer.patterns.evidence import (
    WAIT,
    Attempts,
    attempts_by_socket,
    finding_of,
    first_request,
    unanswered_initials,
)
from analyzer.patterns.finding import INFO, LIKELY, POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.told import RARE, Told, chosen, may_be_loss, told, which
from analyzer.patterns.words import FAMILIES, counted, sentence

PATTERN = Pattern(
    "quic-client-hello-incomplete",
    WARNING,
    "the ClientHello has a hole at this capture point, and the server does not answer",
    ("RFC 9000 §7", "RFC 9001 §4.1.3"),
    (WAIT, RARE),
)

ANSWERS = ("handshake", "1-rtt", "retry", "version-negotiation")


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket whose clients' hellos have holes."""
    for attempts in attempts_by_socket(view, chosen(view, _is_incomplete)):
        yield finding_of(PATTERN, attempts, argument=_argument(attempts))


def _is_incomplete(t: Told) -> bool:
    if t["hello_complete"] or not t["hello_read"] or not t["version_known"] or not t["hello_missing"]:
        return False
    if t["outcome_reason"] in ("cut-record", "one-way") or t["one_way"] or t.was_ended:
        return False
    answered = t["server_crypto"] or t["unread_initials"] or t.has_sent("server", *ANSWERS)
    return not answered and t.is_watched


def _argument(attempts: Attempts) -> Argument:
    table, whole = attempts.view.connections, attempts.where(unanswered_initials(attempts.view))
    dead = bool(whole) and not attempts.where(table.equal("outcome", "answered"))
    minor = dead or may_be_loss(attempts)
    missing = Counter(t["hello_missing"] for t in told(attempts)).most_common(1)[0][0]
    return Argument(
        severity=INFO if minor else WARNING,
        confidence=LIKELY if sum(attempts.tries) > 1 and not minor else POSSIBLE,
        title=f"QUIC over {FAMILIES[attempts.family]} to {attempts.words}: the ClientHello is not whole here",
        because=sentence(
            f"{which(attempts)} showed a ClientHello with a hole ({missing}), so that no answer can be expected; "
            f"the first is {first_request(attempts)}"
        ),
        limitations=advice.vantage_limits(attempts.view),
        look_alikes=(
            LookAlike(
                "quic-initial-no-reply",
                not dead,
                f"{counted(len(whole), 'other attempt')} with a whole ClientHello got no reply"
                if dead
                else "a server cannot answer a ClientHello that it has not got whole",
            ),
            LookAlike("capture-truncated", True, "no record with a part of the hello is cut"),
            LookAlike("capture-drops", False, "the capture itself may have lost the missing datagram"),
        ),
        remedies=(
            "Capture at the other end: was the missing datagram sent, and did it arrive?",
            "Try a client whose ClientHello fits one datagram (no post-quantum key share).",
        ),
    )
