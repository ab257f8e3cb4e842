"""The options that say who reads captures, for every command that does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from analyzer.fleet.work import Work

_KEY = "halfshake.work"


def _keep(context: click.Context, parameter: click.Parameter, given: int | str | None) -> None:
    """For ``work_of_user``, whichever command it is of."""
    if given is not None:
        context.meta.setdefault(_KEY, {})[parameter.name] = given


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
