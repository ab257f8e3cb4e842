"""All connections of a scan, in the order of their first rows.

How it works
------------
Those of plain QUIC flows are columns (``events.quic.plain_columns``), the others objects. One of the columns becomes an
object when somebody looks at it, and stays one: whoever adds to a connection adds to the object, and what is asked of
all connections at once is read from the columns for those that nobody has looked at, and from the objects for the rest.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Words, distinct
from analyzer.events.connection import Connection
from analyzer.events.quic.plain_columns import NAMES, PlainConnections

_Scalar = TypeVar("_Scalar", np.int64, np.bool_)

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
        begins = self.bounds[rows]
        counts = np.minimum(self.bounds[rows + 1] - begins, most)
        taken: Integers = self.flat[_places(begins, counts)]
        return taken

    def _at(self, places: Integers) -> Integers:
        found = np.full(len(places), -1, np.int64)
        some = self.lengths > 0
        found[some] = self.flat[places[some]]
        return found


def _places(begins: Integers, counts: Integers) -> Integers:
    """``counts`` numbers from each of ``begins`` on, one after another."""
    before = np.cumsum(counts) - counts
    places: Integers = np.repeat(begins - before, counts) + np.arange(counts.sum())
    return places


class Split(NamedTuple):
    """The places of those that are objects, these; the places of those that are columns, and their rows there."""

    mine: Integers
    objects: list[Connection]
    places: Integers
    held: Integers


class Connections(Sequence[Connection]):
    """The connections: ``held`` is the row of ``columns`` for each, -1 for those that are objects."""

    def __init__(self, columns: PlainConnections, held: Integers, objects: list[Connection | None]) -> None:
        self.columns, self.held = columns, held
        self._objects = objects
        self._split: Split | None = None
        self._making = threading.RLock()  # a report and its evidence are written by two threads

    @classmethod
    def of(cls, objects: Sequence[Connection], columns: PlainConnections) -> Connections:
        """All connections, each with a row at least, put into their order."""
        count = len(columns)
        first = np.fromiter((connection.rows[0] for connection in objects), np.int64, len(objects))
        order = np.argsort(np.concatenate([columns.first_rows, first]), kind="stable")
        unordered = [*itertools.repeat(None, count), *objects]
        return cls(columns, np.where(order < count, order, -1), [unordered[number] for number in order.tolist()])

    def __len__(self) -> int:
        return len(self._objects)

    @overload
    def __getitem__(self, index: int) -> Connection: ...
    @overload
    def __getitem__(self, index: slice) -> list[Connection]: ...
    def __getitem__(self, index: int | slice) -> Connection | list[Connection]:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        found = self._objects[index]
        return self.take(np.array([index % len(self)]))[0] if found is None else found

    def __iter__(self) -> Iterator[Connection]:
        return iter(self[:])

    def take(self, places: Integers) -> list[Connection]:
        """The connections at some places, as objects."""
        with self._making:
            new = distinct(places[self.held[places] >= 0])
            for place, made in zip(new.tolist(), self.columns.objects(self.held[new]), strict=True):
                self._objects[place] = made
            if len(new):
                self.held[new] = -1
                self._split = None
        return [self._objects[place] for place in places.tolist()]  # none is None by now

    def split(self) -> Split:
        """Which are objects and which columns, at one moment."""
        with self._making:
            if self._split is None:
                mine, places = np.flatnonzero(self.held < 0), np.flatnonzero(self.held >= 0)
                self._split = Split(mine, self.take(mine), places, self.held[places])
            return self._split

    def objects(self) -> tuple[Integers, list[Connection]]:
        """The places of those that are objects, and these."""
        split = self.split()
        return split.mine, split.objects

    def without(self, left_out: set[int]) -> Connections:
        """The connections but for those at some places."""
        if not left_out:
            return self
        stay = [place for place in range(len(self)) if place not in left_out]
        return Connections(self.columns, self.held[stay], [self._objects[place] for place in stay])

    def integers(self, name: str) -> Integers:
        """An attribute that is an integer, of all connections."""
        return self._merged(name, np.int64)

    def flags(self, name: str) -> Flags:
        """An attribute that is a bool."""
        return self._merged(name, np.bool_)

    def some(self, name: str) -> Flags:
        """Whether an attribute holds anything: it is not None, or not empty."""
        split, found = self.split(), np.zeros(len(self), np.bool_)
        found[split.mine] = list(map(bool, map(attrgetter(name), split.objects)))
        found[split.places] = bool(self.columns.values(name))
        return found

    def words(self, name: str) -> Words:
        """An attribute that is a text, or None for none, by number."""
        split, told = self.split(), self.columns.values(name)
        held = told.take(split.held) if isinstance(told, Words) else Words.same(told, len(split.held))
        return self._in_order(split, Words.of(list(map(attrgetter(name), split.objects))), held)

    def lists(self, name: str) -> Lists:
        """An attribute that is a list or tuple of rows."""
        split = self.split()
        each: list[Sequence[int]] = list(map(attrgetter(name), split.objects))
        begins, counts = (column[split.held] for column in self.columns.spans(name))
        lengths = np.zeros(len(self), np.int64)
        lengths[split.mine], lengths[split.places] = np.fromiter(map(len, each), np.int64, len(each)), counts
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        flat = np.empty(bounds[-1], np.int64)
        flat[_places(bounds[split.mine], lengths[split.mine])] = np.fromiter(
            itertools.chain.from_iterable(each), np.int64
        )
        flat[_places(bounds[split.places], counts)] = self.columns.order[_places(begins, counts)]
        return Lists(flat, bounds)

    def first_rows(self) -> Integers:
        """The first row of each connection."""
        split, found = self.split(), np.empty(len(self), np.int64)
        found[split.mine] = np.fromiter((each.rows[0] for each in split.objects), np.int64, len(split.mine))
        found[split.places] = self.columns.first_rows[split.held]
        return found

    def counters(self) -> Integers:
        """The four counters of each connection, in the order of ``Counters``: shape (n, 4)."""
        split, found = self.split(), np.empty((len(self), 4), np.int64)
        each = itertools.chain.from_iterable(map(attrgetter("counters"), split.objects))
        found[split.mine] = np.fromiter(each, np.int64, 4 * len(split.mine)).reshape(-1, 4)
        found[split.places] = self.columns.counters[split.held]
        return found

    def server_names(self) -> Words:
        """The server name that the client offered."""
        split = self.split()
        # most have it at hand, and need not be asked for it
        of_objects = Words.of([c.sni if c.names is None else c.names[0] for c in split.objects])
        of_columns = Words.of([name for name, _ in self.columns.names]).take(self.columns.table[split.held, NAMES])
        return self._in_order(split, of_objects, of_columns)

    def client_dcids(self, places: Integers) -> list[bytes]:
        """The DCID of the client's first Initial of the connections at some places."""
        held = self.held[places]
        of_columns = self.columns.dcids(held[held >= 0])
        if (held >= 0).all():
            return list(of_columns)
        return [
            next(of_columns) if row >= 0 else self[place].client_dcid
            for place, row in zip(places.tolist(), held.tolist(), strict=True)
        ]

    def _in_order(self, split: Split, of_objects: Words, of_columns: Words) -> Words:
        """The texts of the objects and of the columns at their places."""
        joined = Words.joined([of_objects, of_columns])
        codes = np.empty(len(self), np.int64)
        codes[split.mine], codes[split.places] = joined.codes[: len(split.mine)], joined.codes[len(split.mine) :]
        return Words(codes, joined.words).by_appearance()

    def _merged(self, name: str, dtype: type[_Scalar]) -> NDArray[_Scalar]:
        """An attribute of the objects and of the columns."""
        split, found, of_columns = self.split(), np.empty(len(self), dtype), self.columns.values(name)
        found[split.mine] = np.fromiter(map(attrgetter(name), split.objects), dtype, len(split.mine))
        found[split.places] = of_columns[split.held] if isinstance(of_columns, np.ndarray) else of_columns
        return found
