"""What the plots share: palette, marks, axes on a figure of their own, time axes, and the ways out as SVG and PNG.

Outcomes have colours of Okabe and Ito's palette, families of Tol's; shape, place and a word say the same as the
colour. Figures are made without pyplot, margins are fixed rather than fitted, and the same analysis gives the same
bytes. In SVG text stays text: it can be searched and read aloud, and takes the reader's font where DejaVu is missing.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.patterns.words import FAMILIES
from analyzer.reports.text import clipped, utc, visible

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
INK = "#1f2328"
COLOURS = {"answered": "#0072b2", "silent": "#d55e00", "refused": "#9a4f7c", "undetermined": "#7f868e"}
FAMILY_COLOURS = {"ipv4": "#332288", "ipv6": "#2a9d8f"}
WORDS = {"answered": "answered", "silent": "silent", "refused": "refused", "undetermined": "cannot be judged"}
MARKS: dict[str, dict[str, Any]] = {
    "answered": {"marker": "o", "s": 30, "linewidths": 0, "facecolors": COLOURS["answered"]},
    "silent": {"marker": "x", "s": 42, "linewidths": 2.2, "color": COLOURS["silent"]},
    "refused": {"marker": "D", "s": 26, "linewidths": 1.6, "facecolors": "none", "edgecolors": COLOURS["refused"]},
    "undetermined": {"marker": "o", "s": 22, "linewidths": 1, "facecolors": "none", "edgecolors": "#7f868e"},
}
_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.hinting": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "halfshake",
}
_FONTS = "'DejaVu Sans', Verdana, sans-serif"
_UP = 2  # the filter of PNG that takes the line above off
_TEXTS = re.compile(r"(<text.*?</text>)", re.DOTALL)
_DIGITS = re.compile(r"(?<=\.\d\d)\d+")
CHARACTER = 0.088  # inches that a character of 9.5 points takes on average

#: Steps between ticks in seconds, and the unit in which they are written with its length in seconds.
_STEPS = (
    *((step / 1e6, "µs", 1e-6) for step in (1, 2, 5, 10, 20, 50, 100)),
    *((step / 1e3, "ms", 1e-3) for step in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *((step, "s", 1) for step in (1, 2, 5, 10, 20, 30)),
    *((step * 60, "min", 60) for step in (1, 2, 5, 10, 20, 30)),
    *((step * 3600, "h", 3600) for step in (1, 2, 3, 6, 12)),
    *((step * 86400, "d", 86400) for step in (1, 2, 5, 10, 30, 100, 365, 3650, 36500)),
)


class Margins(NamedTuple):
    """Inches around the axes."""

    left: float = 0.8
    right: float = 0.25
    top: float = 0.62
    bottom: float = 0.58


def style() -> Any:
    """The context in which figures of halfshake are made and written, whatever the user's own settings are."""
    import matplotlib

    settings: Any = {**_defaults(), **_STYLE}
    return matplotlib.rc_context(settings)


_DRAWING = (
    *("axes", "figure", "font", "grid", "hatch", "legend", "lines", "patch", "path", "savefig", "scatter", "svg"),
    *("text", "xtick", "ytick"),
)


def _defaults() -> dict[str, Any]:
    """The settings of matplotlib itself that change how something looks."""
    import matplotlib

    return {key: value for key, value in matplotlib.rcParamsDefault.items() if key.split(".")[0] in _DRAWING}


@contextmanager
def drawing_on(ax: Axes | None, size: tuple[float, float], margins: Margins) -> Iterator[Axes]:
    """The given axes as they are, or those of a new figure of ``size`` inches in the style of halfshake."""
    if ax is not None:
        yield ax
        return
    with style():
        from matplotlib.figure import Figure

        width, height = size
        figure = Figure(figsize=size)
        across = 1 - (margins.left + margins.right) / width, 1 - (margins.top + margins.bottom) / height
        yield figure.add_axes((margins.left / width, margins.bottom / height, *across))


def titled(ax: Axes, title: str, note: str = "") -> None:
    """A bold title at the left above the legend, and a note in small print at the right of the legend's line."""
    # With a height given, matplotlib need not measure all labels for it.
    ax.set_title(title, loc="left", fontweight="bold", fontsize=11, y=1.0, pad=26, parse_math=False)
    if note:
        ax.annotate(note, (1, 1), (0, 8), "axes fraction", "offset points", ha="right", fontsize=8, alpha=0.8)


def legend(ax: Axes, handles: list[Any]) -> None:
    """One line of legend between title and axes."""
    if handles:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.01, 1.0), "borderaxespad": 0.0}
        ax.legend(handles=handles, ncols=5, frameon=False, handletextpad=0.4, columnspacing=1.4, **place)


def bare(ax: Axes, *, grid: str = "x") -> None:
    """No box around the axes, a faint grid, no tick marks."""
    ax.grid(axis=grid, color=INK, alpha=0.12, linewidth=0.6)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    ax.tick_params(length=0, which="both", left=False, bottom=False)
    if not ax.get_ylabel():
        ax.yaxis.set_label_coords(0.0, 0.5)  # or all labels of the ticks would be measured for it
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def time_ticks(span: float, most: int = 7) -> tuple[list[float], list[str]]:
    """Places and words of at most ``most`` + 1 ticks on an axis of so many seconds from 0: ``200 ms``, ``5 s``."""
    step, unit, length = next((each for each in _STEPS if span / each[0] <= most), _STEPS[-1])
    ticks = [float(tick) for tick in np.arange(0, span * 1.0001, step)]
    return ticks, [f"{tick / length:g} {unit}" for tick in ticks]


def clock(first: int, tick: float, span: float) -> str:
    """Time of day in UTC ``tick`` seconds after ``first`` (ns), as fine as an axis of ``span`` seconds needs it."""
    text = utc(first + round(tick * 1e9))
    if span > 2 * 86400:
        return text[:10]
    return text[11:19] if span >= 5 else text[11:23]


def plain(text: str, width: int = 39) -> str:
    """Text of a capture for a plot: the font has no glyphs beyond the Latin ones, honest names are ASCII."""
    return clipped(visible(text).encode("ascii", "backslashreplace").decode("ascii"), width)


def family_words(family: str) -> str:
    return FAMILIES.get(family, family)


def empty(ax: Axes, words: str) -> None:
    """Say in the middle that there is nothing to draw."""
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center")
    ax.set_xticks([])
    ax.set_yticks([])


def svg_of(figure: Figure) -> str:
    """The figure as an SVG document; no date, no random identifiers."""
    with style():
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    # Lengths of a hundredth of a point: nobody sees more, and it is half of the file.
    pieces = _TEXTS.split(text.getvalue())
    pieces[::2] = [_DIGITS.sub("", piece) for piece in pieces[::2]]
    return "".join(pieces).replace("'DejaVu Sans'", _FONTS)


def png_of(figure: Figure) -> bytes:
    """The figure as PNG at ``DPI``, on white."""
    return Painted(figure).png()


class Painted:
    """A figure as pixels at ``DPI``, on white; what is drawn into it later comes on top."""

    def __init__(self, figure: Figure) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self._figure, self._before = figure, (figure.canvas, figure.dpi)
        with style():
            figure.dpi = DPI
            canvas: Any = FigureCanvasAgg(figure)
            canvas.draw()
        self._canvas = canvas

    def add(self, artists: Sequence[Artist]) -> None:
        """Paint what was drawn into the axes meanwhile."""
        with style():
            for artist in artists:
                if artist.axes is not None:
                    artist.axes.draw_artist(artist)

    def png(self) -> bytes:
        """All that was painted; the figure is then as it was before."""
        pixels = np.asarray(self._canvas.buffer_rgba())
        canvas, self._figure.dpi = self._before
        self._figure.set_canvas(canvas)
        return _png(pixels)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (height, width, RGBA) as a PNG file without what is not in them: the alpha of an opaque picture.

    Plots are areas of one colour: the difference to the line above is mostly 0. That is all of the five filters of PNG
    that is worth its time; Pillow tries each for every line, which takes as long as drawing the lines.
    """
    height, width, _ = pixels.shape
    if (pixels[..., 3] == 255).all():
        pixels = pixels[..., :3]
    lines = pixels.reshape(height, -1)
    filtered = np.full((height, 1 + lines.shape[1]), _UP, np.uint8)
    filtered[0, 1:] = lines[0]
    np.subtract(lines[1:], lines[:-1], out=filtered[1:, 1:])
    colours = {3: 2, 4: 6}[pixels.shape[2]]
    per_metre = round(DPI / 0.0254)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)),
            (b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
            (b"IDAT", zlib.compress(filtered.tobytes(), 3)),
            (b"IEND", b""),
        )
    )


def inline_svg(svg: str, title: str) -> str:
    """An SVG document as an element for a page with a strict policy: no style attributes, the colours of the page.

    Ink is the page's ``currentColor``, the outcomes its custom properties ``--answered``, ``--silent`` and so on.
    ``title`` is plain text without markup; it names the picture for screen readers.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r' style="([^"]*)"', lambda found: _attributes(found.group(1)), body)
    body = body.replace(INK, "currentColor").replace('fill="#ffffff"', 'fill="none"')
    for name, colour in (COLOURS | FAMILY_COLOURS).items():
        body = body.replace(f'"{colour}"', f'"var(--{name})"')
    label = f'role="img" aria-label="{title}" stroke-linejoin="round" stroke-linecap="butt"'
    body = re.sub(r'<svg([^>]*?) width="[^"]*"', rf"<svg {label}\1", body, count=1)
    return re.sub(r' height="[^"]*pt"', "", body, count=1).strip()


def _attributes(declarations: str) -> str:
    """Style declarations as presentation attributes; ``font`` has none and becomes its parts."""
    written = ""
    for name, value in (each.split(":", 1) for each in declarations.split(";") if ":" in each):
        name, value = name.strip(), value.strip()
        if name == "font":
            found = re.fullmatch(r"(?:(bold|\d+) )?([\d.]+)px (.+)", value)
            if found is None:
                continue
            weight, size, families = found.groups()
            value = f'{size}px" font-family="{families}' + (f'" font-weight="{weight}' if weight else "")
            name = "font-size"
        written += f' {name}="{value}"'
    return written
