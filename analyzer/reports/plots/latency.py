"""Reply latency: which share of the attempts had been answered how long after the first request, per family.

An attempt that was never answered counts in the whole and never in the part, so that a curve ends at the share that was
answered: a family that is dead stays on the ground, a socket with one dead worker in four ends at three quarters. An
ECDF of the answered alone would hide both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzer.reports.plots.chosen import attempts_on, groups_of
from analyzer.reports.plots.style import (
    FAMILY_COLOURS,
    INK,
    Margins,
    bare,
    drawing_on,
    empty,
    family_words,
    plain,
    titled,
)
from analyzer.reports.summary import Analysed, SocketLine
from analyzer.reports.text import seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_STEPS = 400  # of a curve: more are told apart by nobody
_LABEL_HEIGHT = 13.0  # of two lines of small print, in per cent of the axis
_LINES = {"udp": "-", "tcp": (0, (5, 2))}
_DECADES = {-6: "1 µs", -5: "10 µs", -4: "100 µs", -3: "1 ms", -2: "10 ms", -1: "100 ms", 0: "1 s", 1: "10 s"}


def reply_latency(analysis: Analysed, *, server: str = "", ax: Axes | None = None) -> Axes:
    """Share of attempts (%) answered within a time (s, logarithmic), a curve per transport and family of one server.

    ``server`` is a name or an address, that of the first fault where it is "". Attempts that the capture cannot judge
    are left out. Drawn into ``ax``, or into the axes of a new Figure; returns the axes. Raises UsageError for a server
    that is not in the capture.
    """
    groups = groups_of(analysis, server)
    lines = [line for group in groups for line in group.lines if line.judged]
    with drawing_on(ax, (9.6, 3.7), Margins(left=1.05, right=2.35)) as axes:
        name = next((group.name for group in groups if group.name), lines[0].address if lines else "")
        titled(axes, f"Attempts on {plain(name)} by the time of their answer" if name else "Time of answers")
        _draw(axes, _curves(analysis, lines))
    return axes


def _curves(analysis: Analysed, lines: list[SocketLine]) -> dict[tuple[str, str], tuple[NDArray[np.float64], int]]:
    """Sorted latencies (s) and the number of judged attempts by transport and family."""
    attempts = attempts_on(analysis, lines)
    curves: dict[tuple[str, str], tuple[NDArray[np.float64], int]] = {}
    for key in sorted({(line.transport, line.family) for line in lines}):
        mine = [number for number, line in enumerate(lines) if (line.transport, line.family) == key]
        chosen = np.isin(attempts.socket, mine)
        answered = attempts.latency[chosen & (attempts.outcome == "answered")]
        judged = int(np.count_nonzero(chosen & (attempts.outcome != "undetermined")))
        if judged:
            curves[key] = np.sort(answered[~np.isnan(answered)]), judged
    return curves


def _draw(ax: Axes, curves: dict[tuple[str, str], tuple[NDArray[np.float64], int]]) -> None:
    if not curves:
        empty(ax, "no attempt that can be judged")
        return
    shown = np.concatenate([latencies for latencies, _ in curves.values()])
    low, high = (max(float(shown.min()), 1e-6), float(shown.max())) if len(shown) else (1e-3, 1.0)
    low, high = 10 ** np.floor(np.log10(low / 1.5)), max(10 ** np.ceil(np.log10(max(high, 1e-5) * 1.5)), low * 100)
    ax.set_xscale("log")
    ends = []
    for (transport, family), (latencies, judged) in curves.items():
        places = _thinned(latencies)
        x = np.concatenate([[low], latencies[places], [high]])
        y = np.concatenate([[0.0], 100.0 * (places + 1) / judged, [100.0 * len(latencies) / judged]])
        look: dict[str, Any] = {"color": FAMILY_COLOURS.get(family, INK), "linestyle": _LINES.get(transport, "-")}
        ax.plot(x, y, drawstyle="steps-post", linewidth=2, clip_on=False, **look)
        words = f"{transport.upper()} {family_words(family)}: {len(latencies):,} of {judged:,}"
        words += f"\nmedian {seconds(float(np.median(latencies)))}" if len(latencies) else "\nnever answered"
        ends.append((float(y[-1]), words, look["color"]))
    _ends(ax, ends)
    ax.set_xlim(low, high)
    ax.set_ylim(0, 101)
    ticks = [power for power in range(-6, 3) if low * 0.99 <= 10.0**power <= high * 1.01]
    ax.set_xticks([10.0**power for power in ticks], [_DECADES.get(power, "100 s") for power in ticks])
    ax.set_xticks([], minor=True)
    ax.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ax.set_xlabel("time from the first request to the first reply (logarithmic)")
    ax.set_ylabel("share of attempts answered by then")
    bare(ax, grid="both")
    ax.tick_params(axis="x", pad=7)


def _thinned(latencies: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indexes of at most ``MOST_STEPS`` steps, the first and the last among them."""
    if len(latencies) <= MOST_STEPS:
        return np.arange(len(latencies))
    return np.unique(np.linspace(0, len(latencies) - 1, MOST_STEPS).astype(np.int64))


def _ends(ax: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Each curve's words at its right end; moved apart where they would lie on one another."""
    ends = sorted(ends, key=lambda each: -each[0])
    places = [each[0] for each in ends]
    for number in range(1, len(places)):
        places[number] = min(places[number], places[number - 1] - _LABEL_HEIGHT)
    lowest = 5.0
    for number in reversed(range(len(places))):
        places[number] = max(places[number], lowest)
        lowest = places[number] + _LABEL_HEIGHT
    style: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "fontsize": 8.5}
    for place, (_, words, colour) in zip(places, ends, strict=True):
        ax.annotate(words, (1, place), (8, 0), ha="left", va="center", color=colour, **style)
