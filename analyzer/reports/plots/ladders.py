"""The ladder of one connection as a picture: its selected packets as arrows between client and server, from the top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyzer.reports.ladder import Ladder, Step, after, ending, first_steps, ladders_of, telling_connections
from analyzer.reports.plots.chosen import connection_name
from analyzer.reports.plots.style import COLOURS, INK, Margins, drawing_on, empty, plain, titled
from analyzer.reports.summary import Analysed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_STEPS = 24


def ladder(analysis: Analysed, *, connection: str = "", ax: Axes | None = None) -> Axes:
    """The first ``MOST_STEPS`` selected packets of a connection, from the top in their order (not to scale in time).

    ``connection`` is C1, C2, ...; where it is "", the telling one of the first finding about connections, else the
    first. Drawn into ``ax``, or into the axes of a new Figure; returns the axes. Raises UsageError for a connection
    that is not in the capture.
    """
    names = [*telling_connections(analysis).values(), *analysis.connections["connection"][:1].tolist()]
    name = connection_name(analysis, connection) if connection else next(iter(names), "")
    made = ladders_of(analysis, [name]).get(name) if name else None
    steps = len(made.steps) if made is not None else 0
    height = 1.35 + 0.26 * max(min(steps, MOST_STEPS), 2)
    with drawing_on(ax, (9.6, height), Margins(left=1.6, right=0.6, top=0.66, bottom=0.1)) as axes:
        if made is None or not made.steps:
            empty(axes, "no connection in this capture")
        else:
            _draw(axes, first_steps(made, MOST_STEPS))
    return axes


def _draw(ax: Axes, shown: Ladder) -> None:
    below = len(shown.steps)
    for x, who, words in ((0.0, "client", shown.client), (1.0, "server", f"{shown.server} {shown.name}".strip())):
        ax.plot([x, x], [-0.4, -below - 0.4], color=INK, linewidth=1, alpha=0.6)
        ax.text(x, 0.1, f"{who}\n{plain(words, 44)}", ha="center", va="bottom", fontsize=8.5, parse_math=False)
    for number, step in enumerate(shown.steps):
        _step(ax, step, -number - 1)
    if ending(shown):
        colour = COLOURS["silent"] if shown.outcome == "silent" else INK
        ax.text(0.5, -below - 0.95, plain(ending(shown), 80), ha="center", va="center", fontsize=8.5, color=colour)
    ax.set_xlim(-0.15, 1.15)
    ax.set_ylim(-below - 1.4, 1.0)
    ax.set_axis_off()
    titled(ax, f"{shown.connection}: its first packets, with record numbers and times")


def _step(ax: Axes, step: Step, y: float) -> None:
    begin, end = {"client": (0.0, 1.0), "server": (1.0, 0.0)}.get(step.sender, (0.5, 0.5))
    colour = {"client": INK, "server": COLOURS["answered"]}.get(step.sender, COLOURS["undetermined"])
    if begin != end:
        arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (end, y), (begin, y), arrowprops=arrow)
    words: dict[str, Any] = {"fontsize": 8, "parse_math": False}
    ax.text(0.5, y + 0.08, plain(step.what, 70), ha="center", va="bottom", color=colour, **words)
    ax.text(-0.03, y, f"record {step.record}, {after(step)}", ha="right", va="center", **words)
