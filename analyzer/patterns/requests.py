"""What patterns read off the table of exchanges: questions to resolvers and neighbours, and how a finding is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.exchanges.view import View
from analyzer.patterns.finding import MOST_ENTRIES, Argument, Finding, Pattern, Record
from analyzer.patterns.words import one_of_addresses

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Requests:
    """Some rows of ``view.exchanges`` with one kind, family, server address and port; ``all_rows`` are all of those."""

    view: View
    rows: NDArray[np.int64]
    all_rows: NDArray[np.int64]
    kind: str
    family: str
    address: str
    port: int

    def column(self, name: str) -> list[Any]:
        """A column of these requests as plain Python values."""
        values: list[Any] = self.view.exchanges[name][self.rows].tolist()
        return values

    def of(self, rows: NDArray[np.int64]) -> Requests:
        """Other requests to the same place."""
        return replace(self, rows=rows)

    def where(self, mask: Mask) -> Requests:
        """Those of all requests to this place that a mask over the exchanges chooses."""
        return self.of(self.all_rows[mask[self.all_rows]])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def clients(self) -> list[str]:
        """The addresses that asked, in order of their first request."""
        return list(dict.fromkeys(self.column("client_address")))

    @property
    def names(self) -> list[str]:
        """The names asked for, most often first."""
        return [name for name, _ in Counter(self.column("name")).most_common()]


def requests_by_place(view: View, mask: Mask, kinds: Sequence[str]) -> list[Requests]:
    """The chosen exchanges of some kinds by kind, family, server address and port, in order of the first chosen one."""
    table = view.exchanges
    of_kinds = np.flatnonzero(table.equal("kind", *kinds))
    columns = [table[name][of_kinds].tolist() for name in ("kind", "family", "server_address", "server_port")]
    places: dict[tuple[str, str, str, int], list[int]] = {}
    for row, key in zip(of_kinds.tolist(), zip(*columns, strict=True), strict=True):
        places.setdefault(key, []).append(row)
    groups = []
    for key, members in places.items():
        all_rows = np.array(members, np.int64)
        if len(rows := all_rows[mask[all_rows]]):
            groups.append(Requests(view, rows, all_rows, *key))
    return sorted(groups, key=lambda group: int(group.rows[0]))


def cited(requests: Requests) -> list[Record]:
    """Every request and reply, in order of the capture and record."""
    parts = (requests.column("request_records"), requests.column("evidence_records"))
    return sorted({(int(capture), int(record)) for part in parts for cell in part for capture, record in cell})


def finding_of_requests(
    pattern: Pattern, affected: Requests, *, argument: Argument, connections: Sequence[str] = ()
) -> Finding:
    """A finding about these requests, counted among all to the same place."""
    records = cited(affected)
    everything = affected.of(affected.all_rows)
    seen = Counter(everything.column("outcome"))
    times = [t for name in ("last_request_time", "reply_time", "request_time") for t in affected.column(name)]
    clients = dict.fromkeys(zip(affected.column("client_address"), affected.column("client_port"), strict=True))
    transports = set(affected.column("transport"))
    return Finding(
        pattern=pattern.id,
        severity=argument.severity,
        confidence=argument.confidence,
        title=argument.title,
        because=argument.because,
        transport=transports.pop() if len(transports) == 1 else "",
        family=affected.family,
        server=(affected.address, affected.port),
        name=affected.names[0] if affected.kind == "dns" else "",
        clients=tuple(clients)[:MOST_ENTRIES],
        connections=tuple(connections),
        counts={
            "attempts": len(everything),
            **{name: seen[name] for name in ("answered", "refused", "silent", "undetermined")},
            "affected": len(affected),
            "clients": len(affected.clients),
            "records": len(records),
        },
        first_time=min(affected.column("request_time")),
        last_time=max(times),
        records=tuple(records[:MOST_ENTRIES]),
        display_filter=_filter(affected),
        limitations=argument.limitations,
        look_alikes=argument.look_alikes,
        remedies=argument.remedies,
    )


def _filter(requests: Requests) -> str:
    if requests.kind == "arp":
        return f"arp.dst.proto_ipv4 == {requests.address} || arp.src.proto_ipv4 == {requests.address}"
    if requests.kind == "ndp":
        target = requests.address
        return f"icmpv6.nd.ns.target_address == {target} || icmpv6.nd.na.target_address == {target}"
    clients = requests.clients
    return f"dns && {one_of_addresses(requests.family, [requests.address])}" + (
        f" && {one_of_addresses(requests.family, clients)}" if len(clients) == 1 else ""
    )


def first_record(requests: Requests) -> str:
    """``record 7``, or ``record 7 of client.pcap`` where there are several captures."""
    capture, record = requests.column("request_records")[0][0]
    names = [known.name for known in requests.view.captures if known.index == capture]
    return f"record {record} of {names[0]}" if len(requests.view.captures) > 1 and names else f"record {record}"
