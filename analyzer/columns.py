"""Columns and tables: what a column is called, holds and means is written once, here and in the schemas.

A ``Schema`` is a tuple of ``Column``; a ``Table`` is a set of equally long numpy arrays that follow one.
pandas is not needed to make or read a table: ``to_pandas`` is the door through which users get theirs.

Inside, time is int64 nanoseconds since the epoch and a duration int64 nanoseconds; -1 is "none" in integer
columns that hold times, durations, records and ports; "" is "none" in text.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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


#: A column that is made when it is first read: many questions need few of the columns.
Maker = Callable[[], list[Any] | NDArray[Any]]


#: Held while a column is made, which may read others: a report and its evidence are written by two threads.
_MAKING = threading.RLock()


class _Arrays(dict[str, NDArray[Any]]):
    """The arrays of a table by name; those that have a maker are made when they are first read."""

    def __init__(self, schema: Schema, columns: Mapping[str, list[Any] | NDArray[Any] | Maker]) -> None:
        kinds = {column.name: column for column in schema}
        self._makers = {name: (kinds[name], value) for name, value in columns.items() if callable(value)}
        super().__init__((name, array_of(kinds[name], v)) for name, v in columns.items() if not callable(v))

    def __missing__(self, name: str) -> NDArray[Any]:
        with _MAKING:
            if name not in self:  # another thread may have made it meanwhile
                column, maker = self._makers[name]
                self[name] = array_of(column, maker())
                del self._makers[name]
        return self[name]


@dataclass(frozen=True)
class Table:
    """Equally long arrays under the names of a schema."""

    name: str
    schema: Schema
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)
    #: Columns that are costly and asked for only at the doors: computed for the rows with these indices.
    lazy: Mapping[str, Callable[[Sequence[int]], list[Any]]] = field(default_factory=dict, repr=False)
    #: Of columns of records, where it is had more easily: what ``records`` gives.
    flat: Mapping[str, Callable[[Sequence[int]], NDArray[np.int64]]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_columns(
        cls,
        name: str,
        schema: Schema,
        columns: Mapping[str, list[Any] | NDArray[Any] | Maker],
        lazy: Mapping[str, Callable[[Sequence[int]], list[Any]]] | None = None,
        flat: Mapping[str, Callable[[Sequence[int]], NDArray[np.int64]]] | None = None,
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
            column = next(column for column in self.schema if column.name == name)
            return array_of(column, self.lazy[name](range(len(self))))
        return self.arrays[name]

    def at(self, name: str, rows: Sequence[int] | NDArray[np.int64]) -> list[Any]:
        """A column as plain Python values in the given rows; a costly column is computed for these alone."""
        if name in self.lazy:
            return self.lazy[name](np.asarray(rows, np.int64).tolist())
        values: list[Any] = self.arrays[name][np.asarray(rows, np.int64)].tolist()
        return values

    def records(self, name: str, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """(capture, record) of all that a column of records holds in the given rows, in their order: shape (n, 2)."""
        if name in self.flat:
            return self.flat[name](np.asarray(rows, np.int64).tolist())
        found = list(itertools.chain.from_iterable(self.at(name, rows)))
        return np.array(found, np.int64).reshape(-1, 2)

    def rows(
        self, index: Sequence[int] | NDArray[np.int64] | None = None, *, schema: Schema = ()
    ) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries of plain Python values, in the given order; all columns, or those of ``schema``."""
        names = [column.name for column in schema or self.schema]
        chosen = np.arange(len(self)) if index is None else np.asarray(index, np.int64)
        for begin in range(0, len(chosen), _BLOCK):
            block = chosen[begin : begin + _BLOCK]
            for values in zip(*[self.at(name, block) for name in names], strict=True):
                yield dict(zip(names, values, strict=True))

    def rows_with(self, name: str, wanted: Container[Any]) -> list[int]:
        """The indices of the rows whose value in a column is one of those wanted."""
        return [row for row, value in enumerate(self[name].tolist()) if value in wanted]

    def take(self, rows: NDArray[np.int64]) -> Table:
        """The table of the given rows alone."""
        arrays: dict[str, Maker] = {
            column.name: (lambda name=column.name: self.arrays[name][rows])  # type: ignore[misc]
            for column in self.schema
            if column.name not in self.lazy
        }
        lazy = {name: (lambda index, of=of: of(rows[list(index)].tolist())) for name, of in self.lazy.items()}
        flat = {name: (lambda index, of=of: of(rows[list(index)].tolist())) for name, of in self.flat.items()}
        return Table.from_columns(self.name, self.schema, arrays, lazy, flat)

    def public(self) -> Schema:
        """The columns that users see."""
        return tuple(column for column in self.schema if column.public)

    def to_pandas(self) -> pandas.DataFrame:
        """The public columns as a DataFrame, with the dtypes of ``analyzer.frames``."""
        from analyzer.frames import frame_of

        return frame_of(self)


def any_equal(texts: NDArray[Any], wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts of a column are one of those wanted."""
    found = np.zeros(len(texts), np.bool_)
    for text in wanted:
        found |= texts == text
    return found


def none_of(column: Column) -> Any:
    """The value that stands for "none" in a column."""
    return {"text": "", "float": float("nan"), "bool": False, "records": ()}.get(column.kind, -1)


def array_of(column: Column, values: list[Any] | NDArray[Any]) -> NDArray[Any]:
    """The values of a column as an array of its kind."""
    if column.kind in _DTYPES:
        return np.asarray(values, dtype=_DTYPES[column.kind])
    if column.kind == "text":
        return np.array(values, dtype=object)
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array
