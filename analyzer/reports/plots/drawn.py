"""Which plots a report has: the timeline, and each other one where it tells something about a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from analyzer.reports.plots.amplification import STALL, amplification
from analyzer.reports.plots.chosen import faults, groups_of
from analyzer.reports.plots.latency import reply_latency
from analyzer.reports.plots.ports import SPLITS, port_outcomes
from analyzer.reports.plots.timeline import timeline
from analyzer.reports.plots.waterfall import telling, waterfall
from analyzer.reports.summary import Analysed, cited_connections

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Fewer answers make no curve.
LEAST_ANSWERS = 5


def _always(_analysis: Analysed) -> bool:
    return True


def _families_differ(analysis: Analysed) -> bool:
    """A fault is about a server of which there are answers to compare with."""
    if not any(each.get("server") and each.get("transport") for each in faults(analysis)):
        return False
    lines = [line for group in groups_of(analysis, "") for line in group.lines if line.judged]
    return len(lines) > 1 and max(line.answered for line in lines) >= LEAST_ANSWERS


def _has(pattern: str) -> Callable[[Analysed], bool]:
    return lambda analysis: any(each["pattern"] == pattern for each in faults(analysis))


def _began(analysis: Analysed) -> bool:
    """A fault is about connections that were answered, and yet it is one: how far they came tells."""
    named = cited_connections(faults(analysis))
    if not named:
        return False
    table = analysis.connections
    pairs = zip(table["connection"].tolist(), table["outcome"].tolist(), strict=True)
    return any(outcome == "answered" and name in named for name, outcome in pairs) and bool(telling(analysis))


#: Name of the file without its ending -> what draws it, and where it tells something.
PLOTS: Mapping[str, tuple[Callable[[Analysed], Axes], Callable[[Analysed], bool]]] = {
    "timeline": (timeline, _always),
    "reply-latency": (reply_latency, _families_differ),
    "ports": (port_outcomes, _has(SPLITS)),
    "amplification": (amplification, _has(STALL)),
    "waterfall": (waterfall, _began),
}


def drawn(analysis: Analysed, without: Sequence[str] = ()) -> Iterator[tuple[str, Figure]]:
    """Every plot of the report with its name, but for those of these names."""
    for name, (draw, tells) in PLOTS.items():
        figure = draw(analysis).get_figure(root=True) if name not in without and tells(analysis) else None
        if figure is not None:
            yield name, figure
