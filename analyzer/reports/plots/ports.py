"""Client ports against outcomes on one server socket: does the 4-tuple decide, or the time?

Each attempt stands at its client port and its time. Where one socket of an SO_REUSEPORT group is dead, the silent ones
are spread over all times behind the onset and each port keeps its fate; an outage is a band across all ports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.patterns.words import counted
from analyzer.reports.plots.chosen import attempts_on, faults, groups_of, onsets_of
from analyzer.reports.plots.style import (
    COLOURS,
    MARKS,
    WORDS,
    Margins,
    bare,
    clock,
    drawing_on,
    empty,
    family_words,
    legend,
    plain,
    time_ticks,
    titled,
)
from analyzer.reports.summary import OUTCOMES, Analysed, Finding, SocketLine
from analyzer.reports.text import utc

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPLITS = "socket-partial-silence"
MOST_MARKS = 600


def port_outcomes(analysis: Analysed, *, server: str = "", ax: Axes | None = None) -> Axes:
    """Client port against time (s since the first attempt), marked by outcome, for one server socket.

    ``server`` is a name or an address; where it is "", the socket is that of the first finding of 4-tuples that split,
    else the one of the first fault; the one with the most failing attempts is drawn. Of more than ``MOST_MARKS``
    attempts of one outcome an even selection is. Drawn into ``ax``, or into the axes of a new Figure; returns the axes.
    Raises UsageError for a server that is not in the capture.
    """
    split = next((each for each in faults(analysis) if each["pattern"] == SPLITS and not server), None)
    line = _socket(analysis, split, server)
    with drawing_on(ax, (9.6, 4.1), Margins(left=1.05, right=0.5, top=0.66)) as axes:
        if line is None:
            empty(axes, "no connection attempt in this capture")
        else:
            _draw(axes, analysis, line, onset=onsets_of(analysis, [line])[0])
    return axes


def _socket(analysis: Analysed, split: Finding | None, server: str) -> SocketLine | None:
    address = split["server"]["address"] if split is not None else server
    lines = [line for group in groups_of(analysis, address) for line in group.lines]
    if split is not None:
        lines = [line for line in lines if (line.address, line.transport) == (address, split["transport"])]
    return max(lines, key=lambda line: (line.silent + line.refused, line.attempts), default=None)


def _draw(ax: Axes, analysis: Analysed, line: SocketLine, *, onset: int) -> None:
    attempts = attempts_on(analysis, [line])
    ports, clients = attempts.client_port, attempts.client
    first = int(attempts.asked.min()) if len(attempts.asked) else 0
    after = (attempts.asked - first) / 1e9
    span = max(float(after.max(initial=0.0)), 1e-3)
    handles: list[Any] = []
    for outcome in OUTCOMES:
        places = np.flatnonzero(attempts.outcome == outcome)
        if not len(places):
            continue
        shown = places[np.unique(np.linspace(0, len(places) - 1, MOST_MARKS).astype(np.int64))]
        handles.append(
            ax.scatter(
                after[shown], ports[shown], label=f"{WORDS[outcome]} {len(places):,}", zorder=3, **MARKS[outcome]
            )
        )
    if onset != -1:
        moment = (onset - first) / 1e9
        ax.axvline(moment, color=COLOURS["silent"], linestyle=(0, (4, 2)), linewidth=1.5)
        late = moment > 0.7 * span
        style: dict[str, Any] = {"color": COLOURS["silent"], "fontsize": 8.5, "fontweight": "bold", "va": "bottom"}
        place = ((-4, 3), "right") if late else ((4, 3), "left")
        text = f"since {clock(onset, 0, 10)}"
        ax.annotate(text, (moment, 0), place[0], ("data", "axes fraction"), "offset points", ha=place[1], **style)
    ticks, words = time_ticks(span)
    ax.set_xticks(ticks, words)
    ax.set_xlim(-0.02 * span, 1.02 * span)
    ax.margins(y=0.08)
    ax.locator_params(axis="y", integer=True, nbins=6)
    ax.set_xlabel(f"time of the attempt, since the first one, {utc(first)}")
    ax.set_ylabel("client port (number)")
    socket = f"{line.transport.upper()} {line.port} of {plain(line.address)} over {family_words(line.family)}"
    titled(ax, f"Client ports and outcomes on {socket}", _fates(attempts.outcome, clients, ports))
    legend(ax, handles)
    bare(ax, grid="both")


def _fates(outcome: Any, clients: Any, ports: Any) -> str:
    """How many client sockets were tried more than once, and how many of them were answered at one time only."""
    fates: dict[tuple[str, int], list[str]] = {}
    for each, client, port in zip(outcome.tolist(), clients.tolist(), ports.tolist(), strict=True):
        if each != "undetermined":
            fates.setdefault((client, port), []).append(each)
    again = [each for each in fates.values() if len(each) > 1]
    mixed = sum(len(set(each)) > 1 for each in again)
    return f"{counted(len(again), 'port')} tried again, {mixed:,} with another outcome" if again else ""
