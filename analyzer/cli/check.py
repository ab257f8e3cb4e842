"""``halfshake check``: expectations for pipelines and ``git bisect run``."""

from __future__ import annotations

import click

from analyzer.cli.ending import Command
from analyzer.cli.reading import EXIT_FINDINGS, HowToRead, exit_status, read, reading_options

EXIT_UNDECIDED = 3


@click.command(cls=Command, short_help="Hold a capture against expectations; for pipelines.")
@click.option(
    "--expect",
    "expected",
    metavar="WORDS",
    multiple=True,
    help="What must hold; may be given more than once. 'no error' if not given.",
)
@reading_options
def check(
    captures: tuple[str, ...],
    expected: tuple[str, ...],
    how: HowToRead,
) -> None:
    """Say whether expectations hold; "-" is standard input.

    \b
    halfshake check server.pcap
    halfshake check server.pcap --expect "udp/443 ipv4 answered" --expect "reply p99 < 200ms"
    halfshake check server.pcap --expect "www.example.com answered >= 99%" --expect "tcp no error"

    \b
    [SOCKETS] answered | silent | refused    of all attempts that can be judged
    [SOCKETS] answered >= 99%                also silent, refused; >= > <= < ==
    [SOCKETS] reply p99 < 200ms              also median; ns, us, ms, s
    [SOCKETS] no error                       also warning, or the id of a pattern

    SOCKETS are words such as udp/443, tcp, ipv4, an address, [address]:port or a server name; the expectation must
    hold for each socket that they all fit.

    Exit status: 0 all hold, 1 one does not, 2 wrong usage or a file that cannot be read, 3 the capture shows nothing
    that decides. For git bisect run, turn 2 and 3 into 125.
    """
    from analyzer.reports.checks import expectations
    from analyzer.reports.text import visible

    wanted = [expectations.read_expectation(text) for text in expected or ("no error",)]
    analysis = read(captures, how)
    results = [expectations.check(analysis, each) for each in wanted]
    for result in results:
        click.echo(visible(f"{result.verdict:<9}  {result.expectation.text}: {result.because}"))
    verdict = expectations.verdict_of_all(results)
    status = {expectations.FAILS: EXIT_FINDINGS, expectations.UNDECIDED: EXIT_UNDECIDED}.get(verdict, 0)
    raise SystemExit(exit_status(analysis) or status)
