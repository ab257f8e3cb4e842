"""The timeline: attempts and answers over time, a row per server socket and family.

How it reads: above a row's line stand the attempts that were answered (blue discs), below it the others
(silent: orange crosses, with a thin line for as long as the client went on asking; refused: purple diamonds); on the
line those that the capture cannot judge. A row with more than ``MOST_MARKS`` attempts is drawn as bars of counts per
bin instead, so that a flood costs as much as a handful.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzer.patterns.words import counted
from analyzer.reports.plots.chosen import attempts_on, onsets_of
from analyzer.reports.plots.style import (
    CHARACTER,
    COLOURS,
    INK,
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
    style,
    time_ticks,
    titled,
)
from analyzer.reports.summary import OUTCOMES, Analysed, SocketLine, share_text, socket_groups
from analyzer.reports.text import nanoseconds, utc

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

MOST_ROWS = 16
MOST_MARKS = 120
BINS = 120
_PLACES = {"answered": 0.22, "silent": -0.22, "refused": -0.22, "undetermined": 0.0}
_HIGHEST = 0.42  # of a bar, in rows


@dataclass(frozen=True, slots=True)
class _Row:
    """The attempts on one server socket: seconds since the first record, outcome, seconds of the last repeat."""

    line: SocketLine
    asked: NDArray[np.float64]
    repeated: NDArray[np.float64]
    outcome: NDArray[Any]


def timeline(analysis: Analysed, *, ax: Axes | None = None) -> Axes:
    """Attempts and answers over time: x is seconds since the first record of the captures, y the server sockets.

    Drawn into ``ax``, or into the axes of a new Figure; returns the axes. At most ``MOST_ROWS`` sockets, the worst
    first.
    """
    axes = without_onsets(analysis, ax=ax)
    with style() if ax is None else contextlib.nullcontext():
        mark_onsets(analysis, axes)
    return axes


def without_onsets(analysis: Analysed, *, ax: Axes | None = None) -> Axes:
    """The timeline but for the onsets, which are all that it has of the findings."""
    lines = _lines(analysis)
    shown = lines[:MOST_ROWS]
    longest = max((len(text) for line in shown for text in _label(line).split("\n")), default=0)
    status = max((len(line.status) for line in shown), default=0)
    margins = Margins(left=0.25 + CHARACTER * longest, right=0.45 + 1.2 * CHARACTER * max(status, 12), bottom=0.72)
    with drawing_on(ax, (9.6, 1.35 + 0.6 * max(len(shown), 1)), margins) as axes:
        _draw(analysis, axes, shown, left_out=len(lines) - len(shown))
    return axes


def mark_onsets(analysis: Analysed, ax: Axes) -> list[Artist]:
    """Draw into a timeline where sockets fell silent, or where faults about them began; what was drawn."""
    lines = _lines(analysis)[:MOST_ROWS]
    first, last = _span(analysis)
    span = max((last - first) / 1e9, 1e-3)
    marks: list[Artist] = []
    for number, (line, onset) in enumerate(zip(lines, onsets_of(analysis, lines), strict=True)):
        if onset != -1:
            marks += _onset(ax, line, -number, onset=onset, times=((onset - first) / 1e9, span))
    return marks


def _lines(analysis: Analysed) -> list[SocketLine]:
    return [line for group in socket_groups(analysis) for line in group.lines]


def _draw(analysis: Analysed, ax: Axes, lines: list[SocketLine], *, left_out: int) -> None:
    first, last = _span(analysis)
    rows = _rows(analysis, lines, first)
    span = max((last - first) / 1e9, 1e-3)
    highest = _highest(rows, span)
    _background(ax, lines)
    handles = _marks(ax, rows)
    _bars(ax, rows, span=span, highest=highest)
    _frame(ax, rows, span=span, first=first)
    titled(ax, "Attempts and answers per server socket", _notes(highest, span, left_out))
    legend(ax, handles)
    if not rows:
        empty(ax, "no connection attempt in this capture")


def _span(analysis: Analysed) -> tuple[int, int]:
    """First and last time of the captures in ns; of the attempts where the captures have none; 0, 0 without any."""
    captures = analysis.document["captures"]
    texts = [capture[key] for capture in captures for key in ("first_time", "last_time") if capture.get(key)]
    times = [nanoseconds(text) for text in texts]
    asked = analysis.connections["request_time"]
    times += [int(time) for time in (asked[asked != -1][[0, -1]] if (asked != -1).any() else [])]
    return (min(times), max(times)) if times else (0, 0)


def _rows(analysis: Analysed, lines: list[SocketLine], first: int) -> list[_Row]:
    attempts = attempts_on(analysis, lines)
    made = []
    for number, line in enumerate(lines):
        mine = attempts.of(number)
        asked = (mine.asked - first) / 1e9
        repeated = np.maximum((mine.last_asked - first) / 1e9, asked)
        made.append(_Row(line, asked, repeated, mine.outcome))
    return made


def _is_dense(row: _Row) -> bool:
    return len(row.asked) > MOST_MARKS


def _counts(row: _Row, outcome: str, span: float) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.histogram(row.asked[row.outcome == outcome], BINS, (0, span))[0].astype(np.int64)
    return counts


def _highest(rows: list[_Row], span: float) -> int:
    """The tallest bar of all dense rows, in attempts; 0 where no row is dense."""
    tallest = 0
    for row in filter(_is_dense, rows):
        below = _counts(row, "silent", span) + _counts(row, "refused", span)
        tallest = max(tallest, int(below.max()), int(_counts(row, "answered", span).max()))
    return tallest


def _background(ax: Axes, lines: Sequence[SocketLine]) -> None:
    """Each row's line, what divides the rows, and a tint for those that fail, the stronger the more."""
    from matplotlib.collections import LineCollection, PolyCollection

    across = ax.get_yaxis_transform()
    places = [-float(number) for number in range(len(lines))]
    tinted = [(y, line.failed_share) for y, line in zip(places, lines, strict=True) if line.failed_share > 0]
    boxes = [[(0.0, y - 0.5), (0.0, y + 0.5), (1.0, y + 0.5), (1.0, y - 0.5)] for y, _ in tinted]
    shades = [(COLOURS["silent"], 0.05 + 0.09 * share) for _, share in tinted]
    style: dict[str, Any] = {"transform": across, "colors": INK}
    drawn = [LineCollection([[(0.0, y), (1.0, y)] for y in places], linewidths=0.6, alpha=0.45, zorder=1, **style)]
    between = [[(0.0, y - 0.5), (1.0, y - 0.5)] for y in places]
    drawn.append(LineCollection(between, linewidths=0.5, alpha=0.15, zorder=1, **style))
    tint = PolyCollection(boxes, facecolors=shades, linewidths=0, zorder=0, transform=across, snap=True)
    for collection in (*drawn, tint):
        ax.add_collection(collection, autolim=False)


def _marks(ax: Axes, rows: Sequence[_Row]) -> list[Any]:
    """The attempts of the rows that are not dense, those of one outcome at once; what the legend names."""
    few = [(-number, row) for number, row in enumerate(rows) if not _is_dense(row)]
    y = np.repeat([float(place) for place, _ in few], [len(row.asked) for _, row in few])
    asked, repeated, outcome = (
        np.concatenate([np.empty(0), *(getattr(row, name) for _, row in few)])
        for name in ("asked", "repeated", "outcome")
    )
    silent = outcome == "silent"
    low = y[silent] + _PLACES["silent"]
    ax.hlines(low, asked[silent], repeated[silent], COLOURS["silent"], linewidth=1, alpha=0.6)
    present = set().union(*(row.outcome.tolist() for row in rows))
    handles = []
    for name in OUTCOMES:
        if name in present:
            mine = outcome == name
            style: dict[str, Any] = {"label": WORDS[name], "zorder": 3, "clip_on": False, **MARKS[name]}
            handles.append(ax.scatter(asked[mine], y[mine] + _PLACES[name], **style))
    return handles


def _bars(ax: Axes, rows: Sequence[_Row], *, span: float, highest: int) -> None:
    """The counts of the dense rows, those of one outcome at once: silent below the line, refused below silent."""
    from matplotlib.collections import PolyCollection

    x = np.repeat(np.linspace(0, span, BINS + 1), 2)[1:-1]
    dense = [(-float(number), row) for number, row in enumerate(rows) if _is_dense(row)]
    shapes: dict[str, list[NDArray[np.float64]]] = {"answered": [], "silent": [], "refused": []}
    for y, row in dense:
        below = np.full(BINS, y)
        for outcome, sign in (("answered", 1), ("silent", -1), ("refused", -1)):
            counts = _counts(row, outcome, span)
            # One attempt among thousands must still be seen.
            heights = np.where(counts > 0, np.maximum(counts / max(highest, 1) * _HIGHEST, 0.05), 0.0)
            base = below if sign < 0 else np.full(BINS, y)
            outline = np.concatenate([np.repeat(base + sign * heights, 2), np.repeat(base, 2)[::-1]])
            if counts.any():
                shapes[outcome].append(np.column_stack([np.concatenate([x, x[::-1]]), outline]))
            below = below - heights if sign < 0 else below
    for outcome, outlines in shapes.items():
        style: dict[str, Any] = {"facecolors": COLOURS[outcome], "linewidths": 0, "edgecolors": "white", "zorder": 2}
        style |= {"hatch": "/////"} if outcome == "refused" else {}
        if outlines:
            ax.add_collection(PolyCollection(outlines, **style), autolim=False)


def _onset(ax: Axes, line: SocketLine, y: int, *, onset: int, times: tuple[float, float]) -> list[Artist]:
    """``onset`` is in ns, ``times`` are it and the whole in s."""
    moment, span = times
    colour = COLOURS["silent"]
    mark = ax.vlines(moment, y - 0.5, y + 0.5, colour, linestyles=(0, (4, 2)), linewidth=1.5, zorder=4)
    # Of a socket that fell silent: no answers above the line after it, no silence below it before, so there is room.
    late = moment > 0.75 * span
    style: dict[str, Any] = {"color": colour, "fontsize": 8.5, "fontweight": "bold", "va": "center", "zorder": 5}
    fell_silent = line.onset != -1
    text = f"{'silent ' if fell_silent else ''}since {utc(onset)[11:19]}"
    offset, side = ((-4, 0), "right") if late or not fell_silent else ((4, 0), "left")
    words = ax.annotate(
        text,
        (moment, y + (-0.34 if late or not fell_silent else 0.34)),
        offset,
        textcoords="offset points",
        ha=side,
        **style,
    )
    return [mark, words]


def _frame(ax: Axes, rows: list[_Row], *, span: float, first: int) -> None:
    ax.set_xlim(-0.012 * span, 1.012 * span)
    ax.set_ylim(0.5 - max(len(rows), 1), 0.5)
    ax.set_yticks([-number for number in range(len(rows))], [_label(row.line) for row in rows], parse_math=False)
    for number, row in enumerate(rows):
        _status(ax, row.line, -number)
    ticks, words = time_ticks(span) if rows else ([], [])
    ax.set_xticks(ticks, [f"{word}\n{clock(first, tick, span)}" for tick, word in zip(ticks, words, strict=True)])
    ax.set_xlabel(f"time since the first record, {utc(first)}; below it the time of day in UTC" if rows else "")
    bare(ax)


def _label(line: SocketLine) -> str:
    return f"{line.transport.upper()} {line.port}  {family_words(line.family)}\n{plain(line.address)}"


def _status(ax: Axes, line: SocketLine, y: int) -> None:
    failing = line.failed_share > 0
    colour = COLOURS["silent"] if failing else COLOURS["answered"] if line.answered else COLOURS["undetermined"]
    place: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
    status = line.status.upper() if line.failed_share == 1 else line.status
    weight = "bold" if failing else "normal"
    ax.annotate(status, (1, y), (8, 2), ha="left", va="bottom", color=colour, fontweight=weight, **place)
    ax.annotate(share_text(line), (1, y), (8, -2), ha="left", va="top", fontsize=8, **place)


def _notes(highest: int, span: float, left_out: int) -> str:
    notes = []
    if highest:
        notes.append(f"bars: attempts per {span / BINS:.3g} s, the tallest is {highest:,}")
    if left_out:
        notes.append(f"{counted(left_out, 'more socket')} not drawn")
    return "; ".join(notes)
