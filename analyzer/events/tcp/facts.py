"""What the selected segments of a TCP connection tell beyond its handshake: who waited for what, and how it ended.

How it works
------------
Numbers are counted from each side's initial sequence number, or from its first segment where that was not seen. What
one side has sent is compared with the highest acknowledgment of the other: data beyond it is not acknowledged. The last
connection of a flow also has what the flow remembers of its last segments (``segments``), which selection passes by.
Most connections are told by columns, all at once (``ordinary``).

* *stuck*: the segment that the other side waits for was sent again; the selection shows repeats a second apart. *Small
  passed* says whether smaller segments of that side got through, by acknowledgment or SACK (RFC 2018 §3).
* *hole*: the first bytes of a side never came by here, although later ones did, and the other side waits for them.
* *zero window*: how long a side said that it takes no more data (RFC 9293 §3.8.6.1).
* *challenged*: a SYN met a bare ACK with another number, which the client answered with a RST (RFC 5961 §4.2).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from analyzer.events.connection import Connection, Flows
from analyzer.events.tcp.options import NO_OPTIONS, Options, read_options
from analyzer.events.tcp.runs import Sent, round_trip_of, runs_of, sent_of
from analyzer.events.tcp.segments import JUMPS
from analyzer.events.tcp.sides import Segment, Side, sides_of
from analyzer.events.tcp.states import ACK, FIN, RST, SYN
from analyzer.events.tcp.words import CLIENT, SERVER, Words

#: A SYN/ACK that comes again sooner is a copy: servers wait 1 s or more (RFC 6298 §2.1).
SYN_ACK_AGAIN_NS = 500_000_000


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
    owed: int = 0  # bytes of a body that the server announced and did not send, -1: several requests, not known
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
    client_retransmitted: int = 0
    server_retransmitted: int = 0
    client_unseen: int = 0
    server_unseen: int = 0
    unseen_rows: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()


NO_FACTS = TcpFacts()


def tcp_facts(flows: Flows, connections: Sequence[Connection], *, known: Container[int] = ()) -> list[TcpFacts]:
    """The facts of each connection; none for other transports, silent attempts and the places that are ``known``."""
    jumps = flows.scan.table.state[:, JUMPS].reshape(-1, 2).sum(axis=1).tolist()
    followed: dict[int, Connection] = {}
    facts = []
    for place in reversed(range(len(connections))):
        c = connections[place]
        if c.transport != "tcp" or not _is_two_way(c):
            facts.append(NO_FACTS)
            continue
        following = followed.get(c.flow)
        followed[c.flow] = c
        if place in known:
            facts.append(NO_FACTS)
            continue
        sides = sides_of(flows, c, is_last=following is None)
        told = _facts(flows, c, *sides)
        facts.append(_with_runs(told, *sent_by_both(flows, c, following, sides)) if jumps[c.flow] else told)
    return facts[::-1]


def sent_by_both(
    flows: Flows, connection: Connection, following: Connection | None, sides: tuple[Side, Side] | None = None
) -> tuple[Sent, Sent]:
    """What client and server sent; ``following`` is the next connection on the same sockets."""
    client, server = sides or sides_of(flows, connection, is_last=following is None)
    round_trip = round_trip_of(flows, connection)
    return (
        sent_of(runs_of(flows, connection, client, following), server, round_trip),
        sent_of(runs_of(flows, connection, server, following), client, round_trip),
    )


def _with_runs(facts: TcpFacts, client: Sent, server: Sent) -> TcpFacts:
    """The facts of a connection in which some data did not follow the data before it."""
    return replace(
        facts,
        client_retransmitted=client.retransmitted,
        server_retransmitted=server.retransmitted,
        client_unseen=client.unseen,
        server_unseen=server.unseen,
        unseen_rows=(*client.unseen_rows, *server.unseen_rows),
    )


def _is_two_way(connection: Connection) -> bool:
    return connection.reply_row >= 0 or not connection.request_rows


def _facts(flows: Flows, connection: Connection, client: Side, server: Side) -> TcpFacts:
    resets, fins = [side.first(RST) for side in (client, server)], [side.first(FIN) for side in (client, server)]
    zero_by, zero_ns, zero_rows = _zero_window(connection, client, server)
    stuck = max((_stuck(flows, a, b) for a, b in ((client, server), (server, client))), key=lambda s: s.repeats)
    stuck_by = "" if not stuck.repeats else CLIENT if stuck.side is client else SERVER
    holes = _hole(client, server), _hole(server, client)
    challenge = _challenge(connection, client, server)
    syn_acks = _syn_acks_after_ack(connection, client, server)
    words = Words(flows, connection, client, server)
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
        owed=words.owed,
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


def _first_data(side: Side, other: Side) -> int:
    """Time of a side's first data, or else of the first segment that proves that some was sent and not seen."""
    if side.data:
        return side.data[0].time
    own = [s.time for s in side.segments if s.begin > 1 and not s.flags & RST]
    acknowledging = [s.time for s in other.segments if s.acknowledged > 2 and not s.flags & RST]  # 2: a FIN, perhaps
    return min(own + acknowledging, default=-1)


def _rows_of(*groups: Iterable[Segment | None]) -> list[int]:
    return [segment.row for group in groups for segment in group if segment is not None]


def _zero_window(connection: Connection, client: Side, server: Side) -> tuple[str, int, list[int]]:
    """(side, longest time in ns, rows) of a window of zero."""
    best: tuple[str, int, list[int]] = ("", 0, [])
    for name, side in ((CLIENT, client), (SERVER, server)):
        run: list[Segment] = []
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
    side: Side | None = None
    length: int = 0
    repeats: int = 0
    lasted: int = 0  # ns
    passed: bool = False
    rows: tuple[int, ...] = ()


def _stuck(flows: Flows, side: Side, other: Side) -> _Stuck:
    """The segment that the other side waits for, if it was sent more than once."""
    if other.acked >= side.end:
        return _Stuck()
    waited = max(other.acked, 1)
    same = [s for s in side.data if s.begin <= waited < s.end]
    if len(same) < 2 or other.acked < 0:
        return _Stuck()
    length = max(s.length for s in same)
    sacked = [block for s in other.segments for block in options_of(flows, s.row).sack]
    isn_end = [s for s in side.data if s.begin > waited and s.length < length]
    passed = any(s.end <= other.acked and s.length < length for s in side.data) or (bool(sacked) and bool(isn_end))
    return _Stuck(side, length, len(same) - 1, same[-1].time - same[0].time, passed, tuple(s.row for s in same))


def options_of(flows: Flows, row: int) -> Options:
    """The TCP options of a row; none where its header was cut."""
    transport, header = int(flows.scan.rows.transport[row]), int(flows.scan.rows.header[row])
    if transport < 0 or header <= transport + 20:
        return NO_OPTIONS
    return read_options(flows.scan.row_bytes(row)[transport + 20 : header])


def _hole(side: Side, other: Side) -> int:
    """How many of a side's first bytes are missing before later ones, while the other side waits for them."""
    begins = [s.begin for s in side.data]
    if not begins or min(begins) <= 1 or side.segments[0].begin != 0 or other.acked != 1:
        return 0
    return min(begins) - 1


def _challenge(connection: Connection, client: Side, server: Side) -> tuple[int, ...]:
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


def _syn_acks_after_ack(connection: Connection, client: Side, server: Side) -> list[int]:
    """SYN/ACKs that came again although the client had acknowledged one and sent data."""
    acks = [s.row for s in client.segments if s.flags & (ACK | RST | SYN) == ACK and s.acknowledged == 1]
    late = [s.row for s in server.segments if s.time >= server.segments[0].time + SYN_ACK_AGAIN_NS]
    return [row for row in connection.syn_ack_rows if acks and client.data and row > acks[0] and row in late]


def _ttl_gap(flows: Flows, server: Side, reset: Segment | None) -> int:
    """How far the TTL of a RST is from those of its sender's other segments; 0 where it has none."""
    ttl = flows.scan.rows.ttl
    others = [int(ttl[s.row]) for s in server.segments if not s.flags & RST]
    return min((abs(int(ttl[reset.row]) - other) for other in others), default=0) if reset is not None else 0
