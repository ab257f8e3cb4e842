"""The timeline: what is drawn, the same bytes each time, and that a flood stays small."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from analyzer.reports.plots import drawn, inline_svg, png_of, svg_of, timeline
from analyzer.reports.plots.timeline import BINS
from tests.reports import example


def words(ax: Axes) -> set[str]:
    texts = [*ax.texts, *ax.get_yticklabels(), *(ax.legend_.get_texts() if ax.legend_ else [])]
    return {text.get_text() for text in texts}


def marks(ax: Axes) -> dict[float, list[float]]:
    """Seconds of the marks by height."""
    found: dict[float, list[float]] = {}
    for collection in ax.collections:
        if isinstance(collection, PathCollection):
            for x, y in np.asarray(collection.get_offsets()):
                found.setdefault(round(float(y), 2), []).append(round(float(x), 3))
    return found


def test_a_row_per_socket_answers_above_its_line_and_silence_below() -> None:
    ax = timeline(example.silent())
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "UDP 443  IPv4\n192.0.2.80",
        "UDP 443  IPv6\n2001:db8:1::80",
        "TCP 443  IPv4\n192.0.2.80",
        "TCP 443  IPv6\n2001:db8:1::80",
    ]
    assert marks(ax) == {
        -0.22: [3.253, 7.49, 11.751, 16.183, 22.236],
        -0.78: [28.856, 29.162, 29.474, 29.89, 29.989],
        -1.78: [28.404],
        -2.78: [30.235],
    }
    assert {"SILENT", "0 of 5 answered", "5 of 5 answered", "answered", "silent"} <= words(ax)


def test_units_stand_on_the_axis() -> None:
    ax = timeline(example.silent())
    assert ax.get_xlabel().startswith("time since the first record, 2026-11-21T23:05:21.246008000Z")
    assert ax.get_xticklabels()[1].get_text() == "5 s\n23:05:26"
    assert timeline(example.mixed()).get_xticklabels()[1].get_text() == "200 ms\n23:05:21.446"


def test_every_outcome_has_its_mark_and_the_onset_a_line() -> None:
    ax = timeline(example.mixed())
    assert {"answered", "refused", "silent", "cannot be judged", "silent since 23:05:22", "fell silent"} <= words(ax)
    assert {height: len(times) for height, times in marks(ax).items()} == {0.22: 4, 0.0: 1, -0.22: 3}


def test_a_flood_is_drawn_as_bars() -> None:
    analysis = example.flood(40_000)
    ax = timeline(analysis)
    assert marks(ax) == {}
    bars = [collection for collection in ax.collections if len(collection.get_paths()) == 1]
    assert bars
    assert any("bars: attempts per 5 s" in text for text in words(ax))
    figure = ax.get_figure(root=True)
    assert figure is not None
    assert len(svg_of(figure)) < 2_500 * BINS


def test_draws_into_the_axes_that_it_is_given() -> None:
    figure = Figure()
    ax = figure.add_subplot()
    assert timeline(example.silent(), ax=ax) is ax


def test_rows_beyond_the_limit_are_counted() -> None:
    rows = [{**example.connection_rows()[0], "server_address": f"192.0.2.{number}"} for number in range(20)]
    ax = timeline(example.analysis_of(rows, []))
    assert len(ax.get_yticklabels()) == 16
    assert "4 more sockets not drawn" in words(ax)


@pytest.mark.parametrize("make", [example.silent, example.empty, example.hostile, example.mixed])
def test_same_analysis_same_bytes(make: object) -> None:
    assert callable(make)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = ([(name, svg_of(each), png_of(each)) for name, each in drawn(make())] for _ in range(2))
    assert first == second
    assert first[0][0] == "timeline"


def test_an_svg_holds_no_date_and_asks_for_nothing() -> None:
    svg = svg_of(next(figure for _, figure in drawn(example.silent())))
    assert not re.findall(r'(?:href|src)="(?!#)[^"]*"', svg)
    assert "<dc:date>" not in svg


def test_inline_svg_is_whole_and_holds_no_style() -> None:
    element = inline_svg(
        svg_of(next(figure for _, figure in drawn(example.silent()))), "Title & more".replace("&", "&amp;")
    )
    root = ElementTree.fromstring(element)
    assert root.get("aria-label") == "Title & more"
    assert "width" not in root.attrib
    assert "viewBox" in root.attrib
    assert "style" not in element
    assert 'var(--silent)"' in element
    assert '"currentColor"' in element
    assert "#ffffff" not in element


def test_mathematics_in_a_name_is_not_typeset() -> None:
    rows = [{**example.connection_rows()[0], "server_address": "$x^2$日\u202e"}]
    ax = timeline(example.analysis_of(rows, []))
    figure = ax.get_figure(root=True)
    assert figure is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png_of(figure)
    assert ax.get_yticklabels()[0].get_text() == "UDP 443  IPv4\n$x^2$\\u65e5\\u202e"


def test_no_window_system_is_loaded(root: Path) -> None:
    code = (
        "import sys; from tests.reports import example; from analyzer.reports.plots import drawn, svg_of\n"
        "[svg_of(figure) for _, figure in drawn(example.silent())]\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
