"""``halfshake crosscheck``: what Wireshark says about the connections of each finding."""

from __future__ import annotations

import click

from analyzer.cli.ending import Command
from analyzer.cli.reading import EXIT_FINDINGS, HowToRead, exit_status, read, reading_options


@click.command(cls=Command, short_help="Ask Wireshark about the connections of each finding.")
@click.option(
    "--finding", "wanted", metavar="ID", multiple=True, help="F1, F2, ... or the id of a pattern; all if not given."
)
@click.option("--full", is_flag=True, help="Print every field, also where both agree.")
@click.option("--json", "as_json", is_flag=True, help="Print every field as JSON.")
@reading_options
def crosscheck(
    captures: tuple[str, ...],
    wanted: tuple[str, ...],
    full: bool,
    as_json: bool,
    how: HowToRead,
) -> None:
    """Compare what halfshake and tshark say about the connections of each finding, field by field.

    \b
    halfshake crosscheck server.pcap
    halfshake crosscheck server.pcap --finding F1 --full

    Compared are the addresses, the server name, ALPN, the QUIC version, how many Initials the client sent and how many
    packets came back, and TCP flags, of the first 20 connections of a finding. The captures are read twice, so standard
    input will not do; tshark (part of Wireshark) must be installed.

    Exit status: 0 no difference, 1 they differ somewhere, 2 wrong usage, or there is no tshark.
    """
    from analyzer.api.crosscheck import crosscheck as compared
    from analyzer.cli.excerpt import chosen_findings
    from analyzer.patterns.words import counted
    from analyzer.reports.text import json_text, visible

    analysis = read(captures, how)
    findings = analysis.document["findings"]
    told = compared(analysis, chosen_findings(findings, wanted) if wanted else findings, keylog=how.keylog)
    patterns = {finding["id"]: finding["pattern"] for finding in findings}
    if as_json:
        fields = ("connection", "field", "ours", "theirs", "verdict")
        rows = {name: [{f: getattr(each, f) for f in fields} for each in opinions] for name, opinions in told.items()}
        click.echo(json_text(rows))
    for name, opinions in () if as_json else told.items():
        counts = {verdict: sum(each.verdict == verdict for each in opinions) for verdict in ("agrees", "differs")}
        of = len({each.connection for each in opinions})
        agree = f"{counted(counts['agrees'], 'field')} agree{'s' if counts['agrees'] == 1 else ''}"
        click.echo(f"{name} {patterns[name]}: {counted(of, 'connection')}, {agree}, {counts['differs']} differ")
        for each in opinions:
            if full or each.verdict == "differs":
                values = each.ours or "nothing", each.theirs or "nothing"
                shown = values[0] if each.verdict == "agrees" else f"halfshake {values[0]}, tshark {values[1]}"
                click.echo(visible(f"  {each.verdict:<8}  {each.connection:<6}  {each.field}: {shown}"))
    if not told and not as_json:
        click.echo("no finding is about a connection")
    differs = any(each.verdict == "differs" for opinions in told.values() for each in opinions)
    raise SystemExit(exit_status(analysis) or (EXIT_FINDINGS if differs else 0))
