"""One client uses nearly all of its local ports towards one server socket.

What it sees
    So many distinct client ports to one server socket that the usual range is nearly used up, and ports used again.

Why it matters
    When no port is free, connect() fails inside the host ("Cannot assign requested address") and no packet leaves.

How it decides
    `ports` or more distinct ports of one client address to one server socket, within the capture, and some of them used
    more than once. Always possible only: the failing connect() itself is not on the wire.

What it cannot know
    The host's real range (net.ipv4.ip_local_port_range), other connections of the same host, several hosts behind one
    address.

Look-alikes
    A port scan in reverse, load generators with a wide range, a NAT for many hosts.

What to do
    Keep connections open, add server or client addresses, widen the range; `ss -tan state time-wait | wc -l`.

Seen in the wild
    Proxies that bind before they connect (envoy#44747), cilium#36427, trafficserver#3751.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, finding_of, first_request
from analyzer.patterns.finding import POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.words import FAMILIES, counted, sentence

PORTS = Threshold("ports", 25_000, "distinct ports", "Linux hands out 32768 to 60999, 28,232 ports, by default")

PATTERN = Pattern(
    "ephemeral-port-exhaustion",
    WARNING,
    "one client uses nearly all of its ports towards one socket",
    ("RFC 6056 §3", "ip(7)"),
    (PORTS,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each client and server socket between which nearly all ports are used."""
    if len(view.connections) < PORTS.value:
        return
    for socket in attempts_by_socket(view, np.asarray(view.connections["request_time"] >= 0, np.bool_)):
        if len(socket) < PORTS.value:
            continue
        clients = np.array(socket.column("client_address"))
        names, counts = np.unique(clients, return_counts=True)
        for client in names[counts >= PORTS.value].tolist():
            own = socket.of(socket.rows[clients == client])
            ports = len(own.distinct("client_port"))
            if ports >= PORTS.value and ports < len(own):
                yield finding_of(PATTERN, own, argument=_exhausted(own, client, ports))


def _exhausted(attempts: Attempts, client: str, ports: int) -> Argument:
    return Argument(
        severity=WARNING,
        confidence=POSSIBLE,
        title=f"{client} uses nearly all of its ports towards {attempts.words}",
        because=sentence(
            f"{client} made {counted(len(attempts), 'attempt')} to {attempts.words} over {FAMILIES[attempts.family]} "
            f"from {counted(ports, 'distinct port')}, and used ports again; the first is {first_request(attempts)}"
        ),
        limitations=("A connect() that fails for want of a port leaves no packet: the client's log tells.",),
        look_alikes=(
            LookAlike("no-address-family-fallback", True, "attempts of this client to that address are seen"),
        ),
        remedies=(
            "Keep connections open (keep-alive, pools), or spread them over more addresses.",
            "`sysctl net.ipv4.ip_local_port_range` and `ss -tan state time-wait | wc -l` on the client.",
        ),
    )
