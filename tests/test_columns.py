"""Tables: rows by columns, and costly columns that are computed for the rows that are asked for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.columns import Column, Table, Words, array_of, distinct, grouped, median

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


TEXTS = st.lists(st.sampled_from(("", "a", "b", "ab")), max_size=12)


@given(first=TEXTS, second=TEXTS, wanted=TEXTS)
def test_text_by_number_is_the_same_text(first: list[str], second: list[str], wanted: list[str]) -> None:
    words = Words.joined([Words.of(first), Words.of(second)])
    assert words.texts().tolist() == first + second
    assert len(set(words.words)) == len(words.words)
    assert words.equal(*wanted).tolist() == [text in wanted for text in first + second]
    assert words.renamed(str.upper).texts().tolist() == [text.upper() for text in first + second]
    rows = np.arange(len(first) + len(second))[::-2]
    assert words.take(rows).texts().tolist() == (first + second)[::-2]


@pytest.mark.parametrize("made_as", [list, Words.of, lambda texts: lambda: Words.of(texts)])
def test_a_column_of_text_is_compared_however_it_was_made(made_as: Callable[[list[str]], Any]) -> None:
    texts = ["tcp", "quic", "tcp", ""]
    table = Table.from_columns("made", (NUMBER, TEXT), {"number": [1, 2, 3, 4], "text": made_as(texts)})
    assert table.equal("text", "tcp", "").tolist() == [True, False, True, True]
    assert table.take(np.array([1, 2])).equal("text", "tcp").tolist() == [False, True]
    assert table["text"].tolist() == texts == table.at("text", range(4))
    assert [table.numbers("text")[row] == table.numbers("text")[0] for row in range(4)] == [True, False, True, False]


@given(rows=st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 1)), max_size=20))
def test_rows_with_equal_numbers_are_grouped(rows: list[tuple[int, int]]) -> None:
    expected: dict[tuple[int, int], list[int]] = {}
    for number, row in enumerate(rows):
        expected.setdefault(row, []).append(number)
    columns = [np.array([row[column] for row in rows], np.int64) for column in (0, 1)]
    assert [group.tolist() for group in grouped(columns)] == list(expected.values())


@given(st.lists(st.integers(-3, 3) | st.integers(-(1 << 62), 1 << 62)))
def test_distinct_numbers(numbers: list[int]) -> None:
    assert distinct(np.array(numbers, np.int64)).tolist() == sorted(set(numbers))


@given(st.lists(st.integers(-(1 << 62), 1 << 62), min_size=1) | st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_the_middle_of_some_values(values: list[int] | list[float]) -> None:
    assert median(values) == statistics.median(values)
