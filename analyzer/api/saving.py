"""A saved scan with its tables: scan a large capture once, ask many times.

How it works: the file holds the scan (``events.saved``), and beside it every table as the analysis made it. Opening
reads neither: each column is decoded when it is first asked for. The tables are those of one version of halfshake;
another version, or a key log or vantage given later, makes them again of the scan, which holds all that the captures
told. So do captures in which packets were seen more than once; those of several places are then one, merged by time.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.analysis import Analysis
from analyzer.capture.records import CaptureFacts
from analyzer.columns import Column, Schema, Table
from analyzer.errors import UsageError
from analyzer.events.saved import facts_of_file, read_facts, read_scan, write_scan
from analyzer.events.scan import Scan
from analyzer.exchanges.build import Exchanges, Given, exchanges
from analyzer.exchanges.connections import Judge
from analyzer.exchanges.schemas import CONNECTIONS, EXCHANGES, PACKETS, RESOLUTIONS, SOCKETS
from analyzer.exchanges.stories.schema import STORIES
from analyzer.exchanges.view import HOSTS, CaptureView, View
from analyzer.frames import utf8
from analyzer.packed import PackedReader, PackedWriter, written_whole
from analyzer.version import __version__

#: The saved tables with what their columns are.
TABLES: dict[str, Schema] = {
    "connections": CONNECTIONS,
    "exchanges": EXCHANGES,
    "sockets": SOCKETS,
    "hosts": HOSTS,
    "resolutions": RESOLUTIONS,
    "stories": STORIES,
    "packets": PACKETS,
}

_NUMBER_BITS = 40  # a record is kept as the capture's index and, in this many bits, its number
_NUMBER_MASK = (1 << _NUMBER_BITS) - 1


def save(analysis: Analysis, path: Path) -> Path:
    """Write the scan and the tables of an analysis; the file appears whole or not at all.

    Raises UsageError where the file system does not let us write, and for captures of several places: what one of them
    shows of the other's packets is found by reading each again.
    """
    if len(analysis.facts) > 1 and analysis.view.ends is not None:
        raise UsageError(f"{path}: captures of several places cannot be saved as one scan; save each by itself")
    facts = facts_of_file(analysis.facts)
    facts["plain"] = analysis.view.ends is None
    facts["views"] = [dataclasses.asdict(capture) for capture in analysis.view.captures]
    try:
        with written_whole(path) as file:
            writer = PackedWriter(file, facts)
            write_scan(writer, analysis.scan)
            for name, schema in TABLES.items():
                table = analysis.packets if name == "packets" else getattr(analysis.view, name)
                writer.write(name, {column.name: _packed(column, table[column.name]) for column in schema})
            writer.close()
    except OSError as error:
        raise UsageError(f"{path}: the scan cannot be saved: {error.strerror}") from error
    return path


def load(reader: PackedReader, given: Given) -> Analysis:
    """The analysis in a saved scan."""
    loaded = Loaded(reader, given)
    return Analysis(loaded, loaded.facts)


class Loaded:
    """What was found in captures, read back; see ``analyzer.analysis.Found``."""

    def __init__(self, reader: PackedReader, given: Given) -> None:
        self._reader = reader
        self._given = given
        self.facts = [_found_again(facts, reader.path) for facts in read_facts(reader)]

    @functools.cached_property
    def _is_usable(self) -> bool:
        """Whether the saved tables are those that this version would make of the scan."""
        if self._given.secrets.secrets or self._given.vantages or not self._reader.facts.get("plain"):
            return False
        same = self._reader.facts.get("tool", {}).get("version") == __version__ and "views" in self._reader.facts
        return same and all(
            self._reader.has(name) and self._reader.column_names(name) == [column.name for column in schema]
            for name, schema in TABLES.items()
        )

    @functools.cached_property
    def scan(self) -> Scan:
        """The saved scan."""
        return read_scan(self._reader)

    @functools.cached_property
    def _fresh(self) -> Exchanges:
        return exchanges(self.scan, self.facts, self._given)

    @property
    def judges(self) -> tuple[Judge, ...]:
        """The judged connections, made again of the scan."""
        return self._fresh.judges

    @functools.cached_property
    def view(self) -> View:
        """What patterns see."""
        if not self._is_usable:
            return self._fresh.view
        tables: dict[str, Any] = {name: self._table(name) for name in TABLES if name != "packets"}
        return View(captures=tuple(map(_capture_view, self._reader.facts["views"])), **tables)

    def packets(self) -> Table:
        """The selected packets."""
        return self._table("packets") if self._is_usable else self._fresh.packets()

    def _table(self, name: str) -> Table:
        schema = TABLES[name]
        lazy = {column.name: _Records(self._reader, name, column.name) for column in schema if column.kind == "records"}
        return Table(name, schema, _Arrays(self._reader, name, schema), lazy)


class _Arrays(Mapping[str, NDArray[Any]]):
    """The columns of a saved table as arrays, each decoded when it is first asked for; those of records left out."""

    def __init__(self, reader: PackedReader, name: str, schema: Schema) -> None:
        self._reader = reader
        self._name = name
        self._columns = {column.name: column for column in schema if column.kind != "records"}
        self._decoded: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._decoded:
            column = self._columns[name]
            read = self._reader.columns(self._name, [name])[name]
            array = read.to_numpy() if column.kind != "bool" else read.to_numpy().astype(np.bool_)
            self._decoded[name] = array
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class _Records:
    """A saved column of records: called with rows, it gives for each a tuple of (capture index, record)."""

    def __init__(self, reader: PackedReader, table: str, name: str) -> None:
        self._read = functools.cache(lambda: reader.columns(table, [name])[name].combine_chunks())

    @functools.cached_property
    def _parts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        array = self._read()
        return array.offsets.to_numpy(), array.values.to_numpy()

    def __call__(self, rows: Sequence[int]) -> list[tuple[tuple[int, int], ...]]:
        offsets, values = self._parts
        cells = (values[offsets[row] : offsets[row + 1]].tolist() for row in rows)
        return [tuple((each >> _NUMBER_BITS, each & _NUMBER_MASK) for each in cell) for cell in cells]


def _packed(column: Column, values: NDArray[Any]) -> Any:
    """A column as pyarrow takes it."""
    import pyarrow

    if column.kind == "text":
        return pyarrow.array([utf8(text) for text in values.tolist()], pyarrow.string())
    if column.kind == "records":
        numbers = [[capture << _NUMBER_BITS | record for capture, record in cell] for cell in values.tolist()]
        return pyarrow.array(numbers, pyarrow.list_(pyarrow.int64()))
    return pyarrow.array(np.ascontiguousarray(values))


def _capture_view(plain: Mapping[str, Any]) -> CaptureView:
    """A capture's view from JSON, in which tuples became lists."""
    values: dict[str, Any] = {
        name: tuple(tuple(each) if isinstance(each, list) else each for each in value)
        if isinstance(value, list)
        else value
        for name, value in plain.items()
    }
    return CaptureView(**values)


def _found_again(facts: CaptureFacts, saved: Path | None) -> CaptureFacts:
    """The facts with the path of the capture, or of the file of its name beside the saved scan."""
    if saved is not None and facts.path != "-" and not os.path.exists(facts.path):
        beside = saved.parent / os.path.basename(facts.path)
        if beside.exists():
            return dataclasses.replace(facts, path=str(beside))
    return facts
