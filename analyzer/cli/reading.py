"""What the commands that read captures share: reading with a progress line, warnings and errors on stderr."""

from __future__ import annotations

import functools
import gc
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from analyzer.cli.work import WORK_OPTIONS
from analyzer.errors import UsageError

if TYPE_CHECKING:
    from analyzer.analysis import Analysis
    from analyzer.anonymize.anonymizer import Anonymizer
    from analyzer.exchanges.filters.expression import Filter
    from analyzer.fleet.work import Work
    from analyzer.reports.checks.accepted import Accepted

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: A capture that is read within this time needs no progress line.
_QUIET_SECONDS = 1.0
_BETWEEN_UPDATES = 0.1

EXIT_FINDINGS, EXIT_UNREADABLE = 1, 2


#: Who wants to know how far the reading is: bytes done, bytes in all.
Told = Callable[[int, int], None]


class Progress:
    """A line on stderr that says how far the reading is; only on a terminal, and only after a second.

    ``told`` is told always.
    """

    def __init__(self, *, shown: bool, told: Told | None = None) -> None:
        self._shown = shown
        self._told = told
        self._next = time.monotonic() + _QUIET_SECONDS
        self._written = False

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total`` bytes were read; ``total`` is -1 where it is not known."""
        if self._told is not None:
            self._told(done, total)
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + _BETWEEN_UPDATES
        self._written = True
        share = f" {100 * done // total:3d} %" if total > 0 else ""
        sys.stderr.write(f"\rreading{share} {done / 1e6:,.0f} MB")
        sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._written:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


VANTAGES = ("client", "server", "middle")


def reading_options(command: F) -> F:
    """The arguments and options of every command that reads captures."""
    # Whether a file can be read is found out when it is: one that cannot does not keep the others from it.
    path = click.Path(readable=False, allow_dash=True)
    return click.argument("captures", nargs=-1, required=True, metavar="CAPTURE...", type=path)(how_to_read(command))


@dataclass(frozen=True, slots=True)
class HowToRead:
    """What the options of every command that reads captures say, and those of ``anonymizing`` where it has them."""

    keylog: str | None
    vantages: Mapping[str, str]
    looked_at: Filter | None
    allowed: Sequence[Accepted]
    quiet: bool
    jobs: int | None
    max_memory: int
    cluster: str | None
    anonymize: bool = False
    anonymize_key: str | None = None


def how_to_read(command: F) -> F:
    """The options of every command that reads captures; they arrive as one argument, ``how``."""

    @functools.wraps(command)
    def with_how(**options: Any) -> Any:
        names = [field.name for field in fields(HowToRead) if field.name in options]
        how = HowToRead(**{name: options.pop(name) for name in names})
        return command(**options, how=how)

    for decorate in (
        click.option("-q", "--quiet", is_flag=True, help="No progress and no warnings on stderr."),
        click.option(
            "--vantage",
            "vantages",
            multiple=True,
            metavar="FILE=END",
            callback=_vantages,
            help="At which end a capture was made: client, server or middle. Inferred if not given.",
        ),
        click.option(
            "--keylog",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, readable=True),
            help="Open Handshake packets with the secrets of this file (SSLKEYLOGFILE).",
        ),
        click.option(
            "--config",
            "allowed",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, readable=True),
            callback=_config,
            help="Findings that are accepted, with a reason each, as TOML: [[accept]] entries.",
        ),
        click.option(
            "--filter",
            "looked_at",
            metavar="EXPR",
            callback=_filter,
            help="Look at some connections only: 'host 192.0.2.80 and not port 53'.",
        ),
        *WORK_OPTIONS,
    ):
        with_how = decorate(with_how)
    return with_how  # type: ignore[return-value]


def _config(_context: click.Context, _parameter: click.Parameter, given: str | None) -> Sequence[Accepted]:
    if given is None:
        return ()
    from analyzer.reports.checks.accepted import read_config

    return _or_bad_parameter(read_config, Path(given))


def _filter(_context: click.Context, _parameter: click.Parameter, given: str | None) -> Filter | None:
    if given is None:
        return None
    from analyzer.exchanges.filters.expression import read_filter

    return _or_bad_parameter(read_filter, given)


def _or_bad_parameter(function: Callable[[Any], T], given: Any) -> T:
    """The value, or what was wrong with it as click says it."""
    from analyzer.reports.text import visible

    try:
        return function(given)
    except UsageError as error:
        raise click.BadParameter(visible(str(error))) from error


def anonymizing(command: F) -> F:
    """The options of the commands that may write what is safe to show."""
    for decorate in (
        click.option(
            "--anonymize-key",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, readable=True),
            help="--anonymize with this key, 32 bytes or 64 hexadecimal digits, so that reports fit together.",
        ),
        click.option(
            "--anonymize",
            is_flag=True,
            help="Replace names and addresses, so that the result may be attached to a public ticket.",
        ),
    ):
        command = decorate(command)
    return command


def _anonymizer(how: HowToRead) -> Anonymizer | None:
    """Made of the key in a file, or of a new one where only ``--anonymize`` is given."""
    if how.anonymize_key is None and not how.anonymize:
        return None
    from analyzer.anonymize.anonymizer import Anonymizer
    from analyzer.anonymize.key import new_key, read_key

    return Anonymizer(new_key() if how.anonymize_key is None else _or_bad_parameter(read_key, Path(how.anonymize_key)))


def _vantages(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """FILE=END options as a mapping."""
    vantages = {}
    for text in given:
        name, separator, end = text.rpartition("=")
        if not separator or not name or end not in VANTAGES:
            raise click.BadParameter(f"{text!r} is not FILE=END with END one of {', '.join(VANTAGES)}")
        vantages[name] = end
    return vantages


def read(names: Sequence[str], how: HowToRead, *, told: Told | None = None) -> Analysis:
    """Analyse captures; what could not be read is said on stderr. Ends the program if nothing could.

    ``told`` is called with the bytes read so far and the bytes in all, -1 if unknown.
    """
    # Reference cycles are few here and live objects many: looking for garbage among them costs more than it frees.
    gc.disable()
    from analyzer.fleet.work import PREPARE, Work, helpers_worth
    from analyzer.processes import helpers

    work = Work(how.jobs, how.cluster or "", how.max_memory)
    with helpers(helpers_worth(names, work), PREPARE):  # they load what they need while this process does
        return _read(names, how, work, told)


def _read(names: Sequence[str], how: HowToRead, work: Work, told: Told | None) -> Analysis:
    from analyzer.analysis import analyse
    from analyzer.reports.text import visible

    anonymizer = _anonymizer(how)
    progress = Progress(shown=sys.stderr.isatty() and not how.quiet, told=told)
    try:
        analysis = analyse(names, keylog=how.keylog, vantages=how.vantages, progress=progress, work=work)
    finally:
        progress.clear()
    for _, failure in analysis.failures:
        click.echo(f"halfshake: {visible(str(failure))}", err=True)
    if not analysis.facts:
        raise SystemExit(EXIT_UNREADABLE)
    analysis = analysis.chosen(wanted=how.looked_at, allowed=how.allowed)
    if anonymizer is not None:
        analysis = analysis.anonymized(anonymizer)
    if not how.quiet:
        for warning in analysis.warnings:
            click.echo(f"halfshake: warning: {visible(warning)}", err=True)
    return analysis


def exit_status(analysis: Analysis) -> int:
    """0, or 2 where a file could not be read at all."""
    return EXIT_UNREADABLE if analysis.failures else 0
