"""SYNs get nothing back: no SYN/ACK, no RST, no ICMP error.

What it sees
    A SYN, usually repeated, with no packet back from the addressed socket and no ICMP error that quotes it. One finding
    for each server socket and address family.

Why it matters
    A client waits for its connect timeout: up to two minutes on Linux, 250 ms to some seconds where it races addresses.

How it decides
    The outcome of the TCP connection is silent, and either the SYN was repeated or the capture ran on for `wait` after
    it. Where most attempts on the socket were answered and random loss explains the silent ones (`fits-chance`), it is
    a warning and only possible. Many ports of one address tried by one client are a scan, and info.

What it cannot know
    Seen at the client: whether the SYN or the SYN/ACK was lost. Seen at the server: whether its firewall dropped the
    SYN or its listen queue was full. A single SYN that nobody repeated may be one lost packet: possible.

Look-alikes
    tcp-syn-refused (a RST came), tcp-handshake-incomplete (the server answers, its SYN/ACK does not arrive),
    capture-one-way (replies cannot be seen here), neighbour-no-reply (the SYN never left the link).

What to do
    Firewall counters and `nstat` on the server; a capture at the other end says whether the SYN arrives. Recent Linux
    repeats SYNs after 1, 1, 1, 1, 1, 2, 4 s, older Linux after 1, 2, 4, 8 s: the gaps tell the client, not the fault.

Seen in the wild
    SNAT port races in Kubernetes nodes, AWS NLB hairpin, a full conntrack table; IPv6 addresses in DNS that no route
    leads to (hangups#223, always-be-running#177).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns import advice, doubts
from analyzer.patterns.chance import FITS_CHANCE, fits_chance
from analyzer.patterns.evidence import (
    SCAN_PORTS,
    WAIT,
    Attempts,
    attempts_by_socket,
    finding_of,
    first_request,
    shortest_wait,
    unanswered_syns,
    without_scans,
)
from analyzer.patterns.finding import ERROR, LIKELY, POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.words import FAMILIES, any_of, counted, seconds, sentence, share

PATTERN = Pattern(
    "tcp-syn-no-reply",
    ERROR,
    "SYNs get nothing back",
    ("RFC 9293 §3.5", "RFC 6298 §2"),
    (WAIT, FITS_CHANCE, SCAN_PORTS),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket with SYNs that nothing answered, and one for each scan."""
    kept, scans = without_scans(attempts_by_socket(view, unanswered_syns(view)))
    for attempts in kept:
        yield finding_of(PATTERN, attempts, argument=_no_reply(attempts))
    for scan in scans:
        yield finding_of(PATTERN, scan, argument=advice.scan_argument(scan, "got nothing back"))


def _no_reply(attempts: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    which = share(len(attempts), len(attempts.socket_rows), "TCP attempt")
    answered = attempts.where(attempts.view.connections.equal("outcome", "answered"))
    by_chance, tries = fits_chance(attempts.tries, answered.tries), sum(attempts.tries)
    nothing = "no SYN/ACK of theirs" if any(n > 0 for n in attempts.column("unfit")) else "nothing back"
    because = (
        f"{which} to {attempts.words} over {family} got {nothing} to "
        f"{counted(tries, 'SYN')} although the capture ran on for {seconds(shortest_wait(attempts))} or more after "
        f"each first one; the first is {first_request(attempts)}"
    )
    if by_chance:
        because += f"; random loss explains it: the same socket answered {counted(len(answered), 'attempt')}"
    remedies = (
        f"Allow TCP {attempts.port} over {family} on the whole way: host firewall, security group, load balancer.",
        f"On the server, `ss -ltn 'sport = :{attempts.port}'` shows the listener and how full its queue is (Recv-Q).",
        f"Check again with `curl -{attempts.family[-1]} -v --connect-timeout 5` or `nc -{attempts.family[-1]}vz`.",
    )
    why = doubts.of_silence(attempts)
    return Argument(
        severity=WARNING if by_chance else ERROR,
        confidence=doubts.lowered(POSSIBLE if by_chance or tries == len(attempts) else LIKELY, why),
        title=f"TCP {attempts.words} over {family}: no reply to SYN",
        because=sentence(because),
        limitations=(*why, *doubts.unexplained_gaps(attempts), *advice.vantage_limits(attempts.view, "tcp")),
        look_alikes=_look_alikes(attempts, answered),
        remedies=remedies,
    )


def _look_alikes(attempts: Attempts, answered: Attempts) -> tuple[LookAlike, ...]:
    silent = any_of(len(attempts), "attempt")
    others = counted(len(answered), "other attempt") if answered else "no attempt"
    return (
        LookAlike("tcp-syn-refused", True, f"no RST answers and no ICMP error refuses {silent}"),
        LookAlike("tcp-handshake-incomplete", True, f"this capture shows no SYN/ACK to {silent}"),
        LookAlike("socket-partial-silence", not answered, f"{others} on this socket and family got an answer"),
        advice.one_way_look_alike(attempts),
        *advice.other_icmp_look_alikes(attempts),
    )
