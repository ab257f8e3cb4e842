"""The handshake waterfall: how far each of some connections came, and what it waited for.

Each row begins at its own first request. Marks above the line are packets of the client, below it of the server; the
bar says what the connection waited for: the first reply, then the end of the handshake. A bar with an open end is a
wait that nothing ended in this capture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzer.reports.evidence.contrast import compared_with
from analyzer.reports.ladder import telling_connections
from analyzer.reports.plots.chosen import connection_name, faults
from analyzer.reports.plots.style import (
    CHARACTER,
    COLOURS,
    INK,
    Margins,
    bare,
    drawing_on,
    empty,
    family_words,
    legend,
    plain,
    titled,
)
from analyzer.reports.summary import Analysed
from analyzer.reports.text import seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 14
MOST_OF_A_FINDING = 4
MOST_PACKETS = 200  # of a connection
LINEAR_S = 1e-3
_HANDSHAKE = "#c9a227"
_COLUMNS = ("connection", "transport", "family", "server_address")


@dataclass(frozen=True, slots=True)
class _Row:
    """One connection: seconds of its packets since the first, whose they are; -1: never."""

    label: str
    after: NDArray[np.float64]
    from_client: NDArray[np.bool_]
    replied: float
    done: float


def waterfall(analysis: Analysed, *, connections: Sequence[str] = (), ax: Axes | None = None) -> Axes:
    """Packets and waits of the handshakes of some connections, a row each, against time (s since its first packet).

    ``connections`` are names (C1, C2, ...); where there are none, those that tell of the faults and those that they
    are held against, at most ``MOST_ROWS``. Drawn into ``ax``, or into the axes of a new Figure; returns the axes.
    Raises UsageError for a connection that is not in the capture.
    """
    names = [connection_name(analysis, name) for name in connections] or telling(analysis)
    rows = _rows(analysis, names[:MOST_ROWS])
    longest = max((len(text) for row in rows for text in row.label.split("\n")), default=0)
    margins = Margins(left=0.3 + CHARACTER * 0.95 * longest, right=1.5)
    with drawing_on(ax, (9.6, 1.35 + 0.42 * max(len(rows), 2)), margins) as axes:
        titled(axes, "Handshakes, each from its first packet on")
        if rows:
            _draw(axes, rows)
        else:
            empty(axes, "no connection to show")
    return axes


def telling(analysis: Analysed) -> list[str]:
    """The connections that faults are best shown with, a few of each, then those that they are held against."""
    names: dict[str, None] = {}
    first = telling_connections(analysis)
    for finding in faults(analysis):
        cited = [first.get(finding["id"], ""), *(finding.get("connections") or [])]
        names.update(dict.fromkeys(filter(None, dict.fromkeys(cited[: MOST_OF_A_FINDING + 1]))))
        names.update(dict.fromkeys(compared_with(analysis, finding)))
    return list(names)[:MOST_ROWS]


def _rows(analysis: Analysed, names: Sequence[str]) -> list[_Row]:
    packets, table = analysis.packets, analysis.connections
    of: dict[str, list[int]] = {name: [] for name in names}
    for row in packets.rows_with("connection", of):
        if len(of[packets["connection"][row]]) < MOST_PACKETS:
            of[packets["connection"][row]].append(row)
    rows = table.rows_with("connection", of)
    made = {}
    for values in zip(*(table.at(name, rows) for name in _COLUMNS), strict=True):
        name, transport, family, server = values
        if of[name]:
            label = f"{name} {transport.upper()} {family_words(family)}\n{plain(server)}"
            made[name] = _row(analysis, of[name], label)
    return [made[name] for name in names if name in made]


def _row(analysis: Analysed, rows: Sequence[int], label: str) -> _Row:
    packets = analysis.packets
    time, direction, kind, detail = (packets.at(name, rows) for name in ("time", "direction", "kind", "detail"))
    after = (np.array(time, np.int64) - time[0]) / 1e9
    from_client: NDArray[np.bool_] = np.array([each == "client" for each in direction], np.bool_)
    replies = np.flatnonzero(np.array([each == "server" for each in direction], np.bool_))
    replied = float(after[replies[0]]) if len(replies) else -1.0
    return _Row(label, after, from_client, replied, _done(after, direction, kind, detail))


def _done(after: NDArray[np.float64], direction: list[str], kind: list[str], detail: list[str]) -> float:
    """Seconds to the first packet that shows the handshake over, -1 if none does.

    QUIC: 1-RTT of the client, which needs the server's Finished (that of the server may be 0.5-RTT); TCP: data of the
    server.
    """
    for moment, side, what, words in zip(after.tolist(), direction, kind, detail, strict=True):
        by_quic = side == "client" and (what == "udp" or (what.startswith("quic") and "1-RTT" in words))
        if by_quic or (side == "server" and what == "tcp" and not words.endswith("; 0 bytes of data")):
            return float(moment)
    return -1.0


def _draw(ax: Axes, rows: Sequence[_Row]) -> None:
    from matplotlib.patches import Patch

    ends = [row.done if row.done >= 0 else float(row.after[-1]) for row in rows]
    span = max(1.1 * max(ends), 2 * LINEAR_S)
    for number, row in enumerate(rows):
        _bars(ax, row, -number, span)
        for mine, offset, colour in ((row.from_client, 0.3, INK), (~row.from_client, -0.3, COLOURS["answered"])):
            moments = row.after[mine & (row.after <= span)]
            ax.vlines(moments, -number, -number + offset, colour, linewidth=1.4, zorder=3)
        ax.axhline(-number, color=INK, linewidth=0.5, alpha=0.4, zorder=1)
    ax.set_yticks([-number for number in range(len(rows))], [row.label for row in rows], parse_math=False, fontsize=8)
    ax.set_ylim(-len(rows) + 0.45, 0.55)
    # Replies take milliseconds and waits for the next try seconds: one scale for both.
    ax.set_xscale("symlog", linthresh=LINEAR_S, linscale=0.4)
    ax.set_xlim(0, span)
    ticks = [0.0, *(10.0**power for power in range(-3, 4) if 10.0**power <= span)]
    ax.set_xticks(ticks, [seconds(tick) if tick else "0" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("time since the first packet (logarithmic from 1 ms on); marks: client above, server below")
    legend(
        ax,
        [
            Patch(color=COLOURS["silent"], alpha=0.55, linewidth=0, label="waits for a first reply"),
            Patch(color=_HANDSHAKE, alpha=0.65, linewidth=0, label="waits for the end of the handshake"),
        ],
    )
    bare(ax)


def _bars(ax: Axes, row: _Row, y: int, span: float) -> None:
    last = float(row.after[-1])
    first_end = row.replied if row.replied >= 0 else last
    ax.barh(y, first_end, 0.22, color=COLOURS["silent"], alpha=0.55, zorder=2)
    words = f"{seconds(row.replied)} to the reply" if row.replied >= 0 else "no reply"
    if row.replied >= 0:
        end = row.done if row.done >= 0 else last
        ax.barh(y, min(end, span) - first_end, 0.22, left=first_end, color=_HANDSHAKE, alpha=0.65, zorder=2)
        words += f"\ndone after {seconds(row.done)}" if row.done >= 0 else "\nnot seen to end"
    failed = row.replied < 0 or row.done < 0
    style: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "fontsize": 8}
    colour = COLOURS["silent"] if failed else INK
    ax.annotate(words, (1, y), (8, 0), ha="left", va="center", color=colour, **style)
