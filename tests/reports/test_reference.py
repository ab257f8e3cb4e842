"""The documentation of tables is the one that the code makes."""

from __future__ import annotations

from pathlib import Path

from markdown_it import MarkdownIt

from analyzer.exchanges.schemas import SCHEMAS
from analyzer.reports.reference import tables_page

PAGE = Path(__file__).parents[2] / "docs/tables.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == tables_page(), "run: python -m analyzer.reports.reference > docs/tables.md"


def test_every_public_column_has_its_row() -> None:
    rows = [line for line in tables_page().splitlines() if line.startswith("| `")]
    public = [column.name for schema in SCHEMAS.values() for column in schema if column.public]
    assert [row.split("`")[1] for row in rows] == public


def test_the_page_is_tables_to_a_parser() -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(tables_page())
    assert sum(token.type == "table_open" for token in tokens) == len(SCHEMAS)
