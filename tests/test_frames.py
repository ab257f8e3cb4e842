"""DataFrames of the tables."""

from __future__ import annotations

import pandas

from analyzer.columns import Column, Table
from analyzer.frames import frame_of
from tests.reports import example


def test_columns_are_the_public_ones_in_order_with_their_types() -> None:
    table = example.silent().connections
    frame = frame_of(table)
    assert list(frame.columns) == [column.name for column in table.public()]
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert types["first_time"] == "datetime64[ns, UTC]"
    assert types["reply_record"] == types["server_port"] == "Int64"
    assert types["reply_latency_s"] == "float64"
    assert types["retry"] == "bool"
    assert types["sni"] in ("str", "object")


def test_minus_one_is_missing() -> None:
    frame = frame_of(example.silent().connections)
    assert frame["reply_record"].isna().sum() == 5
    assert frame["reply_record"].dropna().tolist() == [30, 61, 72, 84, 96, 113, 130]
    sockets = frame_of(example.silent().sockets)
    assert sockets["last_answer"].isna().tolist() == [True, False, False, False]
    assert sockets["first_attempt"][0] == pandas.Timestamp("2026-11-21T23:05:24.499449Z")


def test_the_table_itself_stays_as_it_is() -> None:
    table = example.silent().sockets
    before = {name: array.copy() for name, array in table.arrays.items()}
    frame = frame_of(table)
    frame["attempts"] = 0
    frame.loc[0, "answered_share"] = 1.0
    assert all((before[name] == array).all() or before[name].dtype == float for name, array in table.arrays.items())
    assert table["answered_share"][0] == 0.0


def test_durations_are_seconds_and_texts_valid_utf8() -> None:
    schema = (Column("waited", "duration", "ns", "a wait"), Column("name", "text", "", "a name", "the wire"))
    frame = frame_of(Table.from_rows("t", schema, [{"waited": 1_500_000_000, "name": "\udcff"}, {}]))
    assert frame["waited"][0] == 1.5
    assert frame["waited"].isna()[1]
    assert frame["name"].tolist() == ["\\udcff", ""]
    assert frame.attrs["columns"] == {
        "waited": {"unit": "s", "meaning": "a wait", "source": ""},
        "name": {"unit": "", "meaning": "a name", "source": "the wire"},
    }


def test_a_table_without_rows_keeps_its_types() -> None:
    frame = frame_of(example.empty().connections)
    assert len(frame) == 0
    assert str(frame["first_time"].dtype) == "datetime64[ns, UTC]"
