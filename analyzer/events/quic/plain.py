"""Plain QUIC flows, many at once: what ``reader`` would find in them, told from columns by a kernel.

How it works
------------
A flow is *plain* if it holds one connection from its client's first Initial on, of a version whose Initials can be
opened, without Retry and Version Negotiation, and either no reply at all or a client that goes on to Handshake packets,
so that nothing the server's Initials hide can change a verdict. Nearly all flows of a server that is busy, of one that
is silent, and of one that is flooded are plain.

``judge_flows`` goes through the rows of flows once and says which may be; then their first Initials are opened, and
further ones until the ClientHello is whole. A flow whose packets turn out not to open, or whose hello stays incomplete,
is not plain. Those are left to ``reader``, which reads any flow and of a plain one makes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events.connection import Connection, Flows
from analyzer.kernels import Matrix, helper, kernel, runner
from analyzer.wire.quic import key_schedule as ks
from analyzer.wire.quic.first_message import MISSING, FirstMessages
from analyzer.wire.quic.gquic import GQUIC_FRAMES
from analyzer.wire.quic.protection import open_with
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, OTHER_LONG, RETRY, VERSION_NEGOTIATION, Datagrams, quic_packets
from analyzer.wire.quic.summary import SHORT_BIT
from analyzer.wire.tls_hello import ClientHello, read_client_hello

#: Fewer flows are read sooner one by one than the kernels are loaded.
WORTH_KERNELS = 500
#: Flows that are judged at once: enough for a kernel, and few against the memory that all take.
PORTION = 4096
#: Initials of one flow that are opened here; a ClientHello takes one or two.
_MOST_INITIALS = 4

_INITIAL_BIT, _HANDSHAKE_BIT = 1 << INITIAL, 1 << HANDSHAKE
_NOT_PLAIN = 1 << RETRY | 1 << VERSION_NEGOTIATION | 1 << OTHER_LONG

#: Columns of the first packets of datagrams: a CID takes _CID_WORDS words of seven bytes.
_CID_WORDS = 3
KIND, FLAW, OPENABLE, DCID_LENGTH, DCID, SCID_LENGTH, SCID = 0, 1, 2, 3, 4, 4 + _CID_WORDS, 5 + _CID_WORDS
START, DCID_AT, SCID_AT, NUMBER_AT, END, VERSION = range(SCID + _CID_WORDS, SCID + _CID_WORDS + 6)
HEAD_COLUMNS = VERSION + 1

#: Columns of what a flow says. Places are those of rows among the flow's, -1: none; SERVER is the row of the heads that
#: names the server, MOVED that of the first Initial to a CID that only the keys can tie to the connection, or -1.
CLIENT, INITIALS, REQUESTS, REPLY, WENT_ON, LARGEST, CLIENT_KINDS, SERVER_KINDS, SERVER, MOVED = range(10)
FLOW_COLUMNS = 10

Narrow = Annotated[NDArray[np.int32], 2]
_DIRECTION, _QUIC, _LENGTH, _CHUNK, _BEGIN, _STOP = range(6)  # rows of ``Flows.narrow``


@helper
def same_words(heads: Any, one: int, at: int, other: int, other_at: int) -> bool:
    """Whether two CIDs, each a length and _CID_WORDS words behind it, are the same."""
    differ = 0
    for i in range(1 + _CID_WORDS):
        differ |= heads[one, at + i] ^ heads[other, other_at + i]
    return differ == 0


@kernel
def write_cids(b: NDArray[np.uint8], offsets: Matrix, heads: Matrix) -> int:
    """Write the CIDs at ``offsets`` (DCID, its length, SCID, its length; -1: no such packet) into ``heads``."""
    for row in range(len(offsets)):
        for side in range(2):
            at, length = offsets[row, 2 * side], offsets[row, 2 * side + 1]
            to = DCID_LENGTH if side == 0 else SCID_LENGTH
            heads[row, to] = length
            for word in range(_CID_WORDS):
                value = 0
                for i in range(7 * word, min(7 * word + 7, length)):
                    value = value << 8 | (int(b[at + i]) & 0xFF)
                heads[row, to + 1 + word] = value
    return len(offsets)


@kernel
def judge_flows(
    bounds: Matrix, narrow: Narrow, head_of: NDArray[np.int64], heads: Matrix, plain: NDArray[np.bool_], out: Matrix
) -> int:
    """Which flows may be plain, and what they say.

    ``bounds``: first and last place of a flow's rows in ``narrow``, of which ``head_of`` names the row of ``heads``.
    """
    count = 0
    for flow in range(len(bounds)):
        low, high = bounds[flow, 0], bounds[flow, 1]
        first = head_of[low]
        plain[flow] = False
        if first < 0 or heads[first, OPENABLE] == 0 or heads[first, DCID_LENGTH] == 0:
            continue
        client = int(narrow[_DIRECTION, low])
        initials, requests, reply, went_on, largest, kinds, server_kinds, server, moved = 0, 0, -1, -1, -1, 0, 0, -1, -1
        fits, opening = True, True
        for at in range(low, high):
            bits, head = int(narrow[_QUIC, at]), head_of[at]
            if bits and (head < 0 or bits & _NOT_PLAIN):
                fits = False
                break
            if int(narrow[_DIRECTION, at]) == client:
                if bits:
                    known = same_words(heads, head, DCID_LENGTH, first, DCID_LENGTH)
                    if not known and server >= 0:
                        known = same_words(heads, head, DCID_LENGTH, server, SCID_LENGTH)
                    if not known and moved >= 0:
                        known = same_words(heads, head, DCID_LENGTH, moved, DCID_LENGTH)
                    if not known and (heads[head, SCID_LENGTH] > 0 or heads[head, KIND] != INITIAL):
                        known = same_words(heads, head, SCID_LENGTH, first, SCID_LENGTH)
                    if not known and (moved >= 0 or heads[head, OPENABLE] == 0):
                        fits = False
                        break
                    if not known:
                        moved = head
                kinds |= bits if bits else SHORT_BIT
                if bits & _INITIAL_BIT:
                    largest = max(largest, int(narrow[_LENGTH, at]))
                    if reply < 0:
                        if requests < at - low:  # something else before: 0-RTT alone, a short header
                            fits = False
                            break
                        requests += 1
                        opening = opening and heads[head, OPENABLE] > 0 and initials < _MOST_INITIALS
                        opening = opening and heads[head, VERSION] == heads[first, VERSION]
                        opening = opening and same_words(heads, head, DCID_LENGTH, first, DCID_LENGTH)
                        if opening:
                            initials += 1
                goes_on = bits & _HANDSHAKE_BIT or bits == 0 or (bits & SHORT_BIT and not bits & _INITIAL_BIT)
                if went_on < 0 and goes_on:
                    went_on = at - low
            else:
                if bits and not same_words(heads, head, DCID_LENGTH, first, SCID_LENGTH):
                    fits = False
                    break
                if bits and server < 0:
                    if heads[head, OPENABLE] == 0 or heads[head, SCID_LENGTH] == 0 or kinds & _HANDSHAKE_BIT:
                        fits = False
                        break
                    server = head
                if reply < 0:
                    if bits == 0:
                        fits = False
                        break
                    reply = at - low
                server_kinds |= bits if bits else SHORT_BIT
        if not fits or (reply >= 0 and not kinds & _HANDSHAKE_BIT):
            continue
        plain[flow] = True
        count += 1
        out[flow, CLIENT], out[flow, INITIALS], out[flow, REQUESTS], out[flow, REPLY] = (
            client,
            initials,
            requests,
            reply,
        )
        out[flow, WENT_ON], out[flow, LARGEST], out[flow, CLIENT_KINDS] = went_on, largest, kinds
        out[flow, SERVER_KINDS], out[flow, SERVER], out[flow, MOVED] = server_kinds, server, moved
    return count


class _Portion(NamedTuple):
    """Some flows: their numbers, the columns of their rows, and the first packets of those with a long header."""

    chosen: list[int]
    bounds: NDArray[np.int64]
    narrow: NDArray[np.int32]
    rows: list[int]  # indices of selected rows
    head_of: NDArray[np.int64]
    heads: NDArray[np.int64]
    chunk: NDArray[np.int64]  # of each head


def plain_connections(flows: Flows, chosen: Sequence[int], *, compiled: bool) -> tuple[list[Connection], list[int]]:
    """The connections of those flows that are plain, one each, and the other flows."""
    connections: list[Connection] = []
    others: list[int] = []
    for begin in range(0, len(chosen), PORTION):
        portion = _portion(flows, list(chosen[begin : begin + PORTION]), compiled=compiled)
        plain = np.zeros(len(portion.chosen), np.bool_)
        told = np.zeros((len(portion.chosen), FLOW_COLUMNS), np.int64)
        judge = runner(judge_flows, compiled)
        judge(portion.bounds, portion.narrow, portion.head_of, portion.heads, plain, told)
        hellos = _hellos(flows, portion, np.flatnonzero(plain), told, compiled=compiled)
        others += [flow for place, flow in enumerate(portion.chosen) if place not in hellos]
        connections += _connections(flows, portion, told, hellos)
    return connections, others


def _portion(flows: Flows, chosen: list[int], *, compiled: bool) -> _Portion:
    """The columns of some flows."""
    numbers = np.asarray(chosen, np.int64)
    low, sizes = flows.limits[numbers], flows.limits[numbers + 1] - flows.limits[numbers]
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1]) + np.repeat(low - (ends - sizes), sizes)
    narrow = np.ascontiguousarray(flows.narrow[:, places])
    long = np.flatnonzero(narrow[_QUIC])
    heads, head_of = np.zeros((len(long), HEAD_COLUMNS), np.int64), np.full(len(places), -1, np.int64)
    chunks = narrow[_CHUNK, long].astype(np.int64)
    for chunk in np.unique(chunks).tolist():
        here = np.flatnonzero(chunks == chunk)
        b = np.frombuffer(flows.scan.chunks[chunk], np.uint8)
        known = _read_heads(b, narrow[:, long[here]], heads, here, compiled=compiled)
        head_of[long[known]] = known
    return _Portion(
        chosen, np.stack([ends - sizes, ends], axis=1), narrow, flows.order[places].tolist(), head_of, heads, chunks
    )


def _read_heads(
    b: NDArray[np.uint8],
    narrow: NDArray[np.int32],
    heads: NDArray[np.int64],
    here: NDArray[np.int64],
    *,
    compiled: bool,
) -> NDArray[np.int64]:
    """Fill in the rows ``here`` of ``heads`` from datagrams of one chunk; those whose first packet could be read."""
    begin, length = narrow[_BEGIN].astype(np.int64), narrow[_LENGTH].astype(np.int64)
    packets = quic_packets(b, Datagrams(begin, narrow[_STOP].astype(np.int64), begin + length), compiled=compiled)
    initials = np.bincount(packets.datagram[packets.kind == INITIAL], minlength=len(here))
    first = np.flatnonzero(np.diff(packets.datagram, prepend=-1) > 0)
    first = first[packets.kind[first] <= HANDSHAKE]
    at = here[packets.datagram[first]]
    columns = {START: "start", DCID_AT: "dcid_offset", SCID_AT: "scid_offset", NUMBER_AT: "payload_offset"}
    columns |= {KIND: "kind", FLAW: "flaw", END: "end", VERSION: "version"}
    offsets = np.stack(
        [getattr(packets, f"{cid}_{what}")[first] for cid in ("dcid", "scid") for what in ("offset", "length")]
    )
    read = np.zeros((len(first), HEAD_COLUMNS), np.int64)
    runner(write_cids, compiled)(b, np.ascontiguousarray(offsets.T), read)
    for column, name in columns.items():
        read[:, column] = getattr(packets, name)[first]
    versions = [v for v in np.unique(read[:, VERSION]).tolist() if ks.can_derive(v) and v not in GQUIC_FRAMES]
    openable = (read[:, KIND] == INITIAL) & (read[:, FLAW] == 0) & np.isin(read[:, VERSION], versions)
    read[:, OPENABLE] = openable & (initials[packets.datagram[first]] == 1)
    heads[at] = read
    return at


def _hellos(
    flows: Flows, portion: _Portion, plain: NDArray[np.int64], told: NDArray[np.int64], *, compiled: bool
) -> dict[int, tuple[ClientHello, int]]:
    """The whole ClientHello of each flow and how many Initials it took, for those of ``plain`` that have one."""
    first = portion.head_of[portion.bounds[:, 0]]
    messages, took = FirstMessages(len(first), compiled=compiled), np.zeros(len(first), np.int64)
    waiting = plain
    for number in range(_MOST_INITIALS):
        waiting = waiting[told[waiting, INITIALS] > number]
        if not len(waiting):
            break
        head = portion.head_of[portion.bounds[waiting, 0] + number]
        messages.add(waiting, _opened(flows, portion, head, head, compiled=compiled))
        took[waiting] = number + 1
        waiting = waiting[messages.lengths[waiting] == MISSING]
    whole = plain[messages.lengths[plain] > 0]
    moved = whole[told[whole, MOVED] >= 0]
    if len(moved):
        clear = _opened(flows, portion, told[moved, MOVED], first[moved], compiled=compiled)
        whole = np.setdiff1d(whole, moved[[not each for each in clear]])
    read = ((place, read_client_hello(messages.message(place))) for place in whole.tolist())
    return {place: (hello, int(took[place])) for place, hello in read if hello is not None}


def _opened(
    flows: Flows, portion: _Portion, head: NDArray[np.int64], named: NDArray[np.int64], *, compiled: bool
) -> list[bytes]:
    """The clear payloads of the client's Initials ``head`` by the keys of the DCIDs of ``named``; b"" of another's."""
    clear = [b""] * len(head)
    for chunk in np.unique(portion.chunk[head]).tolist():
        here = np.flatnonzero((portion.chunk[head] == chunk) & (portion.chunk[named] == chunk))
        heads, names, buffer = portion.heads[head[here]], portion.heads[named[here]], flows.scan.chunks[chunk]
        versions, schedule = np.unique(heads[:, VERSION], return_inverse=True)
        room = heads[:, NUMBER_AT] - heads[:, START] + 4
        packets = np.zeros((len(here), ks.PACKET_COLUMNS), np.int64)
        for column, values in (
            (ks.PACKET, heads[:, START]),
            (ks.DCID, names[:, DCID_AT]),
            (ks.DCID_LENGTH, names[:, DCID_LENGTH]),
            (ks.NUMBER, heads[:, NUMBER_AT]),
            (ks.SCHEDULE, schedule),
            (ks.HEADER, np.cumsum(room) - room),
        ):
            packets[:, column] = values
        b = np.frombuffer(buffer, np.uint8)
        keys, headers, sizes = ks.initial_keys_of(b, packets, versions.tolist(), int(room.sum()), compiled=compiled)
        header = packets[:, ks.HEADER]
        table = (here, header, header + sizes, heads[:, START] + sizes, heads[:, END])
        secrets = keys.tobytes()
        at = 0
        for place, low, high, begin, end in zip(*map(np.ndarray.tolist, table), strict=True):
            nonce, behind = at + ks.KEY_BYTES, at + ks.KEYS_WIDTH
            clear[place] = open_with(secrets[at:nonce], secrets[nonce:behind], headers[low:high], buffer[begin:end])
            at = behind
    return clear


def _connections(
    flows: Flows, portion: _Portion, told: NDArray[np.int64], hellos: dict[int, tuple[ClientHello, int]]
) -> Iterator[Connection]:
    """The connections of the flows whose ClientHello is whole."""
    places = np.fromiter(hellos, np.int64, len(hellos))
    bounds = portion.bounds[places]
    first = portion.head_of[bounds[:, 0]]
    table = zip(hellos.items(), bounds.tolist(), told[places].tolist(), first.tolist(), strict=True)
    cids = portion.heads[:, [DCID_AT, DCID_LENGTH, SCID_AT, SCID_LENGTH, VERSION]]
    chunks, chunk_of = flows.scan.chunks, portion.chunk.tolist()
    for (place, (hello, took)), (low, high), facts, head in table:
        client, _, requests, reply, went_on, largest, client_kinds, server_kinds, server, _ = facts
        rows = portion.rows[low:high]
        connection = flows.new_connection("quic", portion.chosen[place], client, "initial")
        connection.rows, connection.request_rows, connection.first_repeat = rows, rows[:requests], took
        connection.largest_request = largest
        dcid_at, dcid_length, scid_at, scid_length, version = cids[head].tolist()
        bytes_ = chunks[chunk_of[head]]
        connection.client_dcid = bytes_[dcid_at : dcid_at + dcid_length]
        connection.client_scid = bytes_[scid_at : scid_at + scid_length]
        connection.hello, connection.hello_complete = hello, True
        connection.version, connection.version_known = version, True
        connection.client_kinds, connection.server_kinds = client_kinds, server_kinds
        if went_on >= 0:
            connection.client_went_on, connection.went_on_row = True, rows[went_on]
        if reply >= 0:
            connection.reply_row = rows[reply]
            _, _, scid_at, scid_length, connection.server_version = cids[server].tolist()
            connection.server_scid = chunks[chunk_of[server]][scid_at : scid_at + scid_length]
            connection.server_crypto, connection.left_closed = True, connection.client_dcid
        flows.count([connection])
        yield connection
