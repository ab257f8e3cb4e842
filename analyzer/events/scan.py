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

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.records import Batch
from analyzer.events import flows as fl
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
from analyzer.events.selected import SELECTED_DTYPES, Collector, Selected, each_column
from analyzer.events.story.endings import FIRST_TAIL, TAILS_KEPT, join_endings, join_tails
from analyzer.events.tcp.heads import HEADS_KEPT, add_heads, join_heads
from analyzer.events.tcp.jumps import join_jumps
from analyzer.events.tcp.segments import join_segments, kept_jumps
from analyzer.kernels import Matrix, runner
from analyzer.wire.packets import UDP, new_packets

LEDGER = (
    *("records", "decoded", "not_ip", "fragments", "duplicates", "truncated", "flawed", "unread_link_type", "cut"),
    *("summarized_connections", "summarized_records"),  # counted by fleet.limit
)

#: Columns that go on where the earlier piece ended.
_JOINED = (
    *("reason", "gap", "head", "jump", "syn_at", "tail_repeat", "ordinal", "payload_ordinal", "duplicate_ordinal"),
    *("bytes_so_far", "other_records", "other_duplicates", "other_bytes"),
)


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


class Scanner:
    """A scan of ``captures`` captures that is going on; ``with_secrets`` keeps what a key log may open.

    ``remembered`` are the flows, QUIC connection IDs, rows and bytes that it holds.
    """

    def __init__(self, captures: int, *, compiled: bool, with_secrets: bool = False) -> None:
        self.remembered = (0, 0, 0, 0)
        self._compiled, self._with_secrets = compiled, int(with_secrets)
        self._track = runner(fl.track_flows, compiled)
        self._table, self._collector = fl.new_flow_table(1024), Collector()
        self._cursor, self._packet = np.zeros(3, np.int64), new_packets(1)
        self._ledger = np.zeros((captures, len(LEDGER)), np.int64)

    def add(self, batch: Batch) -> None:
        """Scan the records that follow."""
        if not len(batch.records.time):
            return
        collector, cursor = self._collector, self._cursor
        # A memoryview's items cost half as much as an array's.
        buffer: Any = batch.buffer if self._compiled else batch.buffer.data
        collector.make_room(cursor, len(batch.records.time), len(batch.buffer))
        cursor[0], before = 0, int(cursor[1])
        rows, arena, ledger = collector.rows, collector.arena, self._ledger
        while self._track(
            *(buffer, batch.records, self._packet, self._table, rows, arena, ledger, cursor, self._with_secrets)
        ):
            self._table = _grow(self._table, self._compiled)
        self.remembered = (int(self._table.size[0]), *collector.remembered(cursor, before))

    def result(self) -> Scan:
        """The scan of all that was added; the last call."""
        self._collector.close(self._cursor)
        return _assemble(_trim(self._table), self._collector, self._ledger)


def scan(batches: Iterable[Batch], captures: int, *, compiled: bool, with_secrets: bool = False) -> Scan:
    """Scan batches of ``captures`` captures; ``with_secrets`` keeps the Handshake packets that a key log may open.

    What it remembers is not bounded: ``fleet.limit`` does that.
    """
    scanner = Scanner(captures, compiled=compiled, with_secrets=with_secrets)
    for batch in batches:
        scanner.add(batch)
    return scanner.result()


def _assemble(table: FlowTable, collector: Collector, ledger: NDArray[np.int64]) -> Scan:
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
    """The same flows in a table with room for four times as many.

    Rarely copied costs less than tight: keys and states that were never written take no memory, a free slot 8 bytes.
    """
    flows = int(table.size[0])
    larger = fl.new_flow_table(4 * (len(table.keys) // KEY_WORDS))
    larger.state[: len(table.state)] = table.state
    runner(insert_keys, compiled)(table.keys, flows, larger, np.empty(flows, np.int64))
    return larger


def _trim(table: FlowTable) -> FlowTable:
    """The table cut to its flows, in place where its memory allows it; its slots are dropped."""
    flows = int(table.size[0])
    table.keys.resize(flows * KEY_WORDS, refcheck=False)
    table.state.resize((2 * flows, fl.STATE_COLUMNS), refcheck=False)
    return FlowTable(np.array([flows]), np.zeros(0, np.int32), table.keys, table.state, np.zeros(KEY_WORDS, np.int64))


def merge(first: Scan, second: Scan) -> Scan:
    """The scan of two pieces, ``second`` following ``first``. Associative; leaves its arguments as they are."""
    mapping, table = _merge_keys(first.table, second.table)
    shared = np.flatnonzero(mapping < int(first.table.size[0]))  # only what belongs to these flows changes
    number = np.full(len(mapping) + 1, -1, np.int32)  # by flow; the last is that of rows without one
    number[shared] = np.arange(len(shared), dtype=np.int32)
    chosen = np.flatnonzero(number[second.rows.flow] >= 0)
    rows = each_column(lambda column: column[chosen], second.rows)
    rows = rows._replace(flow=number[rows.flow])
    states = [each.state.reshape(-1, 2, fl.STATE_COLUMNS) for each in (table, first.table, second.table)]
    states[0][: len(states[1])], states[0][mapping] = states[1], states[2]
    before, after = (
        state[flows].reshape(-1, fl.STATE_COLUMNS)
        for state, flows in ((states[1], mapping[shared]), (states[2], shared))
    )
    ledger = first.ledger + second.ledger
    _join_rows(before, after, rows, ledger)
    total = np.zeros_like(before)
    _add_states(total, before, after)
    states[0][mapping[shared]] = total.reshape(-1, 2, fl.STATE_COLUMNS)
    joined = each_column(lambda *pair: np.concatenate(pair), first.rows, second.rows)
    behind = each_column(lambda column: column[len(first.rows.time) :], joined)
    behind.flow[:] = np.append(mapping, -1)[second.rows.flow]
    for name in _JOINED:
        getattr(behind, name)[chosen] = getattr(rows, name)
    chunk = np.concatenate([first.chunk, second.chunk + np.int32(len(first.chunks))])
    return Scan(table, joined, chunk, first.chunks + second.chunks, ledger)


def _join_rows(before: Matrix, after: Matrix, rows: Selected, ledger: NDArray[np.int64]) -> None:
    """Let the columns ``_JOINED`` of the second piece's rows go on where the states ``before`` ended."""
    own = 2 * rows.flow.astype(np.int64) + rows.direction
    begins = (rows.payload_ordinal == 1) & (rows.payload_length > 0) & (rows.reason & IS_DUPLICATE == 0)
    rows.head[:] = join_heads(before, begins, own, rows.head)
    doubled = _find_duplicates(before, after, rows, own, ledger)
    join_jumps(before, after, rows, rows.reason & IS_DUPLICATE > 0, doubled)
    follows = (rows.ordinal == 1) & (before[own, fl.RECORDS] > 0)
    rows.gap[follows] = rows.time[follows] - before[own[follows], fl.LAST_TIME]
    rows.syn_at[:] = _syn_at(before[own], rows.syn_at)
    for column, counter, side in (
        (rows.ordinal, fl.RECORDS, own),
        (rows.payload_ordinal, fl.PAYLOADS, own),
        (rows.duplicate_ordinal, fl.DUPLICATES, own),
        (rows.bytes_so_far, fl.BYTES, own),
        (rows.other_records, fl.RECORDS, own ^ 1),
        (rows.other_duplicates, fl.DUPLICATES, own ^ 1),
        (rows.other_bytes, fl.BYTES, own ^ 1),
    ):
        column += before[side, counter]
    _join_tails(before, after, rows, own)


def _merge_keys(first: FlowTable, second: FlowTable) -> tuple[NDArray[np.int64], FlowTable]:
    """Index in the merged table of each flow of ``second``, and that table with its keys and states of zeros."""
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
    before: Matrix, after: Matrix, rows: Selected, own: NDArray[np.int64], ledger: NDArray[np.int64]
) -> dict[int, int]:
    """Mark the first packets of the second piece that repeat one of the last of the first; counters follow.

    ``own`` are the directions of the rows. Returns the last of them of each direction.
    """
    near = (rows.ordinal <= RING) & (before[own, fl.RECORDS] > 0) & (rows.reason & IS_DUPLICATE == 0)
    rings = before[own, fl.RING_DIGEST : fl.RING_DIGEST + RING]
    near &= (rings == rows.digest.astype(np.int64)[:, None]).any(axis=1)
    found = [(int(own[k]), k) for k in np.flatnonzero(near).tolist() if _repeats(before[own[k]], rows, k)]
    if not found:
        return {}
    order = np.argsort(own, kind="stable")
    own = own[order]

    def of(d: int, counter: NDArray[np.int64], least: int) -> NDArray[np.int64]:
        low, high = np.searchsorted(own, [d, d + 1])
        mine = order[low:high]
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


def _join_tails(before: Matrix, after: Matrix, rows: Selected, own: NDArray[np.int64]) -> None:
    """Number the datagrams that end like the one before them; only those of both pieces' directions change."""
    among = np.flatnonzero(rows.tail_repeat)
    rows.tail_repeat[among] = join_tails(before, after, own[among], rows.tail[among], rows.tail_repeat[among])


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
