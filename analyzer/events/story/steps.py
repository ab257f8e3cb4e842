"""The rows of one QUIC connection in order, each with what both sides had sent before it.

Rows are selected packets: all long headers, the first packets of each direction and the first after a pause of a
second. The counters that every row carries tell what was sent between them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from analyzer.events.connection import Connection, Counters, Flows
from analyzer.wire.quic.split import HANDSHAKE, INITIAL
from analyzer.wire.quic.summary import SHORT_BIT

INITIAL_BIT, HANDSHAKE_BIT = 1 << INITIAL, 1 << HANDSHAKE

#: RFC 9000 §10.3: a short header packet that can be opened has at least 21 bytes.
_LEAST_SHORT = 21


#: Rows of one connection that are walked: a handshake needs a few dozen, an attack may have millions.
_HEAD, _END = 2_000, 200

# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each row.
_new = tuple.__new__


class Step(NamedTuple):
    """One row: when, from whom, the kinds of its QUIC packets as bits, its UDP payload, and the counters before it."""

    row: int
    time: int  # ns
    is_client: bool
    kinds: int
    length: int
    before: Counters


def steps_of(flows: Flows, connection: Connection) -> list[Step]:
    """The rows of a connection's own flow."""
    rows, client, every = flows.scan.rows, connection.client_direction, connection.rows
    chosen = every if len(every) <= _HEAD + _END else [*every[:_HEAD], *every[-_END:]]
    index = np.array(chosen, np.int64)
    length, kinds = rows.payload_length[index], rows.quic[index]
    kinds = np.where((kinds == 0) & (length >= _LEAST_SHORT), SHORT_BIT, kinds)
    before = flows.before_each(index)
    before -= before[0]
    order = (1, 0, 3, 2) if client else (0, 1, 2, 3)
    counters = [_new(Counters, each) for each in zip(*[before[:, at].tolist() for at in order], strict=True)]
    from_client = (rows.direction[index] == client).tolist()
    columns = (chosen, rows.time[index].tolist(), from_client, kinds.tolist(), length.tolist(), counters)
    return [_new(Step, each) for each in zip(*columns, strict=True)]


def kinds_of(steps: list[Step]) -> int:
    """The bits of all kinds that were sent."""
    bits = 0
    for step in steps:
        bits |= step.kinds
    return bits


def round_trip(steps: list[Step]) -> int:
    """Estimated round trip in ns, -1 where nothing tells it.

    It is the shortest way from here to the client and back, plus the same to the server. A way that was seen once
    may be a pause and not a trip, so it counts only up to ``_LONGEST_SINGLE``.
    """
    to_client: list[int] = []
    to_server: list[int] = []
    for last, step in pairwise(steps):
        if last.is_client != step.is_client:
            (to_client if step.is_client else to_server).append(step.time - last.time)
    if not to_server:
        return -1
    ways = [min(way) for way in (to_client, to_server) if len(way) > 1 or (way and way[0] <= _LONGEST_SINGLE)]
    return sum(ways) if ways else -1


_LONGEST_SINGLE = 500_000_000
