"""The page of tables in the documentation, made from the schemas.

``python -m analyzer.reports.reference > docs/tables.md`` writes it; a test holds the page against this module.
"""

from __future__ import annotations

import sys
import textwrap

from analyzer.columns import Schema
from analyzer.exchanges import history
from analyzer.exchanges.schemas import SCHEMAS
from analyzer.frames import dtype_words

_ROWS = {
    "connections": "One row per QUIC connection, TCP connection or other UDP conversation.",
    "sockets": "One row per server socket and address family that was asked.",
    "exchanges": "One row per request, with what came back.",
    "resolutions": "One row per client, name and episode of asking for it.",
    "packets": "One row per selected record: those that decide, a few per connection.",
    "findings": "One row per finding, its scalar fields.",
}


def tables_page() -> str:
    """The whole page, in Markdown."""
    parts = ["# Tables\n", textwrap.dedent(_INTRODUCTION)]
    for name, schema in SCHEMAS.items():
        parts.append(f"\n## {name}\n\n{_ROWS[name]}\n\n{_table(schema)}")
        if name == "connections":
            parts.append(f"\n### History\n\n{_legend()}")
    return "".join(parts)


_INTRODUCTION = """
    `halfshake export TABLE CAPTURE...` writes one of these as CSV, JSON, JSON lines or Parquet. Times are UTC with nine
    decimals; a value that does not apply is empty. Records are numbered from 1 per file, as Wireshark's `frame.number`.
    In Python `analyzer.open(CAPTURE)` has each as an attribute: a DataFrame with the given dtypes, in which a value
    that does not apply is missing, and durations are timedeltas.
    """


def _table(schema: Schema) -> str:
    lines = ["| column | kind | unit | meaning | source | dtype |", "| --- | --- | --- | --- | --- | --- |"]
    for column in (column for column in schema if column.public):
        cells = (f"`{column.name}`", column.kind, column.unit, column.meaning, column.source, dtype_words(column))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _legend() -> str:
    """The docstring of the module that writes histories."""
    return textwrap.dedent(history.__doc__ or "").strip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(tables_page())
