"""pandas DataFrames of the tables: the door through which users of Python and Jupyter get them.

What a column holds decides its dtype; what there is none of is missing (NaT, NA, NaN) in every column:

* times: ``datetime64[ns, UTC]``;
* durations, columns whose name ends in ``_s``: ``timedelta64[ns]``, although the exports write them in seconds;
* integers: ``Int64``; other numbers ``float64``; truth ``bool``;
* words of a fixed set (transport, family, outcome, kind, ...): ``category``, ordered where there is an order;
* IP addresses: an ordered ``category``, IPv4 before IPv6, then by number; so they sort and compare as addresses;
* all other text: ``str`` (``object`` before pandas 3).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Column, Table

if TYPE_CHECKING:
    import pandas

_ADDRESSES = ("address", "client_address", "server_address", "source_address", "destination_address", "resolver")

#: Columns of words with an order, the least first.
_ORDERED = {"severity": ("info", "warning", "error"), "confidence": ("possible", "likely", "certain")}

#: Columns of words without one: those that are always categories, and more where the table has more.
_WORDS = {
    "transport": ("quic", "tcp", "udp"),
    "family": ("ipv4", "ipv6"),
    "first_tried_family": ("ipv4", "ipv6"),
    "outcome": ("answered", "refused", "silent", "undetermined"),
    "state": ("attempted", "handshaking", "established", "closed", "refused", "reset", "silent"),
    "direction": ("client", "server"),
    "close_side": ("client", "server"),
    "roles_from": ("syn", "initial", "cid", "port", "first-seen"),
    "outcome_reason": (),
    "kind": (),
    "flaw": (),
    "pattern": (),
    "tls_version": (),
    "quic_version": (),
    "quic_version_negotiated": (),
}


def frame_of(table: Table) -> pandas.DataFrame:
    """The public columns of a table, in the order of its schema, one row per row, with the dtypes above.

    ``frame.attrs`` says what each column means, as ``{"columns": {name: {"unit", "meaning", "source"}}}``.
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


def dtype_words(column: Column) -> str:
    """The dtype of a column in a DataFrame, in the words of the reference."""
    if _is_duration(column):
        return "timedelta64[ns]"
    if column.kind == "text":
        if column.name in _ADDRESSES:
            return "category, ordered as addresses"
        if column.name in _ORDERED:
            return "category, ordered"
        return "category" if column.name in _WORDS else "str"
    return {"time": "datetime64[ns, UTC]", "int": "Int64", "float": "float64", "bool": "bool"}[column.kind]


def utf8(text: str) -> str:
    """The text with what UTF-8 cannot hold (lone surrogates, as in file names that are not UTF-8) spelled out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_duration(column: Column) -> bool:
    return column.kind == "duration" or (column.kind == "float" and column.unit == "s")


def _values(column: Column, values: NDArray[Any]) -> Any:
    import pandas

    if column.kind == "time":
        moments = values.astype("datetime64[ns]")
        moments[values == -1] = np.datetime64("NaT", "ns")
        return pandas.Series(moments).dt.tz_localize("UTC")
    if _is_duration(column):
        return pandas.Series(_durations(column, values))
    if column.kind == "int":
        return pandas.arrays.IntegerArray(values.copy(), values == -1)
    if column.kind == "text":
        return _texts(column, values)
    return values.copy()


def _durations(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    """Nanoseconds (-1: none) or seconds (NaN: none) as timedeltas."""
    if column.kind == "duration":
        none, ns = values == -1, values
    else:
        # Seconds were made of whole nanoseconds: rounding brings those back, up to a hundred days.
        none = ~np.isfinite(values)
        ns = np.rint(np.where(none, 0.0, values) * 1e9).astype(np.int64)
    durations = ns.astype("timedelta64[ns]")
    durations[none] = np.timedelta64("NaT", "ns")
    return durations


def _texts(column: Column, values: NDArray[Any]) -> Any:
    """A category or a column of str; the empty text is missing."""
    import pandas

    codes, found = pandas.factorize(values)
    words = [utf8(word) for word in found.tolist()]
    ordered, categories = False, words
    if column.name in _ADDRESSES:
        ordered, categories = True, sorted(filter(None, set(words)), key=_address_order)
    elif column.name in _ORDERED:
        ordered, categories = True, list(_ORDERED[column.name])
    elif column.name in _WORDS:
        known = _WORDS[column.name]
        categories = [*known, *sorted({*words} - {*known, ""})]
    else:
        texts = np.array([*(word or None for word in words), None], dtype=object)
        dtype = pandas.api.types.pandas_dtype("str")
        # Before pandas 3 "str" is a dtype of numpy, which would make a text of None.
        return pandas.Series(texts[codes], dtype=dtype if isinstance(dtype, pandas.StringDtype) else object)
    place = {word: number for number, word in enumerate(categories)}
    places = np.array([*(place.get(word, -1) for word in words), -1], np.int64)
    return pandas.Categorical.from_codes(places[codes], categories=categories, ordered=ordered)  # type: ignore[call-overload]


def _address_order(address: str) -> tuple[int, int, str]:
    """IPv4 before IPv6, each by number; what is no address comes last."""
    try:
        # ``ip_address`` finds out the version by an exception.
        read = ipaddress.IPv6Address(address) if ":" in address else ipaddress.IPv4Address(address)
    except ValueError:
        return 9, 0, address
    return read.version, int(read), address


def _unit(column: Column) -> str:
    # Inside, times and durations are nanoseconds; in a frame they are datetimes and timedeltas.
    return "" if column.kind == "time" or _is_duration(column) else column.unit
