"""The history of a connection: one letter per step, upper case from the client, lower case from the server.

    I Initial         Z 0-RTT       H Handshake   R Retry      V Version Negotiation   O 1-RTT or any other datagram
    S SYN             A SYN/ACK or pure ACK       D data       T TLS hello             F FIN          X RST
    Q repeat of the request         U ICMP error               W zero window

Packets that were only counted stand between the others as D or O. A run of n equal letters D, O or A is written with
1 + log10(n) of them, rounded down; every other step has its letter. ``MOST_LETTERS`` end it with "+".
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events.connection import Connection, Flows
from analyzer.events.connections import Lists
from analyzer.events.tcp.states import ACK, FIN, RST, SYN
from analyzer.exchanges.attributes import Attributes
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
_POWERS = 10 ** np.arange(1, 19)


#: Connections whose rows are read at once: enough to make numpy's calls few, and few enough to bound the arrays.
_BLOCK = 8192
#: Of fewer it is not worth to ask about all connections.
_FEW = 64

#: A row of a connection as plain numbers: its index, packets of its flow from its sender and from the other side up to
#: it, then its flow, direction, payload length, TCP flags, kinds of QUIC packets and window.
_Row = tuple[int, int, int, int, int, int, int, int, int]


def histories_of(held: Attributes, index: NDArray[np.int64]) -> list[str]:
    """The history string of the connections in some rows."""
    if len(index) < _FEW:
        return plain_histories(held.flows, held.connections.take(index))
    several = [held.some(name) for name in ("elsewhere_rows", "icmp_rows", "other_paths")]
    is_simple = (held.lists("rows").lengths > 0) & ~np.any(several, axis=0)
    histories: list[str] = []
    for begin in range(0, len(index), _BLOCK):
        block = index[begin : begin + _BLOCK]
        simple = is_simple[block]
        of_simple = iter(_histories(held, block[simple]))
        of_others = iter(plain_histories(held.flows, held.connections.take(block[~simple])))
        histories += [next(of_simple if each else of_others) for each in simple.tolist()]
    return histories


def plain_histories(flows: Flows, connections: Sequence[Connection]) -> list[str]:
    """The history string of each connection, read row by row."""
    wanted = [sorted({*c.rows, *c.elsewhere_rows, *c.icmp_rows}) for c in connections]
    rows = _rows(flows, list(itertools.chain.from_iterable(wanted)))
    each = zip(connections, map(len, wanted), strict=True)
    return [_history(flows, connection, itertools.islice(rows, count)) for connection, count in each]


class _Told(NamedTuple):
    """Rows of some connections, one connection after another: whose each is, and whether the client sent it."""

    owner: NDArray[np.int64]
    rows: NDArray[np.int64]
    from_client: NDArray[np.bool_]


def _histories(held: Attributes, index: NDArray[np.int64]) -> list[str]:
    """What ``plain_histories`` gives, column by column, of connections without ICMP errors and of one flow each."""
    if not len(index):
        return []
    owner, rows = _of(held.lists("rows"), index)
    r, begins = held.flows.scan.rows, np.diff(owner, prepend=-1) > 0
    in_order = bool((begins[1:] | (rows[1:] > rows[:-1])).all())
    if not in_order or (r.flow[rows] != held.integers("flow")[index][owner]).any():
        return plain_histories(held.flows, held.connections.take(index))
    own, other = r.ordinal[rows] - r.duplicate_ordinal[rows] - 1, r.other_records[rows] - r.other_duplicates[rows]
    from_client = r.direction[rows] == held.integers("client_direction")[index][owner]
    before = np.where(from_client, (own, other), (other, own)).astype(np.int64)
    # What was only counted lies between a row and the next of its connection, behind the last all that is left.
    behind = np.roll(before, -1, axis=1)
    behind[:, np.roll(begins, -1)] = before[:, begins] + held.counters[index, :2].T
    bulk = np.maximum(behind - before - (from_client, ~from_client), 0)
    letters = _letters(held, index, _Told(owner, rows, from_client))
    is_tcp = held.words("transport").equal("tcp")[index][owner, None]
    letters = np.column_stack(
        [letters, np.where(is_tcp, np.frombuffer(b"Dd", np.uint8), np.frombuffer(b"Oo", np.uint8))]
    )
    counts = np.column_stack([letters[:, :-2] > 0, bulk.T])
    return _all_written(letters, counts, owner)


def _of(lists: Lists, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whose each is, as a place in ``index``, and what the lists hold of these connections."""
    return np.repeat(np.arange(len(index)), lists.lengths[index]), lists.take(index, np.iinfo(np.int64).max)


def _letters(held: Attributes, index: NDArray[np.int64], told: _Told) -> NDArray[np.uint8]:
    """The letters of each row, filled with zeros."""
    (owner, rows, from_client), r = told, held.flows.scan.rows
    is_tcp, length = held.words("transport").equal("tcp")[index][owner], r.payload_length[rows]
    tells = _says_hello(held)[index][owner] & (length > 0)
    is_hello = np.zeros(len(rows), np.bool_)
    is_hello[np.flatnonzero(tells)[np.unique((2 * owner + from_client)[tells], return_index=True)[1]]] = True
    content = np.select([r.window[rows] == 0, is_hello, length > 0], [0, 1, 2], 3)
    key = np.where(is_tcp, r.tcp_flags[rows].astype(np.int64) << 2 | content, ~r.quic[rows].astype(np.int64))
    asker, requests = _of(held.lists("request_rows"), index)
    number = np.arange(len(asker)) - np.searchsorted(asker, asker)
    is_repeat = number >= held.integers("first_repeat")[index][asker]
    again = np.isin(rows + (owner << 40), (requests + (asker << 40))[is_repeat])
    keys, place = np.unique(key, return_inverse=True)
    words = [_segment(k >> 2, "WTDA"[k & 3]) if k >= 0 else _quic_letters(~k) for k in keys.tolist()] + ["Q"]
    place[again] = len(keys)
    width = max(map(len, words))
    table = np.frombuffer("".join(word.ljust(width, "\0") for word in words).encode(), np.uint8).reshape(-1, width)
    chosen = table[place]
    return np.where(from_client[:, None] | (chosen == 0), chosen, chosen | 0x20)


def _says_hello(held: Attributes) -> NDArray[np.bool_]:
    """Which connections are of TCP and begin with a TLS hello; all of TCP are objects."""
    found = np.zeros(len(held), np.bool_)
    places, objects = held.connections.objects()
    found[places] = [c.transport == "tcp" and bool(c.hello_bytes) for c in objects]
    return found


def _all_written(letters: NDArray[np.uint8], counts: NDArray[np.int64], owner: NDArray[np.int64]) -> list[str]:
    """Runs as text, equal neighbours of one owner joined: letters and how many of each, some for each row."""
    there = counts.ravel() > 0
    letter, count = letters.ravel()[there], counts.ravel()[there]
    whose = np.repeat(owner, letters.shape[1])[there]
    begins = np.flatnonzero(np.append(True, (letter[1:] != letter[:-1]) | (whose[1:] != whose[:-1])))
    letter, whose, count = letter[begins], whose[begins], np.add.reduceat(count, begins)
    is_run = np.isin(letter, np.frombuffer("".join(_RUNS).encode(), np.uint8))
    width = np.where(is_run, 1 + np.searchsorted(_POWERS, count, "right"), count)
    text = np.repeat(letter, width).tobytes().decode("ascii")
    ends = np.cumsum(np.bincount(whose, width)).astype(np.int64).tolist()
    return [_short(text[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]


def _history(flows: Flows, connection: Connection, rows: Iterable[_Row]) -> str:
    """The history string of a connection from its rows in their order."""
    repeats, errors = {*connection.request_rows[connection.first_repeat :]}, {*connection.icmp_rows}
    is_tcp, flow_of, direction_of = connection.transport == "tcp", connection.flow, connection.client_direction
    own, bulk = {*connection.rows}, "D" if is_tcp else "O"
    told = [not is_tcp or not connection.hello_bytes] * 2  # whether client and server sent their first data
    on_other_paths = {row for path in connection.other_paths for row in path.rows}
    runs: list[tuple[str, int]] = []
    counted: tuple[int, int] | None = None  # packets from client and server up to the last row
    first = (0, 0)
    elsewhere = [0, 0]  # of them on other paths: the counters of the connection include those
    for row, mine, theirs, flow, direction, length, flags, quic, window in rows:
        if row in errors:
            runs.append(("U", 1))
            continue
        is_client = direction == direction_of if flow == flow_of else is_from_client(flows, connection, row)
        is_hello = False
        if row in own:
            before = (mine, theirs) if direction == direction_of else (theirs, mine)
            if counted is None:
                first = counted = before
            if before != counted:
                runs += _bulk(bulk, counted, before)
            counted = (before[0] + 1, before[1]) if is_client else (before[0], before[1] + 1)
            if length > 0 and not told[not is_client]:
                is_hello = told[not is_client] = True
        elif row in on_other_paths:
            elsewhere[not is_client] += 1
        if row in repeats:
            word = "Q"
        else:
            content = "W" if window == 0 else "T" if is_hello else "D" if length > 0 else "A"
            word = _segment(flags, content) if is_tcp else _quic_letters(quic)
        runs += _steps(word, is_client)
    total, counted = connection.counters, counted or (0, 0)
    last = counted[0] + elsewhere[0], counted[1] + elsewhere[1]
    runs += _bulk(bulk, last, (first[0] + total.client_packets, first[1] + total.server_packets))
    return _written(runs)


def _rows(flows: Flows, wanted: Sequence[int]) -> Iterator[_Row]:
    """The wanted rows in their order, each column read at once: one number at a time costs ten times as much."""
    at, r = np.array(wanted, np.int64), flows.scan.rows
    own = (r.ordinal[at] - r.duplicate_ordinal[at] - 1).tolist()
    other = (r.other_records[at] - r.other_duplicates[at]).tolist()
    columns = (r.flow, r.direction, r.payload_length, r.tcp_flags, r.quic, r.window)
    return zip(wanted, own, other, *(column[at].tolist() for column in columns), strict=True)


def is_from_client(flows: Flows, connection: Connection, row: int) -> bool:
    """Whether the client sent a row of its connection, be it on another path or about a reply from elsewhere."""
    flow, direction = int(flows.scan.rows.flow[row]), int(flows.scan.rows.direction[row])
    if flow == connection.flow:
        return direction == connection.client_direction
    ends, client = flows.ends(flow), connection.client.address
    sender, receiver = ends[direction], ends[1 - direction]
    return receiver == connection.server or (sender.address == client and receiver.address != client)


@functools.cache
def _steps(word: str, is_client: bool) -> tuple[tuple[str, int], ...]:
    """Runs of the letters of one packet, given in upper case."""
    return tuple((letter, 1) for letter in (word if is_client else word.lower()))


def _bulk(letter: str, seen: tuple[int, int], before: tuple[int, int]) -> list[tuple[str, int]]:
    """Runs of the packets that were counted between two rows."""
    client, server = before[0] - seen[0], before[1] - seen[1]
    if client <= 0 and server <= 0:
        return []
    return [(run, n) for run, n in ((letter, client), (letter.lower(), server)) if n > 0]


@functools.cache
def _quic_letters(bits: int) -> str:
    return "".join(letter for bit, letter in _QUIC_LETTERS if bits & bit) or "O"


@functools.cache
def _segment(flags: int, content: str) -> str:
    """The letters of a TCP segment, upper case; ``content`` is W, T, D or A where its flags say no more."""
    if flags & RST:
        return "X"
    if flags & SYN:
        return "A" if flags & ACK else "S"
    if content == "W" or not flags & FIN:
        return content
    return "F" if content == "A" else content + "F"


def _written(runs: list[tuple[str, int]]) -> str:
    """The runs as text, equal neighbours joined."""
    text, letter, count = "", "", 0
    for following, more in (*runs, ("", 0)):
        if following == letter:
            count += more
            continue
        text += letter * (1 + int(math.log10(count)) if count > 1 and letter in _RUNS else count)
        if len(text) > MOST_LETTERS:
            break
        letter, count = following, more
    return _short(text)


def _short(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "+"
