"""DataFrames of the tables."""

from __future__ import annotations

import pandas

from analyzer.columns import Column, Table
from analyzer.exchanges.schemas import SCHEMAS
from analyzer.frames import dtype_words, frame_of
from tests.reports import example


def test_columns_are_the_public_ones_in_order_with_their_types() -> None:
    table = example.silent().connections
    frame = frame_of(table)
    assert list(frame.columns) == [column.name for column in table.public()]
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert types["first_time"] == "datetime64[ns, UTC]"
    assert types["reply_record"] == types["server_port"] == "Int64"
    assert types["reply_latency_s"] == types["duration_s"] == "timedelta64[ns]"
    assert types["retry"] == "bool"
    assert types["sni"] in ("str", "object")
    assert types["outcome"] == types["server_address"] == "category"


def test_the_reference_says_which_dtype_a_column_has() -> None:
    for schema in SCHEMAS.values():
        public = [column for column in schema if column.public]
        frame = frame_of(Table.from_rows("t", schema, [{}]))
        for column in public:
            dtype = frame[column.name].dtype
            words = "str" if str(dtype) == "object" else str(dtype)
            if isinstance(dtype, pandas.CategoricalDtype) and dtype.ordered:
                words += ", ordered"
            assert dtype_words(column).removesuffix(" as addresses") == words


def test_what_there_is_none_of_is_missing() -> None:
    frame = frame_of(example.silent().connections)
    assert frame["reply_record"].isna().sum() == frame["reply_latency_s"].isna().sum() == 5
    assert frame["reply_record"].dropna().tolist() == [30, 61, 72, 84, 96, 113, 130]
    assert frame["replied_from"].isna().all()
    assert frame["outcome_reason"].isna().all()
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


def test_durations_are_whole_nanoseconds_and_texts_valid_utf8() -> None:
    schema = (
        Column("waited", "duration", "ns", "a wait"),
        Column("taken_s", "float", "s", "a time"),
        Column("name", "text", "", "a name", "the wire"),
    )
    rows = [{"waited": 1_500_000_000, "taken_s": 0.1 + 0.2, "name": "\udcff"}, {}]
    frame = frame_of(Table.from_rows("t", schema, rows))
    assert frame["waited"][0] == pandas.Timedelta(1_500_000_000)
    assert frame["taken_s"][0] == pandas.Timedelta(300_000_000)
    assert frame.loc[1].isna().all()
    assert frame["name"][0] == "\\udcff"
    assert frame.attrs["columns"]["name"] == {"unit": "", "meaning": "a name", "source": "the wire"}
    assert frame.attrs["columns"]["taken_s"]["unit"] == ""


def test_addresses_sort_by_family_and_number() -> None:
    schema = (Column("address", "text", "", "an address"),)
    given = ["2001:db8::10", "10.0.0.9", "?", "2001:db8::9", "10.0.0.10", "", "9.255.0.1"]
    frame = frame_of(Table.from_rows("t", schema, [{"address": address} for address in given]))
    ordered = ["9.255.0.1", "10.0.0.9", "10.0.0.10", "2001:db8::9", "2001:db8::10", "?"]
    assert frame["address"].sort_values().dropna().tolist() == ordered == frame["address"].cat.categories.tolist()
    assert (frame["address"] > "10.0.0.9").tolist() == [True, False, True, True, True, False, False]


def test_no_word_is_lost_that_is_not_foreseen() -> None:
    schema = (Column("outcome", "text", "", ""), Column("severity", "text", "", ""))
    rows = [{"outcome": "later", "severity": "error"}, {"outcome": "silent", "severity": "info"}]
    frame = frame_of(Table.from_rows("t", schema, rows))
    assert frame["outcome"].tolist() == ["later", "silent"]
    assert frame["severity"].max() == "error"


def test_a_table_without_rows_keeps_its_types() -> None:
    frame = frame_of(example.empty().connections)
    assert len(frame) == 0
    assert str(frame["first_time"].dtype) == "datetime64[ns, UTC]"
    assert str(frame["duration_s"].dtype) == "timedelta64[ns]"
