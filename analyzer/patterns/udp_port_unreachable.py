"""An ICMP error quotes a UDP request: nothing listens there, or a filter says no.

What it sees
    An ICMP or ICMPv6 error that quotes a request to a server's UDP socket: port unreachable, administratively
    prohibited, or another unreachable. One finding for each server socket and address family.

Why it matters
    QUIC clients ignore ICMP, since anybody can forge it, and go on until their own timeout; the error is therefore
    plain in a capture and invisible to the user.

How it decides
    Attempts are marked whose request is quoted. Port unreachable from the addressed host itself is proof that the
    datagram arrived and no socket took it. Any other code, or another source, is a filter or router on the way. Silent
    attempts by a client that met the error on the same socket are counted in, because hosts send ICMP errors at a
    limited rate. An attempt that was answered all the same makes it info; a scan of ports too.

What it cannot know
    A firewall rule that rejects (`-j REJECT`) sends the same port unreachable, from the same address, as a closed port.

Look-alikes
    quic-initial-no-reply (no ICMP error at all); errors that quote datagrams from server to client, which are common
    and harmless, are no evidence here; traceroute, which provokes port unreachable on purpose, is left out.

What to do
    `ss -ulnp` on the server: the process must listen on the family that fails. nginx needs a `listen [::]:443 quic` of
    its own; a socket unit `ListenDatagram=0.0.0.0:443` serves IPv4 alone. If a socket is there, look for REJECT rules.

Seen in the wild
    A systemd socket bound to one family (podman-caddy-socket-activation#17); a server on 0.0.0.0 and `localhost` that
    resolves to ::1 (quinn#743); a filtering gateway that rejects UDP 443 (eblocker#399); js-quic#4.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns import advice, doubts
from analyzer.patterns.evidence import (
    SCAN_PORTS,
    Attempts,
    Mask,
    attempts_by_socket,
    finding_of,
    first_request,
    heard_nothing,
    met_refusal,
    without_scans,
)
from analyzer.patterns.finding import CERTAIN, ERROR, INFO, LIKELY, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.words import FAMILIES, counted, sentence, share

FIRST_TRACEROUTE_PORT = Threshold("first-traceroute-port", 33434, "UDP port", "traceroute(8): the default first port")
LAST_TRACEROUTE_PORT = Threshold("last-traceroute-port", 33523, "UDP port", "traceroute(8): 30 hops x 3 probes")

PATTERN = Pattern(
    "udp-port-unreachable",
    ERROR,
    "an ICMP error quotes a UDP request",
    ("RFC 792", "RFC 1122 §3.2.2.1", "RFC 4443 §3.1", "RFC 4443 §2.4 (f)"),
    (FIRST_TRACEROUTE_PORT, LAST_TRACEROUTE_PORT, SCAN_PORTS),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each UDP socket whose requests are quoted by ICMP errors, and one for each scan."""
    table = view.connections
    refused = _quoted(view) & table.equal("outcome", "refused")
    silent = heard_nothing(view, "quic") | heard_nothing(view, "udp")
    kept, scans = without_scans(attempts_by_socket(view, refused))
    for attempts in kept:
        rated = _of_clients(attempts.where(silent), attempts.clients)
        affected = attempts.of(np.union1d(attempts.rows, rated.rows))
        yield finding_of(PATTERN, affected, argument=_refused(attempts, rated))
    for scan in scans:
        yield finding_of(PATTERN, scan, argument=advice.scan_argument(scan, "met ICMP errors"))
    for attempts in attempts_by_socket(view, _quoted(view) & table.equal("outcome", "answered")):
        yield finding_of(PATTERN, attempts, argument=_answered(attempts))


def _of_clients(attempts: Attempts, clients: set[str]) -> Attempts:
    chosen = [
        row for row, client in zip(attempts.rows, attempts.column("client_address"), strict=True) if client in clients
    ]
    return attempts.of(np.array(chosen, np.int64))


def _quoted(view: View) -> Mask:
    table = view.connections
    udp = table.equal("transport", "quic", "udp")
    ports = table["server_port"]
    traced = (ports >= FIRST_TRACEROUTE_PORT.value) & (ports <= LAST_TRACEROUTE_PORT.value)
    return np.asarray(udp & met_refusal(view) & ~(traced & table.equal("transport", "udp")), dtype=np.bool_)


def _refused(attempts: Attempts, rated: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    which = share(len(attempts), len(attempts.socket_rows), "attempt")
    pairs = set(zip(attempts.column("icmp"), attempts.column("refused_by"), strict=True))
    closed = pairs == {("port-unreachable", attempts.address)}
    what = "nothing is bound there" if closed else "a filter or router refuses the request"
    because = (
        f"{which} to UDP {attempts.words} over {family} met an ICMP error that "
        f"quotes the request: {advice.icmp_words(attempts)}; the first request is {first_request(attempts)}"
    )
    if rated:
        because += f"; {counted(len(rated), 'further attempt')} by the same clients heard nothing at all"
    why = doubts.of_errors(attempts)
    return Argument(
        severity=ERROR,
        confidence=doubts.lowered(CERTAIN if closed else LIKELY, why),
        title=f"UDP {attempts.words} over {family}: {what}",
        because=sentence(because),
        limitations=(
            *why,
            "A REJECT rule and a closed port send the same error: `ss -ulnp` and `nft list ruleset` tell.",
        ),
        look_alikes=(
            LookAlike("quic-initial-no-reply", True, "the requests were answered by ICMP errors, which are cited"),
            LookAlike("reply-from-other-address", True, "the errors quote requests of the client, no late replies"),
        ),
        remedies=_remedies(attempts, closed=closed),
    )


def _remedies(attempts: Attempts, *, closed: bool) -> tuple[str, ...]:
    family = FAMILIES[attempts.family]
    if not closed:
        return (f"Find the rule that rejects UDP {attempts.port} over {family} at the address that sent the error.",)
    listener = f"On the server, `ss -ulnp 'sport = :{attempts.port}'` must show a process on {attempts.words}"
    remedies = [f"{listener} or a wildcard that takes {family}; then look for REJECT rules (`nft list ruleset`)."]
    if advice.other_family_answers(attempts):
        remedies.append(
            f"The other family is answered: add a listener for {family} (nginx: a `listen` line of its own)."
        )
    return tuple(remedies)


def _answered(attempts: Attempts) -> Argument:
    return Argument(
        severity=INFO,
        confidence=CERTAIN,
        title=f"UDP {attempts.words}: ICMP errors, although the requests were answered",
        because=(
            f"{counted(len(attempts), 'answered attempt')} also met an ICMP error that quotes the request: "
            f"{advice.icmp_words(attempts)}; the first is {first_request(attempts)}."
        ),
    )
