"""One connection on several 4-tuples, and the ends of its flows.

A flow without long headers whose first short header packet begins with the connection ID of a known server goes on
with that server's connection: the client's port or address changed (RFC 9000 §9, §9.3.3; a short header: §17.3.1).
Connection IDs that were issued later are under protection, and known with a key log alone (``events.secrets``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events import flows as fl
from analyzer.events.connection import Connection, Counters, Flows, Socket
from analyzer.events.connections import Connections
from analyzer.events.quic import plain_columns as pc
from analyzer.events.quic.portions import WORD_BYTES
from analyzer.events.story.endings import TAIL_REPEATS, UNANSWERED, UNANSWERED_SINCE
from analyzer.wire.packets import UDP

if TYPE_CHECKING:
    from analyzer.events.selected import Selected

#: Random connection IDs of this length do not meet by chance among the connections of one server socket.
_LEAST_CID = 4
#: Packets of a flow that may tell which connection it goes on with.
_TRIED = 2
TOKEN = 16  # bytes of a stateless reset token
LEAST_RESET = 21  # RFC 9000 §10.3


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
    """Datagrams of one side that end in one token; ``proved``: the bytes were compared.

    ``by_token``: the token is one that the side had issued, so that a single one is proof. A single one otherwise is
    not proved: it only fits.
    """

    side: str
    repeats: int
    rows: tuple[int, ...]
    first: int
    last: int
    proved: bool
    on_new_path: bool
    by_token: bool = False


NO_ENDING = Ending("", -1, -1, -1, 0)
NO_RESETS = Resets("", 0, (), -1, -1, False, False)


def join_paths(
    flows: Flows, connections: Connections, more: Mapping[tuple[Socket, bytes], Connection] | None = None
) -> Connections:
    """The connections without the flows that turned out to be further paths of one of them.

    ``more`` are connection IDs that servers issued later; with them, those of the handshakes are not looked up again.
    """
    each = zip(*connections.objects(), strict=True)
    others = [(place, connection) for place, connection in each if connection.transport == "udp"]
    if not others:
        return connections
    issued = dict(more or {})
    if more is None:
        _look_at_issuers(flows, connections, [other for _, other in others])
        for connection in connections.objects()[1]:
            if connection.transport == "quic":
                issued[connection.server, connection.server_scid] = connection
    lengths: dict[Socket, set[int]] = {}
    for server, cid in issued:
        if len(cid) >= _LEAST_CID:
            lengths.setdefault(server, set()).add(len(cid))
    if not lengths:
        return connections
    joined = set()
    for place, other in others:
        if found := _owner(flows, other, issued, lengths):
            _give(flows, found[0], other, found[1])
            joined.add(int(place))
    return connections.without(joined)


def _look_at_issuers(flows: Flows, connections: Connections, others: Sequence[Connection]) -> None:
    """Make objects of the connections whose server has a CID that the first packets of some flows may begin with."""
    heads = {flows.payload(row)[1 : 1 + _LEAST_CID] for other in others for row in other.rows[:_TRIED]}
    split = connections.split()
    table = connections.columns.table[split.held]
    length = table[:, pc.SERVER_SCID_LENGTH]
    surplus = np.clip(length, _LEAST_CID, WORD_BYTES) - _LEAST_CID
    head = np.where(length >= _LEAST_CID, table[:, pc.SERVER_SCID_WORD] >> 8 * surplus, -1)
    connections.take(split.places[np.isin(head, [int.from_bytes(each, "big") for each in heads if each])])


def _owner(
    flows: Flows, other: Connection, issued: dict[tuple[Socket, bytes], Connection], lengths: dict[Socket, set[int]]
) -> tuple[Connection, int] | None:
    """The connection that a flow goes on with, and the direction of its client there."""
    ends = flows.ends(other.flow)
    for row in other.rows[:_TRIED]:
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
    both = [state[[2 * f + c, 2 * f + 1 - c]].tolist() for f, c in flows_of(flows, connection)]  # client, server
    for silent, side in ((1, "server"), (0, "client")):
        since = max([_last(path[silent]) for path in both], default=-1)
        late = [going for path in both if (going := path[1 - silent])[UNANSWERED] and going[UNANSWERED_SINCE] >= since]
        if late and since >= 0:
            packets = sum(
                max(1, row[UNANSWERED] * (row[fl.RECORDS] - row[fl.DUPLICATES]) // row[fl.RECORDS]) for row in late
            )
            return Ending(
                side, since, min(row[UNANSWERED_SINCE] for row in late), max(row[fl.LAST_TIME] for row in late), packets
            )
    return NO_ENDING


def _last(state: list[int]) -> int:
    return state[fl.LAST_TIME] if state[fl.RECORDS] else -1


def has_resets(flows: Flows, connection: Connection) -> bool:
    """Whether datagrams of one direction that end alike are resets, on a path whose end is this connection's."""
    return any(flows_of(flows, connection)) and _repeated(flows, connection, NO_RESETS).repeats > 0


def _with_token(flows: Flows, connection: Connection) -> Iterator[tuple[int, int, bool]]:
    """(row, flow, whether the client sent it) of each datagram that ends in a token which a side had issued."""
    rows, tokens = flows.scan.rows, connection.reset_tokens
    if not tokens:
        return
    own = (connection.flow, connection.client_direction, tuple(connection.rows))
    for flow, client, listed in (own, *((p.flow, p.client_direction, p.rows) for p in connection.other_paths)):
        for row in listed:
            payload = flows.payload(row)
            if len(payload) == rows.payload_length[row] and payload.endswith(tokens) and payload[0] >> 6 == 1:
                yield row, flow, int(rows.direction[row]) == client


def has_token(flows: Flows, connection: Connection) -> bool:
    """Whether a datagram ends in a token of a stateless reset that secrets have shown."""
    return any(True for _ in _with_token(flows, connection))


def _known_resets(flows: Flows, connection: Connection) -> Resets:
    """The resets that end in a token which a side had issued."""
    found = list(_with_token(flows, connection))
    if not found:
        return NO_RESETS
    by_client = found[0][2]
    mine = [(row, flow) for row, flow, is_client in found if is_client == by_client]
    same = tuple(row for row, _ in mine)
    times = flows.scan.rows.time[list(same)].tolist()
    moved = any(flow != connection.flow for _, flow in mine)
    side = "client" if by_client else "server"
    return Resets(side, len(same), same, times[0], times[-1], proved=True, on_new_path=moved, by_token=True)


def resets_of(flows: Flows, connection: Connection) -> Resets:
    """The resets of the side that sent most of them; else a single one that fits in its place."""
    found = _repeated(flows, connection, _known_resets(flows, connection))
    return found if found.repeats else lone_reset(flows, connection)


def _repeated(flows: Flows, connection: Connection, known: Resets) -> Resets:
    """The resets of the side that sent most of them, where these are more than those known by their token."""
    state, found, c = flows.scan.table.state, known, connection
    own = (c.flow, c.client_direction, c.rows)
    for flow, client, rows in (own, *((p.flow, p.client_direction, p.rows) for p in c.other_paths)):
        for direction, cid in ((client, c.server_scid), (client ^ 1, c.client_scid)):
            if not state[2 * flow + direction, TAIL_REPEATS]:
                continue
            resets = _resets(flows, flow, direction, np.array(rows, np.int64), cid)
            if resets.repeats > found.repeats:
                side = "client" if direction == client else "server"
                by_token = known.by_token and known.side == side
                found = resets._replace(side=side, on_new_path=flow != c.flow, by_token=by_token)
    return found


def lone_reset(flows: Flows, connection: Connection) -> Resets:
    """A datagram of the server that fits as its only reset, where there is one.

    It is small and the server's last on the connection's only path, came after a pause, and lacks the connection ID of
    the client, which all other short header packets of the server carry, two of them at least. Without secrets a new
    connection ID of the client looks the same, though rarely in the last packet of all.
    """
    c, rows, cid = connection, flows.scan.rows, connection.client_scid
    if len(cid) < _LEAST_CID or c.other_paths or c.close_side or c.rows[-1] != flows.last_row(c.flow):
        return NO_RESETS
    index = np.array(c.rows, np.int64)
    server = index[rows.direction[index] != c.client_direction]
    if not len(server) or not is_lone(rows, server[-1:])[0]:
        return NO_RESETS
    last = int(server[-1])
    if rows.ordinal[last] != flows.scan.table.state[2 * c.flow + (1 - c.client_direction), fl.RECORDS]:
        return NO_RESETS
    payloads = list(map(flows.payload, server[rows.quic[server] == 0].tolist()))
    if not payloads[-1] or payloads[-1][0] >> 6 != 1:
        return NO_RESETS
    carry = [payload[1 : 1 + len(cid)] == cid for payload in payloads if payload and payload[0] >> 6 == 1]
    if len(carry) < 3 or carry[-1] or not all(carry[:-1]):
        return NO_RESETS
    time = int(rows.time[last])
    return Resets("server", 1, (last,), time, time, proved=False, on_new_path=False)


def is_lone(rows: Selected, index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are small datagrams without a long header that came after a pause of their sender."""
    length = rows.payload_length[index]
    small = (length >= LEAST_RESET) & (length <= fl.HEADER_KEPT) & (rows.kind[index] == UDP)
    return np.asarray(small & (rows.quic[index] == 0) & (rows.gap[index] >= fl.SILENCE_NS), np.bool_)


def _resets(flows: Flows, flow: int, direction: int, index: NDArray[np.int64], cid: bytes) -> Resets:
    """The resets of one direction among some rows; its packets carry ``cid``, where a reset has random bytes."""
    selected = flows.scan.rows
    mine = index[selected.direction[index] == direction]
    repeats = np.flatnonzero(selected.tail_repeat[mine] > 0)
    if not len(repeats):
        return NO_RESETS
    rows = mine.tolist()
    payloads = list(map(flows.payload, rows))
    token = payloads[int(repeats[0])][-TOKEN:]
    heads: dict[bytes, int] = {}
    used = {cid[:4]}
    for row, payload, length in zip(rows, payloads, selected.payload_length[mine].tolist(), strict=True):
        if not payload.endswith(token):
            used.add(payload[1:5])
        elif len(payload) == length:
            heads.setdefault(payload[1:5], row)
    is_single = len(heads) == 1  # the one before it was not kept: it must at least lack the connection's ID
    if not used.isdisjoint(heads) or len(heads) < len(repeats) or (is_single and len(cid) < _LEAST_CID):
        return NO_RESETS
    same = sorted(heads.values())
    # The first of them is kept only where it stands near the head of its flow.
    count = int(flows.scan.table.state[2 * flow + direction, TAIL_REPEATS]) + 1
    times = selected.time[same].tolist()
    return Resets("", count, tuple(same), times[0], times[-1], len(same) > 1, on_new_path=False)
