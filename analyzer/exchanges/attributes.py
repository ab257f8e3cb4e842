"""What connections hold, as columns: each attribute is read of all of them at once, when it is first asked for.

Whoever asks about all connections asks here; single ones are looked at as objects. Addresses and ports are those of the
connection's flow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Words
from analyzer.events.connection import Flows
from analyzer.events.connections import Connections, Flags, Integers, Lists
from analyzer.wire.addresses import address_text

T = TypeVar("T")

#: Rows that tell a connection's fate, beside its requests, the reply and its story.
EVIDENCE = ("syn_ack_rows", "icmp_rows", "reset_rows", "elsewhere_rows", "rejected_rows")


class Addresses:
    """The addresses at the ends of all flows, numbered in order of family and address.

    ``order`` holds the ends (all a, then all b) with equal addresses together, ``begins`` where each address begins in
    it; ``numbers`` the number of the address of every end a and of every end b.
    """

    def __init__(self, flows: Flows) -> None:
        words = np.concatenate([flows.keys[:, 0:4], flows.keys[:, 4:8]]).astype(np.uint64)
        high, low = (words[:, 0] << np.uint64(32)) | words[:, 1], (words[:, 2] << np.uint64(32)) | words[:, 3]
        family = np.tile(flows.family, 2)
        self.order = np.lexsort((low, high, family))
        is_new = np.ones(len(self.order), np.bool_)
        is_new[1:] = False
        for column in (low, high, family):
            sorted_ = column[self.order]
            is_new[1:] |= sorted_[1:] != sorted_[:-1]
        self.begins = np.flatnonzero(is_new)
        numbers = np.empty(len(self.order), np.int64)
        numbers[self.order] = np.cumsum(is_new) - 1
        self.numbers = numbers.reshape(2, -1)
        first = self.order[self.begins]
        self.families: list[int] = family[first].tolist()
        ends = words[first].tolist()
        self.texts = [address_text(of, *end) for of, end in zip(self.families, ends, strict=True)]


class Attributes:
    """The attributes of connections, and the addresses of their flows."""

    def __init__(self, flows: Flows, connections: Connections) -> None:
        self.flows = flows
        self.connections = connections
        self._known: dict[tuple[str, str], Any] = {}  # by kind and name

    def __len__(self) -> int:
        return len(self.connections)

    def integers(self, name: str) -> Integers:
        """An attribute that is an integer."""
        return self._once("integers", name, self.connections.integers)

    def flags(self, name: str) -> Flags:
        """An attribute that is a bool."""
        return self._once("flags", name, self.connections.flags)

    def some(self, name: str) -> Flags:
        """Whether an attribute holds anything: it is not None, or not empty."""
        return self._once("some", name, self.connections.some)

    def words(self, name: str) -> Words:
        """An attribute that is a text, or None for none, by number."""
        return self._once("words", name, self.connections.words)

    def lists(self, name: str) -> Lists:
        """An attribute that is a list or tuple of rows."""
        return self._once("lists", name, self.connections.lists)

    @functools.cached_property
    def first_rows(self) -> Integers:
        """The first row of each connection."""
        return self.connections.first_rows()

    @functools.cached_property
    def has_evidence(self) -> Flags:
        """Whether more rows than the requests and the reply tell the fate of a connection."""
        places, objects = self.connections.objects()
        found = np.zeros(len(self), np.bool_)
        found[places] = list(map(any, map(attrgetter(*EVIDENCE, "story"), objects)))
        return found

    @functools.cached_property
    def counters(self) -> NDArray[np.int64]:
        """The four counters of each connection, in the order of ``Counters``: shape (n, 4)."""
        return self.connections.counters()

    @functools.cached_property
    def addresses(self) -> Addresses:
        """The addresses of all flows."""
        return Addresses(self.flows)

    @functools.cached_property
    def clients(self) -> Words:
        """The client's address."""
        return self._addresses_at(self.integers("client_direction"))

    @functools.cached_property
    def servers(self) -> Words:
        """The server's address."""
        return self._addresses_at(1 - self.integers("client_direction"))

    def _addresses_at(self, ends: Integers) -> Words:
        return Words(self.addresses.numbers[ends, self.integers("flow")], self.addresses.texts)

    def ports(self, *, of_client: bool) -> Integers:
        """The port of the client or the server."""
        both = self.flows.keys[self.integers("flow"), 8].astype(np.int64)
        is_a = (self.integers("client_direction") == 0) == of_client
        ports: Integers = np.where(is_a, both >> 16, both & 0xFFFF)
        return ports

    @functools.cached_property
    def server_names(self) -> Words:
        """The server name that the client offered."""
        return self.connections.server_names()

    def families(self) -> Words:
        """The address family in words."""
        return Words((self.flows.family[self.integers("flow")] == 6).astype(np.int64), ("ipv4", "ipv6"))

    def _once(self, kind: str, name: str, made: Callable[[str], T]) -> T:
        if (kind, name) not in self._known:
            self._known[kind, name] = made(name)
        known: T = self._known[kind, name]
        return known
