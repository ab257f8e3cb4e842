"""The server asks for address validation by a Retry, and the connection ends there.

What it sees
    A Retry, and then: Initials without its token, silence after the token was returned, a second Retry, or a close
    with INVALID_TOKEN. One finding for each server socket and address family.

Why it matters
    Servers under load, or told to, answer every new client with Retry; if the step fails, nobody gets in over QUIC.

How it decides
    No token returned: the clients repeated Initials without the token for `wait`, so the Retry did not reach or
    convince them. Token returned: the server's next packet is no Initial with CRYPTO within `wait`, or refuses the
    token.

What it cannot know
    Seen at the server, whether the Retry got lost on the way back or was dropped by the client (wrong source address,
    wrong integrity tag).

Look-alikes
    A Retry that works; reply-from-other-address (the Retry came from another socket); quic-initial-no-reply (the
    client's view of a Retry that is lost).

What to do
    Give all servers behind one address the same token key; compare captures at both ends.

Seen in the wild
    Tokens of another instance behind a load balancer (quinn#1790, nginx needs `quic_host_key`), HAProxy's Retry from
    the wrong source address (haproxy#3503), invalid tokens ignored in silence (google/quiche#136).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from analyzer.exchanges.view import View
from analyzer.patterns import advice, doubts
from analyzer.patterns.evidence import WAIT, Attempts, attempts_by_socket, capture_end, finding_of, first_request
from analyzer.patterns.finding import CERTAIN, ERROR, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.told import Told, chosen, to_the_end, told, which
from analyzer.patterns.words import FAMILIES, sentence

INVALID_TOKEN = 0x0B  # RFC 9000 §20.1

PATTERN = Pattern(
    "quic-retry-failed",
    ERROR,
    "address validation by Retry or token fails",
    ("RFC 9000 §8.1", "RFC 9000 §17.2.5", "RFC 9000 §20.1"),
    (WAIT,),
)

REFUSED = "the server closed with INVALID_TOKEN"
AGAIN = "a second Retry came after the token had been returned, which clients must ignore"
NO_ANSWER = "the token was returned and no answer came"
NOT_RETURNED = "the client never returned the token"


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket whose Retry or token check fails."""
    for attempts in attempts_by_socket(view, chosen(view, lambda t: bool(_said(t)))):
        yield to_the_end(finding_of(PATTERN, attempts, argument=_argument(attempts)), attempts)


def _said(t: Told) -> str:
    """What went wrong, "" for nothing."""
    if t["completed"]:
        return ""
    if t["close_side"] == "server" and t["close_code"] == INVALID_TOKEN and not t["close_by_application"]:
        return REFUSED
    if not t["retries"] or t.was_ended or t["server_crypto"]:
        return ""
    echoed = t["token_echo_time"]
    if echoed < 0:
        gone_on = t["client_after"] > 0 or t["outcome"] == "answered"
        return NOT_RETURNED if gone_on and t.is_watched and not t.has_sent("server", "initial", "handshake") else ""
    if t["echo_answered"] or capture_end(t.view) - echoed < WAIT.ns:
        return ""
    return AGAIN if t["retried_again"] else NO_ANSWER


def _argument(attempts: Attempts) -> Argument:
    stories = told(attempts)
    said = Counter(_said(t) for t in stories).most_common(1)[0][0]
    retries = sum(t["retries"] for t in stories)
    why = _forged(stories)
    given_up = said == NOT_RETURNED and not sum(t["client_after"] for t in stories)
    return Argument(
        severity=ERROR,
        confidence=doubts.lowered(POSSIBLE if given_up else CERTAIN if said in (REFUSED, AGAIN) else LIKELY, why),
        title=f"QUIC over {FAMILIES[attempts.family]} to {attempts.words}: address validation fails",
        because=sentence(
            f"{which(attempts)} failed at address validation ({retries:,} Retry packets): {said}; the first is "
            f"{first_request(attempts)}"
        ),
        limitations=(*why, *advice.vantage_limits(attempts.view)),
        look_alikes=(
            LookAlike("reply-from-other-address", True, "what came back came from the addressed socket"),
            LookAlike("quic-initial-no-reply", True, "the server answered these Initials"),
        ),
        remedies=(
            "Give every server and worker behind the address the same token key (nginx: `quic_host_key`).",
            "Where the token is never returned, look at the client: did the Retry arrive, from the address it asked?",
            "Turn forced Retry off to compare (nginx: `quic_retry off`).",
        ),
    )


def _forged(stories: Sequence[Told]) -> tuple[str, ...]:
    """Why Retry packets may be of somebody else."""
    words = (
        "In {} the integrity tag of the Retry does not fit, so the client must discard it (RFC 9000 §17.2.5.2): it is "
        "damaged, or forged by somebody who did not see the Initial."
    )
    return doubts.of_some([t["retries"] > 0 and not t["retry"] for t in stories], words)
