"""A QUIC client asks as it should, and no datagram comes back.

What it sees
    A client Initial with a complete ClientHello in a UDP payload of at least 1200 bytes and a version whose Initials
    can be opened; no datagram back on any path and no ICMP error that quotes it, within 3 s of the first one, however
    often it was repeated. One finding for each server socket and address family.

Why it matters
    The client hears nothing until its own timeout, often 4 to 30 s, then falls back to TCP or gives up. Servers log
    nothing: the handshake never began as far as they can tell.

How it decides
    The outcome of the connection is silent, the request is one that a server must answer, and the capture ran on for
    `wait` after it. Where most attempts on the socket were answered and random loss, estimated from the tries of those,
    explains the silent ones (`fits-chance`), it is a warning and only possible. Answered after `wait`: info.

What it cannot know
    Which side of the capture point is at fault. Seen at the server, a drop by its own firewall, a send that fails and a
    process that does not read look the same; seen at the client, so do loss on the way out, a silent server and loss on
    the way back.

Look-alikes
    udp-port-unreachable (an ICMP error came), reply-from-other-address (a reply came from elsewhere),
    quic-client-hello-incomplete and quic-initial-undersized (a server must stay silent), quic-version-mismatch,
    socket-partial-silence (other 4-tuples of the socket are answered), capture-one-way (replies cannot be seen here).

What to do
    `ss -ulnp` for the listener and its address, firewall counters, `nstat` for datagrams that reached a socket, and
    `strace -e trace=sendmsg` for sends that the kernel refuses. Then capture at the other end in the same minutes.

Seen in the wild
    Caddy and quic-go on FreeBSD, replies over IPv4 refused by the kernel (caddyserver/caddy#6073, quic-go#4304);
    UDP 443 not opened in ufw, a Kubernetes Service or a load balancer (curl#13162); HAProxy not run as root
    (haproxy#3044).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns import advice, doubts
from analyzer.patterns.chance import FITS_CHANCE, fits_chance
from analyzer.patterns.evidence import (
    SMALLEST_INITIAL,
    WAIT,
    Attempts,
    attempts_by_socket,
    finding_of,
    first_request,
    met_refusal,
    shortest_wait,
    unanswered_initials,
)
from analyzer.patterns.finding import ERROR, INFO, LIKELY, POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.words import FAMILIES, any_of, counted, seconds, sentence, share

PATTERN = Pattern(
    "quic-initial-no-reply",
    ERROR,
    "a complete QUIC client Initial gets no datagram back",
    ("RFC 9000 §14.1", "RFC 9000 §17.2.2", "RFC 9002 §6.2.2"),
    (WAIT, SMALLEST_INITIAL, FITS_CHANCE),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket with valid Initials that nothing answered, and one for late answers."""
    for attempts in attempts_by_socket(view, unanswered_initials(view)):
        yield finding_of(PATTERN, attempts, argument=_no_reply(attempts))
    table = view.connections
    late = table.equal("transport", "quic") & table.equal("outcome", "answered") & table.equal("replied_from", "")
    for attempts in attempts_by_socket(view, late & (table["reply_latency_s"] > WAIT.value)):
        yield finding_of(PATTERN, attempts, argument=_late(attempts))


def _no_reply(attempts: Attempts) -> Argument:
    table = attempts.view.connections
    answered = attempts.where(table.equal("outcome", "answered"))
    by_chance = fits_chance(attempts.tries, answered.tries)
    family = FAMILIES[attempts.family]
    which = share(len(attempts), len(attempts.socket_rows), "QUIC attempt")
    repeats = sum(attempts.tries) - len(attempts)
    because = (
        f"{which} to {attempts.words} over {family} got no datagram back although the capture ran on for "
        f"{seconds(shortest_wait(attempts))} or more after each and the requests "
        f"were repeated {counted(repeats, 'time')}; the first is {first_request(attempts)}"
    )
    if by_chance:
        because += (
            f"; random loss explains it, since {counted(len(answered), 'attempt')} on the same socket got an answer"
        )
    why = doubts.of_silence(attempts)
    return Argument(
        severity=WARNING if by_chance else ERROR,
        confidence=doubts.lowered(POSSIBLE if by_chance or sum(attempts.tries) == 1 else LIKELY, why),
        title=f"QUIC over {family} to {attempts.words}: no reply to the client's Initial",
        because=sentence(because),
        limitations=(*why, *doubts.unexplained_gaps(attempts), *advice.vantage_limits(attempts.view)),
        look_alikes=_look_alikes(attempts, answered),
        remedies=advice.silent_udp_remedies(attempts),
    )


def _look_alikes(attempts: Attempts, answered: Attempts) -> tuple[LookAlike, ...]:
    count, smallest = len(attempts), min(attempts.column("largest_request"))
    quoted = attempts.where(met_refusal(attempts.view))
    icmp = f"no ICMP error refuses {any_of(count, 'request')}"
    if quoted:
        icmp += f", but {counted(len(quoted), 'other attempt')} on the same socket met one"
    others = counted(len(answered), "other attempt") if answered else "no attempt"
    elsewhere = f"no datagram from another socket carries the connection IDs of {any_of(count, 'request')}"
    return (
        LookAlike("udp-port-unreachable", not quoted, icmp),
        LookAlike("reply-from-other-address", True, elsewhere),
        LookAlike(
            "quic-client-hello-incomplete", True, f"the ClientHello was read whole in {counted(count, 'request')}"
        ),
        LookAlike("quic-initial-undersized", True, f"the smallest UDP payload of a request is {smallest:,} bytes"),
        advice.version_look_alike(attempts),
        LookAlike("socket-partial-silence", not answered, f"{others} on this socket and family got an answer"),
        advice.one_way_look_alike(attempts),
        *advice.other_icmp_look_alikes(attempts),
    )


def _late(attempts: Attempts) -> Argument:
    wait, slowest = f"{WAIT.value:g} s", max(attempts.column("reply_latency_s"))
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"QUIC over {FAMILIES[attempts.family]} to {attempts.words}: answered only after {wait}",
        because=sentence(
            f"{share(len(attempts), len(attempts.socket_rows), 'QUIC attempt')} to {attempts.words} got the first "
            f"datagram back later than {wait} after the first Initial, the slowest after {slowest:.1f} s; "
            f"the first is {first_request(attempts)}."
        ),
        limitations=("A capture at one point cannot tell a slow server from requests lost before the last repeat.",),
        remedies=("Compare with a capture at the other end: a request that never arrived there was lost on the way.",),
    )
