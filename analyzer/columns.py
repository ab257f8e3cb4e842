"""Columns and tables: what a column is called, holds and means is written once, here and in the schemas.

A ``Schema`` is a tuple of ``Column``; a ``Table`` is a set of equally long numpy arrays that follow one.
pandas is not needed to make or read a table: ``to_pandas`` is the door through which users get theirs.

Inside, time is int64 nanoseconds since the epoch and a duration int64 nanoseconds; -1 is "none" in integer
columns that hold times, durations, records and ports; "" is "none" in text.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in every table and export, what it holds, and where that comes from.

    ``kind`` is one of: text, int, float, bool, time (ns since the epoch), duration (ns), records (tuples of
    (capture index, record number)). ``public`` columns are part of the contract and are exported.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    source: str = ""
    public: bool = True


Schema = tuple[Column, ...]

_DTYPES = {"int": np.int64, "float": np.float64, "bool": np.bool_, "time": np.int64, "duration": np.int64}


#: Rows that are made at once, column by column.
_BLOCK = 1024


class Words(NamedTuple):
    """A column of text by number: ``words[codes[row]]`` is the text of a row, and no text stands twice in ``words``.

    Comparing and grouping rows is a matter of integers then, however long the texts are.
    """

    codes: NDArray[np.int64]
    words: Sequence[str]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Words:
        """The words of texts, in the order in which they first appear."""
        numbers = defaultdict[str, int](itertools.count().__next__)
        return cls(np.fromiter(map(numbers.__getitem__, texts), np.int64, len(texts)), list(numbers))

    @classmethod
    def same(cls, word: str, count: int) -> Words:
        """One text in so many rows."""
        return cls(np.zeros(count, np.int64), [word])

    @classmethod
    def joined(cls, parts: Sequence[Words]) -> Words:
        """The rows of all parts, one part after another."""
        parts = [part for part in parts if len(part.codes)] or [*parts[:1]]
        if len(parts) == 1:
            return parts[0]
        numbers = {word: number for number, word in enumerate(dict.fromkeys(w for part in parts for w in part.words))}
        codes = [np.array([numbers[word] for word in part.words], np.int64)[part.codes] for part in parts]
        return cls(np.concatenate(codes), list(numbers))

    def by_appearance(self) -> Words:
        """The same rows, with the words that stand in them alone and in the order in which they first appear."""
        first = np.full(len(self.words), len(self.codes))
        first[self.codes[::-1]] = np.arange(len(self.codes))[::-1]
        order = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(self.codes))]
        numbers = np.empty(len(self.words), np.int64)
        numbers[order] = np.arange(len(order))
        return Words(numbers[self.codes], [self.words[number] for number in order.tolist()])

    def texts(self) -> NDArray[Any]:
        """The text of each row."""
        return np.array(self.words, dtype=object)[self.codes]

    def take(self, rows: NDArray[np.int64]) -> Words:
        """The words of the given rows alone."""
        return Words(self.codes[rows], self.words)

    def equal(self, *wanted: str) -> NDArray[np.bool_]:
        """Which rows hold one of the texts wanted."""
        chosen = frozenset(wanted)
        found: NDArray[np.bool_] = np.fromiter(map(chosen.__contains__, self.words), np.bool_, len(self.words))[
            self.codes
        ]
        return found

    def renamed(self, name: Callable[[str], str]) -> Words:
        """The same rows with another text for each."""
        names = Words.of([name(word) for word in self.words])
        return Words(names.codes[self.codes], names.words)


#: A column that is made when it is first read: many questions need few of the columns.
Maker = Callable[[], list[Any] | NDArray[Any] | Words]


#: Held while a column is made, which may read others: a report and its evidence are written by two threads.
_MAKING = threading.RLock()


class _Arrays(dict[str, NDArray[Any]]):
    """The arrays of a table by name; those that have a maker are made when they are first read."""

    def __init__(self, schema: Schema, columns: Mapping[str, list[Any] | NDArray[Any] | Words | Maker]) -> None:
        self._kinds = {column.name: column for column in schema}
        self._makers = {name: value for name, value in columns.items() if callable(value)}
        self._words: dict[str, Words] = {}
        super().__init__((name, array_of(self._kinds[name], v)) for name, v in columns.items() if not callable(v))

    def __missing__(self, name: str) -> NDArray[Any]:
        with _MAKING:
            words = self.words(name)
            if name not in self:
                if words is None:
                    raise KeyError(name)
                self[name] = words.texts()
        return self[name]

    def words(self, name: str) -> Words | None:
        """A column of text by number, if it is made so."""
        with _MAKING:
            if name in self._makers:  # another thread may have made it meanwhile
                value = self._makers[name]()
                del self._makers[name]
                if isinstance(value, Words):
                    self._words[name] = value
                else:
                    self[name] = array_of(self._kinds[name], value)
        return self._words.get(name)


@dataclass(frozen=True)
class Table:
    """Equally long arrays under the names of a schema."""

    name: str
    schema: Schema
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)
    #: Columns that are costly and asked for only at the doors: computed for the rows with these indices.
    lazy: Mapping[str, Callable[[Sequence[int]], list[Any]]] = field(default_factory=dict, repr=False)
    #: Of columns of records, where it is had more easily: what ``records`` gives.
    flat: Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = field(default_factory=dict, repr=False)
    _words: dict[str, Words] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def from_columns(
        cls,
        name: str,
        schema: Schema,
        columns: Mapping[str, list[Any] | NDArray[Any] | Words | Maker],
        lazy: Mapping[str, Callable[[Sequence[int]], list[Any]]] | None = None,
        flat: Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] | None = None,
    ) -> Table:
        """A table of lists, arrays or makers; every column of the schema is in ``columns`` or in ``lazy``."""
        return cls(name, schema, _Arrays(schema, columns), lazy or {}, flat or {})

    @classmethod
    def from_rows(cls, name: str, schema: Schema, rows: Sequence[Mapping[str, Any]]) -> Table:
        """A table from dictionaries; a missing key is "none" (-1, NaN, False, "", ())."""
        arrays: dict[str, NDArray[Any]] = {}
        for column in schema:
            empty = none_of(column)
            values = [row.get(column.name, empty) for row in rows]
            arrays[column.name] = array_of(column, values)
        return cls(name, schema, arrays)

    def __len__(self) -> int:
        return len(self.arrays[next(column.name for column in self.schema if column.name not in self.lazy)])

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name in self.lazy:
            return array_of(self._column(name), self.lazy[name](range(len(self))))
        return self.arrays[name]

    def words(self, name: str) -> Words:
        """A column of text by number, found out once; it must be left as it is."""
        if name not in self._words:
            self._words[name] = self._made_as_words(name) or Words.of(self[name].tolist())
        return self._words[name]

    def equal(self, name: str, *wanted: str) -> NDArray[np.bool_]:
        """Which rows hold one of the texts wanted in a column of text."""
        return self.words(name).equal(*wanted)

    def numbers(self, name: str) -> NDArray[Any]:
        """A column to group rows by: of text the number of each."""
        return self.words(name).codes if self._column(name).kind == "text" else self[name]

    def distinct(self, name: str, rows: NDArray[np.int64]) -> set[Any]:
        """The values that a column has in the given rows."""
        if self._column(name).kind != "text":
            return {*self[name][rows].tolist()}
        words = self.words(name)
        is_there = np.zeros(len(words.words), np.bool_)
        is_there[words.codes[rows]] = True
        return {words.words[code] for code in np.flatnonzero(is_there).tolist()}

    def _column(self, name: str) -> Column:
        return next(column for column in self.schema if column.name == name)

    def _made_as_words(self, name: str) -> Words | None:
        return self.arrays.words(name) if isinstance(self.arrays, _Arrays) else None

    def at(self, name: str, rows: Sequence[int] | NDArray[np.int64]) -> list[Any]:
        """A column as plain Python values in the given rows; a costly column is computed for these alone."""
        if not len(rows):
            return []
        if name in self.lazy:
            return self.lazy[name](np.asarray(rows, np.int64).tolist())
        taken = self.taken(name, np.asarray(rows, np.int64))
        values: list[Any] = (taken.texts() if isinstance(taken, Words) else taken).tolist()
        return values

    def records(self, name: str, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """(capture, record) of all that a column of records holds in the given rows, in any order: shape (n, 2)."""
        if name in self.flat:
            return self.flat[name](np.asarray(rows, np.int64))
        found = list(itertools.chain.from_iterable(self.at(name, rows)))
        return np.array(found, np.int64).reshape(-1, 2)

    def rows(
        self, index: Sequence[int] | NDArray[np.int64] | None = None, *, schema: Schema = ()
    ) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries of plain Python values, in the given order; all columns, or those of ``schema``."""
        names = [column.name for column in schema or self.schema]
        for block in self.blocks(index):
            for values in zip(*[self.at(name, block) for name in names], strict=True):
                yield dict(zip(names, values, strict=True))

    def blocks(self, index: Sequence[int] | NDArray[np.int64] | None = None) -> Iterator[NDArray[np.int64]]:
        """The given rows, or all, in blocks that bound what is made of them at once."""
        chosen = np.arange(len(self)) if index is None else np.asarray(index, np.int64)
        for begin in range(0, len(chosen), _BLOCK):
            yield chosen[begin : begin + _BLOCK]

    def rows_with(self, name: str, wanted: Iterable[str]) -> list[int]:
        """The indices of the rows that hold one of the texts wanted in a column of text."""
        found: list[int] = np.flatnonzero(self.equal(name, *wanted)).tolist()
        return found

    def taken(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any] | Words:
        """A column of the given rows, as it is known."""
        words = self._words.get(name) or self._made_as_words(name)
        return self.arrays[name][rows] if words is None else words.take(rows)

    def take(self, rows: NDArray[np.int64]) -> Table:
        """The table of the given rows alone."""
        names = [column.name for column in self.schema if column.name not in self.lazy]
        arrays: dict[str, Maker] = {name: functools.partial(self.taken, name, rows) for name in names}
        lazy = {name: (lambda index, of=of: of(rows[list(index)].tolist())) for name, of in self.lazy.items()}
        flat = {name: (lambda index, of=of: of(rows[index])) for name, of in self.flat.items()}
        return Table.from_columns(self.name, self.schema, arrays, lazy, flat)

    def public(self) -> Schema:
        """The columns that users see."""
        return tuple(column for column in self.schema if column.public)

    def to_pandas(self) -> pandas.DataFrame:
        """The public columns as a DataFrame, with the dtypes of ``analyzer.frames``."""
        from analyzer.frames import frame_of

        return frame_of(self)


def none_of(column: Column) -> Any:
    """The value that stands for "none" in a column."""
    return {"text": "", "float": float("nan"), "bool": False, "records": ()}.get(column.kind, -1)


def grouped(columns: Sequence[NDArray[Any]]) -> list[NDArray[np.int64]]:
    """The rows with equal numbers in all columns together, in their order; groups in the order of their first rows."""
    order = np.lexsort(columns)
    begins = np.zeros(len(order), np.bool_)
    for column in columns:
        begins[1:] |= column[order[1:]] != column[order[:-1]]
    groups = np.split(order, np.flatnonzero(begins)) if len(order) else []
    return sorted(groups, key=lambda rows: int(rows[0]))


def distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The different ones of some numbers, in order: ``np.unique``, which loads numpy's masked arrays for it."""
    ordered = np.sort(numbers)
    found: NDArray[np.int64] = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    return found


def median(values: Iterable[float]) -> float:
    """The middle one of some values, half way between two of them; the module ``statistics`` is long in loading."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def array_of(column: Column, values: list[Any] | NDArray[Any] | Words) -> NDArray[Any]:
    """The values of a column as an array of its kind."""
    if isinstance(values, Words):
        return values.texts()
    if column.kind in _DTYPES:
        return np.asarray(values, dtype=_DTYPES[column.kind])
    if column.kind == "text":
        return np.array(values, dtype=object)
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array
