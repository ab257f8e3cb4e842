"""The segments of both sides of a TCP connection, with numbers counted from each side's initial sequence number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events.connection import Connection, Flows
from analyzer.events.tcp.segments import LastSegment, last_segment
from analyzer.events.tcp.states import ACK, RST, SYN

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
    ahead = (number - isn) & 0xFFFFFFFF
    return ahead - (1 << 32) if ahead >= 1 << 31 else ahead


def sides_of(flows: Flows, connection: Connection, *, is_last: bool) -> tuple[Side, Side]:
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
            distances(rows.sequence[own], isn[side]),
            rows.payload_length[own],
            np.where(flags & ACK > 0, distances(rows.acknowledgment[own], isn[1 - side]), -1),
            rows.window[own],
        )
        last = last_segment(flows.scan.table.state, 2 * connection.flow + (client ^ side)) if is_last else _NO_LAST
        segments = list(map(Segment._make, zip(*(column.tolist() for column in columns), strict=True)))
        sides.append(Side(segments, last, isn[side], isn[1 - side]))
    return sides[0], sides[1]


def distances(numbers: NDArray[np.uint32], isn: int) -> NDArray[np.int64]:
    """``distance`` for many."""
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
