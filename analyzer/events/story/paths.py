"""One connection on several 4-tuples, and the ends of its flows.

A flow without long headers whose first short header packet begins with the connection ID of a known server goes on
with that server's connection: the client's port or address changed (RFC 9000 §9, §9.3.3; a short header: §17.3.1).
Connection IDs that were issued later are under protection and not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from analyzer.events import flows as fl
from analyzer.events.connection import Connection, Counters, Flows, Socket
from analyzer.events.story.endings import TAIL_REPEATS, UNANSWERED, UNANSWERED_SINCE

#: Random connection IDs of this length do not meet by chance among the connections of one server socket.
_LEAST_CID = 4
_TOKEN = 16  # bytes of a stateless reset token


class Path(NamedTuple):
    """A further flow of a connection."""

    flow: int
    client_direction: int
    client: Socket
    rows: tuple[int, ...]


class Ending(NamedTuple):
    """The side that heard nothing more while the other went on. Times are ns."""

    silent: str  # client or server, "" where nobody waits
    since: int  # its last packet on any path, -1: none was seen
    first: int  # first packet of the other side after it
    last: int
    packets: int


class Resets(NamedTuple):
    """Datagrams of one side that end in one token; ``proved``: the bytes were compared."""

    side: str
    repeats: int
    rows: tuple[int, ...]
    first: int
    last: int
    proved: bool
    on_new_path: bool


NO_ENDING = Ending("", -1, -1, -1, 0)
NO_RESETS = Resets("", 0, (), -1, -1, False, False)


def join_paths(flows: Flows, connections: list[Connection]) -> list[Connection]:
    """The connections without the flows that turned out to be further paths of one of them."""
    issued: dict[tuple[Socket, bytes], Connection] = {}
    lengths: dict[Socket, set[int]] = {}
    for connection in connections:
        if connection.transport == "quic" and len(connection.server_scid) >= _LEAST_CID:
            issued[connection.server, connection.server_scid] = connection
            lengths.setdefault(connection.server, set()).add(len(connection.server_scid))
    if not issued:
        return connections
    joined = set()
    for other in connections:
        if other.transport == "udp" and (found := _owner(flows, other, issued, lengths)):
            _give(flows, found[0], other, found[1])
            joined.add(id(other))
    return [c for c in connections if id(c) not in joined]


def _owner(
    flows: Flows, other: Connection, issued: dict[tuple[Socket, bytes], Connection], lengths: dict[Socket, set[int]]
) -> tuple[Connection, int] | None:
    """The connection that a flow goes on with, and the direction of its client there."""
    ends = flows.ends(other.flow)
    for row in other.rows[:2]:
        direction = int(flows.scan.rows.direction[row])
        server = ends[1 - direction]
        payload = flows.payload(row)[:21] if server in lengths else b""
        if not payload or payload[0] >> 6 != 1:
            continue
        for length in lengths[server]:
            owner = issued.get((server, payload[1 : 1 + length]))
            if owner is not None and owner.rows[0] < row:
                return owner, direction
    return None


def _give(flows: Flows, owner: Connection, other: Connection, client: int) -> None:
    """Add a flow to its connection."""
    counters = other.counters
    if other.client_direction != client:
        a, b, c, d = counters
        counters = Counters(b, a, d, c)
    owner.other_paths += (Path(other.flow, client, flows.ends(other.flow)[client], tuple(other.rows)),)
    owner.elsewhere_rows += tuple(other.rows)
    owner.counters = Counters(*(mine + new for mine, new in zip(owner.counters, counters, strict=True)))
    owner.paths += 1
    owner.last_time = max(owner.last_time, other.last_time)


def flows_of(flows: Flows, connection: Connection) -> Iterator[tuple[int, int]]:
    """(flow, direction of the client) of all paths; the own flow only where its end is this connection's."""
    if connection.rows[-1] == flows.last_row(connection.flow):
        yield connection.flow, connection.client_direction
    for path in connection.other_paths:
        yield path.flow, path.client_direction


def ending_of(flows: Flows, connection: Connection) -> Ending:
    """Who went silent on all paths while the other side went on sending."""
    state = flows.scan.table.state
    paths = list(flows_of(flows, connection))
    for silent, side in ((1, "server"), (0, "client")):  # direction relative to the client's
        since = max((_last(state[2 * f + (c ^ silent)]) for f, c in paths), default=-1)
        going = [state[2 * f + (c ^ silent ^ 1)].tolist() for f, c in paths]
        late = [row for row in going if row[UNANSWERED] and row[UNANSWERED_SINCE] >= since]
        if late and since >= 0:
            packets = sum(
                max(1, row[UNANSWERED] * (row[fl.RECORDS] - row[fl.DUPLICATES]) // row[fl.RECORDS]) for row in late
            )
            return Ending(
                side, since, min(row[UNANSWERED_SINCE] for row in late), max(row[fl.LAST_TIME] for row in late), packets
            )
    return NO_ENDING


def _last(state: object) -> int:
    row = state.tolist()  # type: ignore[attr-defined]
    return int(row[fl.LAST_TIME]) if row[fl.RECORDS] else -1


def has_resets(flows: Flows, connection: Connection) -> bool:
    """Whether datagrams of one direction end alike."""
    state = flows.scan.table.state
    return any(state[2 * f + d, TAIL_REPEATS] > 0 for f, _ in flows_of(flows, connection) for d in (0, 1))


def resets_of(flows: Flows, connection: Connection) -> Resets:
    """The resets of the side that sent most of them."""
    found = NO_RESETS
    own = (connection.flow, connection.client_direction, tuple(connection.rows))
    for flow, client, rows in (own, *((p.flow, p.client_direction, p.rows) for p in connection.other_paths)):
        for direction, cid in ((client, connection.server_scid), (client ^ 1, connection.client_scid)):
            resets = _resets(flows, flow, [row for row in rows if flows.scan.rows.direction[row] == direction], cid)
            if resets.repeats > found.repeats:
                side = "client" if direction == client else "server"
                found = resets._replace(side=side, on_new_path=flow != connection.flow)
    return found


def _resets(flows: Flows, flow: int, mine: list[int], cid: bytes) -> Resets:
    """The resets among the rows of one direction, whose packets carry ``cid``: a reset has random bytes there."""
    selected = flows.scan.rows
    repeats = [row for row in mine if selected.tail_repeat[row] > 0]
    if not repeats:
        return NO_RESETS
    token = flows.payload(repeats[0])[-_TOKEN:]
    heads: dict[bytes, int] = {}
    for row in mine:
        payload = flows.payload(row)
        if len(payload) == selected.payload_length[row] and payload.endswith(token):
            heads.setdefault(payload[1:5], row)
    used = {flows.payload(row)[1:5] for row in mine if not flows.payload(row).endswith(token)} | {cid[:4]}
    is_single = len(heads) == 1  # the one before it was not kept: it must at least lack the connection's ID
    if not used.isdisjoint(heads) or len(heads) < len(repeats) or (is_single and len(cid) < _LEAST_CID):
        return NO_RESETS
    same = sorted(heads.values())
    direction = int(selected.direction[repeats[0]])
    # The first of them is kept only where it stands near the head of its flow.
    count = int(flows.scan.table.state[2 * flow + direction, TAIL_REPEATS]) + 1
    times = [int(selected.time[row]) for row in same]
    return Resets("", count, tuple(same), times[0], times[-1], len(same) > 1, on_new_path=False)
