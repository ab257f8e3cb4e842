"""A host leaves QUIC unanswered over a family while it answers TCP over the same family.

What it sees
    Every QUIC attempt to a host over one address family is silent or refused by an ICMP error, and TCP connections to
    the same host over the same family are answered. It sums up the findings about the QUIC sockets.

Why it matters
    Users fall back to HTTP/2, later by the time that their client waits for QUIC; one that insists on HTTP/3 fails.

How it decides
    No QUIC attempt of that host and family was answered on any port, nor from elsewhere. The TCP connection counts if
    it is on the same port or carries TLS. The delay is the time from a client's first Initial to its next SYN to the
    host, within `fallback`.

What it cannot know
    Whether the host means to offer QUIC at all: the Alt-Svc header or HTTPS record that sent the client there is
    usually encrypted. Which device drops the datagrams.

Look-alikes
    address-family-silent (QUIC works over the other family), quic-handshake-closed (the server answers and refuses),
    a QUIC port that differs from the TCP port: an Alt-Svc that names an internal port.

What to do
    Open UDP on every hop, with the port of the TCP listener; or stop advertising h3.

Seen in the wild
    ufw's profile that opens TCP alone (curl#13162), a Service without a UDP port (traefik-helm-chart#929), a listener
    that the proxy rejected while it still advertised h3 (Envoy Gateway), Alt-Svc with an internal port (gateway#2882).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from analyzer.columns import median
from analyzer.exchanges.view import View
from analyzer.patterns import advice, doubts
from analyzer.patterns.evidence import (
    SMALLEST_INITIAL,
    WAIT,
    Attempts,
    answered,
    by_host_and_family,
    finding_of,
    first_request,
    refused_below,
    unanswered_initials,
)
from analyzer.patterns.finding import LIKELY, POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.words import FAMILIES, counted, listed, seconds, sentence

FALLBACK = Threshold(
    "fallback", 30.0, "s", "RFC 9000 §10.1: clients commonly give up an attempt within an idle timeout of 30 s"
)

PATTERN = Pattern(
    "quic-blocked-tcp-answered",
    WARNING,
    "QUIC is unanswered while TCP to the same host is answered",
    ("RFC 9114 §3.1.2", "RFC 9308 §2"),
    (FALLBACK, WAIT, SMALLEST_INITIAL),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each host and family whose QUIC sockets all fail while TCP is answered."""
    failed = unanswered_initials(view) | refused_below(view, "quic")
    if not failed.any():
        return
    table = view.connections
    heard = table.equal("outcome", "answered") | ~table.equal("replied_from", "")
    for transports in by_host_and_family(view):
        quic, tcp = transports.get("quic"), transports.get("tcp")
        if quic is None or tcp is None or quic.where(heard):
            continue
        fails, works = quic.where(failed), _usable(quic, tcp)
        if fails and works:
            yield finding_of(PATTERN, fails, argument=_blocked(fails, works))


def _usable(quic: Attempts, tcp: Attempts) -> Attempts:
    """Answered TCP connections that could serve in place of QUIC: on one of its ports, or with TLS."""
    works, ports = tcp.where(answered(tcp.view)), quic.distinct("server_port")
    columns = (works.column(name) for name in ("server_port", "sni", "alpn", "tls_version"))
    stands_in = [port in ports or any(tls) for port, *tls in zip(*columns, strict=True)]
    return works.of(works.rows[np.array(stands_in, np.bool_)])


def _delays(fails: Attempts, works: Attempts) -> list[int]:
    """ns from a client's QUIC attempt to its next SYN to the host, where no other attempt came between them."""
    steps: dict[str, list[tuple[int, bool]]] = {}
    for attempts, is_syn in ((fails, False), (works, True)):
        for client, time in zip(attempts.column("client_address"), attempts.column("request_time"), strict=True):
            steps.setdefault(client, []).append((time, is_syn))
    pairs = (pair for client in steps for pair in pairwise(sorted(steps[client])))
    delays = [syn - asked for (asked, first), (syn, second) in pairs if second and not first and asked >= 0]
    return [delay for delay in delays if delay <= FALLBACK.ns]


def _blocked(fails: Attempts, works: Attempts) -> Argument:
    family = FAMILIES[fails.family]
    refused = sum(outcome == "refused" for outcome in fails.column("outcome"))
    ports, tried = sorted(works.distinct("server_port")), sorted(fails.distinct("server_port"))
    because = (
        f"0 of {counted(len(fails), 'QUIC attempt')} to {fails.words} over {family} were answered "
        f"({len(fails) - refused:,} silent, {refused:,} refused), while {counted(len(works), 'TCP connection')} to the "
        f"same host over {family} got an answer; the first QUIC request is {first_request(fails)}"
    )
    if delays := _delays(fails, works):
        because += (
            f"; the next SYN of the same client came {seconds(round(median(delays)))} later (median of {len(delays):,})"
        )
    quic_ports = listed([str(port) for port in tried])
    remedies = [
        f"Open UDP {quic_ports} over {family} wherever TCP is open: host firewall, security group, load balancer.",
        "Or stop advertising h3 until it works: Alt-Svc header, HTTPS record.",
    ]
    if not set(ports) & set(tried):
        remedies.insert(
            0, f"TCP is served on port {ports[0]}, QUIC was tried on {quic_ports}: check the port in Alt-Svc."
        )
    why = (*doubts.of_silence(fails), *doubts.of_errors(fails))
    return Argument(
        severity=WARNING,
        confidence=doubts.lowered(POSSIBLE if sum(fails.tries) == 1 and not refused else LIKELY, why),
        title=f"QUIC to {fails.words} over {family} is unanswered, TCP to the same host works",
        because=sentence(because),
        limitations=(*why, "Whether the host means to offer QUIC: what sent the clients there is usually encrypted."),
        look_alikes=(
            LookAlike("quic-handshake-closed", True, f"no QUIC packet came from this host over {family}"),
            advice.one_way_look_alike(fails),
        ),
        remedies=tuple(remedies),
    )
