"""The server stands at three times the bytes that it received, and waits for the client to send more.

What it sees
    Before the first Handshake packet of the client, the server has sent about three times the client's UDP payload
    and falls silent; only a client datagram makes it go on, and that comes late or never. One finding for each server
    socket and address family.

Why it matters
    Until the client's address is validated the server may not send more (RFC 9000 §8.1). If the client has nothing to
    send, because what it got needs no answer, both wait. A client that does not probe loses the connection.

How it decides
    The server's bytes are `at-limit` times the client's or more; the pause is `pause` longer than a round trip, and
    the client met the server at the limit at most twice: if it feeds the server again and again in vain, something
    else is wrong. A handshake that completes after it is a warning, and info where it hit less than half of the
    attempts. A token lifts the limit: then this is never said.

What it cannot know
    Whether the server waits for its own timer: loss of its last datagrams looks the same.

Look-alikes
    The one more round trip that every long certificate chain costs (no pause beyond the round trip);
    quic-handshake-stalled (the exchange goes on in vain); pmtu-black-hole.

What to do
    Shorten the certificate chain or compress it, so that the first flight fits three datagrams; update the client.

Seen in the wild
    picoquic#1300 (a bare ACK got through, both silent for 30 s), neqo#3097 (no probe timer armed), quinn#1075.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import WAIT, Attempts, attempts_by_socket, capture_end, finding_of, first_request
from analyzer.patterns.finding import (
    ERROR,
    INFO,
    LIKELY,
    POSSIBLE,
    WARNING,
    Argument,
    Finding,
    LookAlike,
    Pattern,
    Threshold,
)
from analyzer.patterns.told import Told, between, chosen, told, which
from analyzer.patterns.words import FAMILIES, sentence

AT_LIMIT = Threshold("at-limit", 2.5, "times the client's bytes", "RFC 9000 §8.1: 3, less a datagram that does not fit")
PAUSE = Threshold("pause", 0.2, "s longer than the round trip", "RFC 9002 §6.2.1: a probe at a round trip of 50 ms")
ALONE = Threshold("alone", 1.0, "s", "RFC 9002 §6.2.2: first PTO, where the round trip is not known")
MOST_FED = 2

PATTERN = Pattern(
    "quic-amplification-stall",
    ERROR,
    "the server stops at three times the client's bytes until the client sends more",
    ("RFC 9000 §8.1", "RFC 9002 §6.2.2.1"),
    (AT_LIMIT, PAUSE, ALONE, WAIT),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket with handshakes that ended at the limit, and one for those that recovered."""
    for completed in (False, True):
        mask = chosen(view, partial(_is_stalled, completed=completed))
        for attempts in attempts_by_socket(view, mask):
            yield finding_of(PATTERN, attempts, argument=_argument(attempts, completed=completed))


def _is_stalled(t: Told, *, completed: bool) -> bool:
    if (
        t["completed"] is not completed
        or t["stall_time"] < 0
        or t["stall_fed"] > MOST_FED
        or t["token_sent"]
        or t["retries"]
        or t["close_side"]
    ):
        return False
    if completed:
        return _is_long(t)
    if t.has_sent("client", "handshake", "1-rtt"):
        return False
    if t["stall_s"] < 0:  # nothing followed
        return bool(t["stall_client_spoke"]) and capture_end(t.view) - t["stall_time"] >= WAIT.ns
    return t.is_watched and _is_long(t)


def _is_long(t: Told) -> bool:
    trip = t["round_trip_s"]
    return bool(t["stall_s"] >= (ALONE.value if math.isnan(trip) else trip + PAUSE.value))


def _argument(attempts: Attempts, *, completed: bool) -> Argument:
    stories = told(attempts)
    ratio = between([t["stall_server_bytes"] / t["stall_client_bytes"] for t in stories], "times")
    pauses = [t["stall_s"] for t in stories if t["stall_s"] >= 0]
    lasted = f"a pause of {between(pauses, 's')}" if pauses else "silence of both"
    rare = completed and 2 * len(attempts) < len(attempts.socket_rows)
    end = "and then completed" if completed else "and never completed"
    return Argument(
        severity=(INFO if rare else WARNING) if completed else ERROR,
        confidence=POSSIBLE if rare or not pauses else LIKELY,
        title=f"QUIC over {FAMILIES[attempts.family]} from {attempts.words}: held up at the amplification limit",
        because=sentence(
            f"{which(attempts)} saw {lasted} after the server had sent {ratio} the bytes of the client, {end}; the "
            f"first is {first_request(attempts)}"
        ),
        limitations=("Loss of the server's last datagrams looks the same: capture at both ends.",),
        look_alikes=(
            LookAlike("quic-retry-failed", True, "no Retry and no token, so that the limit holds"),
            LookAlike("pmtu-black-hole", False, "a path that loses the server's datagrams makes it reach the limit"),
        ),
        remedies=(
            "Shorten the certificate chain (no root, ECDSA) or let server and client compress it (RFC 8879).",
            "Update the client: it must probe while it has no Handshake keys (RFC 9002 §6.2.2.1).",
        ),
    )
