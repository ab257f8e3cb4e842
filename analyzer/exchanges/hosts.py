"""The hosts behind the addresses: who was seen sending and receiving, at which link address, under which name.

Two addresses are one host where the same name leads to both (SNI, DNS answer), or where ARP *and* Neighbour Discovery
give them one link address that answers for no more than ``MOST_ADDRESSES`` per family: a gateway that answers for
others is none.
ARP and Neighbour Discovery prove that a host's frames can be seen here, not that its IP traffic takes this interface;
they are counted apart from packets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

from analyzer.columns import Table, grouped
from analyzer.events import flows as fl
from analyzer.events.connection import Flows
from analyzer.events.lookups.dns import Lookup
from analyzer.events.lookups.neighbours import is_discovery, neighbour_messages
from analyzer.exchanges.attributes import Attributes
from analyzer.exchanges.view import HOSTS

MOST_ADDRESSES = 3

_NEVER = np.iinfo(np.int64).max


class Hosts:
    """Counts per address, and groups of addresses."""

    def __init__(self, attributes: Attributes, lookups: Iterable[Lookup] = ()) -> None:
        self.sent: dict[str, list[int]] = {}  # address -> packets, first time, last time
        self.received: Counter[str] = Counter()
        self.family: dict[str, str] = {}
        self.link_address: dict[str, str] = {}
        self.neighbour_seen: set[str] = set()
        self.names: dict[str, Counter[str]] = defaultdict(Counter)
        self.group: dict[str, str] = {}
        self.reason: dict[str, str] = {}
        self._count_packets(attributes)
        self._read_neighbours(attributes.flows)
        self._read_server_names(attributes)
        self._read_answers(lookups)
        self._join()

    def same(self, address: str) -> str:
        """An address that stands for the host of ``address``."""
        root = address
        while self.group.get(root, root) != root:
            root = self.group[root]
        return root

    def may_be_one(self, address: str, other: str) -> bool:
        """Whether two addresses are one host, or of two families and neither is known to have one in the other's."""
        if self.same(address) == self.same(other):
            return True
        if (":" in address) == (":" in other):
            return False
        return not (self._has_both(address) or self._has_both(other))

    def _has_both(self, address: str) -> bool:
        """Whether the host of an address is known to have routable addresses in both families."""
        return self.same(address) in self._dual

    def was_seen_sending(self, address: str) -> bool:
        """Whether any IP packet of this host was seen, Neighbour Discovery apart, in either family."""
        return self.same(address) in self._senders

    def was_seen_receiving(self, address: str) -> bool:
        """Whether any IP packet to this host was seen, Neighbour Discovery apart, in either family."""
        return self.same(address) in self._receivers

    def _count_packets(self, attributes: Attributes) -> None:
        """Add up packets per address from the counters of the flows, Neighbour Discovery left out."""
        flows, ends = attributes.flows, attributes.addresses
        state = flows.scan.table.state
        packets = (state[:, fl.RECORDS] - state[:, fl.DUPLICATES]).reshape(-1, 2)
        rows = flows.scan.rows
        discovery = np.flatnonzero(is_discovery(flows) & (rows.reason & fl.IS_DUPLICATE == 0))
        np.subtract.at(packets, (rows.flow[discovery], rows.direction[discovery]), 1)
        # Every end of every flow: all a, then all b. An end sends in its own direction and receives in the other.
        sent, received = packets.T.reshape(-1), packets.T[::-1].reshape(-1)
        first, last = (state[:, column].reshape(-1, 2).T.reshape(-1) for column in (fl.FIRST_TIME, fl.LAST_TIME))
        order, begins = ends.order, ends.begins
        earliest = np.minimum.reduceat(np.where(sent > 0, first, _NEVER)[order], begins) if len(begins) else begins
        latest = np.maximum.reduceat(np.where(sent > 0, last, -1)[order], begins) if len(begins) else begins
        totals = (np.add.reduceat(column[order], begins) if len(begins) else begins for column in (sent, received))
        columns = (column.tolist() for column in (*totals, earliest, latest))
        for address, family, n_sent, n_received, since, until in zip(ends.texts, ends.families, *columns, strict=True):
            self.family[address] = f"ipv{family}"
            self.received[address] = n_received
            if n_sent:
                self.sent[address] = [n_sent, since, until]

    def _read_server_names(self, attributes: Attributes) -> None:
        """Names that clients offered."""
        servers, names = attributes.servers, attributes.server_names
        for same in grouped([servers.codes, names.codes]):
            if name := names.words[names.codes[same[0]]]:
                self.names[servers.words[servers.codes[same[0]]]][name] += len(same)

    def _read_neighbours(self, flows: Flows) -> None:
        """Link addresses from ARP and Neighbour Discovery."""
        for _, neighbour in neighbour_messages(flows):
            if not neighbour.address:
                continue
            self.neighbour_seen.add(neighbour.address)
            self.family.setdefault(neighbour.address, "ipv6" if ":" in neighbour.address else "ipv4")
            if neighbour.link_address:
                self.link_address[neighbour.address] = neighbour.link_address

    def _read_answers(self, lookups: Iterable[Lookup]) -> None:
        """Names from DNS answers; one with many addresses in a family is a pool of hosts, not one host."""
        answers: dict[str, set[str]] = defaultdict(set)
        for lookup in lookups:
            if lookup.answer is not None:
                answers[lookup.name].update(lookup.answer.addresses)
        for name, addresses in answers.items():
            if max(Counter(":" in address for address in addresses).values(), default=0) <= MOST_ADDRESSES:
                for address in addresses:
                    self.names[address][name] += 1

    def _join(self) -> None:
        """Join addresses of one host, and note who was seen sending and receiving."""
        by_link: dict[str, list[str]] = defaultdict(list)
        for address, link_address in sorted(self.link_address.items()):
            by_link[link_address].append(address)
        for addresses in by_link.values():
            routable = [a for a in addresses if not a.startswith("fe80:")]
            counts = Counter(self.family[a] for a in routable)
            if counts and max(counts.values()) <= MOST_ADDRESSES:
                self._join_all(addresses, "link-address")
            else:
                for address in addresses:
                    del self.link_address[address]
        by_name: dict[str, list[str]] = defaultdict(list)
        for address, names in sorted(self.names.items()):
            for name in names:
                by_name[name].append(address)
        for addresses in by_name.values():
            self._join_all(addresses, "name")
        families: dict[str, set[bool]] = defaultdict(set)
        for address in self.family:
            if not address.startswith("fe80:"):
                families[self.same(address)].add(":" in address)
        self._dual = {host for host, both in families.items() if len(both) > 1}
        self._senders = {self.same(a) for a in self.sent}
        self._receivers = {self.same(a) for a, n in self.received.items() if n}

    def _join_all(self, addresses: list[str], reason: str) -> None:
        if len(addresses) < 2:
            return
        roots = sorted({self.same(a) for a in addresses})
        for root in roots:
            self.group[root] = roots[0]
        for address in addresses:
            self.reason.setdefault(address, reason)

    def table(self) -> Table:
        """One row per address, in the order of addresses; hosts are numbered in that order."""
        addresses = sorted(self.family, key=lambda a: (self.family[a], a))
        numbers: dict[str, str] = {}
        rows = []
        for address in addresses:
            host = numbers.setdefault(self.same(address), f"H{len(numbers) + 1}")
            packets, first, last = self.sent.get(address, [0, -1, -1])
            names = self.names.get(address)
            rows.append(
                {
                    "address": address,
                    "family": self.family[address],
                    "host": host,
                    "host_reason": self.reason.get(address, ""),
                    "name": min(names, key=lambda n, counts=names: (-counts[n], n)) if names else "",  # type: ignore[misc]
                    "link_address": self.link_address.get(address, ""),
                    "packets_from": packets,
                    "packets_to": self.received[address],
                    "neighbour_seen": address in self.neighbour_seen,
                    "first_from": first,
                    "last_from": last,
                }
            )
        return Table.from_rows("hosts", HOSTS, rows)
