"""``halfshake explain``: the page of a pattern or of a known incident, or the list of all."""

from __future__ import annotations

import click

from analyzer.cli.ending import Command
from analyzer.cli.words import incident_ids, pattern_ids, words


@click.command(cls=Command, short_help="Say what a pattern means, how it decides and what to do.")
@click.argument("pattern", required=False, metavar="[PATTERN]", shell_complete=words(pattern_ids))
@click.option(
    "--incident",
    metavar="ID",
    shell_complete=words(incident_ids),
    help="The page of a known incident: cause, confirmation, workaround, fix.",
)
@click.option("--incidents", is_flag=True, help="List the known incidents; with PATTERN, those that fit it.")
def explain(pattern: str | None, incident: str | None, incidents: bool) -> None:
    """Print the page of a pattern, or the list of patterns.

    \b
    halfshake explain
    halfshake explain quic-initial-no-reply
    halfshake explain quic-initial-no-reply --incidents
    halfshake explain --incident nginx-reload-reuseport

    The environment variable HALFSHAKE_INCIDENTS names a folder with incidents of your own, TOML files as those of
    halfshake.
    """
    if incident is not None and (pattern is not None or incidents):
        raise click.UsageError("--incident goes with neither PATTERN nor --incidents")
    click.echo(_page(pattern, incident, listed=incidents))


def _page(pattern: str | None, incident: str | None, *, listed: bool) -> str:
    if incident is not None or listed:
        from analyzer.knowledge import incidents as knowledge

        return knowledge.page(incident) if incident is not None else _incidents(pattern)
    from analyzer.patterns import catalogue

    if pattern is not None:
        return catalogue.explain(pattern)
    known = (module.PATTERN for module in (*catalogue.CATALOGUE, *catalogue.others()))
    return "\n".join(f"{each.id:32} {each.severity:8} {each.summary}" for each in known)


def _incidents(pattern: str | None) -> str:
    """The incidents that fit a pattern, or all, a line each."""
    from analyzer.knowledge import incidents as knowledge
    from analyzer.patterns import catalogue

    if pattern is not None:
        catalogue.pattern(pattern)
    fitting = [each for each in knowledge.incidents() if pattern is None or pattern in each.patterns]
    return "\n".join(f"{each.id:40} {each.title}" for each in fitting) or f"no known incident fits {pattern}"
