"""A server repeats its SYN/ACK and never sees the client's ACK.

What it sees
    A SYN, a SYN/ACK that is repeated, and no ACK, data or RST of the client after it. One finding for each server
    socket and address family.

Why it matters
    The client waits as if the server were silent, while the server holds a half-open connection and sees nothing wrong
    but a growing SYN-RECV queue.

How it decides
    The SYN/ACK was repeated at least once, the capture ran on for `wait` after the first one, the client acknowledged
    nothing and sent no RST. `flood-sources` or more distinct clients that never repeat their SYN are a SYN flood or a
    scan from forged addresses: info.

What it cannot know
    Where the SYN/ACK or the ACK was lost. If the client goes on repeating its SYN, the SYN/ACK did not reach it; if it
    does not, the SYN/ACK probably arrived and the ACK was lost, or the client's firewall dropped the SYN/ACK.

Look-alikes
    tcp-accept-queue-overflow (the ACK is seen, and the server ignores it), capture-one-way (ACKs take another way),
    tcp-syn-no-reply (the same fault, seen from the client's side).

What to do
    Capture at the client in the same minutes. Check the return route (`ip route get CLIENT`), reverse-path filters and
    stateful firewalls on an asymmetric path.

Seen in the wild
    Asymmetric routing through a stateful device, conntrack entries that turn a SYN/ACK invalid, return traffic dropped
    on one family only; half-open scans and SYN floods look alike but for their many sources.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import WAIT, Attempts, Mask, attempts_by_socket, capture_end, finding_of, first_request
from analyzer.patterns.finding import ERROR, INFO, LIKELY, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.words import FAMILIES, counted, listed, sentence, share

FLOOD_SOURCES = Threshold(
    "flood-sources",
    20,
    "client addresses",
    "RFC 4987 §2: a flood forges many sources, and none of them repeats its SYN",
)

PATTERN = Pattern(
    "tcp-handshake-incomplete",
    ERROR,
    "a SYN/ACK is repeated and never acknowledged",
    ("RFC 9293 §3.5", "RFC 6298 §2", "RFC 4987"),
    (WAIT, FLOOD_SOURCES),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket whose SYN/ACKs are never acknowledged, and one for what looks like a flood."""
    repeated = view.connections["repeats"] >= 1
    for attempts in attempts_by_socket(view, _unacknowledged(view)):
        quiet = attempts.of(attempts.rows[~repeated[attempts.rows]])
        if len(quiet.clients) >= FLOOD_SOURCES.value:
            yield finding_of(PATTERN, quiet, argument=_flood(quiet))
            attempts = attempts.of(attempts.rows[repeated[attempts.rows]])
        if attempts:
            yield finding_of(PATTERN, attempts, argument=_incomplete(attempts))


def _unacknowledged(view: View) -> Mask:
    table = view.connections
    heard = table["handshake_acked"] | table["client_reset"]
    lasted = (table["reply_time"] >= 0) & (capture_end(view) - table["reply_time"] >= WAIT.ns)
    tcp = table.equal("transport", "tcp") & (table["syn_ack_repeats"] >= 1)
    return np.asarray(tcp & ~heard & lasted & ~table["one_way"], dtype=np.bool_)


def _incomplete(attempts: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    which = share(len(attempts), len(attempts.socket_rows), "TCP attempt")
    again = sum(tries > 1 for tries in attempts.tries)
    reached = (
        f"{counted(again, 'client socket')} repeated the SYN, so the SYN/ACK did not arrive there"
        if again
        else "no client repeated its SYN, so the SYN/ACK probably arrived and the ACK was lost or never sent"
    )
    acked = attempts.where(attempts.view.connections["handshake_acked"])
    others = counted(len(acked), "other connection") if acked else "no connection"
    return Argument(
        severity=ERROR,
        confidence=LIKELY,
        title=f"TCP {attempts.words} over {family}: SYN/ACKs are never acknowledged",
        because=sentence(
            f"{which} to {attempts.words} over {family} got a SYN/ACK that "
            f"was repeated {counted(sum(attempts.column('syn_ack_repeats')), 'time')} in all and never acknowledged; "
            f"{reached}; the first SYN is {first_request(attempts)}."
        ),
        limitations=(
            "Where the SYN/ACK or the ACK was lost: only a capture at the client shows which of them arrives.",
        ),
        look_alikes=(
            LookAlike("tcp-accept-queue-overflow", True, "this capture shows no ACK of any of these clients"),
            LookAlike("capture-one-way", True, "the SYNs of these clients are seen, so their direction is seen here"),
            LookAlike("socket-partial-silence", not acked, f"{others} to this socket and family was completed"),
        ),
        remedies=(
            f"On the server, check the way back: `ip route get {attempts.column('client_address')[0]}`.",
            "Check reverse-path filters and output rules on the server (`nft list ruleset`).",
            "At the client, see whether the SYN/ACK arrives, and whether a stateful firewall drops it.",
        ),
    )


def _flood(attempts: Attempts) -> Argument:
    sources = sorted(attempts.clients)
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"TCP {attempts.words}: half-open connections from many sources, as in a SYN flood or scan",
        because=(
            f"{counted(len(sources), 'client address')} ({listed(sources)}) sent "
            f"{counted(len(attempts), 'SYN')} to {attempts.words}, repeated none and never acknowledged the SYN/ACK; "
            f"the first is {first_request(attempts)}."
        ),
        limitations=(
            "Many clients whose ACKs are lost on the way look the same; nothing here proves a forged address.",
        ),
        remedies=("See `nstat -az TcpExtSyncookiesSent TcpExtTCPReqQFullDoCookies`: SYN cookies should be on.",),
    )
