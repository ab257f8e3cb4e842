"""A scan of captures as a value: flows with their counters, selected packets with their bytes, and the ledger.

How it works
------------
``scan`` walks batches once and returns a ``Scan``. ``merge`` joins two scans of pieces that follow one another, and is
the only way in which results are combined: it is associative, and a capture cut anywhere and merged again gives the
same ``Scan`` after ``settle`` as the whole. That holds because

* counters are sums, first and last values;
* each row carries the running counters of its flow, to which merging adds what came before;
* what depends on the packets just before (duplicates, pauses) can only change for the first ``RING`` packets of a
  direction, and those are always selected;
* whatever depends on an ordinal is decided a second time in ``settle``: each piece keeps at least what the whole would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.records import Batch, CaptureFacts
from analyzer.events import flows as fl
from analyzer.events import selected as sel
from analyzer.events.flows import (
    ALWAYS,
    DUPLICATE_WITHIN_NS,
    IS_DUPLICATE,
    IS_LONG,
    KEY_WORDS,
    RING,
    WHOLE,
    FlowTable,
    insert_keys,
)
from analyzer.events.selected import SELECTED_DTYPES, Selected, each_column
from analyzer.events.story.endings import FIRST_TAIL, TAILS_KEPT, join_endings, join_tails
from analyzer.events.tcp.heads import HEADS_KEPT, add_heads, join_heads
from analyzer.events.tcp.jumps import join_jumps
from analyzer.events.tcp.segments import join_segments, kept_jumps
from analyzer.kernels import Matrix, runner
from analyzer.wire.packets import UDP, new_packets
from analyzer.wire.quic.split import INITIAL

LEDGER = (
    *("records", "decoded", "not_ip", "fragments", "duplicates", "truncated", "flawed", "unread_link_type", "cut"),
    *("summarized_connections", "summarized_records"),  # counted by fleet.limit
)

#: What one scan remembers at most: flows, QUIC connection IDs of Initials, selected packets, bytes of them. About 4 GB
#: together with what is made of it; a gigabyte of ordinary traffic has a tenth of that.
MOST_FLOWS, MOST_CIDS, MOST_ROWS, MOST_KEPT = 1 << 19, 1 << 19, 1 << 22, 1 << 30

_INITIAL_BIT = 1 << INITIAL
_SEAL_BYTES = 8 << 20  # a chunk of the arena is closed when it holds this much


@dataclass(frozen=True, slots=True)
class Scan:
    """Flows, selected rows in the order of their records, and counts per capture.

    ``chunks`` holds the kept bytes: ``rows.kept[i]`` of row i lie in ``chunks[chunk[i]]`` from ``rows.start[i]`` on.
    ``ledger[capture, k]`` counts ``LEDGER[k]``.
    """

    table: FlowTable
    rows: Selected
    chunk: NDArray[np.int32]
    chunks: tuple[bytes, ...]
    ledger: NDArray[np.int64]

    def row_bytes(self, row: int) -> bytes:
        """The kept bytes of a row, from its IP (or ARP) header on."""
        start = int(self.rows.start[row])
        chunk = self.chunks[int(self.chunk[row])]
        return chunk[start : start + int(self.rows.kept[row])]


class _Collector:
    """Working buffers of the kernel, closed into compact chunks as they fill."""

    def __init__(self) -> None:
        self.rows = np.empty((0, len(Selected._fields)), np.int64)
        self.arena = np.empty(0, np.uint8)
        self.closed_rows: list[Selected] = []
        self.closed_chunks: list[bytes] = []
        self.count = self.size = self.cids = 0  # of closed rows and their bytes; of Initials, counted per batch

    def full(self, table: FlowTable, cursor: NDArray[np.int64], before: int) -> str:
        """Why no more can be remembered, "" while it can; ``before`` rows were written before this batch."""
        new = self.rows[before : cursor[1]]
        self.cids += len(np.unique(new[new[:, sel.QUIC] & _INITIAL_BIT > 0, sel.CID_DIGEST]))
        for number, most, what in (
            (int(table.size[0]), MOST_FLOWS, "flows"),
            (self.cids, MOST_CIDS, "QUIC connection IDs"),
            (self.count + int(cursor[1]), MOST_ROWS, "packets of handshakes and questions"),
            (self.size + int(cursor[2]), MOST_KEPT, "bytes of handshakes and questions"),
        ):
            if number >= most:
                return f"no more than {most:,} {what} are remembered; cut the capture with editcap or filter it"
        return ""

    def make_room(self, cursor: NDArray[np.int64], records: int, size: int) -> None:
        """Room for a batch; what was collected so far is closed when it is large or in the way."""
        if cursor[2] >= _SEAL_BYTES or cursor[1] + records > len(self.rows) or cursor[2] + size > len(self.arena):
            self.close(cursor)
        if records > len(self.rows):
            self.rows = np.empty((max(4 * records, 1024), len(Selected._fields)), np.int64)
        if size > len(self.arena):
            self.arena = np.empty(max(size + _SEAL_BYTES, 1 << 16), np.uint8)

    def close(self, cursor: NDArray[np.int64]) -> None:
        """Copy what the kernel wrote into arrays of just that size."""
        if cursor[1]:
            columns = (self.rows[: cursor[1], k].astype(dtype) for k, dtype in enumerate(SELECTED_DTYPES))
            self.closed_rows.append(Selected(*columns))
            self.closed_chunks.append(self.arena[: cursor[2]].tobytes())
            self.count, self.size = self.count + int(cursor[1]), self.size + int(cursor[2])
        cursor[1] = cursor[2] = 0


def scan(
    batches: Iterable[Batch],
    captures: int,
    *,
    compiled: bool,
    with_secrets: bool = False,
    facts: Sequence[CaptureFacts] = (),
) -> Scan:
    """Scan batches of ``captures`` captures; ``with_secrets`` keeps the Handshake packets that a key log may open.

    With the ``facts`` of the captures reading stops where too much would have to be remembered, and they say so.
    """
    track = runner(fl.track_flows, compiled)
    table, collector = fl.new_flow_table(1024), _Collector()
    cursor, packet = np.zeros(3, np.int64), new_packets(1)
    ledger = np.zeros((captures, len(LEDGER)), np.int64)
    for batch in batches:
        count = len(batch.records.time)
        if count == 0:
            continue
        buffer: Any = batch.buffer if compiled else batch.buffer.data  # a memoryview: its items cost half as much
        collector.make_room(cursor, count, len(batch.buffer))
        before = int(cursor[1])
        cursor[0] = 0
        while track(
            *(buffer, batch.records, packet, table, collector.rows, collector.arena, ledger, cursor, int(with_secrets))
        ):
            table = _grow(table, compiled)
        if facts and (reason := collector.full(table, cursor, before)):
            for index, of in enumerate(facts):
                of.stop(int(ledger[index, 0]), int(batch.records.time.max()), reason)
            break
    collector.close(cursor)
    return _assemble(_trim(table), collector, ledger)


def _assemble(table: FlowTable, collector: _Collector, ledger: NDArray[np.int64]) -> Scan:
    """Join the closed parts, freeing each column's pieces as it is done."""
    sizes = [len(part.time) for part in collector.closed_rows]
    chunk = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    parts = [list(part) for part in collector.closed_rows]
    collector.closed_rows = []
    columns = []
    for k, dtype in enumerate(SELECTED_DTYPES):
        columns.append(np.concatenate([part[k] for part in parts]) if parts else np.zeros(0, dtype))
        for part in parts:
            part[k] = np.zeros(0, dtype)
    return Scan(table, Selected(*columns), chunk, tuple(collector.closed_chunks), ledger)


def _grow(table: FlowTable, compiled: bool) -> FlowTable:
    """The same flows in a table with room for twice as many."""
    flows = int(table.size[0])
    larger = fl.new_flow_table(2 * (len(table.keys) // KEY_WORDS))
    larger.state[: len(table.state)] = table.state
    runner(insert_keys, compiled)(table.keys, flows, larger, np.empty(flows, np.int64))
    return larger


def _trim(table: FlowTable) -> FlowTable:
    """The table cut to its flows; its slots are dropped."""
    flows = int(table.size[0])
    keys, state = table.keys[: flows * KEY_WORDS].copy(), table.state[: 2 * flows].copy()
    return FlowTable(np.array([flows]), np.zeros(0, np.int32), keys, state, np.zeros(KEY_WORDS, np.int64))


def merge(first: Scan, second: Scan) -> Scan:
    """The scan of two pieces, ``second`` following ``first``. Associative; leaves its arguments as they are."""
    mapping, table = _merge_keys(first.table, second.table)
    before, after = np.zeros_like(table.state), np.zeros_like(table.state)
    before[: len(first.table.state)] = first.table.state
    after.reshape(-1, 2, fl.STATE_COLUMNS)[mapping] = second.table.state.reshape(-1, 2, fl.STATE_COLUMNS)
    rows = each_column(np.copy, second.rows)
    tracked = np.flatnonzero(rows.flow >= 0)
    rows.flow[tracked] = mapping[rows.flow[tracked]]
    own = 2 * rows.flow[tracked].astype(np.int64) + rows.direction[tracked]
    ledger = first.ledger + second.ledger
    begins = (rows.payload_ordinal[tracked] == 1) & (rows.payload_length[tracked] > 0)
    begins &= rows.reason[tracked] & IS_DUPLICATE == 0
    rows.head[tracked] = join_heads(before, begins, own, rows.head[tracked])
    doubled = _find_duplicates(before, after, rows, tracked, ledger)
    join_jumps(before, after, rows, rows.reason & IS_DUPLICATE > 0, doubled)
    follows = (rows.ordinal[tracked] == 1) & (before[own, fl.RECORDS] > 0)
    rows.gap[tracked[follows]] = rows.time[tracked[follows]] - before[own[follows], fl.LAST_TIME]
    rows.syn_at[tracked] = _syn_at(before[own], rows.syn_at[tracked])
    for column, counter, side in (
        (rows.ordinal, fl.RECORDS, own),
        (rows.payload_ordinal, fl.PAYLOADS, own),
        (rows.duplicate_ordinal, fl.DUPLICATES, own),
        (rows.bytes_so_far, fl.BYTES, own),
        (rows.other_records, fl.RECORDS, own ^ 1),
        (rows.other_duplicates, fl.DUPLICATES, own ^ 1),
        (rows.other_bytes, fl.BYTES, own ^ 1),
    ):
        column[tracked] += before[side, counter]
    _join_tails(before, after, rows, tracked, own)
    joined = each_column(lambda *pair: np.concatenate(pair), first.rows, rows)
    chunk = np.concatenate([first.chunk, second.chunk + np.int32(len(first.chunks))])
    _add_states(table.state, before, after)
    return Scan(table, joined, chunk, first.chunks + second.chunks, ledger)


def _merge_keys(first: FlowTable, second: FlowTable) -> tuple[NDArray[np.int64], FlowTable]:
    """Index in the merged table of each flow of ``second``, and that table with its keys and no counters yet."""
    index = {key: flow for flow, key in enumerate(keys_of(first))}
    mapping = np.array([index.setdefault(key, len(index)) for key in keys_of(second)], np.int64)
    keys = np.empty(len(index) * KEY_WORDS, np.uint32)
    keys[: len(first.keys)] = first.keys
    keys.reshape(-1, KEY_WORDS)[mapping] = second.keys.reshape(-1, KEY_WORDS)
    state, key = np.zeros((2 * len(index), fl.STATE_COLUMNS), np.int64), np.zeros(KEY_WORDS, np.int64)
    return mapping, FlowTable(np.array([len(index)]), np.zeros(0, np.int32), keys, state, key)


def keys_of(table: FlowTable) -> list[bytes]:
    """The keys of a trimmed table, each as its bytes."""
    keys: list[bytes] = table.keys.view(f"V{4 * KEY_WORDS}").tolist()
    return keys


def _find_duplicates(
    before: Matrix, after: Matrix, rows: Selected, tracked: NDArray[np.int64], ledger: NDArray[np.int64]
) -> dict[int, int]:
    """Mark the first packets of the second piece that repeat one of the last of the first; counters follow.

    Returns the last of them of each direction.
    """
    own = 2 * rows.flow[tracked].astype(np.int64) + rows.direction[tracked]
    near = (rows.ordinal[tracked] <= RING) & (before[own, fl.RECORDS] > 0) & (rows.reason[tracked] & IS_DUPLICATE == 0)
    found = [(int(own[k]), int(tracked[k])) for k in np.flatnonzero(near) if _repeats(before[own[k]], rows, tracked[k])]
    if not found:
        return {}
    order = np.argsort(own, kind="stable")
    by_direction, own = tracked[order], own[order]

    def of(d: int, counter: NDArray[np.int64], least: int) -> NDArray[np.int64]:
        low, high = np.searchsorted(own, [d, d + 1])
        mine = by_direction[low:high]
        return mine[counter[mine] >= least]

    for d, row in found:
        payload, ordinal = int(rows.payload_length[row]), int(rows.ordinal[row])
        rows.reason[row] = IS_DUPLICATE
        later = of(d, rows.ordinal, ordinal)
        rows.duplicate_ordinal[later] += 1
        rows.bytes_so_far[later] -= payload
        rows.payload_ordinal[later] -= payload > 0
        later = of(d ^ 1, rows.other_records, ordinal)
        rows.other_duplicates[later] += 1
        rows.other_bytes[later] -= payload
        after[d, fl.DUPLICATES] += 1
        after[d, fl.BYTES] -= payload
        after[d, fl.PAYLOADS] -= payload > 0
        ledger[rows.capture[row], LEDGER.index("duplicates")] += 1
    return dict(found)


def _repeats(before: NDArray[np.int64], rows: Selected, row: int) -> bool:
    """Whether a row, the n-th of its direction in its piece, repeats one of the packets still in the ring."""
    last = int(before[fl.RECORDS])
    for record in range(max(1, last - RING + int(rows.ordinal[row])), last + 1):
        near = abs(int(rows.time[row]) - int(before[fl.RING_TIME + record % RING])) <= DUPLICATE_WITHIN_NS
        if near and before[fl.RING_DIGEST + record % RING] == rows.digest[row]:
            return True
    return False


def _syn_at(before: Matrix, syn_at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The column ``SYN_AT`` of the second piece counted over both, from the states before."""
    return np.where(syn_at > 0, syn_at + before[:, fl.RECORDS], before[:, fl.SYN_AT])


def _join_tails(
    before: Matrix, after: Matrix, rows: Selected, tracked: NDArray[np.int64], own: NDArray[np.int64]
) -> None:
    """Number the datagrams that end like the one before them; only those of both pieces' directions change."""
    among = tracked[rows.tail_repeat[tracked] != 0]
    directions = own[rows.tail_repeat[tracked] != 0]
    rows.tail_repeat[among] = join_tails(before, after, directions, rows.tail[among], rows.tail_repeat[among])


def _add_states(total: Matrix, before: Matrix, after: Matrix) -> None:
    """Write the flow states of both pieces together into ``total``."""
    other_spoke = after.reshape(-1, 2, fl.STATE_COLUMNS)[:, ::-1, fl.RECORDS].reshape(-1) > 0
    join_endings(total, before, after, other_spoke)
    join_segments(total, before, after)
    add_heads(total, before, after)
    for counter in (fl.RECORDS, fl.PAYLOADS, fl.DUPLICATES, fl.BYTES):
        total[:, counter] = before[:, counter] + after[:, counter]
    total[:, fl.SYN_AT] = _syn_at(before, after[:, fl.SYN_AT])
    n_before, n_after = before[:, fl.RECORDS], after[:, fl.RECORDS]
    total[:, fl.FIRST_TIME] = np.where(n_before > 0, before[:, fl.FIRST_TIME], after[:, fl.FIRST_TIME])
    for value in (fl.LAST_TIME, fl.CID_DIGEST, fl.CID_RUN):
        total[:, value] = np.where(n_after > 0, after[:, value], before[:, value])
    every = np.arange(len(total))
    total[:, fl.RING_DIGEST : fl.RING_DIGEST + RING] = -1
    for back in range(RING):  # a ring's places are record numbers modulo RING
        slot = (n_before + n_after - back) % RING
        in_after, in_before = n_after > back, (n_after <= back) & (n_before + n_after > back)
        for ring in (fl.RING_DIGEST, fl.RING_TIME):
            for chosen, piece, number in (
                (in_after, after, n_after - back),
                (in_before, before, n_before + n_after - back),
            ):
                which = every[chosen]
                total[which, ring + slot[chosen]] = piece[which, ring + number[chosen] % RING]


def settle(scan: Scan) -> Scan:
    """Decide once more, over the whole, which rows are selected and how many of their bytes are kept."""
    rows = scan.rows
    duplicate, long_header = rows.reason & IS_DUPLICATE > 0, rows.reason & IS_LONG > 0
    always = rows.reason & ALWAYS > 0
    head = np.where(rows.fragment == 0, fl.HEAD_PAYLOADS, fl.FRAGMENTS_KEPT)
    behind_syn = rows.ordinal - np.maximum(rows.syn_at - 1, 0) <= fl.HEAD
    message_head = (rows.head != 0) & (np.abs(rows.head) <= HEADS_KEPT)
    payload_head = (rows.payload_length > 0) & ((rows.payload_ordinal <= head) | behind_syn | message_head) & ~duplicate
    tail = (rows.tail_repeat == FIRST_TAIL) | ((rows.tail_repeat > 0) & (rows.tail_repeat <= TAILS_KEPT))
    whole = np.where(long_header, _cid_runs(rows, long_header) <= fl.HEAD_LONGS, always | payload_head | tail)
    keep = always | whole | behind_syn | (rows.gap >= fl.SILENCE_NS) | kept_jumps(rows.jump)
    keep |= duplicate & (rows.duplicate_ordinal <= fl.DUPLICATES_KEPT)
    reason = np.where(whole, rows.reason | WHOLE, rows.reason & ~np.int8(WHOLE)).astype(np.int8)
    header_only = rows.header.astype(np.int32) + np.where(rows.kind == UDP, fl.HEADER_KEPT, 0).astype(np.int32)
    kept = np.where(whole | (rows.header < 0), rows.kept, np.minimum(rows.kept, header_only))
    columns = rows._replace(reason=reason, kept=kept.astype(np.int32))
    if keep.all():
        return Scan(scan.table, columns, scan.chunk, scan.chunks, scan.ledger)
    return Scan(
        scan.table, each_column(lambda column: column[keep], columns), scan.chunk[keep], scan.chunks, scan.ledger
    )


def _cid_runs(rows: Selected, long_header: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each QUIC long header row: how many in a row of its direction carried this DCID, itself included."""
    runs = np.zeros(len(rows.time), np.int64)
    index = np.flatnonzero(long_header)
    if not len(index):
        return runs
    own = 2 * rows.flow[index].astype(np.int64) + rows.direction[index]
    order = np.argsort(own, kind="stable")
    own, cid = own[order], rows.cid_digest[index][order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (own[1:] != own[:-1]) | (cid[1:] != cid[:-1])
    places = np.arange(len(order))
    runs[index[order]] = places - np.maximum.accumulate(np.where(begins, places, 0)) + 1
    return runs
