"""``halfshake excerpt``: the records that prove a finding, as a capture of their own."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.cli.ending import Command, written
from analyzer.cli.reading import HowToRead, anonymizing, exit_status, read, reading_options
from analyzer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from analyzer.reports.evidence.copy import Evidence


@click.command(cls=Command, short_help="Copy the records that prove a finding into a capture.")
@click.option(
    "--finding",
    "wanted",
    metavar="ID",
    multiple=True,
    required=True,
    help="F1, F2, ... as analyze numbers them, or the id of a pattern; may be given more than once.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help='The pcapng file to write; "-" is standard output.',
)
@anonymizing
@reading_options
def excerpt(
    captures: tuple[str, ...],
    wanted: tuple[str, ...],
    output: Path,
    how: HowToRead,
) -> None:
    """Write the records that prove a finding, and the handshakes of its connections, as pcapng.

    \b
    halfshake excerpt server.pcap --finding F1 -o f1.pcapng
    halfshake excerpt server.pcap --finding quic-initial-no-reply -o - | wireshark -k -i -
    halfshake excerpt server.pcap --finding F1 -o f1.pcapng --anonymize

    Each packet has a comment: which finding it is for, what it is to it, and its record number in the original file.
    The captures are read twice, so standard input will not do.
    """
    from analyzer.reports.evidence.copy import check_paths

    check_paths([path for path in captures if path == "-" or os.path.exists(path)])
    _check_output(output, captures)
    analysis = read(captures, how)
    evidence = _write(output, analysis, chosen_findings(analysis.document["findings"], wanted))
    if not how.quiet:
        click.echo(f"{evidence.records:,} records written to {click.format_filename(output)}", err=True)
        for sentence in evidence.notes():
            click.echo(f"halfshake: {sentence}", err=True)
    raise SystemExit(exit_status(analysis))


def chosen_findings(findings: Sequence[dict[str, Any]], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """The findings with these ids or patterns; raises UsageError where one of the words names none."""
    known = {word for finding in findings for word in (finding["id"].lower(), finding["pattern"])}
    for word in wanted:
        if word.lower() not in known:
            ids = ", ".join(f"{finding['id']} ({finding['pattern']})" for finding in findings[:20])
            hint = did_you_mean(word, known)
            raise UsageError(f"no finding {word!r} here; {hint + ' ' if hint else ''}there is {ids or 'none at all'}")
    words = {word.lower() for word in wanted}
    return [finding for finding in findings if words & {finding["id"].lower(), finding["pattern"]}]


def _check_output(output: Path, captures: Sequence[str]) -> None:
    for path in captures:
        with contextlib.suppress(OSError):
            if os.path.samefile(path, output):
                raise UsageError(f"{output}: is one of the captures; name another file")


def _write(output: Path, analysis: Any, findings: Sequence[dict[str, Any]]) -> Evidence:
    """Write the file whole or not at all."""
    from analyzer.reports.evidence.copy import write_evidence

    if str(output) == "-":
        content = io.BytesIO()
        evidence = write_evidence(content, analysis, findings)
        sys.stdout.buffer.write(content.getbuffer())
        return evidence
    with written(output) as file:
        return write_evidence(file, analysis, findings)
