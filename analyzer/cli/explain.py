"""``halfshake explain``: the page of a pattern, or the list of all."""

from __future__ import annotations

import click

from analyzer.errors import UsageError


@click.command(short_help="Say what a pattern means, how it decides and what to do.")
@click.argument("pattern", required=False, metavar="[PATTERN]")
def explain(pattern: str | None) -> None:
    """Print the page of a pattern, or the list of patterns.

    \b
    halfshake explain
    halfshake explain quic-initial-no-reply
    """
    from analyzer.patterns import catalogue

    if pattern is None:
        for module in catalogue.CATALOGUE:
            known = module.PATTERN
            click.echo(f"{known.id:32} {known.severity:8} {known.summary}")
        return
    try:
        click.echo(catalogue.explain(pattern))
    except UsageError as error:
        raise click.UsageError(str(error)) from error
