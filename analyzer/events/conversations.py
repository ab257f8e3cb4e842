"""A scan to its connections: every flow read by the reader of its transport, ICMP errors and stray replies tied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.events.connection import TCP_PROTOCOL, UDP_PROTOCOL, Connection, Flows, Socket
from analyzer.events.icmp import tie_errors
from analyzer.events.quic import quic_connections
from analyzer.events.scan import Scan
from analyzer.events.tcp import tcp_connections
from analyzer.events.udp import udp_conversation


@dataclass(frozen=True)
class Conversations:
    """The connections of a scan, in the order of their first rows."""

    flows: Flows
    connections: list[Connection]


def conversations(scan: Scan) -> Conversations:
    """All connections of a settled scan."""
    flows = Flows(scan)
    rows = scan.rows
    has_long_header = np.zeros(int(scan.table.size[0]), np.bool_)
    has_long_header[rows.flow[(rows.quic != 0) & (rows.flow >= 0)]] = True
    connections: list[Connection] = []
    for flow in flows.with_protocol(UDP_PROTOCOL):
        connections += quic_connections(flows, flow) if has_long_header[flow] else udp_conversation(flows, flow)
    for flow in flows.with_protocol(TCP_PROTOCOL):
        connections += tcp_connections(flows, flow)
    connections.sort(key=lambda connection: connection.rows[0])
    connections = _join_by_cid(connections)
    tie_errors(flows, connections)
    return Conversations(flows, connections)


def _join_by_cid(connections: list[Connection]) -> list[Connection]:
    """Give stray packets of a server back to the attempt whose SCID they carry (RFC 9000 §5.1).

    A reply from a socket that was not asked shares no 4-tuple with its request, but its DCID is the client's SCID. The
    addressed socket stays without a reply: ``replied_from`` says who answered in its place.
    """
    strays = [c for c in connections if c.transport == "quic" and not c.client_dcid and len(c.client_scid) >= 4]
    if not strays:
        return connections
    asked: dict[bytes, list[Connection]] = {}
    for connection in connections:
        if connection.transport == "quic" and connection.client_dcid and connection.client_scid:
            asked.setdefault(connection.client_scid, []).append(connection)
    joined: set[int] = set()
    for stray in strays:
        begun = [c for c in asked.get(stray.client_scid, ()) if c.rows[0] < stray.rows[0] and _same_client(c, stray)]
        if begun:
            owner = begun[-1]
            owner.elsewhere_rows += tuple(stray.rows)
            owner.paths += 1
            owner.last_time = max(owner.last_time, stray.last_time)
            if owner.reply_row < 0 and owner.replied_from is None and stray.reply_row >= 0:
                owner.replied_from = stray.server
            joined.add(id(stray))
    return [c for c in connections if id(c) not in joined]


def _same_client(asked: Connection, stray: Connection) -> bool:
    """Whether a stray was sent to the client's own address, on whatever port a translator gave it."""
    return _address(asked.client) == _address(stray.client)


def _address(socket: Socket) -> tuple[int, str]:
    return socket.family, socket.address
