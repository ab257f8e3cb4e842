"""Bytes against the anti-amplification limit: what a QUIC server sent, and what it was allowed to.

RFC 9000 §8.1: until a server has validated the client's address, it sends at most three times the bytes that it
received. A Handshake packet of the client validates the address; so does a token, which the capture shows as a Retry
that was answered. Counted are UDP payloads of the selected packets, which before that moment are all packets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.reports.ladder import telling_connections
from analyzer.reports.plots.chosen import connection_name
from analyzer.reports.plots.style import COLOURS, INK, Margins, bare, drawing_on, empty, legend, time_ticks, titled
from analyzer.reports.summary import Analysed
from analyzer.reports.text import seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACTOR = 3  # RFC 9000 §8.1
STALL = "quic-amplification-stall"
MOST_PACKETS = 400
LEAST_STALL_S = 0.1  # a pause at the limit that is told


class _Bytes(NamedTuple):
    """The first packets of a connection: seconds, payload in bytes, which are the client's.

    ``validated`` is when (s) the client's address was, NaN where it never was.
    """

    after: NDArray[np.float64]
    payload: NDArray[np.int64]
    from_client: NDArray[np.bool_]
    validated: float


def amplification(analysis: Analysed, *, connection: str = "", ax: Axes | None = None) -> Axes:
    """Bytes that the server sent and three times those of the client, against time (s since the first Initial).

    ``connection`` is C1, C2, ...; where it is "", the telling one of the first ``quic-amplification-stall``, else the
    first QUIC connection with a reply. Drawn into ``ax``, or into the axes of a new Figure; returns the axes. Raises
    UsageError for a connection that is not in the capture.
    """
    name = connection or first_connection(analysis)
    with drawing_on(ax, (9.6, 3.7), Margins(left=1.05, right=0.5)) as axes:
        sent = _packets(analysis, connection_name(analysis, name)) if name else None
        if sent is None or not len(sent.after):
            empty(axes, "no QUIC connection whose server sent anything")
        else:
            _draw(axes, name, sent)
    return axes


def first_connection(analysis: Analysed) -> str:
    """The connection that is drawn where none is named; "" where there is none."""
    telling = telling_connections(analysis)
    stalled = [each["id"] for each in analysis.document["findings"] if each["pattern"] == STALL]
    if stalled:
        return telling.get(stalled[0], "")
    table = analysis.connections
    rows = np.flatnonzero((table["transport"] == "quic") & (table["outcome"] == "answered"))
    return str(table["connection"][rows[0]]) if len(rows) else ""


def _packets(analysis: Analysed, name: str) -> _Bytes:
    table = analysis.packets
    rows = np.flatnonzero((table["connection"] == name) & (table["payload"] >= 0))[:MOST_PACKETS]
    after = (table["time"][rows] - table["time"][rows[:1]]) / 1e9
    from_client: NDArray[np.bool_] = table["direction"][rows] == "client"
    details = table["detail"][rows].tolist()
    proves = [bool(mine) and "Handshake" in detail for mine, detail in zip(from_client, details, strict=True)]
    validated = float(after[proves.index(True)]) if True in proves else float("nan")
    return _Bytes(after, table["payload"][rows], from_client, validated)


def _draw(ax: Axes, name: str, sent: _Bytes) -> None:
    end = float(sent.after[-1])
    # Behind the validation the limit is gone: a little of what follows shows that the server went on.
    until = end if np.isnan(sent.validated) else min(end, max(sent.validated * 1.25, 1e-3))
    limit, server = (np.cumsum(np.where(mine, sent.payload, 0)) for mine in (sent.from_client, ~sent.from_client))
    limit = FACTOR * limit
    shown = sent.after <= until
    x = np.append(sent.after[shown], until)
    limit, server = (np.append(each[shown], each[shown][-1]) for each in (limit, server))
    held = x <= sent.validated if not np.isnan(sent.validated) else np.ones(len(x), np.bool_)
    style: dict[str, Any] = {"drawstyle": "steps-post", "clip_on": False}
    handles = ax.plot(
        x[held],
        limit[held],
        color=INK,
        linestyle=(0, (5, 2)),
        linewidth=1.6,
        label="the limit: 3 × bytes of the client",
        **style,
    )
    handles += ax.plot(x, server, color=COLOURS["answered"], linewidth=2.2, label="sent by the server", **style)
    ax.fill_between(x[held], server[held], limit[held], step="post", color=INK, alpha=0.06, linewidth=0)
    _notes(ax, sent, x, (limit, server))
    span = max(until, 1e-6)
    ax.set_xlim(-0.02 * span, 1.02 * span)
    ax.set_ylim(0, 1.12 * max(float(limit[held].max()), float(server.max()), 1.0))
    ax.set_xticks(*time_ticks(span))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f} B")
    ax.set_xlabel("time since the first packet")
    ax.set_ylabel("UDP payload, in all (bytes)")
    titled(ax, f"Bytes of the server against the anti-amplification limit, {name}")
    legend(ax, handles)
    bare(ax, grid="both")


def _notes(ax: Axes, sent: _Bytes, x: NDArray[np.float64], lines: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    """When the address was validated, and the longest pause in which the server had no room for another datagram."""
    limit, server = lines
    style: dict[str, Any] = {"fontsize": 8.5, "textcoords": "offset points"}
    if not np.isnan(sent.validated):
        ax.axvline(sent.validated, color=INK, linewidth=1, alpha=0.6)
        words = f"Handshake packet of the client after {seconds(sent.validated)}: no limit from here on"
        ax.annotate(words, (sent.validated, 1), (-4, -10), ("data", "axes fraction"), ha="right", **style)
    largest = int(sent.payload[~sent.from_client].max(initial=0))
    stuck = (server > 0) & (limit - server < largest)
    pauses = np.where(stuck[:-1], np.diff(x), 0.0)
    if len(pauses) and pauses.max() >= LEAST_STALL_S:
        at = int(pauses.argmax())
        y = float(server[at])
        ax.hlines(y, x[at], x[at + 1], COLOURS["silent"], linewidth=4, zorder=4)
        words = f"at the limit for {seconds(float(pauses[at]))}"
        place: dict[str, Any] = {"ha": "center", "va": "top", "color": COLOURS["silent"], "fontweight": "bold"}
        ax.annotate(words, ((x[at] + x[at + 1]) / 2, y), (0, -6), **style, **place)
