"""What was kept of one direction of a TCP connection, put in order (RFC 9293 §3.4).

Offsets are counted from the direction's first byte, behind its SYN. Where no SYN or SYN/ACK of that direction was seen,
the first segment with payload counts as its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from analyzer.events.connection import Connection, Flows
from analyzer.events.tcp.states import SYN

ROWS = 6  # rows with payload that are joined: as many as the selection keeps whole of a flow's beginning
_MOST_PIECES = 256  # rows of one direction that are put in order; those that are kept whole are fewer
MOST_BYTES = 1 << 20


class Place(NamedTuple):
    """The bytes from ``begin`` to ``end`` (by the header's lengths) lie in ``row``."""

    begin: int
    end: int
    row: int


class Run(NamedTuple):
    """Bytes without a hole, from ``begin`` on."""

    begin: int
    content: bytes

    @property
    def end(self) -> int:
        return self.begin + len(self.content)


class Stream:
    """The kept bytes of one direction: runs between holes, and the rows in which they lie."""

    def __init__(self, flows: Flows, connection: Connection, direction: int) -> None:
        pieces = sorted(_pieces(flows, connection, direction), key=lambda piece: (piece[0].begin, piece[0].row))
        self.places = [place for place, _ in pieces]
        self.runs = list(_joined(pieces))
        self.begin = 0  # where the protocol of the connection begins: behind a PROXY header or in a tunnel

    def behind(self, at: int, most: int = MOST_BYTES) -> bytes:
        """At most so many bytes from offset ``at`` to the next hole; b"" if that one is not there."""
        for run in self.runs:
            if run.begin <= at < run.end:
                return run.content[at - run.begin : at - run.begin + most]
        return b""

    def rows_at(self, offset: int) -> list[int]:
        """The rows that carry a byte, in the order of their records: the first time, and repeats."""
        return sorted(place.row for place in self.places if place.begin <= offset < place.end)


def streams_of(flows: Flows, connection: Connection) -> tuple[Stream, Stream]:
    """Those of client and server; the client's begins behind a PROXY header."""
    client, server = (Stream(flows, connection, connection.client_direction ^ side) for side in (0, 1))
    client.begin = connection.proxy.length if connection.proxy is not None else 0
    return client, server


def beginning(flows: Flows, connection: Connection, direction: int) -> int:
    """The sequence number of the first byte, -1 where neither SYN nor SYN/ACK tells it."""
    opening = connection.request_rows if direction == connection.client_direction else connection.syn_ack_rows
    return (int(flows.scan.rows.sequence[opening[0]]) + 1) & 0xFFFFFFFF if opening else -1


def _pieces(flows: Flows, connection: Connection, direction: int) -> Iterator[tuple[Place, bytes]]:
    """The segments with payload of a direction, in the order of their records, and what was kept of each."""
    rows, begin, count = flows.scan.rows, beginning(flows, connection, direction), 0
    for row in connection.rows:
        length = int(rows.payload_length[row])
        if rows.direction[row] != direction or length == 0 or rows.header[row] < 0:
            continue
        number = int(rows.sequence[row]) + (int(rows.tcp_flags[row]) & SYN > 0)
        begin = begin if begin >= 0 else number
        offset = (number - begin) & 0xFFFFFFFF
        offset -= (offset >> 31) << 32
        kept = flows.payload(row)[:length]
        if offset < 0:  # a keep-alive probe, or a repeat of what the capture did not see begin
            length, kept, offset = length + offset, kept[-offset:], 0
        if length > 0:
            yield Place(offset, offset + length, row), kept
            count += 1
        if count == _MOST_PIECES:
            return


def _joined(pieces: list[tuple[Place, bytes]]) -> Iterator[Run]:
    """Runs of pieces that are sorted by begin and row; of bytes that came twice, the first in that order count.

    So they do for most receivers: what somebody injects behind the true segment changes nothing.
    """
    begin, parts, end = 0, list[bytes](), 0
    for place, kept in pieces:
        if not kept:
            continue
        if place.begin > end:
            if parts:
                yield Run(begin, b"".join(parts))
            begin, parts, end = place.begin, [kept], place.begin + len(kept)
        elif place.begin + len(kept) > end:
            parts.append(kept[end - place.begin :])
            end = place.begin + len(kept)
    if parts:
        yield Run(begin, b"".join(parts))


def first_bytes(flows: Flows, connection: Connection, direction: int) -> bytes:
    """The bytes of a direction from its first one on, up to the first hole or the end of what was kept."""
    rows, begin = flows.scan.rows, beginning(flows, connection, direction)
    pieces: dict[int, bytes] = {}
    for row in connection.rows:
        if rows.direction[row] == direction and rows.payload_length[row] > 0 and rows.header[row] >= 0:
            number = int(rows.sequence[row]) + (int(rows.tcp_flags[row]) & SYN > 0)  # RFC 7413: data in the SYN
            begin = begin if begin >= 0 else number
            pieces.setdefault((number - begin) & 0xFFFFFFFF, flows.payload(row))
            if len(pieces) == ROWS:
                break
    stream = b""
    for offset in sorted(pieces):
        if offset > len(stream):
            break
        stream += pieces[offset][len(stream) - offset :]
    return stream
