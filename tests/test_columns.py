"""Tables: rows by columns, and costly columns that are computed for the rows that are asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from analyzer.columns import Column, Table, array_of

NUMBER, TEXT, CITED = (
    Column("number", "int", "", ""),
    Column("text", "text", "", ""),
    Column("cited", "records", "", ""),
)
SQUARE = Column("square", "int", "", "", public=False)


def table(count: int) -> tuple[Table, list[int]]:
    """A table of so many rows, and the rows for which its costly column was computed."""
    computed: list[int] = []

    def square(rows: Sequence[int]) -> list[int]:
        computed.extend(rows)
        return [row * row for row in rows]

    columns = {
        "number": list(range(count)),
        "text": [str(row) for row in range(count)],
        "cited": [((0, row),) for row in range(count)],
    }
    made = Table.from_columns("made", (NUMBER, TEXT, CITED, SQUARE), columns, {"square": square})
    return made, computed


@pytest.mark.parametrize("count", [0, 1, 3000])  # none, one, several blocks
def test_rows_are_those_of_the_columns(count: int) -> None:
    made, _ = table(count)
    wanted = [{"number": row, "text": str(row), "cited": ((0, row),), "square": row * row} for row in range(count)]
    assert list(made.rows()) == wanted
    assert list(made.rows(list(range(count))[::-1])) == wanted[::-1]


def test_a_costly_column_is_computed_where_it_is_asked_for() -> None:
    made, computed = table(10)
    assert made.at("square", [3, 4]) == [9, 16]
    assert made.at("number", np.array([7])) == [7]
    assert list(made.rows([5], schema=(NUMBER,))) == [{"number": 5}]
    assert list(made.rows([])) == []
    assert computed == [3, 4]


def test_a_column_with_a_maker_is_made_once_when_it_is_first_read() -> None:
    made: list[str] = []

    def texts() -> list[str]:
        made.append("text")
        return ["a", "b"]

    table = Table.from_columns("made", (NUMBER, TEXT), {"number": [1, 2], "text": texts})
    assert len(table) == 2
    assert made == []
    assert table["text"].tolist() == ["a", "b"]
    assert table.at("text", [1]) == ["b"]
    assert made == ["text"]


def test_a_column_that_two_threads_read_is_made_once() -> None:
    began, made = Barrier(2), list[str]()

    def texts() -> list[str]:
        made.append("text")
        time.sleep(0.05)  # the other thread comes meanwhile
        return ["a", "b"]

    table = Table.from_columns("made", (NUMBER, TEXT), {"number": [1, 2], "text": texts})

    def read() -> list[str]:
        began.wait()
        read: list[str] = table["text"].tolist()
        return read

    with ThreadPoolExecutor(2) as threads:
        told = [each.result() for each in [threads.submit(read), threads.submit(read)]]
    assert told == [["a", "b"]] * 2
    assert made == ["text"]


def test_rows_are_found_by_their_value() -> None:
    made, computed = table(12)
    assert made.rows_with("text", {"3", "11", "12"}) == [3, 11]
    assert made.rows_with("text", ()) == []
    assert not computed


@pytest.mark.parametrize("chosen", [[], [2, 0], [1, 1]])
def test_some_rows_of_a_table_are_a_table(chosen: list[int]) -> None:
    whole, computed = table(3)
    part = whole.take(np.array(chosen, np.int64))
    assert computed == []
    assert len(part) == len(chosen)
    assert list(part.rows()) == list(whole.rows(chosen))
    assert part["square"].tolist() == [row * row for row in chosen]


def test_an_array_keeps_what_it_is_given() -> None:
    assert array_of(NUMBER, np.array([1, 2], np.int32)).dtype == np.int64
    assert array_of(TEXT, ["a", ""]).tolist() == ["a", ""]
    assert array_of(CITED, [((0, 1), (0, 2)), ()]).tolist() == [((0, 1), (0, 2)), ()]
