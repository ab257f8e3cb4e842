"""The page of an analysis with its plots, drawn in this process."""

from __future__ import annotations

from analyzer.reports.connection_rows import connection_rows
from analyzer.reports.html import figure_of, page_without_plots, with_plots
from analyzer.reports.plots import drawn, svg_of
from analyzer.reports.summary import Analysed


def html_of(analysis: Analysed) -> str:
    """What ``report.html`` holds."""
    page = page_without_plots(analysis, connection_rows(analysis))
    return with_plots(page, [figure_of(name, svg_of(figure)) for name, figure in drawn(analysis)])
