"""The story of a QUIC connection that did not simply complete and end: facts that its patterns decide by.

How it works
------------
``needs_story`` is a few comparisons, so that thousands of connections that completed, or that nobody answered, cost
nothing more. For the others the selected rows are walked once: Initials, Retries and Version Negotiations are read to
the end, pauses measured, and the ends of all paths looked up in the counters of their flows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzer.events import flows as fl
from analyzer.events.connection import Connection, Flows
from analyzer.events.connections import Connections
from analyzer.events.quic import plain_columns as pc
from analyzer.events.quic.plain_columns import PlainConnections
from analyzer.events.story.endings import TAIL_REPEATS, UNANSWERED, UNANSWERED_SINCE
from analyzer.events.story.initials import Close, Initials, InitialsReader
from analyzer.events.story.paths import (
    NO_ENDING,
    NO_RESETS,
    Ending,
    Path,
    Resets,
    ending_of,
    has_resets,
    is_lone,
    lone_reset,
    resets_of,
)
from analyzer.events.story.pauses import NO_STALL, Stall, stall_of
from analyzer.events.story.steps import HANDSHAKE_BIT, Step, kinds_of, round_trip, steps_of
from analyzer.wire.quic.summary import SHORT_BIT

#: A handshake that takes longer is looked at for pauses.
_SLOW_NS = 200_000_000
#: Fewer packets without an answer, or for a shorter time, are told by no pattern.
_LEAST_UNANSWERED, _LEAST_SILENCE_NS = 3, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Story:
    """Facts about one connection. Times are ns, -1 where there is none; kinds are bits of ``summary``."""

    client_kinds: int
    server_kinds: int
    completed: bool
    round_trip: int
    initials: Initials
    close: Close | None
    close_shape: bool  # the client's Handshake packets end like a CONNECTION_CLOSE: sent once, both silent after them
    real_client: bool  # a ClientHello was read
    server_first: int  # time of the server's first packet
    client_last: int
    server_last: int
    client_after: int  # packets of the client after the server's first
    server_after: int
    stall: Stall = NO_STALL
    ending: Ending = NO_ENDING
    resets: Resets = NO_RESETS
    silent_path: Path | None = None  # a path on which the server sent nothing
    path_packets: int = 0
    path_first: int = -1
    path_last: int = -1
    rows: tuple[int, ...] = ()  # evidence


def needs_story(flows: Flows, connection: Connection, restless: NDArray[np.bool_]) -> bool:
    """Whether a connection's patterns need more than its own reader found; ``restless``: flows with such an end."""
    c = connection
    if c.transport != "quic" or not c.request_rows or c.replied_from is not None:
        return False
    if c.other_paths:
        return True
    if c.reply_row < 0:  # of Initials that are cut, and of which none could be opened, there is nothing to tell
        return not c.hello_complete and not (c.hello_cut and c.sealed)
    if not c.client_kinds & SHORT_BIT or not c.server_kinds & SHORT_BIT or c.went_on_row < 0:
        return True
    time = flows.scan.rows.time
    if time[c.went_on_row] - time[c.request_rows[0]] > _SLOW_NS:
        return True
    if not restless[c.flow]:
        return False
    return _is_left(ending_of(flows, c)) or has_resets(flows, c) or bool(lone_reset(flows, c).repeats)


def restless_flows(flows: Flows) -> NDArray[np.bool_]:
    """Flows that one side left while the other went on, or with datagrams that end alike or may be a lone reset."""
    state = flows.scan.table.state
    left = state[:, UNANSWERED] >= _LEAST_UNANSWERED
    left &= state[:, fl.LAST_TIME] - state[:, UNANSWERED_SINCE] >= _LEAST_SILENCE_NS
    left |= state[:, TAIL_REPEATS] > 0
    rows = flows.scan.rows
    restless = np.asarray(left[0::2] | left[1::2], np.bool_)
    lone = np.flatnonzero(rows.gap >= fl.SILENCE_NS)
    restless[rows.flow[lone[is_lone(rows, lone)]]] = True
    return restless


def _is_left(ending: Ending) -> bool:
    return ending.packets >= _LEAST_UNANSWERED and ending.last - ending.first >= _LEAST_SILENCE_NS


def tell(flows: Flows, connection: Connection) -> Story:
    """The story of one connection."""
    steps = steps_of(flows, connection)
    initials = InitialsReader(flows, connection).read(steps)
    resets = resets_of(flows, connection)
    ending = ending_of(flows, connection)
    path, counts = _silent_path(flows, connection)
    stall = NO_STALL if initials.token or initials.retries else stall_of(steps)
    client, server = ([step for step in steps if step.is_client is side] for side in (True, False))
    before = server[0].before if server else connection.counters
    completed, trip = _is_completed(connection, steps), round_trip(steps)
    close = initials.closes[0] if initials.closes else None
    return Story(
        client_kinds=kinds_of(client),
        server_kinds=kinds_of(server),
        completed=completed,
        round_trip=trip,
        initials=initials,
        close=close,
        close_shape=close is None and not completed and _ends_like_a_close(steps, 3 * trip),
        real_client=bool(initials.pieces),
        server_first=server[0].time if server else -1,
        client_last=max([step.time for step in client], default=-1),
        server_last=max([step.time for step in server], default=-1),
        client_after=connection.counters.client_packets - before.client_packets,
        server_after=connection.counters.server_packets - before.server_packets,
        stall=stall,
        ending=ending if _is_left(ending) else NO_ENDING,
        resets=resets,
        silent_path=path,
        path_packets=counts[0],
        path_first=counts[1],
        path_last=counts[2],
        rows=_evidence(connection, initials, resets, (close, stall, path)),
    )


def _is_completed(connection: Connection, steps: list[Step]) -> bool:
    """The client sent 1-RTT packets, for which it needs the server's whole flight, and the server some after them."""
    finished = next((step for step in steps if step.is_client and step.kinds & SHORT_BIT), None)
    if finished is None:
        return False
    after = connection.counters.server_packets - finished.before.server_packets
    handshake_only = [s for s in steps if s.row > finished.row and not s.is_client and not s.kinds & SHORT_BIT]
    return after > len(handshake_only)


def _ends_like_a_close(steps: list[Step], within: int) -> bool:
    """After the server's Handshake packets the client sent few of its own, no 1-RTT packet, and both fell silent.

    A side that merely waits repeats itself within a PTO; silence of both says that both know of an end. ``within`` (ns)
    is how long the answers may take, where that is longer than usual.
    """
    heard = next((i for i, s in enumerate(steps) if not s.is_client and s.kinds & HANDSHAKE_BIT), -1)
    if heard < 0:
        return False
    answers = [s for s in steps[heard:] if s.is_client]
    last = answers[-1] if answers else None
    if last is None or not last.kinds & HANDSHAKE_BIT or any(s.kinds & SHORT_BIT for s in answers):
        return False
    late = [s for s in steps if not s.is_client and s.time > last.time]
    span = last.time - steps[heard].time
    within = max(within, _SLOW_NS)
    return len(answers) <= 3 and span <= within and all(s.time - last.time <= within for s in late)


def _silent_path(flows: Flows, connection: Connection) -> tuple[Path | None, tuple[int, int, int]]:
    """The further path on which the client sent most and heard nothing, and its packets, first and last time."""
    found: tuple[Path | None, tuple[int, int, int]] = (None, (0, -1, -1))
    state = flows.scan.table.state
    for path in connection.other_paths:
        client, server = (state[2 * path.flow + (path.client_direction ^ side)].tolist() for side in (0, 1))
        packets = client[fl.RECORDS] - client[fl.DUPLICATES]
        if not server[fl.RECORDS] and packets > found[1][0]:
            found = path, (packets, client[fl.FIRST_TIME], client[fl.LAST_TIME])
    return found


def _evidence(
    connection: Connection, initials: Initials, resets: Resets, more: tuple[Close | None, Stall, Path | None]
) -> tuple[int, ...]:
    close, stall, path = more
    rows = {*initials.retries, *initials.negotiations, *initials.ack_rows[:2], *resets.rows}
    rows |= {close.row} if close is not None else set()
    rows |= {stall.row} if stall.row >= 0 else set()
    rows |= set(path.rows) if path is not None else set()
    rows |= set(connection.rows[-3:])
    return tuple(sorted(rows))


def _may_need_story(flows: Flows, columns: PlainConnections, restless: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What ``needs_story`` says of plain connections, but for the ends of restless flows, which it must look at."""
    table, time = columns.table, flows.scan.rows.time
    both = table[:, pc.CLIENT_KINDS] & table[:, pc.SERVER_KINDS] & SHORT_BIT
    # Of those that were not answered the hello is whole, or sealed: else they are not plain.
    late = time[table[:, pc.WENT_ON_ROW]] - time[columns.first_rows] > _SLOW_NS
    told = (both == 0) | (table[:, pc.WENT_ON_ROW] < 0) | late | restless[table[:, pc.FLOW]]
    return np.asarray(told & (table[:, pc.REPLY_ROW] >= 0), np.bool_)


def tell_all(flows: Flows, connections: Connections) -> None:
    """Give a story to the connections that need one; a close that only the story read becomes the connection's."""
    restless, split = restless_flows(flows), connections.split()
    may = np.ones(len(connections), np.bool_)
    may[split.places] = _may_need_story(flows, connections.columns, restless)[split.held]
    for connection in connections.take(np.flatnonzero(may)):
        if not needs_story(flows, connection, restless):
            continue
        connection.story = story = tell(flows, connection)
        if story.close is not None and not connection.close_side:
            connection.close_side, connection.close_code = story.close.side, story.close.code
            connection.close_reason = story.close.words
