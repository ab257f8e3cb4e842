"""``halfshake export``: a table in a format that other tools read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from analyzer.cli.ending import Command, written
from analyzer.cli.reading import HowToRead, exit_status, read, reading_options
from analyzer.cli.words import Word

_TABLES = ("connections", "sockets", "exchanges", "resolutions", "packets", "findings")
_FORMATS = ("csv", "json", "jsonl", "parquet")


@click.command(cls=Command, short_help="Write a table as CSV, JSON, JSON lines or Parquet.")
@click.argument("table", type=Word(_TABLES), metavar="TABLE")
@click.option("--format", "file_format", type=Word(_FORMATS), default="csv", help="csv if not given.")
@click.option("--columns", metavar="NAME,NAME...", help="These columns alone, in this order.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Standard output if not given.")
@reading_options
def export(
    table: str,
    captures: tuple[str, ...],
    file_format: str,
    columns: str | None,
    output: Path | None,
    how: HowToRead,
) -> None:
    """Write TABLE of one or more captures: connections, sockets, exchanges, resolutions, packets or findings.

    \b
    halfshake export connections server.pcap > connections.csv
    halfshake export exchanges server.pcap --format parquet -o exchanges.parquet
    halfshake export connections server.pcap --columns client_address,sni,outcome
    """
    from analyzer.reports.export import with_columns, write_table

    schema = with_columns(table, columns.split(",") if columns is not None else None)
    analysis = read(captures, how)
    chosen = replace(getattr(analysis, table), schema=schema)
    if output is None:
        write_table(chosen, file_format, sys.stdout.buffer)
    else:
        with written(output) as file:
            write_table(chosen, file_format, file)
    raise SystemExit(exit_status(analysis))
