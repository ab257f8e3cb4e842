"""Tables as files, read back with the programs that people use."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

import pandas
import pytest

from analyzer.columns import Column, Table
from analyzer.errors import UsageError
from analyzer.reports.export import document_json, write_table
from analyzer.reports.text import json_text
from tests.reports import example
from tests.reports.example import HOSTILE


def written(table: Table, file_format: str) -> bytes:
    file = io.BytesIO()
    write_table(table, file_format, file)
    assert not file.closed
    return file.getvalue()


def test_csv_has_the_public_columns_times_in_utc_and_empty_cells_for_none() -> None:
    rows = list(csv.DictReader(io.StringIO(written(example.silent().sockets, "csv").decode(), newline="")))
    assert list(rows[0]) == [column.name for column in example.silent().sockets.public()]
    assert rows[0]["first_attempt"] == "2026-11-21T23:05:24.499449000Z"
    assert rows[0]["median_reply_s"] == rows[0]["last_answer"] == rows[0]["onset"] == ""
    assert [(row["family"], row["answered"]) for row in rows] == [
        ("ipv4", "0"),
        ("ipv4", "1"),
        ("ipv6", "5"),
        ("ipv6", "1"),
    ]
    connections = list(csv.DictReader(io.StringIO(written(example.silent().connections, "csv").decode(), newline="")))
    assert "request_records" not in connections[0]
    assert connections[0]["retry"] == "false"


def test_csv_of_a_hostile_name_is_text_in_one_line() -> None:
    data = written(example.hostile().connections, "csv").decode()
    assert data.count("\n") == 13
    assert "\x1b" not in data
    rows = list(csv.DictReader(io.StringIO(data, newline="")))
    assert {row["sni"][:6] for row in rows} == {"'=cmd("}


def test_json_and_json_lines_read_back_the_same() -> None:
    table = example.hostile().connections
    whole = json.loads(written(table, "json"))
    assert whole == [json.loads(line) for line in written(table, "jsonl").decode().splitlines()]
    assert whole[0]["sni"] == HOSTILE
    assert whole[0]["reply_record"] is None
    assert whole[0]["first_time"] == "2026-11-21T23:05:24.499449000Z"
    assert whole[5]["reply_latency_s"] == 0.000021


def test_parquet_holds_types() -> None:
    frame = pandas.read_parquet(io.BytesIO(written(example.hostile().connections, "parquet")))
    assert str(frame["first_time"].dtype) == "datetime64[ns, UTC]"
    assert frame["sni"][0] == HOSTILE
    assert frame["reply_record"].isna().sum() == 5
    assert frame["first_time"][0].isoformat() == "2026-11-21T23:05:24.499449+00:00"


@pytest.mark.parametrize("file_format", ["csv", "json", "jsonl", "parquet"])
def test_a_table_without_rows_is_a_file_all_the_same(file_format: str) -> None:
    data = written(example.empty().connections, file_format)
    if file_format == "json":
        assert json.loads(data) == []
    elif file_format == "parquet":
        assert len(pandas.read_parquet(io.BytesIO(data))) == 0
    else:
        assert len(data.splitlines()) == (1 if file_format == "csv" else 0)


@pytest.mark.parametrize("file_format", ["csv", "json", "jsonl", "parquet"])
def test_many_rows_and_lone_surrogates(file_format: str) -> None:
    schema = (
        Column("name", "text", "", "a name"),
        Column("waited", "duration", "ns", "a wait"),
        Column("hidden", "int", "", "not public", public=False),
    )
    table = Table.from_rows("t", schema, [{"name": "\udcff", "waited": 1_500_000_000}, {"name": "b"}] * 6_000)
    data = written(table, file_format)
    assert b"hidden" not in data
    if file_format == "csv":
        assert data.splitlines()[1:3] == [b"\\udcff,1.5", b"b,"]
    if file_format == "jsonl":
        assert json.loads(data.splitlines()[11_998]) == {"name": "\udcff", "waited": 1.5}


def test_an_unknown_format_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="csv, json, jsonl, parquet"):
        written(example.empty().sockets, "xlsx")


def test_the_document_keeps_the_order_of_the_contract() -> None:
    text = document_json(example.silent().document)
    assert text == json_text(example.silent().document) + "\n"
    assert list(json.loads(text)) == ["schema", "tool", "captures", "sockets", "connections", "findings"]
    assert text == document_json(example.silent().document)
    assert "NaN" not in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_a_costly_column_is_computed_once_for_each_row(file_format: str) -> None:
    computed: list[int] = []

    def square(rows: Sequence[int]) -> list[int]:
        computed.extend(rows)
        return [row * row for row in rows]

    schema, count = (Column("number", "int", "", ""), Column("square", "int", "", "")), 5000  # several blocks
    table = Table.from_columns("made", schema, {"number": list(range(count))}, {"square": square})
    assert written(table, file_format)
    assert computed == list(range(count))
