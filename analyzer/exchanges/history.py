"""The history of a connection: one letter per step, upper case from the client, lower case from the server.

    I Initial         Z 0-RTT       H Handshake   R Retry      V Version Negotiation   O 1-RTT or any other datagram
    S SYN             A SYN/ACK or pure ACK       D data       T TLS hello             F FIN          X RST
    Q repeat of the request         U ICMP error               W zero window

Packets that were only counted stand between the others as D or O. A run of n equal letters D, O or A is written with
1 + log10(n) of them, rounded down; every other step has its letter. ``MOST_LETTERS`` end it with "+".
"""

from __future__ import annotations

import itertools
import math

from analyzer.events.connection import Connection, Flows
from analyzer.events.tcp.reader import ACK, FIN, RST, SYN
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, OTHER_LONG, RETRY, VERSION_NEGOTIATION, ZERO_RTT
from analyzer.wire.quic.summary import SHORT_BIT

MOST_LETTERS = 80

_QUIC_LETTERS = (
    (1 << INITIAL, "I"),
    (1 << ZERO_RTT, "Z"),
    (1 << HANDSHAKE, "H"),
    (1 << RETRY, "R"),
    (1 << VERSION_NEGOTIATION, "V"),
    (1 << OTHER_LONG, "I"),
    (SHORT_BIT, "O"),
)
_RUNS = frozenset("DOAdoa")


def history_of(flows: Flows, connection: Connection) -> str:
    """The history string of a connection."""
    repeats, errors = set(connection.request_rows[connection.first_repeat :]), set(connection.icmp_rows)
    bulk = "D" if connection.transport == "tcp" else "O"
    own, hello_rows = set(connection.rows), _first_data(flows, connection)
    on_other_paths = {row for path in connection.other_paths for row in path.rows}
    runs: list[tuple[str, int]] = []
    seen: list[int] = []  # packets from client and server up to the last row
    elsewhere = [0, 0]  # of them on other paths: the counters of the connection include those
    for row in sorted({*connection.rows, *connection.elsewhere_rows, *errors}):
        if row in errors:
            runs.append(("U", 1))
            continue
        is_client = is_from_client(flows, connection, row)
        if row in own:
            before = _packets_before(flows, connection, row)
            runs += _bulk(bulk, seen or before, before)
            seen = [before[0] + is_client, before[1] + (not is_client)]
        elif row in on_other_paths:
            elsewhere[not is_client] += 1
        word = "Q" if row in repeats else _letters(flows, connection, row, is_hello=row in hello_rows)
        runs += [(letter if is_client else letter.lower(), 1) for letter in word]
    first = _packets_before(flows, connection, connection.rows[0])
    total = connection.counters
    seen = [seen[0] + elsewhere[0], seen[1] + elsewhere[1]]
    runs += _bulk(bulk, seen, [first[0] + total.client_packets, first[1] + total.server_packets])
    return _written(runs)


def is_from_client(flows: Flows, connection: Connection, row: int) -> bool:
    """Whether the client sent a row of its connection, be it on another path or about a reply from elsewhere."""
    flow, direction = int(flows.scan.rows.flow[row]), int(flows.scan.rows.direction[row])
    if flow == connection.flow:
        return direction == connection.client_direction
    ends, client = flows.ends(flow), connection.client.address
    sender, receiver = ends[direction], ends[1 - direction]
    return receiver == connection.server or (sender.address == client and receiver.address != client)


def _first_data(flows: Flows, connection: Connection) -> set[int]:
    """The first row with payload of each side of a TCP connection whose ClientHello was read."""
    rows, first = flows.scan.rows, dict[int, int]()
    for row in connection.rows if connection.transport == "tcp" and connection.hello is not None else ():
        if rows.payload_length[row] > 0:
            first.setdefault(int(rows.direction[row]), row)
    return set(first.values())


def _packets_before(flows: Flows, connection: Connection, row: int) -> list[int]:
    """Packets of the flow before a row: from the client, from the server."""
    a, b, *_ = flows.before(row)
    return [a, b] if connection.client_direction == 0 else [b, a]


def _bulk(letter: str, seen: list[int], before: list[int]) -> list[tuple[str, int]]:
    """Runs of the packets that were counted between two rows."""
    client, server = before[0] - seen[0], before[1] - seen[1]
    return [(run, n) for run, n in ((letter, client), (letter.lower(), server)) if n > 0]


def _letters(flows: Flows, connection: Connection, row: int, *, is_hello: bool) -> str:
    """The letters of one packet, upper case."""
    rows = flows.scan.rows
    if connection.transport != "tcp":
        bits = int(rows.quic[row])
        return "".join(letter for bit, letter in _QUIC_LETTERS if bits & bit) or "O"
    flags, has_data = int(rows.tcp_flags[row]), rows.payload_length[row] > 0
    if flags & RST:
        return "X"
    if flags & SYN:
        return "A" if flags & ACK else "S"
    if rows.window[row] == 0:
        return "W"
    word = "T" if is_hello else ("D" if has_data else "A")
    return ("" if word == "A" and flags & FIN else word) + ("F" if flags & FIN else "")


def _written(runs: list[tuple[str, int]]) -> str:
    """The runs as text, equal neighbours joined."""
    text = ""
    for letter, equal in itertools.groupby(runs, key=lambda run: run[0]):
        count = sum(n for _, n in equal)
        text += letter * (1 + int(math.log10(count)) if letter in _RUNS else count)
        if len(text) > MOST_LETTERS:
            break
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "+"
