"""The history of a connection: one letter per step, upper case from the client, lower case from the server.

    I Initial         Z 0-RTT       H Handshake   R Retry      V Version Negotiation   O 1-RTT or any other datagram
    S SYN             A SYN/ACK or pure ACK       D data       T TLS hello             F FIN          X RST
    Q repeat of the request         U ICMP error               W zero window

Packets that were only counted stand between the others as D or O. A run of n equal letters D, O or A is written with
1 + log10(n) of them, rounded down; every other step has its letter. ``MOST_LETTERS`` end it with "+".
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

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


class _Seen(NamedTuple):
    """One row of a connection as plain numbers; ``client`` and ``server`` are packets of the flow before it."""

    row: int
    is_client: bool
    client: int
    server: int
    has_data: bool
    flags: int
    quic: int
    window: int


def history_of(flows: Flows, connection: Connection) -> str:
    """The history string of a connection."""
    repeats, errors = set(connection.request_rows[connection.first_repeat :]), set(connection.icmp_rows)
    is_tcp = connection.transport == "tcp"
    own, told = set(connection.rows), {True: not is_tcp or connection.hello is None}
    told[False] = told[True]
    on_other_paths = {row for path in connection.other_paths for row in path.rows}
    runs: list[tuple[str, int]] = []
    counted: tuple[int, int] | None = None  # packets from client and server up to the last row
    first = (0, 0)
    elsewhere = [0, 0]  # of them on other paths: the counters of the connection include those
    for seen in _read(flows, connection, sorted({*connection.rows, *connection.elsewhere_rows, *errors})):
        row, is_client = seen.row, seen.is_client
        if row in errors:
            runs.append(("U", 1))
            continue
        is_hello = False
        if row in own:
            before = seen.client, seen.server
            if counted is None:
                first = counted = before
            runs += _bulk("D" if is_tcp else "O", counted, before)
            counted = before[0] + is_client, before[1] + (not is_client)
            is_hello = seen.has_data and not told[is_client]
            told[is_client] |= seen.has_data
        elif row in on_other_paths:
            elsewhere[not is_client] += 1
        word = "Q" if row in repeats else _letters(seen, is_tcp=is_tcp, is_hello=is_hello)
        runs += [(letter, 1) for letter in (word if is_client else word.lower())]
    total, counted = connection.counters, counted or (0, 0)
    last = counted[0] + elsewhere[0], counted[1] + elsewhere[1]
    runs += _bulk("D" if is_tcp else "O", last, (first[0] + total.client_packets, first[1] + total.server_packets))
    return _written(runs)


def _read(flows: Flows, connection: Connection, wanted: Sequence[int]) -> Iterator[_Seen]:
    """The wanted rows in their order, each column read at once: one number at a time costs ten times as much."""
    at, r = np.array(wanted, np.int64), flows.scan.rows
    own = (r.ordinal[at] - r.duplicate_ordinal[at] - 1).tolist()
    other = (r.other_records[at] - r.other_duplicates[at]).tolist()
    columns = (r.flow, r.direction, r.payload_length, r.tcp_flags, r.quic, r.window)
    told = zip(wanted, own, other, *(column[at].tolist() for column in columns), strict=True)
    flow_of, direction_of = connection.flow, connection.client_direction
    for row, mine, theirs, flow, direction, length, flags, quic, window in told:
        is_client = direction == direction_of if flow == flow_of else is_from_client(flows, connection, row)
        client, server = (mine, theirs) if direction == direction_of else (theirs, mine)
        yield _Seen(row, is_client, client, server, length > 0, flags, quic, window)


def is_from_client(flows: Flows, connection: Connection, row: int) -> bool:
    """Whether the client sent a row of its connection, be it on another path or about a reply from elsewhere."""
    flow, direction = int(flows.scan.rows.flow[row]), int(flows.scan.rows.direction[row])
    if flow == connection.flow:
        return direction == connection.client_direction
    ends, client = flows.ends(flow), connection.client.address
    sender, receiver = ends[direction], ends[1 - direction]
    return receiver == connection.server or (sender.address == client and receiver.address != client)


def _bulk(letter: str, seen: tuple[int, int], before: tuple[int, int]) -> list[tuple[str, int]]:
    """Runs of the packets that were counted between two rows."""
    client, server = before[0] - seen[0], before[1] - seen[1]
    if client <= 0 and server <= 0:
        return []
    return [(run, n) for run, n in ((letter, client), (letter.lower(), server)) if n > 0]


@functools.cache
def _quic_letters(bits: int) -> str:
    return "".join(letter for bit, letter in _QUIC_LETTERS if bits & bit) or "O"


def _letters(seen: _Seen, *, is_tcp: bool, is_hello: bool) -> str:
    """The letters of one packet, upper case."""
    if not is_tcp:
        return _quic_letters(seen.quic)
    flags = seen.flags
    if flags & RST:
        return "X"
    if flags & SYN:
        return "A" if flags & ACK else "S"
    if seen.window == 0:
        return "W"
    word = "T" if is_hello else ("D" if seen.has_data else "A")
    return ("" if word == "A" and flags & FIN else word) + ("F" if flags & FIN else "")


def _written(runs: list[tuple[str, int]]) -> str:
    """The runs as text, equal neighbours joined."""
    text = ""
    at = 0
    while at < len(runs):
        letter, count = runs[at]
        at += 1
        while at < len(runs) and runs[at][0] == letter:
            count += runs[at][1]
            at += 1
        text += letter * (1 + int(math.log10(count)) if letter in _RUNS else count)
        if len(text) > MOST_LETTERS:
            break
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "+"
