"""Packet columns to flows and selected packets, in one pass: the first room with memory.

How it works
------------
A *flow* is all packets of one pair of sockets and one transport protocol, both directions. Its two ends are called a
and b by the order of their addresses, which says nothing about client and server. The kernel keeps counters per flow
and direction, and *selects* the packets that later rooms may need, copying their bytes out of the batch:

* always: SYN, FIN and RST; QUIC long headers; ICMP errors and neighbour discovery; ARP; DNS;
* the first ``HEAD`` packets of each direction, again behind each SYN, and the first ``HEAD_PAYLOADS`` with payload;
* segments that begin like an HTTP/1 message, and those behind them (``tcp.heads``);
* fragments among the first ``FRAGMENTS_KEPT`` of them: a first one lies in the flow of its ports, the others, which
  have none, in a flow of both addresses and the protocol with ports 0 (``analyzer.events.fragments`` joins them);
* the first packet after ``SILENCE_NS`` without one in the same direction;
* small UDP datagrams that end in the same 16 bytes as the one before (``story.endings``: stateless resets);
* TCP segments that do not begin where the one before ended (``tcp.segments``).

Each selected row carries the running counters of its flow at that moment. So a connection that shares its flow with
another is measured by subtraction, and a scan that was cut can be continued: ``analyzer.events.scan`` adds what came
before to the rows of the later piece, and whatever depends on an ordinal is decided again there.

A packet captured twice (``-i any``, a bridge, a mirror port) has the same digest as one of the last ``RING`` of its
direction and follows it within ``DUPLICATE_WITHIN_NS``; it is counted apart and never taken for a repeat.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.records import Records
from analyzer.events import selected as sel
from analyzer.events.selected import count_record, write_packet
from analyzer.events.story.endings import FIRST_TAIL, TAILS_KEPT, count_tail, count_unanswered, tail_of
from analyzer.events.tcp.heads import HEADS_KEPT, count_head
from analyzer.events.tcp.segments import count_segment, is_kept_jump
from analyzer.kernels import Matrix, helper, kernel
from analyzer.wire.bytes import copy_bytes, hash_of_words, hash_secret
from analyzer.wire.packets import (
    ARP,
    DESTINATION_0,
    DESTINATION_1,
    DESTINATION_2,
    DESTINATION_3,
    DESTINATION_PORT,
    DIGEST,
    FAMILY,
    FRAGMENT,
    ICMP,
    ICMP_TYPE,
    IP_ID,
    IP_OFFSET,
    KIND,
    MOST_BYTES,
    NOT_IP,
    PAYLOAD_CAPTURED,
    PAYLOAD_LENGTH,
    PAYLOAD_OFFSET,
    PROTOCOL,
    SOURCE_0,
    SOURCE_1,
    SOURCE_2,
    SOURCE_3,
    SOURCE_PORT,
    TCP,
    TCP_FLAGS,
    UDP,
    UNREAD_LINK,
    decode_packet,
)
from analyzer.wire.quic.summary import datagram_kinds, initial_bytes_end, quic_cid_digest

KEY_WORDS = 10
RING = 4
HEAD = 4  # packets; the first packets of each direction are selected (and decide about duplicates at a cut)
HEAD_PAYLOADS = 6  # packets with payload: a TLS hello or HTTP head in up to that many segments
FRAGMENTS_KEPT = 256  # fragments are read among so many packets with payload: those of a few hundred datagrams
HEAD_LONGS = 6  # QUIC datagrams with one DCID kept whole: a ClientHello in up to that many, repeats included
SILENCE_NS = 1_000_000_000  # a pause in one direction that later rooms should see both ends of
DUPLICATE_WITHIN_NS = 20_000_000  # copies on one host are microseconds apart; repeats at least 200 ms
DUPLICATES_KEPT = 2
PAYLOAD_KEPT = 8192  # bytes of payload kept of a packet kept whole: a server's TLS flight in one offloaded segment
HEADER_KEPT = 64  # bytes of payload kept of a QUIC long header packet that is not: the header with both CIDs

# Bits of the column ``reason``.
ALWAYS, IS_DUPLICATE, WHOLE, IS_LONG = 1, 2, 4, 8


class FlowTable(NamedTuple):
    """Open addressing over ``slots``; the state of a's direction is row 2 * flow of ``state``, b's the row after it."""

    size: NDArray[np.int64]  # [number of flows]
    slots: NDArray[np.int32]  # flow at this slot, -1 if free; the length is a power of two
    keys: NDArray[np.uint32]  # KEY_WORDS per flow: a's address, b's address, ports, protocol << 8 | family
    state: Matrix
    key: NDArray[np.int64]  # of KEY_WORDS: the key that is being looked up; behind it the secret of its hash


# Columns of ``FlowTable.state``, one row per flow and direction.
RECORDS = 0  # duplicates included
PAYLOADS = 1  # packets with payload
DUPLICATES = 2
BYTES = 3  # payload by the headers
FIRST_TIME = 4
LAST_TIME = 5
CID_DIGEST = 6  # of the DCID of the last QUIC long header
CID_RUN = 7  # how many long headers in a row carried it
# 8 to 11: those of story.endings
SYN_AT = 12  # 1 + the records of this direction at the flow's last SYN or SYN/ACK, 0: none
# 13 to 15: those of tcp.segments
RING_DIGEST = 16  # RING digests, -1 where none can prove a duplicate
RING_TIME = RING_DIGEST + RING
STATE_COLUMNS = RING_TIME + RING + 2  # the last: of tcp.heads and tcp.segments


def new_flow_table(flows: int) -> FlowTable:
    """An empty table with room for ``flows`` flows (a power of two)."""
    slots, keys = np.full(2 * flows, -1, np.int32), np.zeros(KEY_WORDS * flows, np.uint32)
    key = np.append(np.zeros(KEY_WORDS, np.int64), hash_secret(KEY_WORDS))
    return FlowTable(np.zeros(1, np.int64), slots, keys, np.zeros((2 * flows, STATE_COLUMNS), np.int64), key)


@helper
def a_is_source(p: Any, r: int) -> bool:
    """Whether the sender of packet ``r`` is the flow's end a: the smaller of the two sockets."""
    if p[r, SOURCE_0] != p[r, DESTINATION_0]:
        return bool(p[r, SOURCE_0] < p[r, DESTINATION_0])
    if p[r, SOURCE_1] != p[r, DESTINATION_1]:
        return bool(p[r, SOURCE_1] < p[r, DESTINATION_1])
    if p[r, SOURCE_2] != p[r, DESTINATION_2]:
        return bool(p[r, SOURCE_2] < p[r, DESTINATION_2])
    if p[r, SOURCE_3] != p[r, DESTINATION_3]:
        return bool(p[r, SOURCE_3] < p[r, DESTINATION_3])
    return bool(p[r, SOURCE_PORT] <= p[r, DESTINATION_PORT])


@helper
def write_key(p: Any, r: int, forward: bool, key: Any) -> int:
    """Write the flow key of packet ``r`` into ``key`` (``KEY_WORDS`` words); returns its hash."""
    a = 0 if forward else 4
    b = 4 - a
    key[a], key[a + 1], key[a + 2], key[a + 3] = p[r, SOURCE_0], p[r, SOURCE_1], p[r, SOURCE_2], p[r, SOURCE_3]
    key[b], key[b + 1] = p[r, DESTINATION_0], p[r, DESTINATION_1]
    key[b + 2], key[b + 3] = p[r, DESTINATION_2], p[r, DESTINATION_3]
    if forward:
        key[8] = (p[r, SOURCE_PORT] << 16) | p[r, DESTINATION_PORT]
    else:
        key[8] = (p[r, DESTINATION_PORT] << 16) | p[r, SOURCE_PORT]
    key[9] = ((p[r, PROTOCOL] & 0xFF) << 8) | p[r, FAMILY]  # not read: 255, which IANA keeps free
    return hash_of_words(key, KEY_WORDS)


@helper
def find_flow(size: Any, slots: Any, keys: Any, key: Any, h: int) -> int:
    """Index of the flow with this key, inserted if new; -1 if the table is full and the key new."""
    mask = len(slots) - 1
    slot = h & mask
    while slots[slot] >= 0:
        base = slots[slot] * KEY_WORDS
        same = True
        for word in range(KEY_WORDS):
            if keys[base + word] != key[word]:
                same = False
                break
        if same:
            return int(slots[slot])
        slot = (slot + 1) & mask
    flow = int(size[0])
    if (flow + 1) * KEY_WORDS > len(keys):
        return -1
    slots[slot] = flow
    size[0] = flow + 1
    for word in range(KEY_WORDS):
        keys[flow * KEY_WORDS + word] = key[word]
    return flow


@kernel
def insert_keys(keys: NDArray[np.uint32], flows: int, table: FlowTable, mapping: NDArray[np.int64]) -> int:
    """Insert ``flows`` keys into a table that has room for them; ``mapping`` gets the index of each."""
    key = table.key
    for flow in range(flows):
        for word in range(KEY_WORDS):
            key[word] = keys[flow * KEY_WORDS + word]
        mapping[flow] = find_flow(table.size, table.slots, table.keys, key, hash_of_words(key, KEY_WORDS))
    return flows


@helper
def is_duplicate(state: Any, d: int, digest: int, time: int) -> bool:
    """Whether a packet with this digest was seen among the last ``RING`` of direction ``d`` a moment ago."""
    for k in range(RING):
        if state[d, RING_DIGEST + k] == digest and abs(time - state[d, RING_TIME + k]) <= DUPLICATE_WITHIN_NS:
            return True
    return False


@helper
def may_be_duplicate(p: Any, r: int) -> bool:
    """Whether equal digests prove one packet: bare ACKs and RSTs without IP identification repeat by themselves."""
    if p[r, KIND] == TCP:
        return bool(p[r, PAYLOAD_LENGTH] > 0 or p[r, TCP_FLAGS] & 3 or p[r, IP_ID] != 0)
    return bool(p[r, KIND] == UDP or (p[r, KIND] == ICMP and p[r, IP_ID] != 0))


@helper
def always_selected(p: Any, r: int) -> bool:
    """Packets that are selected wherever they stand, QUIC long headers apart."""
    kind = p[r, KIND]
    if kind == TCP:
        return bool(p[r, TCP_FLAGS] & 7)  # FIN, SYN, RST
    if kind == UDP:
        return bool(p[r, SOURCE_PORT] == 53 or p[r, DESTINATION_PORT] == 53)
    if kind == ICMP:
        type_ = p[r, ICMP_TYPE] >> 8
        if p[r, FAMILY] == 4:
            return bool(type_ == 3 or type_ == 5 or type_ == 11 or type_ == 12)
        return bool((1 <= type_ <= 4) or (133 <= type_ <= 137))
    return False


@helper
def begin_flow(state: Any, d: int) -> None:
    """Make ready the rows of a new flow, of which ``d`` is one: its rings hold nothing yet."""
    for k in range(RING):
        state[d, RING_DIGEST + k] = state[d ^ 1, RING_DIGEST + k] = -1


@helper
def since_syn(state: Any, d: int) -> int:
    """How many records of direction ``d`` followed the flow's last SYN; all of them if there was none."""
    return int(state[d, RECORDS] - max(state[d, SYN_AT] - 1, 0))


@helper
def count_packet(p: Any, r: int, time: int, state: Any, d: int) -> int:
    """Count packet ``r`` in row ``d`` of the flow states; returns its reason bits so far."""
    reason = ALWAYS | WHOLE if always_selected(p, r) else 0
    provable = may_be_duplicate(p, r)
    if state[d, RECORDS] == 0:
        state[d, FIRST_TIME] = time
    state[d, LAST_TIME] = time
    state[d, RECORDS] += 1
    if provable and is_duplicate(state, d, p[r, DIGEST], time):
        reason = IS_DUPLICATE
        state[d, DUPLICATES] += 1
    else:
        state[d, BYTES] += p[r, PAYLOAD_LENGTH]
        state[d, PAYLOADS] += 1 if p[r, PAYLOAD_LENGTH] > 0 else 0
    if p[r, KIND] == TCP and p[r, TCP_FLAGS] & 2:
        state[d, SYN_AT], state[d ^ 1, SYN_AT] = state[d, RECORDS] + 1, state[d ^ 1, RECORDS] + 1
    ring = state[d, RECORDS] % RING
    state[d, RING_DIGEST + ring] = p[r, DIGEST] if provable else -1
    state[d, RING_TIME + ring] = time
    head = HEAD_PAYLOADS if p[r, FRAGMENT] == 0 else FRAGMENTS_KEPT
    if reason == 0 and p[r, PAYLOAD_LENGTH] > 0 and (state[d, PAYLOADS] <= head or since_syn(state, d) <= HEAD):
        reason = WHOLE
    return reason


@helper
def long_header_kinds(b: Any, p: Any, r: int) -> int:
    """Kinds of the QUIC packets in datagram ``r`` (``datagram_kinds``), 0 if it does not begin with a long header."""
    start = p[r, PAYLOAD_OFFSET]
    if p[r, KIND] != UDP or start < 0:
        return 0
    at_443 = p[r, SOURCE_PORT] == 443 or p[r, DESTINATION_PORT] == 443
    return int(datagram_kinds(b, start, start + p[r, PAYLOAD_CAPTURED], p[r, PAYLOAD_LENGTH], at_443))


@helper
def count_long_header(cid: int, reason: int, state: Any, d: int) -> int:
    """Count a QUIC long header in row ``d``; returns the reason with IS_LONG and, for the first of a DCID, WHOLE."""
    if reason == IS_DUPLICATE:
        return reason
    state[d, CID_RUN] = 1 if cid != state[d, CID_DIGEST] else state[d, CID_RUN] + 1
    state[d, CID_DIGEST] = cid
    whole = WHOLE if state[d, CID_RUN] <= HEAD_LONGS else 0
    return (reason & ~WHOLE) | ALWAYS | IS_LONG | whole


@helper
def bytes_kept_until(b: Any, p: Any, r: int, reason: int, with_secrets: int) -> int:
    """Offset in the batch up to which the bytes of packet ``r`` are kept, if so many were captured.

    Handshake packets are worth keeping only where secrets may open them, or where other packets lie in later fragments.
    """
    payload = p[r, PAYLOAD_OFFSET]
    if p[r, KIND] == ARP:
        return int(p[r, IP_OFFSET] + 28)
    if payload < 0:
        return int(p[r, IP_OFFSET] + 96)
    stop = payload + p[r, PAYLOAD_CAPTURED]
    if reason & IS_LONG:
        whole = payload
        if reason & WHOLE:
            whole = stop if with_secrets or p[r, FRAGMENT] else initial_bytes_end(b, payload, stop)
        return int(min(stop, max(whole, payload + HEADER_KEPT)))
    if reason & WHOLE:
        return int(min(stop, payload + PAYLOAD_KEPT))
    return int(min(stop, payload + (HEADER_KEPT if p[r, KIND] == UDP else 0)))


@helper
def write_state(state: Any, d: int, out: Any, row: int) -> None:
    """The running counters of the flow after the packet, in the columns of ``Selected``."""
    other = d ^ 1
    out[row, sel.ORDINAL], out[row, sel.PAYLOAD_ORDINAL] = state[d, RECORDS], state[d, PAYLOADS]
    out[row, sel.DUPLICATE_ORDINAL], out[row, sel.BYTES_SO_FAR] = state[d, DUPLICATES], state[d, BYTES]
    out[row, sel.OTHER_RECORDS], out[row, sel.OTHER_DUPLICATES] = state[other, RECORDS], state[other, DUPLICATES]
    out[row, sel.OTHER_BYTES], out[row, sel.SYN_AT] = state[other, BYTES], state[d, SYN_AT]


@kernel
def track_flows(
    b: NDArray[np.uint8],
    records: Records,
    p: Matrix,
    table: FlowTable,
    out: Matrix,
    arena: NDArray[np.uint8],
    ledger: Matrix,
    cursor: NDArray[np.int64],
    with_secrets: int,
) -> int:
    """Continue at record ``cursor[0]`` of a batch; ``cursor[1]`` rows and ``cursor[2]`` arena bytes are written so far.

    Returns 0 when the batch is done, 1 when the flow table is full: the caller enlarges it and calls again. ``out``
    must have room for all records of the batch, ``arena`` for all its bytes, ``p`` for one packet: each is decoded
    where the one before was, in the processor's nearest memory.
    """
    offset, captured, original, times = records.offset, records.captured_length, records.original_length, records.time
    captures, numbers, positions, link_types = records.capture, records.number, records.position, records.link_type
    size, slots, keys, state, key = table.size, table.slots, table.keys, table.state, table.key
    rows, used = cursor[1], cursor[2]
    for r in range(cursor[0], len(offset)):
        decode_packet(b, offset[r], captured[r], original[r], link_types[r], p, 0)
        kind, flow, direction, d = p[0, KIND], -1, 0, 0
        is_ip = kind != UNREAD_LINK and kind != NOT_IP and kind != ARP
        if is_ip:
            direction = 0 if a_is_source(p, 0) else 1
            flow = find_flow(size, slots, keys, key, write_key(p, 0, direction == 0, key))
            if flow < 0:
                cursor[0], cursor[1], cursor[2] = r, rows, used
                return 1
            d = 2 * flow + direction
            if state[d, RECORDS] + state[d ^ 1, RECORDS] == 0:
                begin_flow(state, d)
        count_record(p, 0, captured[r] < original[r], ledger, captures[r])
        if kind == UNREAD_LINK or kind == NOT_IP:
            continue
        reason, quic, cid, gap, tail, repeat, head, jump = ALWAYS, 0, 0, -1, 0, 0, 0, 0
        if is_ip:
            if state[d, RECORDS] > 0:
                gap = times[r] - state[d, LAST_TIME]
            reason = count_packet(p, 0, times[r], state, d)
            count_unanswered(state, d, times[r])
            if kind == TCP:
                jump = count_segment(p, 0, times[r], state, d, reason & IS_DUPLICATE > 0)
                head = count_head(b, p, 0, state, d)
            tail = tail_of(b, p, 0)
            if tail:
                repeat = count_tail(tail, state, d)
            if (
                repeat == FIRST_TAIL
                or 0 < repeat <= TAILS_KEPT
                or (head and abs(head) <= HEADS_KEPT and reason != IS_DUPLICATE)
            ):
                reason |= WHOLE
            quic = long_header_kinds(b, p, 0)
            if quic:
                cid = quic_cid_digest(b, p[0, PAYLOAD_OFFSET], p[0, PAYLOAD_OFFSET] + p[0, PAYLOAD_CAPTURED])
                reason = count_long_header(cid, reason, state, d)
            if reason & IS_DUPLICATE:
                ledger[captures[r], sel.DUPLICATES] += 1
            wanted = reason & (ALWAYS | WHOLE) or since_syn(state, d) <= HEAD or gap >= SILENCE_NS or is_kept_jump(jump)
            if not wanted and not (reason & IS_DUPLICATE and state[d, DUPLICATES] <= DUPLICATES_KEPT):
                continue
        begin = p[0, IP_OFFSET]
        end = min(bytes_kept_until(b, p, 0, reason, with_secrets), offset[r] + captured[r])
        copy_bytes(b, begin, end, arena, used)
        out[rows, sel.CAPTURE], out[rows, sel.RECORD], out[rows, sel.POSITION] = captures[r], numbers[r], positions[r]
        out[rows, sel.TIME], out[rows, sel.FLOW] = times[r], flow
        out[rows, sel.DIRECTION], out[rows, sel.REASON] = direction, reason
        out[rows, sel.ORIGINAL_LENGTH], out[rows, sel.CAPTURED_LENGTH] = min(original[r], MOST_BYTES), captured[r]
        write_packet(p, 0, out, rows)
        out[rows, sel.QUIC], out[rows, sel.CID_DIGEST], out[rows, sel.GAP] = quic, cid, gap
        out[rows, sel.TAIL], out[rows, sel.TAIL_REPEAT] = tail, repeat
        out[rows, sel.HEAD], out[rows, sel.JUMP] = head, jump
        if flow >= 0:
            write_state(state, d, out, rows)
        else:
            out[rows, sel.ORDINAL : sel.SYN_AT + 1] = 0
        out[rows, sel.START], out[rows, sel.KEPT] = used, end - begin
        rows += 1
        used += end - begin
    cursor[0], cursor[1], cursor[2] = len(offset), rows, used
    return 0
