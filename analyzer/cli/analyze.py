"""``halfshake analyze``: the verdict, the report document, the report folder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analyzer.cli.ending import Command
from analyzer.cli.reading import EXIT_FINDINGS, HowToRead, anonymizing, exit_status, read, reading_options
from analyzer.cli.words import Word

if TYPE_CHECKING:
    from analyzer.analysis import Analysis
    from analyzer.reports.plots.aside import Artist

_RANKS = {"error": ("error",), "warning": ("error", "warning")}


@click.command(cls=Command, short_help="Say which sockets do not answer, and why.")
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help="Write the report into this folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report document alone.")
@click.option("--fail-on", type=Word(["error", "warning"]), help="Exit with 1 if there is such a finding.")
@click.option("--full", is_flag=True, help="Leave nothing out.")
@click.option("--force", is_flag=True, help="Write into a folder that halfshake did not make.")
@anonymizing
@reading_options
def analyze(
    captures: tuple[str, ...],
    output: Path | None,
    as_json: bool,
    fail_on: str | None,
    full: bool,
    force: bool,
    how: HowToRead,
) -> None:
    """Analyse one or more captures; "-" is standard input.

    \b
    halfshake analyze server.pcap
    halfshake analyze server.pcap -o report
    halfshake analyze --json server.pcap | jq .findings
    halfshake analyze --fail-on error before.pcap
    halfshake analyze server.pcap -o report --anonymize

    Captures may be pcap or pcapng, plain or compressed (gz, zst, lz4, xz). Exit status: 0 analysed, 1 --fail-on holds,
    2 wrong usage or a file that cannot be read.
    """
    if output is not None:
        from analyzer.reports.bundle import check_folder

        check_folder(output, force=force)
    with _artist(captures, output) as artist:
        analysis = read(captures, how, told=None if artist is None else artist.progress)
        if artist is not None:
            artist.expect(analysis)
        _print(analysis, as_json=as_json, full=full)
        if output is not None:
            said = list(_write(analysis, output, force=force, full=full, artist=artist))
            for sentence in said if not how.quiet else ():
                click.echo(sentence, err=True)
    open_ = {each["severity"] for each in analysis.document["findings"] if not each.get("accepted")}
    if open_ & {*_RANKS.get(fail_on or "", ())}:
        raise SystemExit(exit_status(analysis) or EXIT_FINDINGS)
    raise SystemExit(exit_status(analysis))


def _artist(captures: tuple[str, ...], output: Path | None) -> contextlib.AbstractContextManager[Artist | None]:
    """Who draws the plots of the report, made ready while the captures are read."""
    if output is None:
        return contextlib.nullcontext()
    from analyzer.reports.plots.aside import artist_for

    return artist_for(captures)


def _print(analysis: Analysis, *, as_json: bool, full: bool) -> None:
    if as_json:
        from analyzer.reports.export import document_json

        click.echo(document_json(analysis.document), nl=False)
        return
    import shutil

    from analyzer.reports.terminal import verdict

    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    _reconfigure_stdout()
    click.echo(verdict(analysis, color=color, width=width, full=full), nl=False, color=color)


def _write(analysis: Analysis, output: Path, *, force: bool, full: bool, artist: Artist | None) -> Iterator[str]:
    """Write the report, and say what is to be said of it."""
    from analyzer.reports.bundle import write_reports
    from analyzer.reports.text import visible

    for sentence in write_reports(analysis, output, force=force, full=full, artist=artist):
        yield f"halfshake: warning: {visible(sentence)}"
    yield f"report written to {click.format_filename(output)}"


def _reconfigure_stdout() -> None:
    """Let a terminal without Unicode show a question mark in place of a bar, and go on."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
