"""What the selected segments of a TCP connection tell beyond its handshake: who waited for what, and how it ended.

How it works
------------
Numbers are counted from each side's initial sequence number, or from its first segment where that was not seen. What
one side has sent is compared with the highest acknowledgment of the other: data beyond it is not acknowledged. The last
connection of a flow also has what the flow remembers of its last segments (``segments``), which selection passes by.

* *stuck*: the segment that the other side waits for was sent again; the selection shows repeats a second apart. *Small
  passed* says whether smaller segments of that side got through, by acknowledgment or SACK (RFC 2018 §3).
* *hole*: the first bytes of a side never came by here, although later ones did, and the other side waits for them.
* *zero window*: how long a side said that it takes no more data (RFC 9293 §3.8.6.1).
* *challenged*: a SYN met a bare ACK with another number, which the client answered with a RST (RFC 5961 §4.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events.connection import Connection, Flows
from analyzer.events.tcp.reader import ACK, FIN, RST, SYN
from analyzer.events.tcp.segments import LastSegment, last_segment
from analyzer.wire.dns import PORT as DNS_PORT
from analyzer.wire.tls import ALERT, is_record, read_records

CLIENT, SERVER = "client", "server"
FATAL = 2  # RFC 8446 §6
#: A SYN/ACK that comes again sooner is a copy: servers wait 1 s or more (RFC 6298 §2.1).
SYN_ACK_AGAIN_NS = 500_000_000
_SACK, _END, _PADDING = 5, 0, 1  # TCP options
_MUCH = 20_000  # bytes of a server: more than its side of a TLS handshake, which alerts in clear end
_ALERT_BYTES = 7  # a TLS record with one alert
_METHODS = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"PRI * HTTP/2")
_NO_LAST = LastSegment(-1, -1, -1, -1)


@dataclass(frozen=True, slots=True)
class TcpFacts:
    """Times are ns, -1 for none; sides are client, server or "". ``rows`` are those that tell."""

    protocol: str = ""  # of the client's first bytes: tls, http, ocsp, dns
    client_acked: str = ""  # what the server acknowledged of the client's data: all, some, none; "" unknown or no data
    server_acked: str = ""
    first_client_data: int = -1
    first_server_data: int = -1
    last_client_data: int = -1
    last_server_data: int = -1
    client_fin: int = -1  # times of the first FIN and RST of each side
    server_fin: int = -1
    client_rst: int = -1
    server_rst: int = -1
    reset_ttl_gap: int = 0  # how far the TTL of the server's RST is from that of its other segments
    alert_by: str = ""
    alert_code: int = -1
    hello_segments: int = 0
    zero_window_by: str = ""
    zero_window_ns: int = 0
    stuck_by: str = ""
    stuck_length: int = 0
    stuck_repeats: int = 0
    stuck_ns: int = 0
    small_passed: bool = False
    hole_by: str = ""
    hole_length: int = 0
    challenged: bool = False
    syn_acks_after_ack: int = 0
    rows: tuple[int, ...] = ()


NO_FACTS = TcpFacts()


class _Segment(NamedTuple):
    row: int
    time: int
    flags: int
    begin: int  # counted from the side's initial sequence number
    length: int
    acknowledged: int  # counted from the other side's, -1 without ACK
    window: int

    @property
    def end(self) -> int:
        return self.begin + self.length


class _Side:
    """The segments of one side, in the order of their records."""

    def __init__(self, segments: list[_Segment], last: LastSegment, isn: int, other_isn: int) -> None:
        self.segments = segments
        self.data = [s for s in segments if s.length and not s.flags & (SYN | RST)]
        self.acked = max((s.acknowledged for s in segments if not s.flags & RST), default=-1)
        self.end = max((s.end for s in self.data), default=-1)
        self.last_data = max((s.time for s in self.data), default=-1)
        if last.acknowledgment >= 0:
            self.acked = max(self.acked, _distance(last.acknowledgment, other_isn))
        if last.data_end >= 0:
            self.end = max(self.end, _distance(last.data_end, isn))
            self.last_data = max(self.last_data, last.data_time)
        self.last_window = last.window

    def first(self, flag: int) -> _Segment | None:
        """Its first segment with a flag."""
        return next((s for s in self.segments if s.flags & flag), None)

    def acknowledged_by(self, other: _Side) -> str:
        """How much of this side's data the other one acknowledged."""
        if not self.data or other.acked < 0:
            return ""
        if other.acked >= self.end:
            return "all"
        return "some" if other.acked > min(s.begin for s in self.data) else "none"


def tcp_facts(flows: Flows, connections: Sequence[Connection]) -> list[TcpFacts]:
    """The facts of each connection; ``NO_FACTS`` for other transports, attempts that met nothing, and plain ones."""
    last = {connection.flow: k for k, connection in enumerate(connections) if connection.transport == "tcp"}
    return [
        _facts(flows, c, is_last=last[c.flow] == k)
        if c.transport == "tcp" and _is_two_way(c) and not (last[c.flow] == k and _is_plain(flows, c))
        else NO_FACTS
        for k, c in enumerate(connections)
    ]


def _is_two_way(connection: Connection) -> bool:
    return connection.reply_row >= 0 or not connection.request_rows


def _is_plain(flows: Flows, connection: Connection) -> bool:
    """Whether the last connection of a flow went well: the client took ``_MUCH``, and the server never reset it."""
    c, rows = connection, flows.scan.rows
    if len(c.request_rows) != 1 or len(c.syn_ack_rows) != 1 or c.counters.server_bytes < _MUCH:
        return False
    if any(int(rows.direction[row]) != c.client_direction for row in c.reset_rows):
        return False
    client = last_segment(flows.scan.table.state, 2 * c.flow + c.client_direction)
    took = _distance(client.acknowledgment, int(rows.sequence[c.syn_ack_rows[0]]))
    is_reset = rows.tcp_flags[c.rows] & RST > 0
    return took > _MUCH and bool((is_reset | (rows.window[c.rows] > 0)).all())


def _distance(number: int, isn: int) -> int:
    """How far a sequence number is behind the initial one; numbers before it are negative."""
    ahead = (number - isn) & 0xFFFFFFFF
    return ahead - (1 << 32) if ahead >= 1 << 31 else ahead


def _facts(flows: Flows, connection: Connection, *, is_last: bool) -> TcpFacts:
    client, server = _sides(flows, connection, is_last=is_last)
    resets, fins = [side.first(RST) for side in (client, server)], [side.first(FIN) for side in (client, server)]
    zero_by, zero_ns, zero_rows = _zero_window(connection, client, server)
    stuck = max((_stuck(flows, a, b) for a, b in ((client, server), (server, client))), key=lambda s: s.repeats)
    stuck_by = "" if not stuck.repeats else CLIENT if stuck.side is client else SERVER
    holes = _hole(client, server), _hole(server, client)
    challenge = _challenge(connection, client, server)
    syn_acks = _syn_acks_after_ack(connection, client, server)
    words = _Words(flows, connection, client, server)
    return TcpFacts(
        protocol=words.protocol,
        client_acked=client.acknowledged_by(server),
        server_acked=server.acknowledged_by(client),
        first_client_data=_first_data(client, server),
        first_server_data=_first_data(server, client),
        last_client_data=client.last_data,
        last_server_data=server.last_data,
        client_fin=fins[0].time if fins[0] else -1,
        server_fin=fins[1].time if fins[1] else -1,
        client_rst=resets[0].time if resets[0] else -1,
        server_rst=resets[1].time if resets[1] else -1,
        reset_ttl_gap=_ttl_gap(flows, server, resets[1]),
        alert_by=words.alert[0],
        alert_code=words.alert[1],
        hello_segments=words.hello_segments,
        zero_window_by=zero_by,
        zero_window_ns=zero_ns,
        stuck_by=stuck_by,
        stuck_length=stuck.length,
        stuck_repeats=stuck.repeats,
        stuck_ns=stuck.lasted,
        small_passed=stuck.passed,
        hole_by=CLIENT if holes[0] else SERVER if holes[1] else "",
        hole_length=max(holes),
        challenged=bool(challenge),
        syn_acks_after_ack=len(syn_acks),
        rows=tuple(sorted({*zero_rows, *stuck.rows, *challenge, *syn_acks, *words.rows, *_rows_of(resets, fins)})),
    )


def _first_data(side: _Side, other: _Side) -> int:
    """Time of a side's first data, or else of the first segment that proves that some was sent and not seen."""
    if side.data:
        return side.data[0].time
    own = [s.time for s in side.segments if s.begin > 1 and not s.flags & RST]
    acknowledging = [s.time for s in other.segments if s.acknowledged > 2 and not s.flags & RST]  # 2: a FIN, perhaps
    return min(own + acknowledging, default=-1)


def _rows_of(*groups: Iterable[_Segment | None]) -> list[int]:
    return [segment.row for group in groups for segment in group if segment is not None]


def _sides(flows: Flows, connection: Connection, *, is_last: bool) -> tuple[_Side, _Side]:
    """Client and server."""
    rows, client = flows.scan.rows, connection.client_direction
    index = np.array(connection.rows, np.int64)
    from_client = rows.direction[index] == client
    parts = index[from_client], index[~from_client]
    openings = connection.request_rows[-1:], connection.syn_ack_rows[-1:]
    isn = [_initial_number(flows, openings[side], parts[side], parts[1 - side]) for side in (0, 1)]
    sides = []
    for side, own in enumerate(parts):
        flags = rows.tcp_flags[own]
        columns = (
            own,
            rows.time[own],
            flags,
            _distances(rows.sequence[own], isn[side]),
            rows.payload_length[own],
            np.where(flags & ACK > 0, _distances(rows.acknowledgment[own], isn[1 - side]), -1),
            rows.window[own],
        )
        last = last_segment(flows.scan.table.state, 2 * connection.flow + (client ^ side)) if is_last else _NO_LAST
        segments = list(map(_Segment._make, zip(*(column.tolist() for column in columns), strict=True)))
        sides.append(_Side(segments, last, isn[side], isn[1 - side]))
    return sides[0], sides[1]


def _distances(numbers: NDArray[np.uint32], isn: int) -> NDArray[np.int64]:
    """``_distance`` for many."""
    ahead = (numbers.astype(np.int64) - isn) & 0xFFFFFFFF
    return ahead - ((ahead >> 31) << 32)


def _initial_number(flows: Flows, opening: Sequence[int], own: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """A side's initial sequence number, from its SYN or, where that was not seen, from what followed."""
    rows = flows.scan.rows
    if len(opening):
        return int(rows.sequence[opening[0]])
    speaking, acking = own[rows.tcp_flags[own] & RST == 0], other[rows.tcp_flags[other] & ACK > 0]
    if len(speaking):
        return (int(rows.sequence[speaking[0]]) - 1) & 0xFFFFFFFF
    return (int(rows.acknowledgment[acking[0]]) - 1) & 0xFFFFFFFF if len(acking) else 0


def _zero_window(connection: Connection, client: _Side, server: _Side) -> tuple[str, int, list[int]]:
    """(side, longest time in ns, rows) of a window of zero."""
    best: tuple[str, int, list[int]] = ("", 0, [])
    for name, side in ((CLIENT, client), (SERVER, server)):
        run: list[_Segment] = []
        for segment in side.segments:
            if segment.flags & (SYN | RST) or segment.window:
                run = []
                continue
            run.append(segment)
            is_end = segment is side.segments[-1] and side.last_window == 0
            until = connection.last_time if is_end and not segment.flags & FIN else segment.time
            if until - run[0].time > best[1]:
                best = (name, until - run[0].time, [s.row for s in run])
    return best


class _Stuck(NamedTuple):
    side: _Side | None = None
    length: int = 0
    repeats: int = 0
    lasted: int = 0  # ns
    passed: bool = False
    rows: tuple[int, ...] = ()


def _stuck(flows: Flows, side: _Side, other: _Side) -> _Stuck:
    """The segment that the other side waits for, if it was sent more than once."""
    if other.acked >= side.end:
        return _Stuck()
    waited = max(other.acked, 1)
    same = [s for s in side.data if s.begin <= waited < s.end]
    if len(same) < 2 or other.acked < 0:
        return _Stuck()
    length = max(s.length for s in same)
    sacked = [block for s in other.segments for block in _sack_blocks(flows, s.row)]
    isn_end = [s for s in side.data if s.begin > waited and s.length < length]
    passed = any(s.end <= other.acked and s.length < length for s in side.data) or (bool(sacked) and bool(isn_end))
    return _Stuck(side, length, len(same) - 1, same[-1].time - same[0].time, passed, tuple(s.row for s in same))


def _sack_blocks(flows: Flows, row: int) -> list[tuple[int, int]]:
    """The blocks of the SACK option in a row's TCP header (RFC 2018 §3)."""
    transport, header = int(flows.scan.rows.transport[row]), int(flows.scan.rows.header[row])
    if transport < 0 or header <= transport + 20:
        return []
    options, at = flows.scan.row_bytes(row)[transport + 20 : header], 0
    while at < len(options) and options[at] != _END:
        if options[at] == _PADDING:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2:
            break
        if options[at] == _SACK:
            block = options[at + 2 : at + length]
            return [
                (int.from_bytes(block[k : k + 4], "big"), int.from_bytes(block[k + 4 : k + 8], "big"))
                for k in range(0, len(block) - 7, 8)
            ]
        at += length
    return []


def _hole(side: _Side, other: _Side) -> int:
    """How many of a side's first bytes are missing before later ones, while the other side waits for them."""
    begins = [s.begin for s in side.data]
    if not begins or min(begins) <= 1 or side.segments[0].begin != 0 or other.acked != 1:
        return 0
    return min(begins) - 1


def _challenge(connection: Connection, client: _Side, server: _Side) -> tuple[int, ...]:
    """The rows of a bare ACK to a SYN, before any SYN/ACK, and the RST that answers it."""
    first = connection.request_rows[0] if connection.request_rows else -1
    until = connection.syn_ack_rows[0] if connection.syn_ack_rows else connection.rows[-1] + 1
    for ack in server.segments:
        is_bare = ack.flags & (SYN | FIN | RST | ACK) == ACK and not ack.length and ack.acknowledged != 1
        if is_bare and 0 <= first < ack.row < until:
            answers = [s for s in client.segments if s.row > ack.row and s.flags & RST and s.begin == ack.acknowledged]
            if answers:
                return ack.row, answers[0].row
    return ()


def _syn_acks_after_ack(connection: Connection, client: _Side, server: _Side) -> list[int]:
    """SYN/ACKs that came again although the client had acknowledged one and sent data."""
    acks = [s.row for s in client.segments if s.flags & (ACK | RST | SYN) == ACK and s.acknowledged == 1]
    late = [s.row for s in server.segments if s.time >= server.segments[0].time + SYN_ACK_AGAIN_NS]
    return [row for row in connection.syn_ack_rows if acks and client.data and row > acks[0] and row in late]


def _ttl_gap(flows: Flows, server: _Side, reset: _Segment | None) -> int:
    """How far the TTL of a RST is from those of its sender's other segments; 0 where it has none."""
    ttl = flows.scan.rows.ttl
    others = [int(ttl[s.row]) for s in server.segments if not s.flags & RST]
    return min((abs(int(ttl[reset.row]) - other) for other in others), default=0) if reset is not None else 0


class _Words:
    """What the first and the last bytes of both sides say."""

    def __init__(self, flows: Flows, connection: Connection, client: _Side, server: _Side) -> None:
        self.rows: list[int] = []
        self.alert = ("", -1)
        self.protocol, self.hello_segments = "", 0
        if not client.data or (server.data and server.data[0].time < client.data[0].time):
            return
        first = min(client.data, key=lambda segment: segment.begin)
        sent = flows.payload(first.row)
        self.protocol = _protocol(sent, connection) if first.begin == 1 else ""
        if self.protocol == "tls":
            hello = 1 + 5 + int.from_bytes(sent[3:5], "big")
            self.hello_segments = len({s.begin for s in client.data if 1 <= s.begin < hello})
            self._find_alert(flows, SERVER, server)
            self._find_alert(flows, CLIENT, client)

    def _find_alert(self, flows: Flows, name: str, side: _Side) -> None:
        """An alert in clear that is no close_notify: after it a side sends nothing more, so it is in its last bytes."""
        last = max(side.data, key=lambda segment: segment.end, default=None)
        if last is None or last.end < side.end or self.rows:
            return
        tail = flows.payload(last.row)[-_ALERT_BYTES:]
        alerts = read_records(tail).alerts if tail[:1] == bytes((ALERT,)) and is_record(tail) else ()
        if alerts and alerts[0].level == FATAL and alerts[0].description > 0:
            self.alert, self.rows = (name, alerts[0].description), [last.row]


def _protocol(sent: bytes, connection: Connection) -> str:
    """What a client's first bytes are."""
    if sent.startswith(_METHODS):
        return "ocsp" if b"application/ocsp-request" in sent.lower() else "http"
    if sent and is_record(sent):
        return "tls"
    return "dns" if connection.server.port == DNS_PORT else ""
