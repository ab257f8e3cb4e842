"""The facts of ordinary TCP connections, column by column: what ``tcp.facts`` tells of each alone, of all at once.

How it works
------------
Most connections are *ordinary*: one SYN and one SYN/ACK, data that came in order and once, no window of zero, no
challenge. Whether one is follows from columns over the segments of all, and so do its facts: what remains for Python
are the first bytes of clients. Of connections that are not, nothing is said here.

Sides are numbered, the client of connection k is side 2 k and its server side 2 k + 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Words, distinct
from analyzer.events.connection import Connection, Flows
from analyzer.events.tcp.facts import SYN_ACK_AGAIN_NS
from analyzer.events.tcp.segments import ACKED, DATA_END, DATA_TIME, JUMPS
from analyzer.events.tcp.sides import distances, segments_of
from analyzer.events.tcp.states import ACK, FIN, RST, SYN
from analyzer.events.tcp.words import ALERT_BYTES, CLIENT, SERVER, alert_of, hello_end, owed_of, protocol_of

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_LEAST, _MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
_PAYLOAD_BYTES = 1 << 16  # more than a segment holds
_ACKED = ("", "all", "some", "none")


class Ordinary(NamedTuple):
    """The places of the ordinary connections, and columns with a value for each, by the names of ``TcpFacts``.

    Columns that are not here hold what ``NO_FACTS`` says. ``rows`` holds those that tell, -1 for none: shape (n, 5).
    """

    places: Integers
    columns: Mapping[str, NDArray[Any] | Words]
    rows: Integers


def ordinary_facts(flows: Flows, connections: Sequence[Connection]) -> Ordinary:
    """The facts of those of some TCP connections that are ordinary; all connections of their flows are given."""
    places = _candidates(flows, connections)
    sides = _Sides(flows, [connections[place] for place in places.tolist()])
    stays = np.flatnonzero(~sides.is_unusual())
    columns, rows = _columns(sides, stays)
    return Ordinary(places[stays], columns, rows)


def _candidates(flows: Flows, connections: Sequence[Connection]) -> Integers:
    """The places of connections that were answered, opened once, and are the last of a flow without jumps.

    Without jumps no data came again.
    """
    jumps = flows.scan.table.state[:, JUMPS].reshape(-1, 2).sum(axis=1).tolist()
    last = {connection.flow: place for place, connection in enumerate(connections)}
    chosen = (
        place
        for place, c in enumerate(connections)
        if len(c.request_rows) == 1
        and len(c.syn_ack_rows) == 1
        and c.reply_row >= 0
        and c.transport == "tcp"
        and c.proxy is None
        and not jumps[c.flow]
        and last[c.flow] == place
    )
    return np.fromiter(chosen, np.int64)


def _of_others(values: Integers) -> Integers:
    """Of the values of sides those of the other side of each."""
    return values.reshape(-1, 2)[:, ::-1].ravel()


class _Sides:
    """The segments of some connections, and what they say of each side: a value per side, -1 for none."""

    def __init__(self, flows: Flows, connections: Sequence[Connection]) -> None:
        self.flows, self.connections = flows, connections
        rows, count = flows.scan.rows, len(connections)
        self.count = count
        self.owner, self.row, side = segments_of(flows, connections)
        self.side = 2 * self.owner + side
        self.opening = np.empty(2 * count, np.int64)
        self.opening[0::2] = [c.request_rows[0] for c in connections]
        self.opening[1::2] = [c.syn_ack_rows[0] for c in connections]
        self.time, self.flags = rows.time[self.row], rows.tcp_flags[self.row]
        self.length, self.ttl = rows.payload_length[self.row].astype(np.int64), rows.ttl[self.row].astype(np.int64)
        self.closed_window = rows.window[self.row] == 0
        isn = rows.sequence[self.opening].astype(np.int64)
        self.begin = distances(rows.sequence[self.row].astype(np.int64), isn[self.side])
        acknowledged = distances(rows.acknowledgment[self.row].astype(np.int64), isn[self.side ^ 1])
        self.acknowledged = np.where(self.flags & ACK, acknowledged, -1)
        self.is_reset = self.flags & RST > 0
        self.is_data = (self.length > 0) & ~self.is_reset
        # Data of a SYN (RFC 7413) stands behind it.
        self.data_begin = self.begin + np.where(self.is_data, self.flags >> 1 & 1, 0)
        self.data_end = self.data_begin + self.length
        flow = np.fromiter((c.flow for c in connections), np.int64, count)
        client = np.fromiter((c.client_direction for c in connections), np.int64, count)
        self._read_ends(isn, 2 * np.repeat(flow, 2) + (np.repeat(client, 2) ^ np.tile([0, 1], count)))

    def _read_ends(self, isn: Integers, direction: Integers) -> None:
        """How far each side sent and acknowledged, by its segments and by what its flow remembers of the last ones."""
        state = self.flows.scan.table.state
        acked, end, last = state[direction, ACKED], state[direction, DATA_END], state[direction, DATA_TIME]
        other = _of_others(isn)
        self.acked = self.most(self.acknowledged, ~self.is_reset)
        self.acked = np.where(acked != 0, np.maximum(self.acked, distances(acked & 0xFFFFFFFF, other)), self.acked)
        self.end = self.most(self.data_end, self.is_data)
        self.end = np.where(end != 0, np.maximum(self.end, distances(end & 0xFFFFFFFF, isn)), self.end)
        self.last_data = self.most(self.time, self.is_data)
        self.last_data = np.where(end != 0, np.maximum(self.last_data, last), self.last_data)
        self.first_begin = self.least(self.data_begin, self.is_data)
        self.first_data = self.first(self.is_data)

    def most(self, values: Integers, among: Flags) -> Integers:
        """The largest value of each side among some segments."""
        found = np.full(2 * self.count, _LEAST)
        np.maximum.at(found, self.side[among], values[among])
        return np.where(found == _LEAST, -1, found)

    def least(self, values: Integers, among: Flags) -> Integers:
        """The smallest value of each side among some segments."""
        found = np.full(2 * self.count, _MOST)
        np.minimum.at(found, self.side[among], values[among])
        return np.where(found == _MOST, -1, found)

    def first(self, among: Flags) -> Integers:
        """The place of each side's first segment among some."""
        return self.least(np.arange(len(self.side)), among)

    def at(self, values: Integers, segments: Integers) -> Integers:
        """The values of some segments, -1 for none."""
        return np.where(segments >= 0, values[segments], -1)

    def is_unusual(self) -> Flags:
        """Which connections are not ordinary, or may not be."""
        may_have_hole = (self.first_begin > 1) & (_of_others(self.acked) == 1)
        found: Flags = may_have_hole.reshape(-1, 2).any(axis=1)
        by_server = self.side & 1 > 0
        is_bare = by_server & (self.flags & (SYN | FIN | RST | ACK) == ACK) & (self.length == 0)
        first, answer = self.opening[2 * self.owner], self.opening[2 * self.owner + 1]
        is_challenge = is_bare & (self.acknowledged != 1) & (self.row > first) & (self.row < answer)
        is_closed = self.closed_window & (self.flags & (SYN | RST) == 0)
        begun = self.at(self.time, self.first(by_server))[2 * self.owner + 1]
        is_late = by_server & (self.flags & SYN > 0) & (self.time >= begun + SYN_ACK_AGAIN_NS)
        found[self.owner[is_challenge | is_closed | is_late]] = True
        return found


def _columns(sides: _Sides, stays: Integers) -> tuple[dict[str, NDArray[Any] | Words], Integers]:
    """The columns of ``Ordinary`` for the connections that stay, and the rows that tell."""
    client, server = 2 * stays, 2 * stays + 1
    fins, resets = sides.first(sides.flags & FIN > 0), sides.first(sides.is_reset)
    columns: dict[str, NDArray[Any] | Words] = {"reset_ttl_gap": _ttl_gap(sides, resets)[stays]}
    first_data, acknowledged = _first_data(sides), _acknowledged(sides)
    for name, side in ((CLIENT, client), (SERVER, server)):
        columns[f"{name}_fin"], columns[f"{name}_rst"] = (sides.at(sides.time, ends[side]) for ends in (fins, resets))
        columns[f"first_{name}_data"], columns[f"last_{name}_data"] = first_data[side], sides.last_data[side]
        columns[f"{name}_acked"] = Words(acknowledged[side], _ACKED)
    words, telling = _words(sides, stays)
    rows = [sides.at(sides.row, ends[side]) for ends in (resets, fins) for side in (client, server)]
    return columns | words, np.column_stack([telling, *rows])


def _acknowledged(sides: _Sides) -> Integers:
    """How much of each side's data the other one acknowledged: the number of a word of ``_ACKED``."""
    other = _of_others(sides.acked)
    much = np.where(other >= sides.end, 1, np.where(other > sides.first_begin, 2, 3))
    return np.where((sides.first_data < 0) | (other < 0), 0, much)


def _first_data(sides: _Sides) -> Integers:
    """Time of each side's first data, or else of the first segment that proves that some was sent and not seen."""
    own = sides.least(sides.time, (sides.begin > 1) & ~sides.is_reset)
    taken = _of_others(sides.least(sides.time, (sides.acknowledged > 2) & ~sides.is_reset))  # 2: a FIN, perhaps
    proved = np.where((own >= 0) & (taken >= 0), np.minimum(own, taken), np.maximum(own, taken))
    return np.where(sides.first_data >= 0, sides.at(sides.time, sides.first_data), proved)


def _ttl_gap(sides: _Sides, resets: Integers) -> Integers:
    """How far the TTL of each server's RST is from those of its other segments; 0 where it has none."""
    reset = sides.at(sides.ttl, resets)[2 * sides.owner + 1]
    gaps = sides.least(abs(sides.ttl - reset), (sides.side & 1 > 0) & ~sides.is_reset)[1::2]
    return np.where(resets[1::2] >= 0, np.maximum(gaps, 0), 0)


def _words(sides: _Sides, stays: Integers) -> tuple[dict[str, NDArray[Any] | Words], Integers]:
    """Columns of what clients and servers say in clear, and the row of each connection's alert."""
    first = sides.first(sides.is_data & (sides.data_begin == sides.first_begin[sides.side]))
    asked, replied = sides.first_data[0::2], sides.first_data[1::2]
    is_ahead = (replied >= 0) & (sides.at(sides.time, replied) < sides.at(sides.time, asked))
    speaks = (asked >= 0) & ~is_ahead & (sides.first_begin[0::2] == 1)
    connections = sides.connections
    protocols, hellos, owed = [""] * sides.count, np.zeros(sides.count, np.int64), np.zeros(sides.count, np.int64)
    speakers = stays[speaks[stays]]
    for k, sent in zip(speakers.tolist(), _payloads(sides, first[2 * speakers]), strict=True):
        protocols[k] = protocol = protocol_of(sent, connections[k])
        if protocol == "tls":
            hellos[k] = hello_end(sent)
        elif protocol in ("http", "ocsp") and replied[k] >= 0:
            is_all = bool(sides.end[2 * k] == sides.data_end[first[2 * k]])
            came = sides.flows.payload(int(sides.row[replied[k]]))
            owed[k] = owed_of(sent, came, is_all=is_all, server_end=int(sides.end[2 * k + 1]))
    by, code, segment = _alerts(sides, np.flatnonzero(hellos))
    columns: dict[str, NDArray[Any] | Words] = {
        "protocol": Words.of([protocols[k] for k in stays.tolist()]),
        "hello_segments": _hello_segments(sides, hellos)[stays],
        "owed": owed[stays],
        "alert_by": Words(by[stays], ("", SERVER, CLIENT)),
        "alert_code": code[stays],
    }
    return columns, sides.at(sides.row, segment)[stays]


def _payloads(sides: _Sides, segments: Integers, last: int = _PAYLOAD_BYTES) -> list[bytes]:
    """The kept payload bytes of some segments, of each the last ones; b"" for none."""
    scan, row = sides.flows.scan, sides.row[segments]
    header, start = scan.rows.header[row], scan.rows.start[row]
    end = start + scan.rows.kept[row]
    begin = np.where((segments >= 0) & (header >= 0), np.maximum(start + header, end - last), end)
    spans = zip(scan.chunk[row].tolist(), begin.tolist(), end.tolist(), strict=True)
    return [scan.chunks[chunk][first:behind] for chunk, first, behind in spans]


def _hello_segments(sides: _Sides, hellos: Integers) -> Integers:
    """In how many segments each ClientHello came."""
    is_part = sides.is_data & (sides.side & 1 == 0) & (sides.data_begin >= 1)
    is_part &= sides.data_begin < hellos[sides.owner]
    parts = distinct(sides.owner[is_part] << 32 | sides.data_begin[is_part]) >> 32
    return np.bincount(parts, minlength=sides.count)


def _alerts(sides: _Sides, places: Integers) -> tuple[Integers, Integers, Integers]:
    """Of each connection the alert in the last bytes of the server, or else of the client, as ``words.alert_of``.

    The number of the side's word, the alert's description, and the segment.
    """
    by, code, segment = np.zeros(sides.count, np.int64), np.full(sides.count, -1), np.full(sides.count, -1)
    last = sides.first(sides.is_data & (sides.data_end == sides.end[sides.side]))
    for number, side in ((1, 2 * places + 1), (2, 2 * places)):
        each = last[side]
        for k, at, tail in zip(places.tolist(), each.tolist(), _payloads(sides, each, ALERT_BYTES), strict=True):
            description = alert_of(tail) if not by[k] else -1
            if description >= 0:
                by[k], code[k], segment[k] = number, description, at
    return by, code, segment
