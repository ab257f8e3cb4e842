"""A client's Initial comes in a datagram that is too small, and a server must drop it.

What it sees
    CRYPTO of a ClientHello in UDP payloads that all are smaller than 1200 bytes, by the UDP length field, and no
    reply. One finding for each server socket and address family.

Why it matters
    RFC 9000 §14.1 makes servers discard such Initials, so silence is right, and looking at the server is wasted time.

How it decides
    The largest datagram with an Initial of the client is below `smallest-initial`; nothing came back for `wait`.

What it cannot know
    Whether the client sent it so small or something on the way cut it: a datagram with a wrong length is not QUIC's.

Look-alikes
    capture-truncated (the record is cut, not the datagram: the length field tells), quic-initial-no-reply (size
    right).

What to do
    Make the client pad its first datagrams to 1200 bytes; a library does this unless a size limit is set too low.

Seen in the wild
    Clients with their own padding code (quinn#1653); test programs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns import advice
from analyzer.patterns.evidence import (
    SMALLEST_INITIAL,
    WAIT,
    Attempts,
    Mask,
    attempts_by_socket,
    finding_of,
    first_request,
    waited,
)
from analyzer.patterns.finding import CERTAIN, WARNING, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.told import chosen, which
from analyzer.patterns.words import FAMILIES, sentence

PATTERN = Pattern(
    "quic-initial-undersized",
    WARNING,
    "a client's Initial lies in a datagram below 1200 bytes and stays unanswered",
    ("RFC 9000 §14.1",),
    (SMALLEST_INITIAL, WAIT),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that such Initials were sent to."""
    for attempts in attempts_by_socket(view, _is_undersized(view)):
        yield finding_of(PATTERN, attempts, argument=_argument(attempts))


def _is_undersized(view: View) -> Mask:
    table = view.connections
    largest = table["largest_request"]
    small = table.equal("transport", "quic") & (largest >= 0) & (largest < SMALLEST_INITIAL.value)
    unheard = (table["reply_time"] < 0) & table.equal("replied_from", "") & (table["request_time"] >= 0)
    asked = small & unheard & table["version_known"] & ~table["one_way"]
    if not asked.any():
        return np.asarray(asked, dtype=np.bool_)
    read = table["hello_complete"] | chosen(view, lambda t: bool(t["hello_read"]))
    return np.asarray(asked & read & waited(view), dtype=np.bool_)


def _argument(attempts: Attempts) -> Argument:
    largest = max(attempts.column("largest_request"))
    return Argument(
        severity=WARNING,
        confidence=CERTAIN,
        title=f"QUIC over {FAMILIES[attempts.family]} to {attempts.words}: Initial below 1200 bytes, unanswered",
        because=sentence(
            f"{which(attempts)} came in UDP payloads of at most {largest:,} bytes and got no reply; a server must drop "
            f"an Initial in less than 1,200; the first is {first_request(attempts)}"
        ),
        limitations=("A box on the way that rewrites datagrams looks the same: capture at the client.",),
        look_alikes=(
            LookAlike("capture-truncated", True, "the size is that of the UDP length field, not of the record"),
            LookAlike("quic-initial-no-reply", True, "the server is bound to drop these Initials"),
            advice.one_way_look_alike(attempts),
        ),
        remedies=("Pad every datagram that carries a client Initial to 1,200 bytes of UDP payload or more.",),
    )
