"""Every door: what goes in is hostile, what comes out is inert there."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from analyzer.reports.text import (
    clipped,
    code,
    csv_cell,
    json_text,
    marked,
    prose,
    ranges,
    seconds,
    utc,
    visible,
    width_of,
)
from tests.reports.example import HOSTILE

MARKDOWN = MarkdownIt("commonmark").enable("table")
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)
MARKUP = st.text(alphabet="`|*_[]()<>#@!&\\~ \n-+=1.:ab\x1b\u202e", max_size=60)


def flat(tokens: list[Token]) -> list[Token]:
    return [each for token in tokens for each in (token, *(token.children or []))]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("example.com", "example.com"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\r\t\x7f\x9b", "a\\x0ab\\x0d\\x09\\x7f\\x9b"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u200bb\ufeff\u2028", "a\\u200bb\\ufeff\\u2028"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        ("naïve 日本", "naïve 日本"),
    ],
)
def test_invisible_characters_are_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_what_is_visible_is_printable_utf8_and_stays_so(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in shown)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert visible(shown) == shown


@given(st.one_of(MARKUP, ANY_TEXT))
@example(HOSTILE)
@example("`` ` ```")
@example("a`b`")
def test_code_is_one_code_span_that_holds_the_text(text: str) -> None:
    tokens = flat(MARKDOWN.parse(f"x {code(text)} x"))
    spans = [token.content for token in tokens if token.type == "code_inline"]
    assert [span.strip() for span in spans] == [visible(text).strip()]


@given(st.one_of(MARKUP, ANY_TEXT))
@example(HOSTILE)
def test_code_in_a_cell_leaves_the_table_whole(text: str) -> None:
    tokens = flat(MARKDOWN.parse(f"| a | b |\n| --- | --- |\n| {code(text, cell=True)} | end |\n"))
    assert sum(token.type == "td_open" for token in tokens) == 2
    assert {token.type for token in tokens} <= {
        *(f"{tag}_{way}" for tag in ("table", "thead", "tbody", "tr", "th", "td") for way in ("open", "close")),
        *("inline", "text", "code_inline"),
    }


@given(st.one_of(MARKUP, ANY_TEXT))
@example(HOSTILE)
@example("1. a")
@example("- a")
@example("``x`` `y`")
@example("==")
@example("a`b`c`d`")
@example("`*a*``b`")
def test_prose_is_words_and_code_and_nothing_else(text: str) -> None:
    for before in ("", "- ", "### ", "| a |\n| --- |\n| "):
        tokens = flat(MARKDOWN.parse(before + prose(text, cell=before.startswith("|"))))
        inside = {token.type for token in tokens if token.level > 0 or token.type.startswith(("html", "fence", "hr"))}
        allowed = {"inline", "text", "code_inline", "paragraph_open", "paragraph_close", "softbreak"}
        allowed |= {"list_item_open", "list_item_close"} if before == "- " else set()
        assert before.startswith("|") or inside <= allowed


def test_prose_keeps_sentences_readable() -> None:
    assert prose("0 of 5 attempts (35 %) were answered, after 3.0 s.") == (
        "0 of 5 attempts (35 %) were answered, after 3.0 s."
    )
    assert prose("to 192.0.2.80:443 (see [2001:db8::1]:443).") == "to `192.0.2.80:443` (see `[2001:db8::1]:443`)."
    assert prose("Run `ss -lnu` now") == "Run `ss -lnu` now"
    assert prose("where connect() fails (or bind()).") == "where `connect()` fails (or `bind()`)."


@pytest.mark.parametrize("word", ["@someone", "#12", "!3", "GH-12", "deadbeef01", ":smile:", "www.example.com", "a_b_"])
def test_prose_leaves_nothing_for_a_forge_to_link(word: str) -> None:
    assert prose(f"see {word}, please") in (f"see `{word}`, please", f"see `{word.rstrip(':')}`:, please")


def test_marked_finds_commands() -> None:
    assert marked("Run `ss -lnu` now") == [(False, "Run "), (True, "ss -lnu"), (False, " now")]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "  =1", "\t=1", "＝1", "\rx", HOSTILE])
def test_no_csv_cell_is_a_formula(text: str) -> None:
    assert csv_cell(text).startswith("'")
    assert csv_cell(text)[1:] == visible(text)


def test_csv_leaves_honest_text_alone() -> None:
    assert csv_cell("a=b") == "a=b"
    assert csv_cell("") == ""


@given(ANY_TEXT)
@example(HOSTILE)
@example("\U000e0041\udcff\u2028\x9b")
def test_json_reads_back_and_is_inert_on_a_terminal(text: str) -> None:
    for indent in (True, False):
        written = json_text({"a": [text]}, indent=indent)
        assert json.loads(written) == {"a": [text]}
        assert visible(written.replace("\n", "")) == written.replace("\n", "")


def test_json_writes_what_is_no_number_as_null() -> None:
    assert json_text([math.nan, math.inf, 1.5, (1, None)], indent=False) == "[null, null, 1.5, [1, null]]"


def test_times_and_durations() -> None:
    assert utc(1795302321_246008000) == "2026-11-21T23:05:21.246008000Z"
    assert utc(0) == "1970-01-01T00:00:00.000000000Z"
    assert utc(-1) == ""
    values = (0.0000214, 0.0204, 3.0, 126.4, 0.0, math.nan, 1234.5)
    assert [seconds(value) for value in values] == ["21.4 µs", "20.4 ms", "3 s", "126 s", "0 µs", "", "1,234 s"]


def test_ranges_join_runs() -> None:
    assert ranges([9, 7, 8, 12, 8]) == ["7–9", "12"]
    assert ranges([]) == []


@given(st.text(alphabet="ab日\u0301", max_size=40), st.integers(3, 30))
def test_clipped_fits(text: str, width: int) -> None:
    assert width_of(clipped(text, width)) <= width
    if width_of(text) <= width:
        assert clipped(text, width) == text


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    PLAIN,
    lambda within: (
        st.lists(within, max_size=4)
        | st.lists(within, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), within, max_size=4)
    ),
    max_leaves=20,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=3), PLAIN, max_size=4) | st.lists(PLAIN, max_size=3), max_size=4)


@given(JSON | ROWS)
@example([{"a": "},\n    {", "b": "]"}, {"a": "{"}])
@example({"rows": [[0, 1], [2], []], "none": {}})
@settings(deadline=None)
def test_json_is_indented_as_by_the_plain_encoder(value: Any) -> None:
    assert json.loads(json_text(value)) == json.loads(json.dumps(value))
    plain = json.dumps(value, ensure_ascii=False, indent=2)
    if plain.isascii() and plain.replace("\n", "").isprintable():
        assert json_text(value) == plain
