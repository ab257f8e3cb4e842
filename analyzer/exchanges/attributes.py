"""What connections hold, as columns: each attribute is read of all of them at once, when it is first asked for.

Whoever asks about all connections asks here; the objects themselves are looked at for single ones. Addresses and ports
are those of the connection's flow.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Words
from analyzer.events.connection import Connection, Flows
from analyzer.wire.addresses import address_text

T = TypeVar("T")

#: Rows that tell a connection's fate, beside its requests, the reply and its story.
EVIDENCE = ("syn_ack_rows", "icmp_rows", "reset_rows", "elsewhere_rows", "rejected_rows")

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Lists(NamedTuple):
    """Lists of integers, one for each row, one after another.

    Those of a row lie in ``flat`` from ``bounds[row]`` to before ``bounds[row + 1]``.
    """

    flat: Integers
    bounds: Integers

    @property
    def lengths(self) -> Integers:
        """How many a row has."""
        return np.diff(self.bounds)

    def first(self) -> Integers:
        """The first of each row, -1 for none."""
        return self._at(self.bounds[:-1])

    def last(self) -> Integers:
        """The last of each row, -1 for none."""
        return self._at(self.bounds[1:] - 1)

    def take(self, rows: Integers, most: int) -> Integers:
        """Those of the given rows one after another, of each the first ``most``."""
        begins, counts = self.bounds[rows], np.minimum(self.lengths[rows], most)
        before = np.cumsum(counts) - counts
        taken: Integers = self.flat[np.repeat(begins - before, counts) + np.arange(counts.sum())]
        return taken

    def _at(self, places: Integers) -> Integers:
        found = np.full(len(places), -1, np.int64)
        some = self.lengths > 0
        found[some] = self.flat[places[some]]
        return found


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

    def __init__(self, flows: Flows, connections: list[Connection]) -> None:
        self.flows = flows
        self.connections = connections
        self._known: dict[tuple[str, str], Any] = {}  # by kind and name

    def __len__(self) -> int:
        return len(self.connections)

    def integers(self, name: str) -> Integers:
        """An attribute that is an integer."""
        return self._once("integers", name, lambda values: np.fromiter(values, np.int64, len(self)))

    def flags(self, name: str) -> Flags:
        """An attribute that is a bool."""
        return self._once("flags", name, lambda values: np.fromiter(values, np.bool_, len(self)))

    def some(self, name: str) -> Flags:
        """Whether an attribute holds anything: it is not None, or not empty."""
        return self._once("some", name, lambda values: np.fromiter(map(bool, values), np.bool_, len(self)))

    def words(self, name: str) -> Words:
        """An attribute that is a text, or None for none, by number."""
        return self._once("words", name, lambda values: Words.of(list(values)))

    def lists(self, name: str) -> Lists:
        """An attribute that is a list or tuple of rows."""

        def made(values: Iterable[Sequence[int]]) -> Lists:
            each = list(values)
            lengths = np.fromiter(map(len, each), np.int64, len(each))
            flat = np.fromiter(itertools.chain.from_iterable(each), np.int64, int(lengths.sum()))
            return Lists(flat, np.concatenate([[0], np.cumsum(lengths)]))

        return self._once("lists", name, made)

    @functools.cached_property
    def first_rows(self) -> Integers:
        """The first row of each connection."""
        return np.fromiter(map(itemgetter(0), map(attrgetter("rows"), self.connections)), np.int64, len(self))

    @functools.cached_property
    def has_evidence(self) -> Flags:
        """Whether more rows than the requests and the reply tell the fate of a connection."""
        each = map(attrgetter(*EVIDENCE, "story"), self.connections)
        return np.fromiter(map(any, each), np.bool_, len(self))

    @functools.cached_property
    def counters(self) -> NDArray[np.int64]:
        """The four counters of each connection, in the order of ``Counters``: shape (n, 4)."""
        each = itertools.chain.from_iterable(map(attrgetter("counters"), self.connections))
        return np.fromiter(each, np.int64, 4 * len(self)).reshape(-1, 4)

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
        """The server name that the client offered; most connections have it at hand, and need not be asked for it."""
        return Words.of([c.sni if c.names is None else c.names[0] for c in self.connections])

    def families(self) -> Words:
        """The address family in words."""
        return Words((self.flows.family[self.integers("flow")] == 6).astype(np.int64), ("ipv4", "ipv6"))

    def _once(self, kind: str, name: str, made: Callable[[Iterable[Any]], T]) -> T:
        if (kind, name) not in self._known:
            self._known[kind, name] = made(map(attrgetter(name), self.connections))
        known: T = self._known[kind, name]
        return known
