"""The rows of the table of connections in ``report.html``, each with the steps of its ladder.

Thousands of rows are most of the page, so they are written here and not by the template, column by column. Whatever
came from a capture goes through ``_cells``, which makes it printable and escapes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Table, Words
from analyzer.patterns.words import FAMILIES, counted, socket_words
from analyzer.reports.ladder import LADDER_NOTES, NO_REPLY, step_words
from analyzer.reports.summary import Analysed, cited_connections
from analyzer.reports.text import seconds, visible

MOST_CONNECTIONS = 5_000
MOST_STEPS = 24  # of a ladder
_COLUMNS = (
    *("connection", "transport", "family", "client_address", "client_port", "server_address", "server_port", "sni"),
    *("outcome", "outcome_reason", "reply_latency_s", "history", "first_record", "duration_s"),
    *("client_packets", "server_packets", "replied_from", "request_records"),
)
#: Printable ASCII that means nothing to HTML.
_PLAIN = re.compile(r"[ !#-%(-;=?-~]*")
_CUT = np.iinfo(np.int64).min
_EMPTY = '<td class="n" data-value=""></td>'


class Word(NamedTuple):
    """What a step of ladders says: index of the capture, c or s for who sent it ("" for a third), and what it is."""

    capture: int
    sender: str
    what: str


class Rows(NamedTuple):
    """Table rows as HTML, how many they are, and by number the words of their steps."""

    markup: str
    number: int
    words: list[Word]


class _Steps(NamedTuple):
    """By row the steps for the script, each three numbers: record, microseconds since the first step, its word.

    ``left_out`` is how many more packets of the connection were selected.
    """

    texts: list[str]
    left_out: list[int]
    words: list[Word]


def connection_rows(analysis: Analysed) -> Rows:
    """The table rows of at most ``MOST_CONNECTIONS``: those that findings cite, the unanswered, then others.

    They stand in the order of the table. The ladders of the answered that no finding cites say what headers say.
    """
    table = analysis.connections
    chosen = _chosen(analysis)
    columns = {name: table.at(name, chosen) for name in _COLUMNS}
    cited = cited_connections(analysis.document["findings"])
    pairs = zip(columns["connection"], columns["outcome"], strict=True)
    told = np.array([outcome != "answered" or name in cited for name, outcome in pairs], np.bool_)
    steps = _steps(analysis, columns, told)
    attributes = _ladders(columns, steps, _notes(analysis, chosen, told))
    times = np.datetime_as_string(table["first_time"][chosen].astype("datetime64[ns]")).tolist()
    return Rows("\n".join(_rows(columns, times, attributes)), len(chosen), steps.words)


def _chosen(analysis: Analysed) -> NDArray[np.int64]:
    table = analysis.connections
    cited = cited_connections(analysis.document["findings"])
    is_cited = np.array([name in cited for name in table["connection"].tolist()], dtype=np.bool_)
    rank = np.where(is_cited, 0, np.where(table["outcome"] == "answered", 2, 1))
    return np.sort(np.argsort(rank, kind="stable")[:MOST_CONNECTIONS])


def _rows(columns: dict[str, list[Any]], times: list[str], attributes: list[str]) -> list[str]:
    sockets = {
        side: _cells(list(map(socket_words, columns[f"{side}_address"], columns[f"{side}_port"])))
        for side in ("client", "server")
    }
    families = [FAMILIES.get(family, family) for family in columns["family"]]
    texts = {name: _cells(columns[name]) for name in ("connection", "sni", "outcome", "outcome_reason", "history")}
    return [
        f'<tr id="{name}" class="{outcome}"{ladder}><td>{name}</td><td>{transport}</td><td>{family}</td>'
        f"<td><code>{client}</code></td><td><code>{server}</code></td><td>{sni}</td>"
        f'<td class="status">{outcome}</td><td>{reason}</td>{latency}<td><code>{history}</code></td>'
        f'<td class="n">{record:,}</td><td class="time">{time}Z</td>{duration}'
        f'<td class="n">{from_client:,}</td><td class="n">{from_server:,}</td></tr>'
        for name, outcome, ladder, transport, family, client, server, sni, reason, latency, history, record, time, (
            duration
        ), from_client, from_server in zip(
            texts["connection"],
            texts["outcome"],
            attributes,
            _cells([transport.upper() for transport in columns["transport"]]),
            _cells(families),
            sockets["client"],
            sockets["server"],
            texts["sni"],
            texts["outcome_reason"],
            _durations(columns["reply_latency_s"]),
            texts["history"],
            columns["first_record"],
            times,
            _durations(columns["duration_s"]),
            columns["client_packets"],
            columns["server_packets"],
            strict=True,
        )
    ]


def _cells(texts: list[str]) -> list[str]:
    """Text of a capture as HTML: printable and escaped."""
    if _PLAIN.fullmatch("".join(texts)):
        return texts
    from markupsafe import escape

    shown = {text: str(escape(visible(text))) for text in dict.fromkeys(texts)}
    return [shown[text] for text in texts]


def _durations(values: list[float]) -> list[str]:
    """Cells with their values for sorting; empty for NaN."""
    cells = {value: f'<td class="n" data-value="{value}">{seconds(value)}</td>' for value in dict.fromkeys(values)}
    return [_EMPTY if value != value else cells[value] for value in values]


def _ladders(columns: dict[str, list[Any]], steps: _Steps, notes: list[str]) -> list[str]:
    """The attributes of each row from which the script draws its ladder; none where there are no steps."""
    endings = [
        counted(left_out, "more selected packet")
        if left_out
        else NO_REPLY.format(socket_words(address, port))
        if outcome == "silent"
        else ""
        for left_out, outcome, address, port in zip(
            steps.left_out, *(columns[name] for name in ("outcome", "server_address", "server_port")), strict=True
        )
    ]
    return [
        f' data-steps="{text}"' + (f' data-ending="{end}"' if end else "") + (f' data-notes="{note}"' if note else "")
        if text
        else ""
        for text, end, note in zip(steps.texts, _cells(endings), _cells(notes), strict=True)
    ]


def _notes(analysis: Analysed, chosen: NDArray[np.int64], told: NDArray[np.bool_]) -> list[str]:
    """Sentences about the connections that are ``told``; for all of them this would take long."""
    notes = [""] * len(chosen)
    columns = [analysis.connections.at(name, chosen[told]) for name in LADDER_NOTES]
    for place, values in zip(np.flatnonzero(told).tolist(), zip(*columns, strict=True), strict=True):
        notes[place] = ". ".join(line for value in values for line in value.split("\n") if line)
    return notes


def _steps(analysis: Analysed, columns: dict[str, list[Any]], told: NDArray[np.bool_]) -> _Steps:
    """The first ``MOST_STEPS`` packets of each connection; of those ``told`` also what segments hold."""
    packets, names = analysis.packets, columns["connection"]
    rows, owner, counts = _packets_of(analysis, names)
    begins = np.cumsum(counts) - counts
    time = packets["time"]
    since = time[rows] - time[rows[begins[owner]]]
    kept = np.arange(len(rows)) - begins[owner] < MOST_STEPS
    rows, owner, after = rows[kept], owner[kept], since[kept] // 1000
    capture, record = packets["capture"][rows], packets["record"][rows]
    sides, kinds = (packets.words(name).take(rows) for name in ("direction", "kind"))
    what = _what(packets, rows, told[owner])
    more = _additions(columns, _Sent(capture, record, owner, sides.equal("server")))
    key = capture
    for words in (sides, kinds, what, more):
        key = key * len(words.words) + words.codes
    first, word = _numbered(key)
    spoken = zip(
        capture[first].tolist(), *(words.take(first).texts() for words in (sides, kinds, what, more)), strict=True
    )
    said = [Word(number, side[:1], step_words(kind, text) + added) for number, side, kind, text, added in spoken]
    left_out = np.maximum(counts - MOST_STEPS, 0).tolist()
    return _Steps(_written(np.column_stack([record, after, word]), counts.clip(max=MOST_STEPS)), left_out, said)


def _what(packets: Table, rows: NDArray[np.int64], precise: NDArray[np.bool_]) -> Words:
    """What headers say, and where it shall be precise what segments hold."""
    headers = packets.words("headers")
    words = Words.of([*headers.words, *packets.at("detail", rows[precise])])
    codes = headers.codes[rows]
    codes[precise] = words.codes[len(headers.words) :]
    return Words(codes, words.words)


def _numbered(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each key stands first, in this order; and by key its number in this order."""
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    return first[order], number[place]


def _written(steps: NDArray[np.int64], counts: NDArray[np.int64]) -> list[str]:
    """Rows of numbers with commas between all, ``counts`` rows to a text."""
    # Written as one list and cut afterwards, where a number stands that is none of a step.
    begins = np.append(0, np.cumsum(steps.shape[1] * counts))
    numbers = np.insert(steps.ravel(), begins, _CUT).tolist()
    written = str(numbers).encode().translate(None, b" ").decode()
    return [text[1:-1] for text in written.split(str(_CUT))[1:-1]]


def _packets_of(
    analysis: Analysed, names: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The packets of these connections, one connection after the other; whose each is, and how many each has."""
    places = {name: place for place, name in enumerate(names)}
    words = analysis.packets.words("connection")
    # Sorting is a matter of counting for numbers as small as ``MOST_CONNECTIONS``.
    owner = np.array([places.get(name, -1) for name in words.words], np.int16)[words.codes]
    rows = np.argsort(owner, kind="stable")[np.count_nonzero(owner < 0) :]
    return rows, owner[rows].astype(np.int64), np.bincount(owner[rows], minlength=len(names))


class _Sent(NamedTuple):
    """Packets by columns: capture, record, whose of the connections they are, and whether the server sent them."""

    capture: NDArray[np.int64]
    record: NDArray[np.int64]
    owner: NDArray[np.int64]
    from_server: NDArray[np.bool_]


def _additions(columns: dict[str, list[Any]], sent: _Sent) -> Words:
    """What there is more to say of each packet: the how manieth repeat it is, or from where a reply came; else ""."""
    requests, elsewhere = columns["request_records"], columns["replied_from"]
    repeats = {
        (mine, *request): f", repeat {number}"
        for mine, own in enumerate(requests)
        if len(own) > 1
        for number, request in enumerate(own)
        if number
    }
    special = np.zeros(len(requests), np.bool_)
    special[[mine for mine, *_ in repeats]] = True
    is_elsewhere = np.array([other != "" for other in elsewhere], np.bool_)
    places = np.flatnonzero(special[sent.owner] | (is_elsewhere[sent.owner] & sent.from_server))
    keys = zip(*(column[places].tolist() for column in sent), strict=True)
    words = Words.of(
        [
            "",
            *(
                repeats.get((mine, capture, record))
                or (f", from {elsewhere[mine]}" if from_server and elsewhere[mine] else "")
                for capture, record, mine, from_server in keys
            ),
        ]
    )
    codes = np.zeros(len(sent.owner), np.int64)
    codes[places] = words.codes[1:]
    return Words(codes, words.words)
