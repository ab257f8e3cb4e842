"""All the data that one side of a TCP connection sent, as runs: what came again, what came late, what never came by.

How it works
------------
A *run* is data without a gap: it begins at a jump (``tcp.segments``) and ends where the next one was missed, so a few
selected segments tell of all others. Runs are laid over one another in the order of their records:

* *retransmitted*: segments whose bytes had come by before, and those that fill a hole later than one round trip after
  the data behind it: nothing else than the receiver's word for the loss brings them so late. What fills it sooner was
  *reordered* on the way: the sender cannot know of the hole yet (RFC 8985 §3.3.2 allows a quarter of a round trip).
* *probes* are neither: the last byte once more, after a pause (a keep-alive, RFC 1122 §4.2.3.6) or while the other
  side's window is zero (RFC 9293 §3.8.6.1). Those without a byte are no data at all.
* *unseen*: holes that stay although the other side acknowledged data behind them, with data seen before and behind: the
  capture lacks segments that arrived. What is missing at the beginning or the end is not counted, nor is a side of
  which nothing was seen.

Copies that the capture made are no segments. Nothing is told where more jumps happened than are kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analyzer.events.connection import Connection, Flows
from analyzer.events.flows import PAYLOADS, SILENCE_NS
from analyzer.events.tcp.jumps import data_begins
from analyzer.events.tcp.segments import DATA_END, JUMPS, JUMPS_KEPT
from analyzer.events.tcp.sides import Side, distance
from analyzer.events.tcp.states import ACK, RST, SYN

#: Assumed where the handshake was not seen; tshark takes the same for the reordering of segments.
SHORT_ROUND_TRIP_NS = 3_000_000


class Run(NamedTuple):
    """Data without a gap: numbers count on over 2 GB; ``pause`` in ns since the data before, as far as that is known.

    ``first`` is the length of the first segment.
    """

    row: int
    time: int
    begin: int
    end: int
    segments: int
    first: int
    pause: int

    @property
    def size(self) -> int:
        """What a segment of it holds: the first one may be the rest of a large one, or the last."""
        return max(self.first, (self.end - self.begin) // self.segments)


class Sent(NamedTuple):
    """What one side sent: segments; ``unseen`` are bytes, ``unseen_rows`` the data behind them."""

    retransmitted: int = 0
    reordered: int = 0
    probes: int = 0
    unseen: int = 0
    unseen_rows: tuple[int, ...] = ()


def runs_of(flows: Flows, connection: Connection, side: Side, until: Connection | None) -> list[Run]:
    """The runs of one side; none where not all of its jumps are kept. ``until``: the flow's next connection."""
    rows, state = flows.scan.rows, flows.scan.table.state
    data = [s for s in side.segments if s.length > 0 and not s.flags & RST]
    if not data:
        return []
    d = 2 * connection.flow + int(rows.direction[data[0].row])
    following = _first_data(flows, until, d & 1) if until is not None else -1
    jumps = [s.row for s in data[1:] if rows.jump[s.row] > 0]
    if state[d, JUMPS] > JUMPS_KEPT and (following < 0 or rows.jump[following] >> 32 > JUMPS_KEPT):
        return []
    starts = [data[0].row, *jumps]
    missed = [int(rows.jump[row]) & 0xFFFFFFFF for row in [*jumps, following] if row >= 0]
    counted = [int(rows.payload_ordinal[row]) for row in [*starts, following] if row >= 0]
    if following < 0:
        missed.append(int(state[d, DATA_END]) & 0xFFFFFFFF)
        counted.append(int(state[d, PAYLOADS]) + 1)
    begins = data_begins(rows, np.array(starts, np.int64)).tolist()
    runs: list[Run] = []
    at, previous = data[0].begin + (data[0].flags >> 1 & 1), begins[0]
    for k, row in enumerate(starts):
        begin = at + distance(begins[k], previous)
        end = begin + max(distance(missed[k], begins[k]) & 0xFFFFFFFF, 0)
        at, previous = end, missed[k]
        first, time = int(rows.payload_length[row]), int(rows.time[row])
        pause = int(rows.gap[row])
        if runs and runs[-1].segments == 1:  # the time of its only segment is known
            pause = max(pause, time - runs[-1].time)
        end = max(end, begin + first)
        runs.append(Run(row, time, begin, end, counted[k + 1] - counted[k], first, pause))
    return runs


def _first_data(flows: Flows, connection: Connection, direction: int) -> int:
    """The first row with data of a direction in a connection, -1 for none."""
    rows = flows.scan.rows
    for row in connection.rows:
        if rows.direction[row] == direction and rows.payload_length[row] > 0 and not rows.tcp_flags[row] & RST:
            return row
    return -1


def round_trip_of(flows: Flows, connection: Connection) -> int:
    """From the SYN to the client's ACK of the SYN/ACK, in ns; -1 where that ACK is missing or one of them came again.

    Wherever the capture was made this is one whole round trip. A repeat leaves open which one was answered (RFC 6298
    §3, Karn's algorithm). Equal times are those of a file that somebody made.
    """
    c, rows = connection, flows.scan.rows
    if len(c.request_rows) != 1 or len(c.syn_ack_rows) > 1:
        return -1
    request, answer = c.request_rows[0], next(iter(c.syn_ack_rows), -1)
    ends = {row: data_begins(rows, np.array([row])).item() + int(rows.payload_length[row]) for row in (request, answer)}
    for row in c.rows:
        is_own = rows.direction[row] == c.client_direction and rows.tcp_flags[row] & (ACK | RST | SYN) == ACK
        if is_own and row > max(request, answer):
            wanted = int(rows.acknowledgment[answer]) if answer >= 0 else ends[request] & 0xFFFFFFFF
            is_it = answer < 0 or int(rows.acknowledgment[row]) == ends[answer] & 0xFFFFFFFF
            passed = int(rows.time[row] - rows.time[request])
            return passed if is_it and int(rows.sequence[row]) == wanted and passed > 0 else -1
    return -1


class _Laid:
    """Runs laid over one another: which bytes are covered, and since when there was data behind each hole."""

    def __init__(self, begin: int) -> None:
        self.covered: list[tuple[int, int]] = []
        self.high = begin
        self.holes: list[tuple[int, int, int]] = []  # begin, end, time

    def lay(self, run: Run) -> tuple[int, int, int]:
        """(bytes that were covered, bytes that fill a hole, ns since there was data behind that)."""
        again = sum(max(min(run.end, end) - max(run.begin, begin), 0) for begin, end in self.covered)
        filling = max(min(run.end, self.high) - run.begin, 0) - again
        since = max((time for begin, end, time in self.holes if begin < run.end and run.begin < end), default=run.time)
        if run.begin > self.high:
            self.holes.append((self.high, run.begin, run.time))
        self.high = max(self.high, run.end)
        joined: list[tuple[int, int]] = []
        for begin, end in sorted([*self.covered, (run.begin, run.end)]):
            if joined and begin <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(joined[-1][1], end)
            else:
                joined.append((begin, end))
        self.covered = joined
        return again, max(filling, 0), run.time - since

    def gaps(self) -> list[tuple[int, int]]:
        """The holes that are left."""
        return [(end, begin) for (_, end), (begin, _) in itertools.pairwise(self.covered)]


def sent_of(runs: Sequence[Run], other: Side, round_trip: int) -> Sent:
    """What a side sent, from its runs; ``other`` is the other side, ``round_trip`` in ns, -1 where it is not known."""
    laid, retransmitted, reordered, probes = _Laid(runs[0].begin if runs else 0), 0, 0, 0
    again_at: set[int] = set()
    for run in runs:
        if _is_probe(run, laid, other) and run.begin not in again_at:
            probes += 1
            if run.segments == 1:
                continue
            run = run._replace(begin=run.begin + 1, segments=run.segments - 1)  # new data followed the probe
        again, filling, waited = laid.lay(run)
        late = waited > max(round_trip, SHORT_ROUND_TRIP_NS)
        came_again = _segments(run, again + (filling if late else 0))
        if came_again:
            again_at.add(run.begin)
        retransmitted += came_again
        reordered += 0 if late else min(_segments(run, filling), run.segments - came_again)
    lost = [(begin, end) for begin, end in laid.gaps() if end <= other.acked]
    behind = [run.row for run in runs if any(run.begin == end for _, end in lost)]
    return Sent(retransmitted, reordered, probes, sum(end - begin for begin, end in lost), tuple(behind))


def _segments(run: Run, length: int) -> int:
    """How many segments of a run have so many bytes; one byte more is what a probe of the window had taken along."""
    if length >= run.end - run.begin:
        return run.segments
    return 0 if length == 1 else min(-(-length // run.size), run.segments)


def _is_probe(run: Run, laid: _Laid, other: Side) -> bool:
    """Whether a run is the last byte once more, after a pause or while the other side takes no data."""
    if run.first != 1 or run.begin != laid.high - 1 or not laid.covered:
        return False
    before = [s for s in other.segments if s.row < run.row and s.acknowledged >= 0 and not s.flags & RST]
    is_closed = bool(before) and before[-1].window == 0
    return is_closed or run.pause >= SILENCE_NS
