"""Plain QUIC flows, many at once: what ``reader`` would find in them, told from columns by a kernel.

How it works
------------
A flow is *plain* if it holds one connection from its client's first Initial on, of a version whose Initials can be
opened, without Retry and Version Negotiation, and either no reply at all, or a client that goes on to Handshake
packets, so that nothing the server's Initials hide can change a verdict, or Initials of the server that are all cut.
Nearly all flows of a server that is busy, of one that is silent, and of one that is flooded are plain.

``judge_flows`` goes through the rows of flows once and says which may be; then their first Initials are opened, and
further ones until the ClientHello is whole. A flow whose packets turn out not to open, or whose hello stays incomplete,
is not plain. Where the capture cut packets short, so that all Initials of the client up to the reply are *sealed*,
there is nothing to open, and the flow is plain by its headers alone. The others are left to ``reader``, which reads any
flow and of a plain one makes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events.connection import FIRST_EPHEMERAL_PORT, Connection, Flows
from analyzer.events.quic import plain_columns as pc
from analyzer.events.quic.hellos import MOST_INITIALS, Hellos, hellos_of, opened, sealed
from analyzer.events.quic.plain_columns import NO_NAMES, Part, PlainConnections
from analyzer.events.quic.portions import (
    CID_WORDS,
    CUT,
    DCID,
    DCID_AT,
    DIRECTION,
    KIND,
    LENGTH,
    OPENABLE,
    QUIC,
    SCID,
    SCID_AT,
    VERSION,
    Narrow,
    Portion,
    portion_of,
)
from analyzer.events.quic.reader import LEAST_DCID, quic_connections
from analyzer.kernels import Matrix, helper, kernel, runner
from analyzer.processes import processors
from analyzer.wire.quic.first_message import FirstMessages
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, OTHER_LONG, RETRY, VERSION_NEGOTIATION
from analyzer.wire.quic.summary import LEAST_PACKET, SHORT_BIT

#: Fewer flows are read sooner one by one than the kernels are loaded.
WORTH_KERNELS = 1000
#: Flows that are judged at once: enough for a kernel, and few against the memory that all take.
PORTION = 2048

_INITIAL_BIT, _HANDSHAKE_BIT = 1 << INITIAL, 1 << HANDSHAKE
_NOT_PLAIN = 1 << RETRY | 1 << VERSION_NEGOTIATION | 1 << OTHER_LONG

#: Columns of what a flow says. Places are those of rows among the flow's, -1: none; SERVER is the row of the heads that
#: names the server, MOVED that of the first Initial to a CID that only the keys can tie to the connection, or -1.
#: SEALED: the client's Initials up to the reply are all cut; CLOSED: so are those of the server until the client went
#: on.
CLIENT, INITIALS, MOVED, SERVER, REQUESTS, REPLY, WENT_ON, LARGEST, CLIENT_KINDS, SERVER_KINDS = range(10)
SEALED, CLOSED, FLOW_COLUMNS = 10, 11, 12


@helper
def same_words(heads: Any, one: int, at: int, other: int, other_at: int) -> bool:
    """Whether two CIDs, each a length and CID_WORDS words behind it, are the same."""
    differ = 0
    for i in range(1 + CID_WORDS):
        differ |= heads[one, at + i] ^ heads[other, other_at + i]
    return differ == 0


@kernel
def judge_flows(
    bounds: Matrix,
    narrow: Narrow,
    head_of: NDArray[np.int64],
    heads: Matrix,
    callers: NDArray[np.int64],
    plain: NDArray[np.bool_],
    out: Matrix,
) -> int:
    """Which flows may be plain, and what they say.

    ``bounds``: first and last place of a flow's rows in ``narrow``, of which ``head_of`` names the row of ``heads``.
    ``callers``: the direction of each flow's client by its ports, -1 where they do not tell.
    """
    count = 0
    for flow in range(len(bounds)):
        low, high = bounds[flow, 0], bounds[flow, 1]
        first = head_of[low]
        plain[flow] = False
        if first < 0 or heads[first, OPENABLE] + heads[first, CUT] == 0 or heads[first, DCID] == 0:
            continue
        client, sealed = int(narrow[DIRECTION, low]), heads[first, CUT] > 0
        if sealed and (heads[first, DCID] < LEAST_DCID or (callers[flow] >= 0 and callers[flow] != client)):
            continue
        initials, requests, reply, went_on, largest, kinds, server_kinds, server, moved = 0, 0, -1, -1, -1, 0, 0, -1, -1
        fits, opening, closed = True, True, True
        for at in range(low, high):
            bits, head = int(narrow[QUIC, at]), head_of[at]
            if bits and (head < 0 or bits & _NOT_PLAIN):
                fits = False
                break
            if int(narrow[DIRECTION, at]) == client:
                if bits:
                    known = same_words(heads, head, DCID, first, DCID)
                    if not known and server >= 0:
                        known = same_words(heads, head, DCID, server, SCID)
                    if not known and moved >= 0:
                        known = same_words(heads, head, DCID, moved, DCID)
                    if not known and (heads[head, SCID] > 0 or heads[head, KIND] != INITIAL):
                        known = same_words(heads, head, SCID, first, SCID)
                    if not known and heads[head, CUT] > 0 and heads[head, DCID] < LEAST_DCID:
                        known = same_words(heads, head, SCID, first, SCID)
                    if not known and (moved >= 0 or heads[head, OPENABLE] == 0):
                        fits = False
                        break
                    if not known:
                        moved = head
                kinds |= bits if bits else SHORT_BIT
                if bits & _INITIAL_BIT:
                    if sealed and reply < 0 and heads[head, CUT] == 0:
                        fits = False
                        break
                    largest = max(largest, int(narrow[LENGTH, at]))
                    if reply < 0:
                        if requests < at - low:  # something else before: 0-RTT alone, a short header
                            fits = False
                            break
                        requests += 1
                        opening = opening and heads[head, OPENABLE] > 0 and initials < MOST_INITIALS
                        opening = opening and heads[head, VERSION] == heads[first, VERSION]
                        opening = opening and same_words(heads, head, DCID, first, DCID)
                        if opening:
                            initials += 1
                goes_on = bits & _HANDSHAKE_BIT or bits == 0 or (bits & SHORT_BIT and not bits & _INITIAL_BIT)
                if went_on < 0 and goes_on:
                    went_on = at - low
            else:
                if int(narrow[LENGTH, at]) < LEAST_PACKET or (bits and not same_words(heads, head, DCID, first, SCID)):
                    fits = False
                    break
                if bits & _INITIAL_BIT and closed and kinds & _HANDSHAKE_BIT == 0:
                    if heads[head, OPENABLE] + heads[head, CUT] == 0:
                        fits = False
                        break
                    closed = heads[head, CUT] > 0
                if bits and server < 0:
                    if bits & _INITIAL_BIT == 0 or heads[head, SCID] == 0 or kinds & _HANDSHAKE_BIT:
                        fits = False
                        break
                    server = head
                if reply < 0:
                    if bits == 0:
                        fits = False
                        break
                    reply = at - low
                server_kinds |= bits if bits else SHORT_BIT
        if not fits or (reply >= 0 and not kinds & _HANDSHAKE_BIT and not closed):
            continue
        plain[flow] = True
        count += 1
        out[flow, CLIENT], out[flow, INITIALS], out[flow, MOVED], out[flow, SERVER] = client, initials, moved, server
        out[flow, REQUESTS], out[flow, REPLY], out[flow, WENT_ON] = requests, reply, went_on
        out[flow, LARGEST], out[flow, CLIENT_KINDS], out[flow, SERVER_KINDS] = largest, kinds, server_kinds
        out[flow, SEALED], out[flow, CLOSED] = sealed, closed
    return count


def judged(
    portion: Portion, callers: NDArray[np.int64], *, compiled: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The flows that may be plain, and what ``judge_flows`` says of each flow of the portion."""
    plain = np.zeros(len(portion.bounds), np.bool_)
    told = np.zeros((len(portion.bounds), FLOW_COLUMNS), np.int64)
    columns = portion.bounds, portion.narrow, portion.head_of, portion.heads, callers
    runner(judge_flows, compiled)(*columns, plain, told)
    return np.flatnonzero(plain), told


def callers_of(ports: NDArray[np.int64]) -> NDArray[np.int64]:
    """The direction of the client by the ports of flows, a's << 16 | b's, as ``client_by_port``; -1: no port tells."""
    of_a, of_b = ports >> 16 < FIRST_EPHEMERAL_PORT, ports & 0xFFFF < FIRST_EPHEMERAL_PORT
    return np.where(of_a == of_b, -1, of_a.astype(np.int64))


def quic_connections_of(flows: Flows, chosen: Sequence[int]) -> tuple[list[Connection], PlainConnections]:
    """The QUIC connections of some flows: of plain ones together, of the others one by one."""
    connections, plain = list[Connection](), PlainConnections(flows)
    if len(chosen) >= WORTH_KERNELS:
        plain, chosen = plain_connections(flows, chosen, compiled=True)
    for flow in chosen:
        connections += quic_connections(flows, flow)
    return connections, plain


def plain_connections(flows: Flows, chosen: Sequence[int], *, compiled: bool) -> tuple[PlainConnections, list[int]]:
    """The connections of those flows that are plain, one each, and the other flows."""
    numbers = np.asarray(chosen, np.int64)
    portions = [numbers[begin : begin + PORTION] for begin in range(0, len(numbers), PORTION)]
    read = _Reader(flows, min(PORTION, len(numbers)), compiled=compiled)
    if processors() < 2 or len(portions) < 2:
        found = [read(portion) for portion in portions]
    else:
        from concurrent.futures import ThreadPoolExecutor

        # Kernels and the AEAD take about as long, and one thread runs kernels while the other holds Python.
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(read, portions))
    others = [flow for _, left in found for flow in left.tolist()]
    return PlainConnections(flows, [part for part, _ in found]), others


class _Told(NamedTuple):
    """What is known of the flows of a portion: their numbers, the indices of their selected rows, what they say."""

    numbers: NDArray[np.int64]
    rows: NDArray[np.int64]
    told: NDArray[np.int64]


class _Reader:
    """Reads portions of at most ``most`` flows; several threads may."""

    def __init__(self, flows: Flows, most: int, *, compiled: bool) -> None:
        self._flows, self._most, self._compiled = flows, most, compiled
        self._free: list[FirstMessages] = []  # one for each thread: fresh memory for each portion costs more

    def __call__(self, numbers: NDArray[np.int64]) -> tuple[Part, NDArray[np.int64]]:
        """The connections of those flows that are plain, and the others."""
        compiled = self._compiled
        portion, rows = _portion(self._flows, numbers, compiled=compiled)
        callers = callers_of(self._flows.keys[numbers, 8].astype(np.int64))
        fitting, told = judged(portion, callers, compiled=compiled)
        is_sealed = told[fitting, SEALED] > 0
        plain, shut = fitting[~is_sealed], fitting[is_sealed]
        first = portion.first[plain]
        closed = sealed(portion, first, first, compiled=compiled)
        try:
            messages = self._free.pop()
        except IndexError:
            messages = FirstMessages(self._most, compiled=compiled)
        hellos = hellos_of(portion, plain, told[:, INITIALS], closed, messages)
        self._free.append(messages)
        untied = self._untied(portion, fitting, told)
        tied, shut = ~np.isin(hellos.places, untied), shut[~np.isin(shut, untied)]
        places = np.concatenate([hellos.places[tied], shut])
        table = _table(portion, _Told(numbers, rows, told), places)
        _write_hellos(table[: len(places) - len(shut)], hellos, tied)
        _write_sealed(table[len(places) - len(shut) :], callers[shut], len(hellos.names))
        return Part(table, hellos.messages, [*hellos.names, NO_NAMES]), np.delete(numbers, places)

    def _untied(self, portion: Portion, plain: NDArray[np.int64], told: NDArray[np.int64]) -> NDArray[np.int64]:
        """Flows with an Initial to another CID that the keys of the first one do not open."""
        doubtful = plain[told[plain, MOVED] >= 0]
        moved = sealed(portion, told[doubtful, MOVED], portion.first[doubtful], compiled=self._compiled)
        untied: NDArray[np.int64] = doubtful[[not clear for clear in opened(len(doubtful), moved)]]
        return untied


def _portion(flows: Flows, numbers: NDArray[np.int64], *, compiled: bool) -> tuple[Portion, NDArray[np.int64]]:
    """Some flows as columns, and the indices of their selected rows."""
    low, sizes = flows.limits[numbers], flows.limits[numbers + 1] - flows.limits[numbers]
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1]) + np.repeat(low - (ends - sizes), sizes)
    narrow, bounds = np.ascontiguousarray(flows.narrow[:, places]), np.stack([ends - sizes, ends], axis=1)
    return portion_of(bounds, narrow, flows.scan.chunks, compiled=compiled), flows.order[places]


def _table(portion: Portion, known: _Told, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The connections of some flows, as of ``Part``, but for what their hellos say."""
    told, low, first = known.told[places], portion.bounds[places, 0], portion.first[places]
    table = np.zeros((len(places), pc.COLUMNS), np.int64)
    for column, values in (
        (pc.FLOW, known.numbers[places]),
        (pc.CLIENT, told[:, CLIENT]),
        (pc.REQUESTS, told[:, REQUESTS]),
        (pc.REPLY_ROW, _row_of(known.rows, low, told[:, REPLY])),
        (pc.WENT_ON_ROW, _row_of(known.rows, low, told[:, WENT_ON])),
        (pc.LARGEST, told[:, LARGEST]),
        (pc.CLIENT_KINDS, told[:, CLIENT_KINDS]),
        (pc.SERVER_KINDS, told[:, SERVER_KINDS]),
        (pc.VERSION, portion.heads[first, VERSION]),
        (pc.CHUNK, portion.chunk[first]),
        (pc.DCID_AT, portion.heads[first, DCID_AT]),
        (pc.DCID_LENGTH, portion.heads[first, DCID]),
        (pc.SCID_AT, portion.heads[first, SCID_AT]),
        (pc.SCID_LENGTH, portion.heads[first, SCID]),
        (pc.HAS_CRYPTO, (told[:, REPLY] >= 0) & (told[:, CLOSED] == 0)),
    ):
        table[:, column] = values
    table[:, pc.SERVER_VERSION] = -1
    heard = np.flatnonzero(told[:, SERVER] >= 0)
    server = told[heard, SERVER]
    for column, of_head in (
        (pc.SERVER_VERSION, VERSION),
        (pc.SERVER_SCID_AT, SCID_AT),
        (pc.SERVER_SCID_LENGTH, SCID),
        (pc.SERVER_SCID_WORD, SCID + 1),
    ):
        table[heard, column] = portion.heads[server, of_head]
    table[heard, pc.SERVER_CHUNK] = portion.chunk[server]
    return table


def _write_hellos(table: NDArray[np.int64], hellos: Hellos, tied: NDArray[np.bool_]) -> None:
    """Write what the hellos say that are ``tied`` to their flows."""
    begins = np.concatenate([np.zeros(1, np.int64), hellos.ends[:-1]])[: len(hellos.ends)]
    table[:, pc.HELLO_BEGIN], table[:, pc.HELLO_END] = begins[tied], hellos.ends[tied]
    table[:, pc.FIRST_REPEAT], table[:, pc.NAMES] = hellos.took[tied], hellos.number[tied]


def _write_sealed(table: NDArray[np.int64], callers: NDArray[np.int64], number: int) -> None:
    """Write what is known of connections without a hello; ``number`` is that of no names."""
    table[:, pc.SEALED], table[:, pc.FIRST_REPEAT], table[:, pc.NAMES] = 1, 1, number
    table[:, pc.ROLES] = np.where(callers >= 0, pc.BY_PORT, pc.FIRST_SEEN)


def _row_of(rows: NDArray[np.int64], low: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The selected row at a place of each flow, whose rows begin at ``low``; -1 for -1."""
    return np.where(places >= 0, rows[low + np.maximum(places, 0)], -1)
