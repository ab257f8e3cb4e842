"""One host answers over one address family and never over the other.

What it sees
    The same host, transport and port: attempts over one family are answered, attempts over the other are all silent, or
    refused by a RST or an ICMP error. It sums up the findings about the family that fails.

Why it matters
    Clients with both families hide the fault behind a delay; clients with one of them cannot connect at all. It is seen
    as "works for me" and "times out for some".

How it decides
    Addresses belong to one host by name (DNS answer, SNI, Host) or by link address, as `hosts` says. Both families must
    be tried within `tried-together`, with at least one attempt in each whose outcome is known. An attempt that was
    answered from elsewhere counts for neither; a refusal in QUIC's own words is an answer of a server that is there.

What it cannot know
    Whether one name leads to one machine: behind a load balancer the two families may end in different places.

Look-alikes
    capture-one-way (the family's replies cannot be seen here), reply-from-other-address, random loss of the only
    attempt in the family that seems silent, which is said as `possible`.

What to do
    Compare what differs by family: listeners (`ss -lntup`), firewall rules (IPv4 and IPv6 have their own tables),
    routes, DNS records. Until it works, withdraw the address record of the family that fails.

Seen in the wild
    Caddy on FreeBSD silent over IPv4 (caddyserver/caddy#6073); PowerDNS Recursor (pdns#3248) and picoquic (#2207), the
    same class; nginx with `listen 443 quic` and no `[::]` line; a socket unit bound to 0.0.0.0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns import advice, doubts
from analyzer.patterns.chance import FITS_CHANCE, loss_of_a_try
from analyzer.patterns.evidence import (
    WAIT,
    Attempts,
    by_host_and_port,
    finding_of,
    first_request,
    refused_below,
    unanswered_initials,
    unanswered_syns,
)
from analyzer.patterns.finding import ERROR, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.words import FAMILIES, any_of, counted, listed, seconds, socket_words

TRIED_TOGETHER = Threshold("tried-together", 600.0, "s", "minutes: longer apart, the service itself may have changed")

PATTERN = Pattern(
    "address-family-silent",
    ERROR,
    "one host answers over one address family and never over the other",
    ("RFC 8305 §1", "RFC 6555 §1"),
    (TRIED_TOGETHER, WAIT, FITS_CHANCE),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each host, transport and port that answers in one family and in the other never."""
    failed = (
        unanswered_initials(view) | unanswered_syns(view) | refused_below(view, "quic") | refused_below(view, "tcp")
    )
    if not failed.any():
        return
    table = view.connections
    answered, elsewhere = table.equal("outcome", "answered"), ~table.equal("replied_from", "")
    for families in by_host_and_port(view):
        for family, other in (("ipv4", "ipv6"), ("ipv6", "ipv4")):
            if family not in families or other not in families:
                continue
            tried, works = families[family], families[other].where(np.asarray(answered & ~elsewhere, dtype=np.bool_))
            fails = tried.where(failed)
            heard = tried.where(np.asarray(answered | elsewhere, dtype=np.bool_))
            if fails and works and not heard and _apart(fails, works) <= TRIED_TOGETHER.ns:
                yield finding_of(PATTERN, fails, argument=_silent(fails, works))


def _apart(fails: Attempts, works: Attempts) -> int:
    """Time (ns) between the spans in which each family was tried, 0 where they overlap."""
    one, other = fails.column("request_time"), works.column("request_time")
    return int(max(min(other) - max(one), min(one) - max(other), 0))


def _silent(fails: Attempts, works: Attempts) -> Argument:
    family, other = FAMILIES[fails.family], FAMILIES[works.family]
    service = f"{'TCP' if fails.transport == 'tcp' else 'QUIC'} port {fails.port}"
    refused = sum(outcome == "refused" for outcome in fails.column("outcome"))
    by_loss = loss_of_a_try(works.tries) ** sum(fails.tries) if not refused else 0.0
    addresses = [listed(sorted(part.distinct("server_address"))) for part in (fails, works)]
    limits = advice.vantage_limits(fails.view, "tcp" if fails.transport == "tcp" else "udp") if not refused else ()
    row = fails.view.host_row(fails.address)
    if row.get("host_reason") == "name":
        limits = (*limits, "The two addresses are one host by name only: they may lead to different machines.")
    why = (*doubts.of_silence(fails), *doubts.of_errors(fails))
    return Argument(
        severity=ERROR,
        confidence=doubts.lowered(POSSIBLE if by_loss >= FITS_CHANCE.value else LIKELY, why),
        title=f"{service} of {addresses[0]} is dead over {family} and alive over {other}",
        because=(
            f"Over {family} 0 of {counted(len(fails), 'attempt')} to {addresses[0]} were answered "
            f"({len(fails) - refused:,} silent, {refused:,} refused), while over {other} "
            f"{counted(len(works), 'attempt')} to {addresses[1]} on the same port got an answer, "
            f"{seconds(_apart(fails, works))} apart; the first that failed is {first_request(fails)}."
        ),
        limitations=(*why, *limits),
        look_alikes=_look_alikes(fails),
        remedies=_remedies(fails, works),
    )


def _look_alikes(fails: Attempts) -> tuple[LookAlike, ...]:
    return (
        advice.one_way_look_alike(fails),
        LookAlike(
            "reply-from-other-address", True, f"no reply to {any_of(len(fails), 'attempt')} came from another socket"
        ),
        LookAlike(
            "socket-partial-silence",
            True,
            f"no attempt over {FAMILIES[fails.family]} to this port of the host was answered",
        ),
    )


def _remedies(fails: Attempts, works: Attempts) -> tuple[str, ...]:
    family, working = FAMILIES[fails.family], socket_words(works.address, works.port)
    return (
        f"On the server, compare the listeners of {fails.words} and {working} (`ss -lntup 'sport = :{fails.port}'`).",
        f"Compare the firewall rules of both families for port {fails.port}, on the host and on the way.",
        f"Until {family} works, withdraw the {'A' if fails.family == 'ipv4' else 'AAAA'} record of the name.",
    )
