"""DNS lookups: each question with its repeats, matched to the answer that came, or to none.

How it works
------------
A question and its answer share the sockets, the id and the question itself (RFC 1035 §7.3, RFC 5452 §9.1). The same
question sent again to the same resolver is a repeat: with the same id, even from another port and after an answer
(glibc asks for both families again where one is missing), or with another id where nothing was heard and this client
was not seen to keep its ids. Two programs that ask for one name at the same moment are two lookups.

An answer that comes from another socket than the one asked, with the id, the question and the client's socket of a
lookup that is still open, is noted as ``replied_from``: it does not answer for the socket that was asked.

Only port 53 is read, over UDP and TCP: mDNS (5353) and LLMNR (5355) ask everybody on the link, and nobody has to
answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from analyzer.events.connection import Connection, Flows, Socket
from analyzer.events.connections import Connections
from analyzer.events.tcp.streams import first_bytes
from analyzer.wire.dns import PORT, Message, read_message, read_stream
from analyzer.wire.packets import NO_FLAW, UDP

#: A question with another id that follows an open one at least so late is its repeat, and any question at most so late.
#: Resolvers repeat after 0.4 s (unbound) to 5 s (glibc, RFC 1035 §7.2); programs that ask in parallel are closer.
REPEAT_AFTER_NS, REPEAT_WITHIN_NS = 300_000_000, 15_000_000_000


@dataclass(slots=True)
class Lookup:
    """One question of one client to one resolver. Rows are indices of selected rows; ``answer_row`` is -1 for none."""

    connection: Connection
    client: Socket
    server: Socket
    transport: str
    name: str
    kind: str
    is_recursive: bool
    identifier: int
    question_rows: list[int] = field(default_factory=list)
    keeps_id: bool = False  # repeats have the same id
    answer_row: int = -1
    answer: Message | None = None
    replied_from: Socket | None = None


class _Packet(NamedTuple):
    row: int
    source: Socket
    destination: Socket
    connection: Connection
    identifier: int
    message: Message


def lookups(flows: Flows, connections: Connections) -> list[Lookup]:
    """The lookups of all connections on port 53, in the order of their first questions."""
    found: list[Lookup] = []
    asked: dict[tuple[Socket, Socket, int, str, str], Lookup] = {}
    latest: dict[tuple[str, Socket, str, str], Lookup] = {}
    by_client: dict[tuple[Socket, int, str, str], Lookup] = {}
    for packet in sorted(_packets(flows, connections), key=lambda each: each.row):
        message = packet.message
        if message.is_answer:
            about = packet.identifier, message.name, message.kind
            lookup = asked.get((packet.destination, packet.source, *about))
            if lookup is not None:
                if lookup.answer is None:  # the first one counts; others answer repeats
                    lookup.answer, lookup.answer_row = message, packet.row
            elif (lookup := by_client.get((packet.destination, *about))) is not None and lookup.answer is None:
                lookup.replied_from = lookup.replied_from or packet.source
            continue
        key = packet.source, packet.destination, packet.identifier, message.name, message.kind
        place = packet.source.address, packet.destination, message.name, message.kind
        lookup = asked.get(key) or _repeated(flows, latest.get(place), packet)
        if lookup is None:
            lookup = _asked(packet)
            found.append(lookup)
        else:
            lookup.keeps_id |= packet.identifier == lookup.identifier
        lookup.question_rows.append(packet.row)
        asked[key] = latest[place] = lookup
        by_client[packet.source, packet.identifier, message.name, message.kind] = lookup
    return found


def _asked(packet: _Packet) -> Lookup:
    message, transport = packet.message, packet.connection.transport
    return Lookup(
        packet.connection,
        packet.source,
        packet.destination,
        transport,
        message.name,
        message.kind,
        message.is_recursive,
        packet.identifier,
    )


def _repeated(flows: Flows, lookup: Lookup | None, packet: _Packet) -> Lookup | None:
    """The lookup that a question from another port or with another id repeats."""
    if lookup is None:
        return None
    time = flows.scan.rows.time
    since = int(time[packet.row] - time[lookup.question_rows[-1]])
    if packet.identifier == lookup.identifier:
        return lookup if since <= REPEAT_WITHIN_NS else None
    is_open = lookup.answer is None and not lookup.keeps_id
    return lookup if is_open and REPEAT_AFTER_NS <= since <= REPEAT_WITHIN_NS else None


def _packets(flows: Flows, connections: Connections) -> Iterator[_Packet]:
    """The DNS messages of all connections that have port 53 at one end."""
    for connection in connections.objects()[1]:
        ends = connection.client, connection.server
        if PORT not in (ends[0].port, ends[1].port):
            continue
        if connection.transport == "tcp":
            yield from _over_tcp(flows, connection)
        elif connection.transport == "udp":
            yield from _over_udp(flows, connection)


def _over_udp(flows: Flows, connection: Connection) -> Iterator[_Packet]:
    rows = flows.scan.rows
    sockets = flows.ends(connection.flow)
    for row in connection.rows:
        if rows.kind[row] == UDP and rows.flaw[row] == NO_FLAW:
            read = read_message(flows.payload(row))
            if read is not None:
                direction = int(rows.direction[row])
                yield _Packet(row, sockets[direction], sockets[1 - direction], connection, *read)


def _over_tcp(flows: Flows, connection: Connection) -> Iterator[_Packet]:
    """The messages among the first bytes of each direction; each is said to lie in the row where its stream begins."""
    rows = flows.scan.rows
    for direction, source, destination in (
        (connection.client_direction, connection.client, connection.server),
        (1 - connection.client_direction, connection.server, connection.client),
    ):
        carrying = [r for r in connection.rows if rows.direction[r] == direction and rows.payload_length[r] > 0]
        messages = list(read_stream(first_bytes(flows, connection, direction))) if carrying else []
        places = np.minimum(np.arange(len(messages)), len(carrying) - 1).tolist()
        for place, message in zip(places, messages, strict=True):
            read = read_message(message)
            if read is not None:
                yield _Packet(carrying[place], source, destination, connection, *read)
