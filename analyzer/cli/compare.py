"""``halfshake compare``: what changed between two captures, and whether it got worse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from analyzer.cli.ending import Command
from analyzer.cli.reading import EXIT_FINDINGS, EXIT_UNREADABLE, HowToRead, how_to_read, read

#: Names of captures in a folder: server.pcap, trace.pcapng.gz, ring.pcap17.
_CAPTURES = "*cap*"


@click.command(cls=Command, short_help="Say what changed between two captures.")
@click.argument("captures", nargs=-1, metavar="BEFORE AFTER", type=click.Path(readable=False, allow_dash=True))
@click.option("--before", "befores", multiple=True, metavar="PATH", help="A capture of the time before; repeatable.")
@click.option("--after", "afters", multiple=True, metavar="PATH", help="A capture of the time after; repeatable.")
@how_to_read
def compare(captures: tuple[str, ...], befores: tuple[str, ...], afters: tuple[str, ...], how: HowToRead) -> None:
    """Compare two captures of the same sockets: per socket, address family and pattern, with rates and intervals.

    \b
    halfshake compare before.pcap after.pcap
    halfshake compare monday/ tuesday/
    halfshake compare --before a.pcap --before b.pcap --after c.pcap

    A folder stands for the captures in it (files with "cap" in their names); several files of one side are read
    together, as analyze does. A share that changed no more than chance may explain (95 % intervals overlap) is told and
    never called worse. Exit status: 0 not worse, 1 worse, 2 wrong usage or a file that cannot be read.
    """
    from analyzer.reports.checks.comparison import changes, is_worse
    from analyzer.reports.text import visible

    sides = [_files(side) for side in _sides(captures, befores, afters)]
    if sum(side.count("-") for side in sides) > 1:
        raise click.UsageError("standard input can be only one of the two captures")
    before, after = (read(side, how) for side in sides)
    found = changes(before, after)
    for change in found:
        click.echo(visible(f"{change.direction:<7}  {change.sentence}"))
    if not found:
        click.echo("nothing changed")
    if before.failures or after.failures:
        raise SystemExit(EXIT_UNREADABLE)
    raise SystemExit(EXIT_FINDINGS if is_worse(found) else 0)


def _sides(captures: Sequence[str], befores: Sequence[str], afters: Sequence[str]) -> tuple[Sequence[str], ...]:
    """The two sides: two captures, or what --before and --after name; one capture may stand for a missing option."""
    if len(captures) == 2 and not befores and not afters:
        return captures[:1], captures[1:]
    if len(captures) == 1 and bool(befores) != bool(afters):
        return (befores, captures) if befores else (captures, afters)
    if not captures and befores and afters:
        return befores, afters
    raise click.UsageError("name two captures, or --before and --after with one or more each")


def _files(paths: Sequence[str]) -> list[str]:
    """The paths, with the captures of a folder in place of it, in the order of their names."""
    files: list[str] = []
    for path in paths:
        if path == "-" or not Path(path).is_dir():
            files.append(path)
            continue
        inside = sorted(str(each) for each in Path(path).glob(_CAPTURES) if each.is_file())
        if not inside:
            raise click.UsageError(f"{click.format_filename(path)}: no captures in this folder (names with 'cap')")
        files += inside
    return files
