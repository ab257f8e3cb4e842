"""A neighbour does not answer ARP or Neighbour Solicitations, so what waits for it never leaves.

What it sees
    Repeated questions for the link address of one target, and no answer. One finding for each target and family, with
    the connections between asker and target that wait.

Why it matters
    The packet that caused the question stays in the asker's queue and is dropped after about 3 s. On the wire nothing
    else is seen: the request or the reply is simply not there.

How it decides
    Asked twice or more, unanswered, the capture ran on for `wait`, and it shows packets to the asker, so that an answer
    would be seen. It is an error where something waits: a connection between the two, or a name that the asker resolved
    to the target. Probes for duplicate addresses and an asker with `sweep` or more silent targets are left out.

What it cannot know
    Whether the neighbour is down, in another VLAN, or not on this link at all: an address that is reached through a
    router must not be asked for here.

Look-alikes
    tcp-syn-no-reply (the SYN left), capture-one-way (answers to others cannot be seen on a switched port).

What to do
    `ip neigh show` on the asker (FAILED, INCOMPLETE), `ip route get TARGET`: is it meant to be on this link?

Seen in the wild
    quic-go under asymmetric routing pins replies to the ingress interface and asks there for the client's own address;
    a stale address record for a host that was switched off; a /24 configured as /16.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import WAIT
from analyzer.patterns.finding import CERTAIN, ERROR, INFO, LIKELY, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.requests import Mask, Requests, finding_of_requests, first_record, requests_by_place
from analyzer.patterns.words import FAMILIES, counted, listed, sentence

SWEEP = Threshold("sweep", 10, "silent targets of one asker", "a host that looks for its neighbours, not for one")
AROUND = Threshold(
    "around", 5.0, "s", "Linux gives a neighbour up after 3 questions 1 s apart and asks again on demand"
)

PATTERN = Pattern(
    "neighbour-no-reply",
    ERROR,
    "a neighbour does not answer ARP or Neighbour Solicitations",
    ("RFC 826", "RFC 4861 §7.2.2", "RFC 1122 §2.3.2"),
    (WAIT, SWEEP, AROUND),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each target that did not answer."""
    table = view.exchanges
    silent: Mask = np.asarray(table.equal("outcome", "silent") & (table["repeats"] >= 1) & ~table["one_way"], np.bool_)
    groups = requests_by_place(view, silent, ("arp", "ndp"))
    targets: dict[str, set[str]] = {}
    for asked in groups:
        for asker in asked.clients:
            targets.setdefault(asker, set()).add(asked.address)
    sweeping = {asker for asker, silent_targets in targets.items() if len(silent_targets) >= SWEEP.value}
    for asked in groups:
        keep = [asker not in sweeping for asker in asked.column("client_address")]
        asked = asked.of(asked.rows[np.array(keep, np.bool_)])
        if asked:
            waiting = _waiting(asked)
            names = view.connections["connection"][waiting].tolist()
            argument = _no_reply(asked, waiting, _resolved(asked))
            yield finding_of_requests(PATTERN, asked, argument=argument, connections=names)


def _waiting(asked: Requests) -> NDArray[np.int64]:
    """Connections without an answer between an asker and the target, begun around the questions."""
    view, table = asked.view, asked.view.connections
    askers = {view.host(asker) for asker in asked.clients}
    begin, end = min(asked.column("request_time")) - AROUND.ns, max(asked.column("last_request_time")) + AROUND.ns
    near = (table["first_time"] >= begin) & (table["first_time"] <= end) & ~table.equal("outcome", "answered")
    found = []
    for row in np.flatnonzero(near).tolist():
        client, server = table["client_address"][row], table["server_address"][row]
        other = server if client == asked.address else client if server == asked.address else ""
        if other and view.host(other) in askers:
            found.append(row)
    return np.array(found, np.int64)


def _resolved(asked: Requests) -> list[str]:
    """Names that an asker's host resolved to the target and could not reach."""
    view, table = asked.view, asked.view.resolutions
    askers = {view.host(asker) for asker in asked.clients}
    rows = zip(*(table[name].tolist() for name in ("name", "addresses", "client_address", "outcome")), strict=True)
    return list(
        dict.fromkeys(
            name
            for name, addresses, client, outcome in rows
            if asked.address in addresses.split(",") and outcome != "answered" and view.host(client) in askers
        )
    )


def _no_reply(asked: Requests, waiting: NDArray[np.int64], names: list[str]) -> Argument:
    protocol, target = "ARP" if asked.kind == "arp" else "Neighbour Solicitation", asked.address
    packets = counted(sum(1 + repeats for repeats in asked.column("repeats")), "time")
    askers = listed(asked.clients)
    waits = []
    if len(waiting):
        is_client = target in asked.view.connections["client_address"][waiting].tolist()
        what = "replies to it" if is_client else "requests to it"
        waits.append(f"{what} wait: {counted(len(waiting), 'connection')} between them without an answer here")
    if names:
        waits.append(f"{listed(names)} was resolved to it")
    return Argument(
        severity=ERROR if waits else INFO,
        confidence=CERTAIN if len(asked.all_rows) == len(asked) else LIKELY,
        title=f"{target} does not answer the {protocol}s of {askers}",
        because=sentence(
            f"{askers} asked {packets} by {protocol} for {target} over {FAMILIES[asked.family]} and got no answer; "
            f"{'; '.join(waits) or 'nothing in this capture waits for it'}; the first is {first_record(asked)}"
        ),
        limitations=(
            "Whether the neighbour is down or not on this link: the asker's routes and a capture there tell.",
        ),
        look_alikes=(LookAlike("capture-one-way", True, "packets to the asker are in this capture"),),
        remedies=(
            f"On {asked.clients[0]}: `ip neigh show {target}`; `ip route get {target}`: a router if it is far.",
            "If a server asks for a distant client, its replies are pinned to the wrong interface: bind the address.",
        ),
    )
