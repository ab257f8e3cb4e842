"""The rows of the table of connections in ``report.html``, each with the steps of its ladder.

Thousands of rows are most of the page, so they are written here and not by the template. Whatever came from a capture
goes through ``_Cells``, which makes it printable and escapes it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.patterns.words import FAMILIES, socket_words
from analyzer.reports.ladder import Ladder, ending, first_steps, ladders_of
from analyzer.reports.summary import Analysed, cited_connections
from analyzer.reports.text import seconds, visible

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_CONNECTIONS = 5_000
MOST_STEPS = 24  # of a ladder
_COLUMNS = (
    *("connection", "transport", "family", "client_address", "client_port", "server_address", "server_port", "sni"),
    *("outcome", "outcome_reason", "reply_latency_s", "history", "first_record", "duration_s"),
    *("client_packets", "server_packets"),
)
_OUTCOME = _COLUMNS.index("outcome")


class _Cells(dict[str, str]):
    """Text of a capture as HTML: printable and escaped, each text once."""

    def __missing__(self, text: str) -> str:
        from markupsafe import escape

        self[text] = shown = str(escape(visible(text)))
        return shown


class Rows(NamedTuple):
    """Table rows, and the words of the steps of their ladders by number."""

    rows: list[Markup]
    words: list[str]


def connection_rows(analysis: Analysed) -> Rows:
    """The table rows of at most ``MOST_CONNECTIONS``: those that findings cite, the unanswered, then others.

    They stand in the order of the table.
    """
    from markupsafe import Markup

    table = analysis.connections
    chosen = _chosen(analysis)
    columns = [table.at(name, chosen) for name in _COLUMNS]
    times = np.datetime_as_string(table["first_time"][chosen].astype("datetime64[ns]")).tolist()
    failed = {name for name, outcome in zip(columns[0], columns[_OUTCOME], strict=True) if outcome != "answered"}
    told = failed | cited_connections(analysis.document["findings"])
    ladders = ladders_of(analysis, [name for name in columns[0] if name in told])
    ladders |= ladders_of(analysis, [name for name in columns[0] if name not in told], brief=True)
    cells, words = _Cells(), dict[str, int]()
    rows = [
        Markup(_row(values, f"{time}Z", ladders[values[0]], (cells, words)))
        for *values, time in zip(*columns, times, strict=True)
    ]
    return Rows(rows, list(words))


def _chosen(analysis: Analysed) -> NDArray[np.int64]:
    table = analysis.connections
    cited = cited_connections(analysis.document["findings"])
    is_cited = np.array([name in cited for name in table["connection"].tolist()], dtype=np.bool_)
    rank = np.where(is_cited, 0, np.where(table["outcome"] == "answered", 2, 1))
    return np.sort(np.argsort(rank, kind="stable")[:MOST_CONNECTIONS])


def _row(values: list[Any], time: str, ladder: Ladder, shared: tuple[_Cells, dict[str, int]]) -> str:
    cells, words = shared
    name, transport, family, client, client_port, server, server_port, sni, outcome, reason, *rest = values
    latency, history, record, duration, from_client, from_server = rest
    shown = first_steps(ladder, MOST_STEPS) if len(ladder.steps) > MOST_STEPS else ladder
    steps = f' data-steps="{_steps(shown, words)}"' if shown.steps else ""
    if steps and (end := ending(shown)):
        steps += f' data-ending="{cells[end]}"'
    if steps and ladder.notes:
        steps += f' data-notes="{cells[". ".join(ladder.notes)]}"'
    return (
        f'<tr id="{cells[name]}" class="{cells[outcome]}"{steps}><td>{cells[name]}</td>'
        f"<td>{cells[transport.upper()]}</td><td>{cells[FAMILIES.get(family, family)]}</td>"
        f"<td><code>{cells[socket_words(client, client_port)]}</code></td>"
        f"<td><code>{cells[socket_words(server, server_port)]}</code></td><td>{cells[sni]}</td>"
        f'<td class="status">{cells[outcome]}</td><td>{cells[reason]}</td>{_duration(latency)}'
        f'<td><code>{cells[history]}</code></td><td class="n">{record:,}</td><td class="time">{time}</td>'
        f'{_duration(duration)}<td class="n">{from_client:,}</td><td class="n">{from_server:,}</td></tr>'
    )


def _duration(value: float) -> str:
    """A cell with its value for sorting; empty for NaN."""
    if math.isnan(value):
        return '<td class="n" data-value=""></td>'
    return f'<td class="n" data-value="{value}">{seconds(value)}</td>'


def _steps(ladder: Ladder, words: dict[str, int]) -> str:
    """The steps for the script: capture, record, microseconds, c or s for who sent it, number of the words."""
    return " ".join(
        [
            f"{capture},{number},{after // 1000},{sender[:1]},{words.setdefault(what, len(words))}"
            for capture, number, _, after, sender, what in ladder.steps
        ]
    )
