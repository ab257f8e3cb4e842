"""``halfshake export``: a table in a format that other tools read."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from analyzer.cli.ending import written
from analyzer.cli.reading import HowToRead, exit_status, read, reading_options

_TABLES = ("connections", "sockets", "exchanges", "resolutions", "packets", "findings")
_FORMATS = ("csv", "json", "jsonl", "parquet")


@click.command(short_help="Write a table as CSV, JSON, JSON lines or Parquet.")
@click.argument("table", type=click.Choice(_TABLES), metavar="TABLE")
@click.option("--format", "file_format", type=click.Choice(_FORMATS), default="csv", help="csv if not given.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Standard output if not given.")
@reading_options
def export(
    table: str,
    captures: tuple[str, ...],
    file_format: str,
    output: Path | None,
    how: HowToRead,
) -> None:
    """Write TABLE of one or more captures: connections, sockets, exchanges, resolutions, packets or findings.

    \b
    halfshake export connections server.pcap > connections.csv
    halfshake export exchanges server.pcap --format parquet -o exchanges.parquet
    """
    from analyzer.reports.export import write_table

    analysis = read(captures, how)
    chosen = getattr(analysis, table)
    if output is None:
        write_table(chosen, file_format, sys.stdout.buffer)
    else:
        with written(output) as file:
            write_table(chosen, file_format, file)
    raise SystemExit(exit_status(analysis))
