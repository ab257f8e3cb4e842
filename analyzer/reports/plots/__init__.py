"""Plots with matplotlib. Each takes an analysis and an optional ``ax``, and returns the axes that it drew on."""

from analyzer.reports.plots.amplification import amplification as amplification
from analyzer.reports.plots.drawn import PLOTS as PLOTS
from analyzer.reports.plots.drawn import drawn as drawn
from analyzer.reports.plots.ladders import ladder as ladder
from analyzer.reports.plots.latency import reply_latency as reply_latency
from analyzer.reports.plots.ports import port_outcomes as port_outcomes
from analyzer.reports.plots.style import inline_svg as inline_svg
from analyzer.reports.plots.style import png_of as png_of
from analyzer.reports.plots.style import svg_of as svg_of
from analyzer.reports.plots.timeline import timeline as timeline
from analyzer.reports.plots.waterfall import waterfall as waterfall
