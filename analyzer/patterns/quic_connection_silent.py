"""An established QUIC connection: one side goes on sending, and nothing comes back any more.

What it sees
    After a complete handshake, packets of one side over `least-span` or more, `least-packets` of them at least, and
    none of the other on any path of the connection. It says which side fell silent, and since when. One finding for
    each server socket and address family.

Why it matters
    The user sees a page that hangs in the middle. Clients keep to the connection until their idle timeout, often 30
    s.

How it decides
    The counters of all 4-tuples of the connection. A server that falls silent is an error. A client that does so has
    most often ended, its close lost or sent where this capture does not look: info. So is silence after a pause as
    long as the idle timeout. Where other connections of the socket end well and loss is seen, a few may be chance.

What it cannot know
    1-RTT packets are under protection: a close may be among the last packets of the silent side.

Look-alikes
    quic-path-change-silent (the 4-tuple changed), quic-stateless-reset (the peer lost its state and says so),
    udp-port-unreachable (ICMP answers), an idle timeout.

What to do
    Look at the silent side at that second: a stopped or restarted process, a firewall's state that ran out, a stale
    conntrack or load balancer entry.

Seen in the wild
    A stopped server process; reloads that strand live connections (quiche#1276); UDP conntrack after 120 s
    (kubernetes#125467); IPVS and removed servers (kubernetes#71514).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from analyzer.exchanges.view import View
from analyzer.patterns import advice
from analyzer.patterns.evidence import Attempts, attempts_by_socket, finding_of, first_request
from analyzer.patterns.finding import ERROR, INFO, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.told import SECOND, Told, between, chosen, told, total, which
from analyzer.patterns.words import FAMILIES, sentence

LEAST_PACKETS = Threshold("least-packets", 4, "packets", "RFC 9002 §6.2: what was sent, and three probes")
LEAST_SPAN = Threshold("least-span", 2.0, "s", "RFC 9002 §6.2.1: PTO doubles; three at a PTO of 0.3 s take 2.1 s")
IDLE = Threshold("idle", 30.0, "s", "RFC 9000 §10.1: the usual max_idle_timeout, where the client's is not known")

PATTERN = Pattern(
    "quic-connection-silent",
    ERROR,
    "an established connection gets no answer any more",
    ("RFC 9000 §10.1", "RFC 9002 §6.2", "RFC 9312 §3.1"),
    (LEAST_PACKETS, LEAST_SPAN, IDLE),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that fell silent, and one for what ended naturally, as far as can be told."""
    for natural in (False, True):
        mask = chosen(view, partial(_is_silent, natural=natural))
        for attempts in attempts_by_socket(view, mask):
            stories = told(attempts)
            finding = finding_of(PATTERN, attempts, argument=_argument(attempts, stories, natural=natural))
            since = min(t["unanswered_from"] for t in stories)
            good = max((t["silent_since"] for t in stories if t["silent_since"] <= since), default=-1)
            bounds = (good, since) if good >= 0 else None
            last = max(t["unanswered_until"] for t in stories)
            yield replace(
                finding, onset=-1 if natural else since, onset_bounds=None if natural else bounds, last_time=last
            )


def _is_silent(t: Told, *, natural: bool) -> bool:
    if not t["completed"] or not t["silent_side"] or t["close_side"] == t["silent_side"]:
        return False
    enough = t["unanswered_packets"] >= LEAST_PACKETS.value and _span(t) >= LEAST_SPAN.ns
    return enough and _is_natural(t) is natural


def _span(t: Told) -> int:
    return int(t["unanswered_until"] - t["unanswered_from"])


def _is_natural(t: Told) -> bool:
    """The silent side is the client, or had the right to forget the connection."""
    known = t["idle_timeout_s"]
    idle = min(IDLE.value, IDLE.value if math.isnan(known) else known) * SECOND
    return bool(t["silent_side"] == "client" or t["unanswered_from"] - t["silent_since"] >= idle)


def _argument(attempts: Attempts, stories: list[Told], *, natural: bool) -> Argument:
    sides = sorted({t["silent_side"] for t in stories})
    side = sides[0] if len(sides) == 1 else "other side"
    spans = between([_span(t) / SECOND for t in stories], "s")
    lossy = 2 * len(attempts) < len(attempts.socket_rows) and any(tries > 1 for tries in attempts.tries)
    return Argument(
        severity=INFO if natural else ERROR,
        confidence=POSSIBLE if natural or lossy else LIKELY,
        title=f"QUIC over {FAMILIES[attempts.family]} with {attempts.words}: established, then the {side} fell silent",
        because=sentence(
            f"{which(attempts)} completed the handshake and then heard nothing of the {side} while the other sent "
            f"{total(stories, 'unanswered_packets', 'packet')} over {spans}"
            f"{', which may be the end of the connection' if natural else ''}; the first is {first_request(attempts)}"
        ),
        limitations=("A close among the last packets of the silent side cannot be read without a key log.",),
        look_alikes=(
            _reset_look_alike(stories),
            LookAlike("quic-path-change-silent", True, "no packet with the server's connection ID on another 4-tuple"),
            advice.one_way_look_alike(attempts),
        ),
        remedies=(
            "See what happened to the silent side at that second: process stopped or restarted, firewall reloaded.",
            "Then look for state in between: `conntrack -L -p udp`, load balancer entries, NAT timeouts.",
        ),
    )


def _reset_look_alike(stories: list[Told]) -> LookAlike:
    fitting = [t for t in stories if t["resets"]]
    if fitting:
        return LookAlike(
            "quic-stateless-reset", False, f"the last datagram of the silent side fits in {len(fitting):,}"
        )
    return LookAlike("quic-stateless-reset", True, "no two datagrams of the silent side end in the same 16 bytes")
