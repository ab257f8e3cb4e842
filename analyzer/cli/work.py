"""The options that say who reads captures, for every command that does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from analyzer.fleet.work import Work

_KEY = "halfshake.work"


def _keep(context: click.Context, parameter: click.Parameter, given: int | str | None) -> None:
    """For ``work_of_user``, whichever command it is of."""
    if given is not None:
        context.meta.setdefault(_KEY, {})[parameter.name] = given


def _bytes(given: str | None) -> int | None:
    """A size such as 512M in bytes."""
    if given is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})([MG])", given.upper().removesuffix("B").removesuffix("I"))
    if not found:
        raise click.BadParameter(f"{given!r} is not a size such as 512M or 2G")
    return int(found[1]) << {"M": 20, "G": 30}[found[2]]


WORK_OPTIONS = (
    click.option(
        "--jobs",
        metavar="N",
        type=click.IntRange(1, 256),
        expose_value=False,
        callback=_keep,
        help="How many processes read at the same time. As many as pay if not given.",
    ),
    click.option(
        "--max-memory",
        metavar="SIZE",
        expose_value=False,
        callback=lambda context, parameter, given: _keep(context, parameter, _bytes(given)),
        help="Stay within 512M, 2G, ...: the oldest connections that ended are then only counted.",
    ),
    click.option(
        "--cluster",
        metavar="ADDRESS",
        expose_value=False,
        callback=_keep,
        help="Let the workers of this Dask scheduler read: tcp://host:8786.",
    ),
)


def work_of_user() -> Work:
    """What the options of the running command say."""
    from analyzer.fleet.work import Work

    return Work(**click.get_current_context().meta.get(_KEY, {}))
