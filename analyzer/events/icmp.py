"""ICMP errors tied to the connection whose packet they quote."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from analyzer.events.connection import Connection, Flows
from analyzer.events.connections import Connections
from analyzer.wire.addresses import address_of
from analyzer.wire.icmp import Quoted, error_name, read_quoted
from analyzer.wire.packets import ICMP

UDP_HEADER = 8
_MTU = 1500


def tie_errors(flows: Flows, connections: Connections) -> None:
    """Add each ICMP error that quotes a packet of a connection's client to its ``icmp_rows``.

    Those that quote a reply from elsewhere go to ``rejected_rows``: the client did not take it.
    Where several connections share the quoted sockets it belongs to the latest that had begun.
    """
    rows = flows.scan.rows
    errors = [r for r in np.flatnonzero((rows.kind == ICMP) & (rows.reason & 2 == 0)).tolist() if _name(flows, r)]
    if not errors:
        return
    quotes = [(row, quoted) for row in errors if (quoted := read_quoted(_quoting(flows, row))) is not None]
    by_sockets: dict[tuple[str, str, int, str, int], list[Connection]] = {}
    for connection in _between_ports(flows, connections, [quoted for _, quoted in quotes]):
        transport = "tcp" if connection.transport == "tcp" else "udp"
        client, server = connection.client, connection.server
        by_sockets.setdefault((transport, client.address, client.port, server.address, server.port), []).append(
            connection
        )
    from_elsewhere = _replies_from_elsewhere(connections.objects()[1])
    for sharing in (*by_sockets.values(), *from_elsewhere.values()):
        sharing.sort(key=lambda connection: connection.rows[0])
    quoting: dict[int, tuple[Connection, list[int]]] = {}
    marks: dict[int, list[int]] = {}
    rejecting: dict[int, tuple[Connection, list[int]]] = {}
    for row, quoted in quotes:
        for among, found in ((by_sockets, quoting), (from_elsewhere, rejecting)):
            sharing = among.get(_key(quoted), [])
            begun = bisect_left(sharing, row, key=lambda connection: connection.rows[0])
            if begun:
                connection = sharing[begun - 1]
                found.setdefault(id(connection), (connection, []))[1].append(row)
                if found is quoting:
                    marks.setdefault(id(connection), []).append(quoted.mark)
    for key, (connection, of_it) in quoting.items():
        connection.icmp_rows += tuple(of_it)
        connection.misquoted = _misquoted(flows, connection, marks[key])
    for connection, of_it in rejecting.values():
        connection.rejected_rows += tuple(of_it)


def _quoting(flows: Flows, row: int) -> bytes:
    """What an ICMP error quotes, and what is before it."""
    return flows.scan.row_bytes(row)[int(flows.scan.rows.header[row]) :]


def _between_ports(flows: Flows, connections: Connections, quotes: Sequence[Quoted]) -> list[Connection]:
    """The connections between the ports that some errors quote."""
    both = {(quoted.source_port, quoted.destination_port) for quoted in quotes}
    wanted = [a << 16 | b for ports in both for a, b in (ports, ports[::-1])]
    return connections.take(np.flatnonzero(np.isin(flows.keys[connections.integers("flow"), 8], wanted)))


def _misquoted(flows: Flows, connection: Connection, marks: Sequence[int]) -> int:
    """How many of these marks are of no packet of the client; 0 where not all of its packets are at hand, as sent.

    Segmentation offload shows what the wire carries in several packets as one.
    """
    rows = flows.scan.rows
    sent = [row for row in connection.rows if rows.direction[row] == connection.client_direction]
    is_tcp, lengths = connection.transport == "tcp", rows.payload_length[sent]
    if len(sent) < connection.counters.client_packets or (rows.fragment[sent] != 0).any() or (lengths > _MTU).any():
        return 0
    seen = set((rows.sequence[sent] if is_tcp else lengths + UDP_HEADER).tolist())
    return sum(mark >= 0 and mark not in seen for mark in marks)


def _replies_from_elsewhere(
    connections: Sequence[Connection],
) -> dict[tuple[str, str, int, str, int], list[Connection]]:
    """Connections by the sockets of the replies that came in place of the addressed socket's."""
    found: dict[tuple[str, str, int, str, int], list[Connection]] = {}
    for connection in connections:
        if connection.replied_from is not None:
            replier, client = connection.replied_from, connection.client
            key = ("udp", replier.address, replier.port, client.address, client.port)
            found.setdefault(key, []).append(connection)
    return found


def _name(flows: Flows, row: int) -> str:
    return error_name(int(flows.family[flows.scan.rows.flow[row]]), int(flows.scan.rows.icmp[row]))


def _key(quoted: Quoted) -> tuple[str, str, int, str, int]:
    transport = "tcp" if quoted.protocol == 6 else "udp"
    source, destination = address_of(quoted.source), address_of(quoted.destination)
    return transport, source, quoted.source_port, destination, quoted.destination_port
