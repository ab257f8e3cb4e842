"""Tables and the report document as files: CSV, JSON, JSON Lines, Parquet.

Only the public columns, in the order of the schema. In the text formats a time is UTC ISO-8601 with nine decimals
and ``Z``; what there is none of is an empty cell (CSV) or null. In Parquet times are timestamps of nanoseconds in UTC.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Column, Schema, Table
from analyzer.errors import UsageError, did_you_mean
from analyzer.exchanges.schemas import SCHEMAS
from analyzer.frames import utf8
from analyzer.reports.text import csv_cell, json_text

FORMATS = ("csv", "json", "jsonl", "parquet")


def write_table(table: Table, file_format: str, file: BinaryIO) -> None:
    """Write the public columns of a table to a binary file; ``file_format`` is one of ``FORMATS``."""
    writers: dict[str, Callable[[Table, BinaryIO], None]] = {
        "csv": _write_csv,
        "json": _write_json,
        "jsonl": _write_json_lines,
        "parquet": _write_parquet,
    }
    if file_format not in writers:
        raise UsageError(f"no format named {file_format!r}: choose one of {', '.join(FORMATS)}")
    writers[file_format](table, file)


def with_columns(table: str, names: Sequence[str] | None) -> Schema:
    """The schema of a table with these columns public, in their order; all where None is given. Raises UsageError."""
    public = {column.name: column for column in SCHEMAS[table] if column.public}
    if names is None:
        return SCHEMAS[table]
    chosen = [name.strip() for name in names]
    for name in chosen:
        if name not in public:
            hint = did_you_mean(name, public) or f"there are {', '.join(public)}"
            raise UsageError(f"no column {name!r} in {table}; {hint}")
    others = (replace(column, public=False) for column in SCHEMAS[table] if column.name not in chosen)
    return (*others, *(public[name] for name in dict.fromkeys(chosen)))


def document_json(document: dict[str, Any]) -> str:
    """The report document as the text of ``report.json``: the contract's order of keys, two spaces, a newline."""
    return json_text(document) + "\n"


def _values(column: Column, values: list[Any]) -> list[Any]:
    """The values for the text formats; None where there is none."""
    if column.kind == "time":
        texts = np.datetime_as_string(np.array(values, "datetime64[ns]")).tolist()
        return [f"{text}Z" if time != -1 else None for text, time in zip(texts, values, strict=True)]
    if column.kind == "duration":
        return [value / 1e9 if value != -1 else None for value in values]
    if column.kind == "int":
        return [value if value != -1 else None for value in values]
    if column.kind == "float":
        return [value if math.isfinite(value) else None for value in values]
    return values


def _rows(table: Table) -> Iterator[tuple[Any, ...]]:
    schema = table.public()
    for block in table.blocks():
        yield from zip(*(_values(column, table.at(column.name, block)) for column in schema), strict=True)


def _write_csv(table: Table, file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in table.public())
    for row in _rows(table):
        writer.writerow(_csv_value(value) for value in row)
    text.detach()


def _csv_value(value: Any) -> Any:
    if isinstance(value, str):
        return csv_cell(value)
    return ("false", "true")[value] if isinstance(value, bool) else value


def _objects(table: Table) -> Iterator[str]:
    names = [column.name for column in table.public()]
    for row in _rows(table):
        yield json_text(dict(zip(names, row, strict=True)), indent=False)


def _write_json(table: Table, file: BinaryIO) -> None:
    for number, line in enumerate(_objects(table)):
        file.write((",\n" if number else "[\n").encode() + line.encode())
    file.write(b"\n]\n" if len(table) else b"[]\n")


def _write_json_lines(table: Table, file: BinaryIO) -> None:
    for line in _objects(table):
        file.write(line.encode() + b"\n")


def _write_parquet(table: Table, file: BinaryIO) -> None:
    import pyarrow
    import pyarrow.parquet

    schema: Schema = table.public()
    arrays = [_arrow_array(pyarrow, column, table[column.name]) for column in schema]
    fields = [
        pyarrow.field(column.name, array.type, metadata={"unit": column.unit, "meaning": column.meaning})
        for column, array in zip(schema, arrays, strict=True)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields)), file)


def _arrow_array(pyarrow: Any, column: Column, values: NDArray[Any]) -> Any:
    if column.kind == "time":
        return pyarrow.array(values, type=pyarrow.int64(), mask=values == -1).cast(pyarrow.timestamp("ns", "UTC"))
    if column.kind == "duration":
        return pyarrow.array(values / 1e9, mask=values == -1)
    if column.kind == "int":
        return pyarrow.array(values, mask=values == -1)
    if column.kind == "float":
        return pyarrow.array(values, mask=~np.isfinite(values))
    if column.kind == "text":
        return pyarrow.array([utf8(text) for text in values.tolist()], type=pyarrow.string())
    return pyarrow.array(values)
