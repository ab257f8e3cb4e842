"""The first bytes of one direction of a TCP connection, put in order (RFC 9293 §3.4)."""

from __future__ import annotations

from analyzer.events.connection import Connection, Flows

_ROWS = 6  # rows with payload that are joined: as many as the selection keeps whole of a flow's beginning


def first_bytes(flows: Flows, connection: Connection, direction: int) -> bytes:
    """The bytes of a direction from its first one on, up to the first hole or the end of what was kept.

    Where no SYN or SYN/ACK of that direction was seen, the first segment with payload counts as its beginning.
    """
    rows = flows.scan.rows
    opening = connection.request_rows if direction == connection.client_direction else connection.syn_ack_rows
    begin = int(rows.sequence[opening[0]]) + 1 if opening else -1
    pieces: dict[int, bytes] = {}
    for row in connection.rows:
        if rows.direction[row] == direction and rows.payload_length[row] > 0 and rows.header[row] >= 0:
            begin = begin if begin >= 0 else int(rows.sequence[row])
            pieces.setdefault((int(rows.sequence[row]) - begin) & 0xFFFFFFFF, flows.payload(row))
            if len(pieces) == _ROWS:
                break
    stream = b""
    for offset in sorted(pieces):
        if offset > len(stream):
            break
        stream += pieces[offset][len(stream) - offset :]
    return stream
