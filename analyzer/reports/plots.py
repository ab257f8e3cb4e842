"""Plots with matplotlib: attempts and answers over time, a row per server socket and family.

How the timeline reads: above a row's line stand the attempts that were answered (blue discs), below it the others
(silent: orange crosses, with a thin line for as long as the client went on asking; refused: purple diamonds); on the
line those that the capture cannot judge. A row with more than ``MOST_MARKS`` attempts is drawn as bars of counts per
bin instead, so that a flood costs as much as a handful. Colours are of Okabe and Ito's palette; shape, place and a word
at the right say the same. Figures are made without pyplot, and the same analysis gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzer.patterns.words import FAMILIES, counted
from analyzer.reports.summary import OUTCOMES, Analysed, SocketLine, share_text, socket_groups
from analyzer.reports.text import clipped, utc, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 16
MOST_MARKS = 120
BINS = 120
DPI = 160

INK = "#1f2328"
COLOURS = {"answered": "#0072b2", "silent": "#d55e00", "refused": "#9a4f7c", "undetermined": "#7f868e"}
_WORDS = {"answered": "answered", "silent": "silent", "refused": "refused", "undetermined": "cannot be judged"}
_MARKS: dict[str, dict[str, Any]] = {
    "answered": {"marker": "o", "s": 30, "linewidths": 0, "facecolors": COLOURS["answered"]},
    "silent": {"marker": "x", "s": 42, "linewidths": 2.2, "color": COLOURS["silent"]},
    "refused": {"marker": "D", "s": 26, "linewidths": 1.6, "facecolors": "none", "edgecolors": COLOURS["refused"]},
    "undetermined": {"marker": "o", "s": 22, "linewidths": 1, "facecolors": "none", "edgecolors": "#7f868e"},
}
_PLACES = {"answered": 0.22, "silent": -0.22, "refused": -0.22, "undetermined": 0.0}
_HIGHEST = 0.42  # of a bar, in rows

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "halfshake",
}

#: Steps between ticks in seconds, and the unit in which they are written with its length in seconds.
_STEPS = (
    *((step / 1e3, "ms", 1e-3) for step in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *((step, "s", 1) for step in (1, 2, 5, 10, 20, 30)),
    *((step * 60, "min", 60) for step in (1, 2, 5, 10, 20, 30)),
    *((step * 3600, "h", 3600) for step in (1, 2, 3, 6, 12)),
    *((step * 86400, "d", 86400) for step in (1, 2, 5, 10, 30, 100, 365, 3650, 36500)),
)


@dataclass(frozen=True, slots=True)
class _Row:
    """The attempts on one server socket: seconds since the first record, outcome, seconds of the last repeat."""

    line: SocketLine
    asked: NDArray[np.float64]
    repeated: NDArray[np.float64]
    outcome: NDArray[Any]


def timeline(analysis: Analysed, ax: Axes | None = None) -> Axes:
    """Draw attempts and answers over time into ``ax``, or into the axes of a new Figure; returns the axes.

    x is seconds since the first record of the captures. At most ``MOST_ROWS`` sockets, the worst first.
    """
    lines = [line for group in socket_groups(analysis) for line in group.lines]
    shown = lines[:MOST_ROWS]
    if ax is None:
        with _style():
            from matplotlib.figure import Figure

            figure = Figure(figsize=(9.6, 1.35 + 0.62 * max(len(shown), 1)), layout="constrained")
            axes = figure.add_subplot()
            _draw(analysis, axes, shown, left_out=len(lines) - len(shown))
            return axes
    _draw(analysis, ax, shown, left_out=len(lines) - len(shown))
    return ax


#: Name of the file without its ending -> what draws it.
PLOTS: Mapping[str, Callable[[Analysed], Axes]] = {"timeline": timeline}


def drawn(analysis: Analysed) -> Iterator[tuple[str, Figure]]:
    """Every plot of the report with its name."""
    for name, draw in PLOTS.items():
        figure = draw(analysis).get_figure(root=True)
        if figure is not None:
            yield name, figure


def drawn_as_svg(analysis: Analysed) -> dict[str, str]:
    """Every plot of the report as an SVG document, by name."""
    return {name: svg_of(figure) for name, figure in drawn(analysis)}


def svg_of(figure: Figure) -> str:
    """The figure as an SVG document; no date, no random identifiers."""
    with _style():
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        return text.getvalue()


def png_of(figure: Figure) -> bytes:
    """The figure as PNG at ``DPI``, on white."""
    with _style():
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
        return data.getvalue()


def inline_svg(svg: str, title: str) -> str:
    """An SVG document as an element for a page with a strict policy: no style attributes, the colours of the page.

    Ink is the page's ``currentColor``, the outcomes its custom properties ``--answered``, ``--silent`` and so on.
    ``title`` is plain text without markup; it names the picture for screen readers.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r' style="([^"]*)"', lambda found: _attributes(found.group(1)), body)
    body = body.replace(INK, "currentColor").replace('fill="#ffffff"', 'fill="none"')
    for outcome, colour in COLOURS.items():
        body = body.replace(f'"{colour}"', f'"var(--{outcome})"')
    label = f'role="img" aria-label="{title}" stroke-linejoin="round" stroke-linecap="butt"'
    body = re.sub(r'<svg([^>]*?) width="[^"]*"', rf"<svg {label}\1", body, count=1)
    return re.sub(r' height="[^"]*pt"', "", body, count=1).strip()


def _attributes(style: str) -> str:
    pairs = [declaration.split(":", 1) for declaration in style.split(";") if ":" in declaration]
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)


def _style() -> Any:
    import matplotlib.style

    return matplotlib.style.context(["default", _STYLE])


def _draw(analysis: Analysed, ax: Axes, lines: list[SocketLine], *, left_out: int) -> None:
    first, last = _span(analysis)
    rows = _rows(analysis, lines, first)
    span = max((last - first) / 1e9, 1e-3)
    for number, row in enumerate(rows):
        _background(ax, row.line, -number)
        _attempts(ax, row, -number, span=span, highest=_highest(rows, span))
        _onset(ax, row.line, -number, moment=(row.line.onset - first) / 1e9, span=span)
    _frame(ax, rows, span=span, first=first)
    notes = _notes(rows, span, left_out)
    ax.set_title("Attempts and answers per server socket", loc="left", fontweight="bold", fontsize=11, pad=26)
    _legend(ax, {str(outcome) for row in rows for outcome in np.unique(row.outcome)})
    if notes:
        ax.annotate(notes, (1, 1), (0, 8), "axes fraction", "offset points", ha="right", fontsize=8, alpha=0.8)
    if not rows:
        ax.text(0.5, 0.5, "no connection attempt in this capture", transform=ax.transAxes, ha="center", va="center")


def _span(analysis: Analysed) -> tuple[int, int]:
    """First and last time of the captures in ns; of the attempts where the captures have none; 0, 0 without any."""
    captures = analysis.document["captures"]
    texts = [capture[key] for capture in captures for key in ("first_time", "last_time") if capture.get(key)]
    times = [int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64)) for text in texts]
    asked = analysis.connections["request_time"]
    times += [int(time) for time in (asked[asked != -1][[0, -1]] if (asked != -1).any() else [])]
    return (min(times), max(times)) if times else (0, 0)


def _rows(analysis: Analysed, lines: list[SocketLine], first: int) -> list[_Row]:
    table = analysis.connections
    wanted = {(line.transport, line.address, line.port): number for number, line in enumerate(lines)}
    names = ("transport", "server_address", "server_port", "outcome", "request_time")
    members: list[list[int]] = [[] for _ in lines]
    columns = zip(*(table[name].tolist() for name in names), strict=True)
    for index, (transport, address, port, outcome, time) in enumerate(columns):
        number = wanted.get(("udp" if transport == "quic" else transport, address, port))
        if number is not None and time != -1 and outcome in OUTCOMES:
            members[number].append(index)
    made = []
    for line, chosen in zip(lines, members, strict=True):
        asked = (table["request_time"][chosen] - first) / 1e9
        repeated = np.maximum((table["last_request_time"][chosen] - first) / 1e9, asked)
        made.append(_Row(line, asked, repeated, table["outcome"][chosen]))
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


def _background(ax: Axes, line: SocketLine, y: int) -> None:
    if line.failed_share > 0:
        tint: dict[str, Any] = {"color": COLOURS["silent"], "alpha": 0.05 + 0.09 * line.failed_share}
        ax.axhspan(y - 0.5, y + 0.5, linewidth=0, zorder=0, **tint)
    ax.axhline(y, color=INK, linewidth=0.6, alpha=0.45, zorder=1)
    ax.axhline(y - 0.5, color=INK, linewidth=0.5, alpha=0.15, zorder=1)


def _attempts(ax: Axes, row: _Row, y: int, *, span: float, highest: int) -> None:
    if _is_dense(row):
        _bars(ax, row, y, span=span, highest=highest)
        return
    silent = row.outcome == "silent"
    low = y + _PLACES["silent"]
    lows = np.full(silent.sum(), low)
    ax.hlines(lows, row.asked[silent], row.repeated[silent], COLOURS["silent"], linewidth=1, alpha=0.6)
    for outcome, mark in _MARKS.items():
        moments = row.asked[row.outcome == outcome]
        ax.scatter(moments, np.full(len(moments), y + _PLACES[outcome]), zorder=3, clip_on=False, **mark)


def _bars(ax: Axes, row: _Row, y: int, *, span: float, highest: int) -> None:
    edges = np.linspace(0, span, BINS + 1)
    below = np.zeros(BINS)
    for outcome, sign in (("answered", 1), ("silent", -1), ("refused", -1)):
        counts = _counts(row, outcome, span)
        # One attempt among thousands must still be seen.
        heights = np.where(counts > 0, np.maximum(counts / max(highest, 1) * _HIGHEST, 0.05), 0.0)
        base = y + (below if sign < 0 else np.zeros(BINS))
        tops = base + sign * heights
        style: dict[str, Any] = {"facecolor": COLOURS[outcome], "linewidth": 0, "edgecolor": "white", "zorder": 2}
        style |= {"hatch": "/////"} if outcome == "refused" else {}
        ax.fill_between(edges, np.append(base, base[-1]), np.append(tops, tops[-1]), step="post", **style)
        below = below - heights if sign < 0 else below


def _onset(ax: Axes, line: SocketLine, y: int, *, moment: float, span: float) -> None:
    if line.onset == -1:
        return
    colour = COLOURS["silent"]
    ax.vlines(moment, y - 0.5, y + 0.5, colour, linestyles=(0, (4, 2)), linewidth=1.5, zorder=4)
    # No answers above the line after it, no silence below the line before it: there is room for words.
    late = moment > 0.75 * span
    style: dict[str, Any] = {"color": colour, "fontsize": 8.5, "fontweight": "bold", "va": "center", "zorder": 5}
    text = f"silent since {utc(line.onset)[11:19]}"
    offset, side = ((-4, 0), "right") if late else ((4, 0), "left")
    ax.annotate(text, (moment, y + (-0.34 if late else 0.34)), offset, textcoords="offset points", ha=side, **style)


def _frame(ax: Axes, rows: list[_Row], *, span: float, first: int) -> None:
    ax.set_xlim(-0.012 * span, 1.012 * span)
    ax.set_ylim(0.5 - max(len(rows), 1), 0.5)
    ax.set_yticks([-number for number in range(len(rows))], [_label(row.line) for row in rows], parse_math=False)
    for number, row in enumerate(rows):
        _status(ax, row.line, -number)
    step, unit, length = next((each for each in _STEPS if span / each[0] <= 7), _STEPS[-1])
    ticks = np.arange(0, span * 1.0001, step) if rows else np.array([])
    ax.set_xticks(ticks, [f"{tick / length:g} {unit}\n{_clock(first, tick, span)}" for tick in ticks])
    ax.set_xlabel(f"time since the first record, {utc(first)}; below it the time of day in UTC" if rows else "")
    ax.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def _clock(first: int, tick: float, span: float) -> str:
    text = utc(first + round(tick * 1e9))
    if span > 2 * 86400:
        return text[:10]
    return text[11:19] if span >= 5 else text[11:23]


def _label(line: SocketLine) -> str:
    # The font has no glyphs beyond the Latin ones; names on the wire are ASCII when they are honest.
    address = visible(line.address).encode("ascii", "backslashreplace").decode("ascii")
    return f"{line.transport.upper()} {line.port}  {FAMILIES.get(line.family, line.family)}\n{clipped(address, 39)}"


def _status(ax: Axes, line: SocketLine, y: int) -> None:
    failing = line.failed_share > 0
    colour = COLOURS["silent"] if failing else COLOURS["answered"] if line.answered else COLOURS["undetermined"]
    place: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
    status = line.status.upper() if line.failed_share == 1 else line.status
    weight = "bold" if failing else "normal"
    ax.annotate(status, (1, y), (8, 2), ha="left", va="bottom", color=colour, fontweight=weight, **place)
    ax.annotate(share_text(line), (1, y), (8, -2), ha="left", va="top", fontsize=8, **place)


def _notes(rows: list[_Row], span: float, left_out: int) -> str:
    notes = []
    highest = _highest(rows, span)
    if highest:
        notes.append(f"bars: attempts per {span / BINS:.3g} s, the tallest is {highest:,}")
    if left_out:
        notes.append(f"{counted(left_out, 'more socket')} not drawn")
    return "; ".join(notes)


def _legend(ax: Axes, present: set[str]) -> None:
    handles = [
        ax.scatter([], [], label=_WORDS[outcome], **_MARKS[outcome]) for outcome in OUTCOMES if outcome in present
    ]
    if handles:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.01, 1.0), "borderaxespad": 0.0}
        ax.legend(handles=handles, ncols=4, frameon=False, handletextpad=0.2, columnspacing=1.4, **place)
