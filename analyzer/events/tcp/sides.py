"""The segments of both sides of a TCP connection, with numbers counted from each side's initial sequence number."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events.connection import Connection, Flows
from analyzer.events.tcp.segments import LastSegment, last_segment
from analyzer.events.tcp.states import ACK, RST, SYN

_new = tuple.__new__
_ALL, _HALF = 0xFFFFFFFF, 1 << 31

_NO_LAST = LastSegment(-1, -1, -1, -1)


class Segment(NamedTuple):
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


class Side:
    """The segments of one side, in the order of their records."""

    def __init__(self, segments: list[Segment], last: LastSegment, isn: int, other_isn: int) -> None:
        self.segments = segments
        # Data of a SYN (RFC 7413) stands behind it.
        data = (s for s in segments if s.length and not s.flags & RST)
        self.data = [s._replace(begin=s.begin + 1) if s.flags & SYN else s for s in data]
        self.acked = max((s.acknowledged for s in segments if not s.flags & RST), default=-1)
        self.end = max((s.end for s in self.data), default=-1)
        self.last_data = max((s.time for s in self.data), default=-1)
        if last.acknowledgment >= 0:
            self.acked = max(self.acked, distance(last.acknowledgment, other_isn))
        if last.data_end >= 0:
            self.end = max(self.end, distance(last.data_end, isn))
            self.last_data = max(self.last_data, last.data_time)
        self.last_window = last.window

    def first(self, flag: int) -> Segment | None:
        """Its first segment with a flag."""
        return next((s for s in self.segments if s.flags & flag), None)

    def acknowledged_by(self, other: Side) -> str:
        """How much of this side's data the other one acknowledged."""
        if not self.data or other.acked < 0:
            return ""
        if other.acked >= self.end:
            return "all"
        return "some" if other.acked > min(s.begin for s in self.data) else "none"


def distance(number: int, isn: int) -> int:
    """How far a sequence number is behind the initial one; numbers before it are negative."""
    return (number - isn + _HALF & _ALL) - _HALF


def distances(numbers: NDArray[np.int64], isns: NDArray[np.int64]) -> NDArray[np.int64]:
    """``distance`` of many."""
    behind: NDArray[np.int64] = (numbers - isns + _HALF & _ALL) - _HALF
    return behind


class Segments(NamedTuple):
    """The rows of some connections, one connection after another: whose each is, and its side, 0 client, 1 server."""

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    side: NDArray[np.int64]


def segments_of(flows: Flows, connections: Sequence[Connection]) -> Segments:
    """Those of TCP connections."""
    clients = np.array([c.client_direction for c in connections], np.int64)
    owner = np.repeat(np.arange(len(connections)), [len(c.rows) for c in connections])
    row = np.fromiter(itertools.chain.from_iterable(c.rows for c in connections), np.int64, len(owner))
    return Segments(owner, row, (flows.scan.rows.direction[row] != clients[owner]).astype(np.int64))


class _Raw(NamedTuple):
    """A segment with the numbers on the wire."""

    row: int
    direction: int
    time: int
    flags: int
    sequence: int
    length: int
    acknowledgment: int
    window: int


def sides_of(flows: Flows, connection: Connection, *, is_last: bool) -> tuple[Side, Side]:
    """Client and server."""
    rows, client = flows.scan.rows, connection.client_direction
    index = np.array(connection.rows, np.int64)
    columns = (rows.direction, rows.time, rows.tcp_flags, rows.sequence, rows.payload_length, rows.acknowledgment)
    listed = (column[index].tolist() for column in (*columns, rows.window))
    raw = list(map(_Raw._make, zip(connection.rows, *listed, strict=True)))
    parts = [s for s in raw if s.direction == client], [s for s in raw if s.direction != client]
    openings = connection.request_rows[-1:], connection.syn_ack_rows[-1:]
    isn = [_initial_number(flows, openings[side], parts[side], parts[1 - side]) for side in (0, 1)]
    sides = []
    for side, own in enumerate(parts):
        last = last_segment(flows.scan.table.state, 2 * connection.flow + (client ^ side)) if is_last else _NO_LAST
        sides.append(Side(_counted(own, isn[side], isn[1 - side]), last, isn[side], isn[1 - side]))
    return sides[0], sides[1]


def _counted(raw: list[_Raw], isn: int, other_isn: int) -> list[Segment]:
    """Segments with numbers counted from the initial ones: ``distance``, written out since they are many."""
    return [
        _new(
            Segment,
            (
                row,
                time,
                flags,
                (sequence - isn + _HALF & _ALL) - _HALF,
                length,
                (acknowledgment - other_isn + _HALF & _ALL) - _HALF if flags & ACK else -1,
                window,
            ),
        )
        for row, _, time, flags, sequence, length, acknowledgment, window in raw
    ]


def _initial_number(flows: Flows, opening: Sequence[int], own: list[_Raw], other: list[_Raw]) -> int:
    """A side's initial sequence number, from its SYN or, where that was not seen, from what followed."""
    if len(opening):
        return int(flows.scan.rows.sequence[opening[0]])
    first = next((s.sequence for s in own if not s.flags & RST), None)
    if first is None:
        first = next((s.acknowledgment for s in other if s.flags & ACK), 1)
    return (first - 1) & _ALL
