"""``halfshake compare``: what changed between two captures, and whether it got worse."""

from __future__ import annotations

import click

from analyzer.cli.reading import EXIT_FINDINGS, HowToRead, how_to_read, read


@click.command(short_help="Say what changed between two captures.")
@click.argument("before")
@click.argument("after")
@how_to_read
def compare(before: str, after: str, how: HowToRead) -> None:
    """Compare two captures of the same sockets: per socket, address family and pattern, with rates and intervals.

    \b
    halfshake compare before.pcap after.pcap

    A share that changed no more than chance may explain (95 % intervals overlap) is told and never called worse. Exit
    status: 0 not worse, 1 worse, 2 wrong usage or a file that cannot be read.
    """
    from analyzer.reports.checks.comparison import changes, is_worse
    from analyzer.reports.text import visible

    if (before, after) == ("-", "-"):
        raise click.UsageError("standard input can be only one of the two captures")
    analyses = [read([name], how) for name in (before, after)]
    found = changes(*analyses)
    for change in found:
        click.echo(visible(f"{change.direction:<7}  {change.sentence}"))
    if not found:
        click.echo("nothing changed")
    raise SystemExit(EXIT_FINDINGS if is_worse(found) else 0)
