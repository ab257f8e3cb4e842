"""pandas DataFrames of the tables: the door through which users of Python and Jupyter get them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Column, Table

if TYPE_CHECKING:
    import pandas


def frame_of(table: Table) -> pandas.DataFrame:
    """The public columns of a table, in the order of its schema, one row per row.

    Times are UTC datetimes of nanoseconds (NaT where there is none), durations float seconds (NaN), integers
    nullable ``Int64`` (NA), floats float64 (NaN), texts str ("" where there is none). ``frame.attrs`` says what
    each column means, as ``{"columns": {name: {"unit", "meaning", "source"}}}``.
    """
    import pandas

    series = {column.name: _values(column, table[column.name]) for column in table.public()}
    frame = pandas.DataFrame(series, columns=[column.name for column in table.public()])
    frame.attrs["table"] = table.name
    frame.attrs["columns"] = {
        column.name: {"unit": _unit(column), "meaning": column.meaning, "source": column.source}
        for column in table.public()
    }
    return frame


def utf8(text: str) -> str:
    """The text with what UTF-8 cannot hold (lone surrogates, as in file names that are not UTF-8) spelled out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _values(column: Column, values: NDArray[Any]) -> Any:
    import pandas

    if column.kind == "time":
        moments = values.astype("datetime64[ns]")
        moments[values == -1] = np.datetime64("NaT", "ns")
        return pandas.Series(moments).dt.tz_localize("UTC")
    if column.kind == "duration":
        return np.where(values == -1, np.nan, values / 1e9)
    if column.kind == "int":
        return pandas.arrays.IntegerArray(values.copy(), values == -1)
    if column.kind == "text":
        return pandas.Series([utf8(text) for text in values], dtype="str")
    return values.copy()


def _unit(column: Column) -> str:
    # Inside, times and durations are nanoseconds; in a frame they are datetimes and seconds.
    return {"time": "", "duration": "s"}.get(column.kind, column.unit)
