"""A host's packets are seen in one direction only.

What it sees
    Connections of which only the requests, or only the replies, are in the capture, while nothing at all of the other
    direction is seen for that host and address family. One finding for each family and direction.

Why it matters
    "No reply" cannot be said of a direction that the capture could not see. Such attempts are undetermined.

How it decides
    Connections are marked whose server's packets could not be seen in that family. The other way about, a server's
    packets are seen and no packet to its address is. ARP, NDP or ICMP of the host prove that its frames can be seen
    here, not that its IP traffic takes this interface: the finding says whether they were.

What it cannot know
    Whether replies exist. Asymmetric routing, a capture filter, `-Q in` and a dead host all leave one direction.

Look-alikes
    quic-initial-no-reply and tcp-syn-no-reply, which are said only where the other direction can be seen.

What to do
    Capture on all interfaces (`tcpdump -i any`), without a filter on direction or source port, or at the other end too.

Seen in the wild
    Requests that enter by eth0 while the default route leaves by eth1; `tcpdump -Q in`; a SPAN port of one direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, Mask, attempts_by_family, finding_of, first_request
from analyzer.patterns.finding import INFO, LIKELY, Argument, Finding, Pattern
from analyzer.patterns.words import FAMILIES, counted, listed

PATTERN = Pattern(
    "capture-one-way",
    INFO,
    "a host's packets are seen in one direction only",
    ("tcpdump(8): -Q", "RFC 7011 §2: observation point"),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each family with requests only, and one for each with replies only."""
    for attempts in attempts_by_family(view, _requests_only(view)):
        yield finding_of(PATTERN, attempts, argument=_one_way(attempts, "requests"))
    for attempts in attempts_by_family(view, _replies_only(view)):
        yield finding_of(PATTERN, attempts, argument=_one_way(attempts, "replies"))


def _requests_only(view: View) -> Mask:
    """QUIC and TCP only: other UDP has services that never reply."""
    table = view.connections
    two_sided = table.equal("transport", "quic", "tcp")
    unseen = table["one_way"] | table.equal("outcome_reason", "one-way")
    return np.asarray(two_sided & unseen & (table["server_packets"] <= 0), dtype=np.bool_)


def _replies_only(view: View) -> Mask:
    table = view.connections
    two_sided = table.equal("transport", "quic", "tcp")
    mask = np.asarray(two_sided & (table["server_packets"] > 0) & (table["client_packets"] <= 0), dtype=np.bool_)
    for row in np.flatnonzero(mask):
        mask[row] = not _number(view.host_row(str(table["server_address"][row])), "packets_to")
    return mask


def _number(row: Mapping[str, object], name: str) -> int:
    return int(str(row.get(name, 0)))


def _one_way(attempts: Attempts, seen: str) -> Argument:
    family, servers = FAMILIES[attempts.family], sorted(attempts.distinct("server_address"))
    unseen = "from" if seen == "requests" else "to"
    neighbours = [address for address in servers if attempts.view.host_row(address).get("neighbour_seen")]
    proof = (
        f"ARP or NDP of {listed(neighbours)} was seen, so frames of that host can be seen here, but its {family} "
        "traffic may take another interface."
        if neighbours
        else f"No ARP or NDP of {listed(servers)} was seen: nothing proves that its frames can be seen here at all."
    )
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"Only {seen} over {family} are seen for {listed(servers)}",
        because=(
            f"Of {counted(len(attempts), 'connection')} over {family} to {listed(servers)} this capture holds the "
            f"{seen} and no packet {unseen} {'it' if len(servers) == 1 else 'them'} at all; "
            f"the first is {first_request(attempts)}."
        ),
        limitations=(
            proof,
            "Whether replies exist: asymmetric routing, a capture filter and a dead host look the same.",
        ),
        remedies=(
            "Capture with `tcpdump -i any` and without a filter on direction or source, or at the other end too.",
            f"`ip route get {attempts.column('client_address')[0]}` on the server shows the interface of the way back.",
        ),
    )
