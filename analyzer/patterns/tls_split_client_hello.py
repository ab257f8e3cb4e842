"""Handshakes fail where the ClientHello takes more than one TCP segment, and work where it takes one.

What it sees
    On one server socket: connections whose ClientHello came in one segment are answered, those whose hello took two or
    more are reset, closed or left without an answer, all of them.

Why it matters
    Post-quantum key shares make the ClientHello larger than a segment. Servers and middleboxes that read once, and
    expect all of it, fail on new clients only.

How it decides
    `each` or more connections that fail with a split hello, none that works with one, and `each` or more that work with
    a whole one. The segments were acknowledged: otherwise the path's MTU is at fault.

What it cannot know
    Whether the server or a box before it fails, or whether another difference between the clients decides.

Look-alikes
    pmtu-black-hole (the large segment never arrives), tls-no-server-hello (hellos fail at any size).

What to do
    Update the server or the box; until then switch hybrid key shares off at the client to confirm.

Seen in the wild
    trafficserver#11758, openssl#27557, lxd#14839, haproxy#3148; see tldr.fail.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, Mask, attempts_by_socket, first_request
from analyzer.patterns.finding import LIKELY, POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.segments import finding_of_segments, has_protocol, tcp_connections
from analyzer.patterns.words import FAMILIES, counted, sentence

EACH = Threshold("each", 2, "connections", "one of a kind may be chance")

PATTERN = Pattern(
    "tls-split-client-hello",
    WARNING,
    "a ClientHello in several segments fails, one in a single segment works",
    ("RFC 8446 §5.1", "tldr.fail"),
    (EACH,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket on which only whole ClientHellos work."""
    table = view.connections
    tls = tcp_connections(view) & has_protocol(view, "tls") & table.equal("alert_by", "")
    acked, heard = ~table.equal("client_acked", "none"), np.asarray(table["server_bytes"] > 0, np.bool_)
    ended = (table["server_rst"] >= 0) | (table["server_fin"] >= 0) | (table["client_fin"] >= 0)
    split = table["hello_segments"] > 1
    fails = np.asarray(tls & split & acked & ~heard & ended, np.bool_)
    for attempts in attempts_by_socket(view, fails):
        works = attempts.where(np.asarray(tls & heard & (table["hello_segments"] == 1), np.bool_))
        if len(attempts) >= EACH.value and len(works) >= EACH.value and not attempts.where(_any_split(view, heard)):
            yield finding_of_segments(PATTERN, attempts, argument=_split(attempts, works))


def _any_split(view: View, heard: Mask) -> Mask:
    """Connections that were answered and whose ClientHello was, or may have been, split."""
    return np.asarray(heard & (view.connections["hello_segments"] != 1), np.bool_)


def _split(attempts: Attempts, works: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    return Argument(
        severity=WARNING,
        confidence=LIKELY if len(attempts) > EACH.value else POSSIBLE,
        title=f"TLS {attempts.words} over {family}: ClientHellos in several segments fail",
        because=sentence(
            f"At {attempts.words} over {family} all {counted(len(attempts), 'connection')} whose ClientHello took two "
            f"or more segments got no TLS record, while {counted(len(works), 'connection')} with a hello in one "
            f"segment got an answer; the first is {first_request(attempts)}"
        ),
        limitations=("Another difference between these clients than the size of the hello could decide.",),
        look_alikes=(LookAlike("pmtu-black-hole", True, "the segments of the hello were acknowledged"),),
        remedies=(
            "Try a client without hybrid key share: `curl --curves X25519`; if that works, update server and box.",
        ),
    )
