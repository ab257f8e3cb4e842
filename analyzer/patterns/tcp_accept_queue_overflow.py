"""A server's accept queue is full: connections complete, nobody serves them, and new SYNs get no answer.

What it sees
    Either established connections whose request was acknowledged and never answered, while SYNs to the same socket
    go unanswered; or SYN/ACKs that are repeated although the client acknowledged one and sent data.

Why it matters
    The kernel completes handshakes until the listen queue is full and then drops SYNs: clients see timeouts, and the
    first few see a connection that hangs.

How it decides
    On one server socket: `waiting` or more connections in the first state, none of them answered, and silent SYNs that
    begin after the first of them, with no answered SYN after the last silent one begins. Or `again` or more SYN/ACKs
    after the client's ACK and data, in the capture of which the ACK is seen.

What it cannot know
    Whether the program is stopped or only slower than its clients: the counters tell, and whether it ever accepts.

Look-alikes
    tcp-syn-no-reply (a firewall: then no connection hangs), tcp-request-no-response (a program that hangs: SYNs are
    still answered), a client that sends no data after its ACK (deferred accept).

What to do
    On the server: `ss -ltn 'sport = :PORT'` (Recv-Q above Send-Q), `nstat -az TcpExtListenOverflows`; raise the backlog
    and net.core.somaxconn only if the program does accept.

Seen in the wild
    Stopped or deadlocked servers, backlogs of 5 under a burst (netdata#3234, osv#283).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request, unanswered_syns
from analyzer.patterns.finding import CERTAIN, ERROR, LIKELY, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.segments import asked_in_vain, finding_of_segments
from analyzer.patterns.words import FAMILIES, counted, listed, sentence

WAITING = Threshold("waiting", 2, "connections", "listen() with a backlog of n lets n + 1 connections wait")
AGAIN = Threshold("again", 2, "SYN/ACKs", "one may repeat because the client's ACK was lost behind this point")

PATTERN = Pattern(
    "tcp-accept-queue-overflow",
    ERROR,
    "connections wait to be accepted and new SYNs get no answer",
    ("listen(2)", "RFC 9293 §3.10.7.2"),
    (WAITING, AGAIN),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket whose accept queue is full."""
    hanging, silent = asked_in_vain(view), unanswered_syns(view)
    repeated = np.asarray(view.connections["syn_acks_after_ack"] >= AGAIN.value, np.bool_)
    for socket in attempts_by_socket(view, hanging | repeated):
        waiting, again, dropped = socket.where(hanging), socket.where(repeated), socket.where(silent)
        if (len(waiting) >= WAITING.value and _is_full(waiting, dropped)) or again:
            rows = np.unique(np.concatenate([waiting.rows, again.rows, dropped.rows]))
            yield finding_of_segments(PATTERN, socket.of(rows), argument=_overflow(waiting, again, dropped))


def _is_full(waiting: Attempts, dropped: Attempts) -> bool:
    """SYNs went unanswered after the first connection began to wait, and none begun later was answered."""
    later = [time for time in dropped.column("request_time") if time > min(waiting.column("request_time"))]
    if not later:
        return False
    answered = waiting.where(np.asarray(waiting.view.connections["server_bytes"] > 0, np.bool_))
    return all(time < min(later) for time in answered.column("request_time"))


def _overflow(waiting: Attempts, again: Attempts, dropped: Attempts) -> Argument:
    family = FAMILIES[waiting.family]
    seen = []
    if waiting:
        seen.append(
            f"{counted(len(waiting), 'connection')} completed the handshake, sent data that was acknowledged, and got "
            "no byte back"
        )
    if dropped:
        seen.append(f"{counted(len(dropped), 'later attempt')} got no answer to {counted(sum(dropped.tries), 'SYN')}")
    if again:
        count = sum(again.column("syn_acks_after_ack"))
        seen.append(f"{counted(count, 'SYN/ACK')} came again although the client had acknowledged one and sent data")
    port = waiting.port
    return Argument(
        severity=ERROR,
        confidence=CERTAIN if again and waiting else LIKELY,
        title=f"TCP {waiting.words} over {family}: the accept queue is full",
        because=sentence(
            f"At {waiting.words} over {family} {listed(seen)}; the first is {first_request(waiting or again)}"
        ),
        limitations=("Whether the program is stopped or only slow: `nstat` and the process on the server tell.",),
        look_alikes=(
            LookAlike(
                "tcp-syn-no-reply", bool(waiting), "the same socket completes handshakes, so no filter drops all"
            ),
            LookAlike("tcp-request-no-response", bool(dropped), "SYNs go unanswered as well, not requests alone"),
        ),
        remedies=(
            f"On the server, `ss -ltn 'sport = :{port}'`: Recv-Q above Send-Q is a full queue.",
            "`nstat -az TcpExtListenOverflows TcpExtListenDrops`: do they grow?",
            "See why the process does not accept; a larger backlog (listen(), net.core.somaxconn) only buys time.",
        ),
    )
