"""The plots of the report, each drawn on axes that pyplot knows, so that a notebook shows them by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analyzer.reports.summary import Analysed, socket_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Plots:
    """``capture.plot``: each method draws into ``ax``, or into axes of a new pyplot figure, and returns the axes."""

    def __init__(self, analysis: Analysed) -> None:
        self._analysis = analysis

    def timeline(self, ax: Axes | None = None) -> Axes:
        """Attempts and answers over time, a row for each server socket and address family; the worst 16."""
        from analyzer.reports.plots.timeline import MOST_ROWS, timeline

        rows = sum(len(group.lines) for group in socket_groups(self._analysis))
        return timeline(self._analysis, ax=ax or _new_axes(9.6, 1.35 + 0.62 * min(max(rows, 1), MOST_ROWS)))

    def reply_latency(self, server: str = "", ax: Axes | None = None) -> Axes:
        """How long replies took, a curve for each family; of all servers or of one (address, or address and port)."""
        from analyzer.reports.plots.latency import reply_latency

        return reply_latency(self._analysis, server=server, ax=ax or _new_axes(7.6, 4.2))

    def ports(self, server: str = "", ax: Axes | None = None) -> Axes:
        """Which client ports one server socket answered: a hash over several sockets of one port shows as a split."""
        from analyzer.reports.plots.ports import port_outcomes

        return port_outcomes(self._analysis, server=server, ax=ax or _new_axes(9.0, 4.0))

    def amplification(self, connection: str = "", ax: Axes | None = None) -> Axes:
        """Bytes of the server against three times those of the client, where a QUIC server waits at that limit."""
        from analyzer.reports.plots.amplification import amplification

        return amplification(self._analysis, connection=connection, ax=ax or _new_axes(8.0, 4.2))

    def waterfall(self, connections: Sequence[str] = (), ax: Axes | None = None) -> Axes:
        """How far handshakes came, and where they wait: a row for each connection."""
        from analyzer.reports.plots.waterfall import waterfall

        return waterfall(self._analysis, connections=connections, ax=ax or _new_axes(9.0, 4.5))

    def ladder(self, connection: str = "", ax: Axes | None = None) -> Axes:
        """The first packets of a connection as arrows between client and server."""
        from analyzer.reports.ladder import ladders_of
        from analyzer.reports.plots.ladders import MOST_STEPS, ladder

        made = ladders_of(self._analysis, [connection]).get(connection)
        steps = min(len(made.steps), MOST_STEPS) if made is not None else MOST_STEPS // 2
        return ladder(self._analysis, connection=connection, ax=ax or _new_axes(9.6, 1.35 + 0.26 * max(steps, 2)))


def _new_axes(width: float, height: float) -> Axes:
    """Axes alone on a new figure of so many inches."""
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height), layout="constrained").add_subplot()
