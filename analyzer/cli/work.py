"""The options that say who reads captures, for every command that does."""

from __future__ import annotations

import re

import click


def _bytes(_context: click.Context, _parameter: click.Parameter, given: str | None) -> int:
    """A size such as 512M in bytes, 0 if none is given."""
    if given is None:
        return 0
    found = re.fullmatch(r"([0-9]{1,9})([MG])", given.upper().removesuffix("B").removesuffix("I"))
    if not found:
        raise click.BadParameter(f"{given!r} is not a size such as 512M or 2G")
    return int(found[1]) << {"M": 20, "G": 30}[found[2]]


WORK_OPTIONS = (
    click.option(
        "--jobs",
        metavar="N",
        type=click.IntRange(1, 256),
        help="How many processes read at the same time. As many as pay if not given.",
    ),
    click.option(
        "--max-memory",
        metavar="SIZE",
        callback=_bytes,
        help="Stay within 512M, 2G, ... (else about 4G): the oldest connections that ended are then only counted.",
    ),
    click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Let the workers of this Dask scheduler read: tcp://host:8786.",
    ),
)
