"""Packet columns to flows and selected packets, in one pass: the first room with memory.

How it works
------------
A *flow* is all packets of one pair of sockets and one transport protocol, both directions. Its two ends are called a
and b by the order of their addresses, which says nothing about client and server. The kernel keeps counters per flow
and direction, and *selects* the packets that later rooms may need, copying their bytes out of the batch:

* always: SYN, FIN and RST; QUIC long headers; ICMP errors and neighbour discovery; ARP; DNS; the first fragments;
* the first ``HEAD`` packets of each direction, and the first ``HEAD_PAYLOADS`` that carry payload;
* the first packet after ``SILENCE_NS`` without one in the same direction.

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
from analyzer.kernels import helper, kernel
from analyzer.wire.bytes import u8
from analyzer.wire.packets import ARP, ICMP, NOT_IP, TCP, UDP, UNREAD_LINK, Packets
from analyzer.wire.quic.split import quic_long_kind
from analyzer.wire.quic.summary import CLIENT_HELLO_FLOOR, initial_bytes_end, quic_cid_digest, quic_kinds

KEY_WORDS = 10
RING = 4
HEAD = 4  # packets; the first packets of each direction are selected (and decide about duplicates at a cut)
HEAD_PAYLOADS = 6  # packets with payload: a TLS hello or HTTP head in up to that many segments
HEAD_LONGS = 6  # QUIC datagrams with one DCID kept whole: a ClientHello in up to that many, repeats included
SILENCE_NS = 1_000_000_000  # a pause in one direction that later rooms should see both ends of
DUPLICATE_WITHIN_NS = 20_000_000  # copies on one host are microseconds apart; repeats at least 200 ms
DUPLICATES_KEPT = 2
PAYLOAD_KEPT = 4096  # bytes of payload kept of a packet kept whole
HEADER_KEPT = 64  # bytes of payload kept of a QUIC long header packet that is not: the header with both CIDs

# Bits of ``Selected.reason``.
ALWAYS, IS_DUPLICATE, WHOLE, IS_LONG = 1, 2, 4, 8

_FULL_FLOWS, _FULL_ROWS = 1, 2


class FlowTable(NamedTuple):
    """Open addressing over ``slots``; per-direction arrays hold a's direction at 2 * flow and b's after it."""

    size: NDArray[np.int64]  # [number of flows]
    slots: NDArray[np.int32]  # flow at this slot, -1 if free; the length is a power of two
    keys: NDArray[np.uint32]  # KEY_WORDS per flow: a's address, b's address, ports, protocol << 8 | family
    records: NDArray[np.int64]  # per direction: records, duplicates included
    payloads: NDArray[np.int64]  # per direction: packets with payload
    duplicates: NDArray[np.int64]
    bytes: NDArray[np.int64]  # payload bytes by the headers
    first_time: NDArray[np.int64]
    last_time: NDArray[np.int64]
    cid_digest: NDArray[np.int64]  # digest of the DCID of the last long header
    cid_run: NDArray[np.int64]  # how many long headers in a row carried it
    ring_digest: NDArray[np.int64]  # RING per direction
    ring_time: NDArray[np.int64]


class Selected(NamedTuple):
    """One row per selected packet. ``start`` points into the piece's arena, where ``kept`` bytes lie from the IP header on."""

    capture: NDArray[np.int32]
    record: NDArray[np.int64]
    position: NDArray[np.int64]
    time: NDArray[np.int64]
    flow: NDArray[np.int32]  # -1: no flow (ARP)
    direction: NDArray[np.int8]  # 0: a to b, 1: b to a
    reason: NDArray[np.int8]
    kind: NDArray[np.int8]  # of wire.packets
    flaw: NDArray[np.int8]
    fragment: NDArray[np.int8]
    ttl: NDArray[np.int16]
    original_length: NDArray[np.int32]
    captured_length: NDArray[np.int32]
    payload_length: NDArray[np.int32]
    payload_captured: NDArray[np.int32]
    tcp_flags: NDArray[np.int16]
    sequence: NDArray[np.uint32]
    acknowledgment: NDArray[np.uint32]
    window: NDArray[np.int32]
    icmp: NDArray[np.int32]
    digest: NDArray[np.uint32]
    quic: NDArray[np.int16]  # bits of the kinds of QUIC packets in the datagram
    cid_digest: NDArray[np.int64]  # digest of the first packet's DCID
    ordinal: NDArray[np.int64]  # records of this direction so far, this one included
    payload_ordinal: NDArray[np.int64]
    duplicate_ordinal: NDArray[np.int64]
    bytes_so_far: NDArray[np.int64]
    other_records: NDArray[np.int64]  # the same counters of the other direction
    other_duplicates: NDArray[np.int64]
    other_bytes: NDArray[np.int64]
    gap: NDArray[np.int64]  # ns since the previous record of this direction, -1: none before
    start: NDArray[np.int64]
    kept: NDArray[np.int32]
    transport: NDArray[np.int16]  # offset of the transport header in the kept bytes, -1 if not reached
    header: NDArray[np.int16]  # bytes before the payload


def new_flow_table(flows: int) -> FlowTable:
    """An empty table with room for ``flows`` flows (a power of two)."""
    columns: dict[str, Any] = {}
    for name in FlowTable._fields:
        columns[name] = np.zeros(2 * flows, np.int64)
    columns["size"] = np.zeros(1, np.int64)
    columns["slots"] = np.full(2 * flows, -1, np.int32)
    columns["keys"] = np.zeros(KEY_WORDS * flows, np.uint32)
    columns["ring_digest"] = np.full(2 * RING * flows, -1, np.int64)
    columns["ring_time"] = np.zeros(2 * RING * flows, np.int64)
    return FlowTable(**columns)


def new_selected(rows: int) -> Selected:
    """Columns with room for ``rows`` rows."""
    return Selected(*(np.zeros(rows, dtype) for dtype in SELECTED_DTYPES))


SELECTED_DTYPES = tuple(
    np.dtype(name)
    for name in (
        "i4 i8 i8 i8 i4 i1 i1 i1 i1 i1 i2 i4 i4 i4 i4 i2 u4 u4 i4 i4 u4 i2 i8 i8 i8 i8 i8 i8 i8 i8 i8 i8 i4 i2 i2".split()
    )
)


@helper
def a_is_source(p: Packets, r: int) -> bool:
    """Whether the sender of packet ``r`` is the flow's end a: the smaller of the two sockets."""
    if p.source_0[r] != p.destination_0[r]:
        return bool(p.source_0[r] < p.destination_0[r])
    if p.source_1[r] != p.destination_1[r]:
        return bool(p.source_1[r] < p.destination_1[r])
    if p.source_2[r] != p.destination_2[r]:
        return bool(p.source_2[r] < p.destination_2[r])
    if p.source_3[r] != p.destination_3[r]:
        return bool(p.source_3[r] < p.destination_3[r])
    return bool(p.source_port[r] <= p.destination_port[r])


@helper
def mix(h: int, word: int) -> int:
    """One step of a 32-bit hash."""
    h = ((h ^ word) * 0x9E3779B1) & 0xFFFFFFFF
    return h ^ (h >> 15)


@helper
def key_hash(key: Any) -> int:
    """Hash of a flow key of ``KEY_WORDS`` words."""
    h = 0x2545F491
    for word in range(KEY_WORDS):
        h = mix(h, int(key[word]))
    return h


@helper
def write_key(p: Packets, r: int, forward: bool, key: Any) -> int:
    """Write the flow key of packet ``r`` into ``key`` (``KEY_WORDS`` words); returns its hash."""
    a = 0 if forward else 4
    b = 4 - a
    key[a], key[a + 1], key[a + 2], key[a + 3] = p.source_0[r], p.source_1[r], p.source_2[r], p.source_3[r]
    key[b], key[b + 1], key[b + 2], key[b + 3] = p.destination_0[r], p.destination_1[r], p.destination_2[r], p.destination_3[r]
    if forward:
        key[8] = (p.source_port[r] << 16) | p.destination_port[r]
    else:
        key[8] = (p.destination_port[r] << 16) | p.source_port[r]
    key[9] = (p.protocol[r] << 8) | p.family[r]
    return key_hash(key)


@helper
def find_flow(table: FlowTable, key: Any, h: int) -> int:
    """Index of the flow with this key, inserted if new; -1 if the table is full and the key new."""
    mask = len(table.slots) - 1
    slot = h & mask
    while table.slots[slot] >= 0:
        base = table.slots[slot] * KEY_WORDS
        same = True
        for word in range(KEY_WORDS):
            if table.keys[base + word] != key[word]:
                same = False
                break
        if same:
            return int(table.slots[slot])
        slot = (slot + 1) & mask
    flow = table.size[0]
    if (flow + 1) * KEY_WORDS > len(table.keys):
        return -1
    table.slots[slot] = flow
    table.size[0] = flow + 1
    for word in range(KEY_WORDS):
        table.keys[flow * KEY_WORDS + word] = key[word]
    return int(flow)


@kernel
def insert_keys(keys: NDArray[np.uint32], flows: int, table: FlowTable, mapping: NDArray[np.int64]) -> int:
    """Insert ``flows`` keys into a table that has room for them; ``mapping`` gets the index of each."""
    key = np.zeros(KEY_WORDS, np.int64)
    for flow in range(flows):
        for word in range(KEY_WORDS):
            key[word] = keys[flow * KEY_WORDS + word]
        mapping[flow] = find_flow(table, key, key_hash(key))
    return flows


@helper
def is_duplicate(table: FlowTable, d: int, digest: int, time: int) -> bool:
    """Whether a packet with this digest was seen among the last ``RING`` of direction ``d`` a moment ago."""
    for k in range(d * RING, d * RING + RING):
        if table.ring_digest[k] == digest and abs(time - table.ring_time[k]) <= DUPLICATE_WITHIN_NS:
            return True
    return False


@helper
def may_be_duplicate(p: Packets, r: int) -> bool:
    """Whether equal digests can prove the same packet: bare ACKs without an IP identification repeat by themselves."""
    if p.kind[r] == TCP:
        return bool(p.payload_length[r] > 0 or p.tcp_flags[r] & 7 or p.ip_id[r] != 0)
    return bool(p.kind[r] == UDP or (p.kind[r] == ICMP and p.ip_id[r] != 0))


@helper
def always_selected(p: Packets, r: int) -> bool:
    """Packets that are selected wherever they stand, QUIC long headers apart."""
    kind = p.kind[r]
    if kind == TCP:
        return bool(p.tcp_flags[r] & 7)  # FIN, SYN, RST
    if kind == UDP:
        return bool(p.source_port[r] == 53 or p.destination_port[r] == 53 or p.fragment[r] == 1)
    if kind == ICMP:
        type_ = p.icmp[r] >> 8
        if p.family[r] == 4:
            return bool(type_ == 3 or type_ == 5 or type_ == 11 or type_ == 12)
        return bool((1 <= type_ <= 4) or (133 <= type_ <= 137))
    return False


@kernel
def track_flows(
    b: NDArray[np.uint8],
    records: Records,
    p: Packets,
    table: FlowTable,
    out: Selected,
    arena: NDArray[np.uint8],
    cursor: NDArray[np.int64],
) -> int:
    """Continue at row ``cursor[0]`` of a batch; ``cursor[1]`` rows and ``cursor[2]`` arena bytes are written so far.

    ``cursor[3 + capture]`` counts the duplicates of each capture.
    Returns 0 when the batch is done, 1 when the flow table is full: the caller enlarges it and calls again.
    ``out`` must have room for all records of the batch and ``arena`` for all its bytes.
    """
    key = np.zeros(KEY_WORDS, np.int64)
    rows, used = cursor[1], cursor[2]
    for r in range(cursor[0], len(records.offset)):
        kind = p.kind[r]
        if kind == UNREAD_LINK or kind == NOT_IP:
            continue
        time = records.time[r]
        flow, direction, d = -1, 0, 0
        reason, quic, cid, gap = ALWAYS, 0, 0, -1
        if kind != ARP:
            forward = a_is_source(p, r)
            flow = find_flow(table, key, write_key(p, r, forward, key))
            if flow < 0:
                cursor[0], cursor[1], cursor[2] = r, rows, used
                return _FULL_FLOWS
            direction = 0 if forward else 1
            d = 2 * flow + direction
            reason = ALWAYS | WHOLE if always_selected(p, r) else 0
            if table.records[d] > 0:
                gap = time - table.last_time[d]
            else:
                table.first_time[d] = time
            table.last_time[d] = time
            table.records[d] += 1
            if may_be_duplicate(p, r) and is_duplicate(table, d, p.digest[r], time):
                reason = IS_DUPLICATE
                table.duplicates[d] += 1
                cursor[3 + records.capture[r]] += 1
            else:
                table.bytes[d] += p.payload_length[r]
                table.payloads[d] += 1 if p.payload_length[r] > 0 else 0
            ring = d * RING + table.records[d] % RING
            table.ring_digest[ring], table.ring_time[ring] = (p.digest[r] if may_be_duplicate(p, r) else -1), time
            start, stop = p.payload_offset[r], p.payload_offset[r] + p.payload_captured[r]
            if kind == UDP and start >= 0 and start < stop and u8(b, start) & 0x80:
                long_kind = quic_long_kind(b, start, stop)
                at_443 = p.source_port[r] == 443 or p.destination_port[r] == 443
                if long_kind >= 0 and (long_kind != 5 or at_443 or p.payload_length[r] >= CLIENT_HELLO_FLOOR):
                    quic = quic_kinds(b, start, stop)
                    cid = quic_cid_digest(b, start, stop)
                    if reason != IS_DUPLICATE:
                        table.cid_run[d] = 1 if cid != table.cid_digest[d] else table.cid_run[d] + 1
                        table.cid_digest[d] = cid
                        reason |= ALWAYS | IS_LONG
                        if table.cid_run[d] <= HEAD_LONGS:
                            reason |= WHOLE
            if reason == 0 and p.payload_length[r] > 0 and table.payloads[d] <= HEAD_PAYLOADS:
                reason |= WHOLE
            if not (
                reason & (ALWAYS | WHOLE)
                or table.records[d] <= HEAD
                or gap >= SILENCE_NS
                or (reason == IS_DUPLICATE and table.duplicates[d] <= DUPLICATES_KEPT)
            ):
                continue
        begin = p.ip_offset[r]
        end = begin + 28
        if kind != ARP:
            end = bytes_kept_until(b, p, r, reason)
        end = min(end, records.offset[r] + records.captured_length[r])
        arena[used : used + end - begin] = b[begin:end]
        write_row(records, p, r, out, rows)
        write_state(table, d, flow, out, rows)
        out.flow[rows], out.direction[rows], out.reason[rows] = flow, direction, reason
        out.quic[rows], out.cid_digest[rows], out.gap[rows] = quic, cid, gap
        out.start[rows], out.kept[rows] = used, end - begin
        rows += 1
        used += end - begin
    cursor[0], cursor[1], cursor[2] = len(records.offset), rows, used
    return 0


@helper
def bytes_kept_until(b: Any, p: Packets, r: int, reason: int) -> int:
    """Offset in the batch up to which the bytes of packet ``r`` are kept."""
    payload = p.payload_offset[r]
    if payload < 0:
        return int(p.ip_offset[r] + 96)
    stop = payload + p.payload_captured[r]
    if reason & IS_LONG:
        whole = initial_bytes_end(b, payload, stop) if reason & WHOLE else payload
        return int(min(stop, max(whole, payload + HEADER_KEPT)))
    if reason & WHOLE:
        return int(min(stop, payload + PAYLOAD_KEPT))
    return int(min(stop, payload + (HEADER_KEPT if p.kind[r] == UDP else 0)))


@helper
def write_row(records: Records, p: Packets, r: int, out: Selected, row: int) -> None:
    """What the headers of packet ``r`` say."""
    out.capture[row], out.record[row], out.position[row] = records.capture[r], records.number[r], records.position[r]
    out.time[row] = records.time[r]
    out.kind[row], out.flaw[row], out.fragment[row], out.ttl[row] = p.kind[r], p.flaw[r], p.fragment[r], p.ttl[r]
    out.original_length[row], out.captured_length[row] = records.original_length[r], records.captured_length[r]
    out.payload_length[row], out.payload_captured[row] = p.payload_length[r], p.payload_captured[r]
    out.tcp_flags[row], out.sequence[row] = p.tcp_flags[r], p.sequence[r]
    out.acknowledgment[row], out.window[row] = p.acknowledgment[r], p.window[r]
    out.icmp[row], out.digest[row] = p.icmp[r], p.digest[r]
    out.transport[row] = p.transport_offset[r] - p.ip_offset[r] if p.transport_offset[r] >= 0 else -1
    out.header[row] = p.payload_offset[r] - p.ip_offset[r] if p.payload_offset[r] >= 0 else -1


@helper
def write_state(table: FlowTable, d: int, flow: int, out: Selected, row: int) -> None:
    """The running counters of the flow after the packet."""
    if flow < 0:
        return
    other = d ^ 1
    out.ordinal[row], out.payload_ordinal[row] = table.records[d], table.payloads[d]
    out.duplicate_ordinal[row], out.bytes_so_far[row] = table.duplicates[d], table.bytes[d]
    out.other_records[row], out.other_duplicates[row] = table.records[other], table.duplicates[other]
    out.other_bytes[row] = table.bytes[other]
