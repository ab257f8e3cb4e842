"""A SYN is answered by a RST or an ICMP error: the connection is refused.

What it sees
    A RST that answers a SYN, or an ICMP error that quotes it, and who sent it. One finding for each server socket and
    address family.

Why it matters
    The client is told at once and reports "connection refused". If the name has another address that works, only some
    clients suffer: those that prefer the family that is refused.

How it decides
    The outcome of the TCP connection is refused. A RST from the addressed host says that it got the SYN and that no
    socket listens there; an ICMP error, or another sender, says that something in between refuses.

What it cannot know
    A firewall that rejects with a RST puts the server's address on it: at one capture point it looks like the host's.

Look-alikes
    tcp-syn-no-reply (nothing came back at all); a port scan, which is told apart by its many ports and is info.

What to do
    `ss -ltnp` on the server: is the process up, on this port, on this address and family? Then rules that reject.

Seen in the wild
    A listener bound to one family while the name has addresses in both (quinn#743); a service that is restarting; a
    published container port whose proxy is gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns import advice, doubts
from analyzer.patterns.evidence import (
    SCAN_PORTS,
    Attempts,
    attempts_by_socket,
    finding_of,
    first_request,
    refused_below,
    without_scans,
)
from analyzer.patterns.finding import CERTAIN, ERROR, LIKELY, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.words import FAMILIES, sentence, share

PATTERN = Pattern(
    "tcp-syn-refused",
    ERROR,
    "a SYN is answered by a RST or an ICMP error",
    ("RFC 9293 §3.5.2", "RFC 1122 §4.2.3.9"),
    (SCAN_PORTS,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that refuses SYNs, and one for each scan."""
    kept, scans = without_scans(attempts_by_socket(view, refused_below(view, "tcp")))
    for attempts in kept:
        yield finding_of(PATTERN, attempts, argument=_refused(attempts))
    for scan in scans:
        yield finding_of(PATTERN, scan, argument=advice.scan_argument(scan, "were refused"))


def _refused(attempts: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    which = share(len(attempts), len(attempts.socket_rows), "TCP attempt")
    pairs = set(zip(attempts.column("icmp"), attempts.column("refused_by"), strict=True))
    by_host = pairs <= {("", attempts.address), ("port-unreachable", attempts.address)}
    who = "the host itself" if by_host else "something else than a closed port on the host"
    answered = attempts.where(attempts.view.connections.equal("outcome", "answered"))
    listener = f"On the server, `ss -ltnp 'sport = :{attempts.port}'` must show a process on {attempts.words}"
    remedies = [f"{listener} or a wildcard that takes {family}; then look for REJECT rules (`nft list ruleset`)."]
    if not by_host:
        remedies.insert(0, "Look first at the firewall or router whose address sent the refusal.")
    if answered:
        remedies.append("The socket also answered in this capture: see whether the process restarted in between.")
    why = (*doubts.of_errors(attempts), *doubts.of_resets(attempts))
    return Argument(
        severity=ERROR,
        confidence=doubts.lowered(CERTAIN if by_host else LIKELY, why),
        title=f"TCP {attempts.words} over {family}: connection refused by {who}",
        because=sentence(
            f"{which} to {attempts.words} over {family} met a "
            "refusal: "
            f"{advice.icmp_words(attempts)}; the first SYN is {first_request(attempts)}"
        ),
        limitations=(*why, "A firewall that rejects may send its RST from the server's address: capture there to see."),
        look_alikes=(
            LookAlike("tcp-syn-no-reply", True, "each of the SYNs met a RST or an ICMP error, which is cited"),
        ),
        remedies=tuple(remedies),
    )
