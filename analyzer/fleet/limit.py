"""Scans that hold a limit: connections that ended long ago make room for new ones, and are counted.

How it works
------------
When what was scanned would fill more than the limit it is *summarized*: the packets of some flows leave the scan, and
the ledger says how many connections and records that were. First go flows that ended (FIN, RST, or nothing for
``IDLE_NS``), the oldest first; of each socket the first ``KEPT`` answered and the first ``KEPT`` unanswered ones stay,
so that what is said about a socket rests on both kinds. Only where that does not suffice go others, oldest first. Of
packets without a flow (ARP) the latest stay.

``scan_bounded`` is for every capture: it counts what is remembered, and summarizes where that is as much as ``MOST``.
``scan_within`` holds ``--max-memory``: the capture is scanned piece by piece, and what the pieces hold, and what later
rooms will make of it, stays below the limit. The numbers for it were measured with the benchmark's captures and a flood
of SYNs: the whole process stays within them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.records import Batch, part
from analyzer.errors import UsageError
from analyzer.events import flows as fl
from analyzer.events.flows import KEY_WORDS
from analyzer.events.scan import LEDGER, Scan, Scanner, merge, scan, settle
from analyzer.events.selected import each_column
from analyzer.fleet.combine import flows_of, times_of
from analyzer.wire.quic.split import INITIAL

if TYPE_CHECKING:
    from analyzer.fleet.pieces import How

#: Flows, QUIC connection IDs, rows and bytes.
Counts = tuple[int, int, int, int]

#: What one scan remembers at most: flows, QUIC connection IDs of Initials, selected packets, bytes of them. About 4 GB
#: together with what is made of it; a gigabyte of ordinary traffic has a tenth of that.
MOST = (1 << 19, 1 << 19, 1 << 22, 1 << 30)

#: The share of it that is left where it was reached.
LEFT = 0.5

#: Of the packets that may stay, so many may be without a flow.
LOOSE = 0.25

#: Of the process with nothing in it and what its allocator holds besides, which varies by 20 MB from run to run; per
#: byte of a scan; per flow (bytes).
BASE_BYTES = 146 << 20
PER_BYTE = 1.3
PER_FLOW = 2600

#: While scans are merged: per byte of their rows, of their flows, and of what is kept of the packets.
MERGING_ROWS, MERGING_FLOWS, MERGING_BYTES = 2.5, 8.0, 1.1

#: A limit below this leaves no room for anything.
LEAST_BYTES = 256 << 20

#: Records of a piece at most: each may be a flow of its own.
PIECE_RECORDS = 8_192

#: When there is no more room, so much of it is freed that scans and flows take this share.
DOWN_TO = 0.6

IDLE_NS = 60_000_000_000
KEPT = 16

_FIN_RST = 5
_INITIAL_BIT = 1 << INITIAL


class Bounded(NamedTuple):
    """A scan, and what was remembered for it, gone or not, as of ``Scanner.remembered``."""

    scan: Scan
    remembered: Counts


def is_too_much(remembered: Sequence[int], share: float = 1) -> bool:
    """Whether so much (as of ``Scanner.remembered``) is a share of ``MOST``, or more."""
    return any(number >= share * most for number, most in zip(remembered, MOST, strict=True))


def scan_bounded(batches: Iterable[Batch], captures: int, *, compiled: bool, with_secrets: bool = False) -> Bounded:
    """``scan``, which never remembers more than ``MOST``; the same where all fits."""
    before: Counts = (0, 0, 0, 0)
    found: Scan | None = None
    scanner = Scanner(captures, compiled=compiled, with_secrets=with_secrets)
    for batch in batches:
        scanner.add(batch)
        if is_too_much(scanner.remembered, 1 if found is None else 1 - LEFT):
            before = _sum(before, scanner.remembered)
            found = _shrunk(_followed(found, scanner.result()))
            scanner = Scanner(captures, compiled=compiled, with_secrets=with_secrets)
    return Bounded(_followed(found, scanner.result()), _sum(before, scanner.remembered))


def _followed(found: Scan | None, last: Scan) -> Scan:
    return last if found is None else merge(found, last)


def _sum(one: Counts, other: Counts) -> Counts:
    flows, cids, rows, kept = (a + b for a, b in zip(one, other, strict=True))
    return flows, cids, rows, kept


def _shrunk(found: Scan) -> Scan:
    """The scan with so few flows that it holds the share ``LEFT`` of ``MOST`` at most."""
    most = [LEFT * each for each in MOST]
    found = _without_loose(settle(found), int(LOOSE * most[2]))
    costs = _remembered_of_each(found)
    held = int(found.table.size[0]), int(costs[:, 1].sum()), len(found.rows.time), int(found.rows.kept.sum())
    return _without_oldest(found, costs, [a - b for a, b in zip(held, most, strict=True)])


def _remembered_of_each(found: Scan) -> NDArray[np.int64]:
    """What is remembered of each flow, in the order of ``MOST``: shape (n, 4)."""
    rows, flows = found.rows, int(found.table.size[0])
    tracked = rows.flow >= 0
    initials = np.flatnonzero(tracked & (rows.quic & _INITIAL_BIT > 0))
    # Two pairs with one number are taken for one: a matter of cost alone.
    pairs = rows.cid_digest[initials] ^ rows.flow[initials].astype(np.int64) * 0x9E3779B97F4A7C1
    first = initials[np.unique(pairs, return_index=True)[1]]
    costs = np.ones((flows, 4), np.int64)
    costs[:, 1] = np.bincount(rows.flow[first], minlength=flows)
    costs[:, 2] = np.bincount(rows.flow[tracked], minlength=flows)
    costs[:, 3] = np.bincount(rows.flow[tracked], rows.kept[tracked], flows)
    return costs


def scan_within(batches: Iterable[Batch], captures: int, how: How, limit: int) -> Scan:
    """The scan of batches in a process that stays within ``limit`` bytes; the same as ``scan`` where all fits."""
    if limit < LEAST_BYTES:
        raise UsageError(f"--max-memory {limit >> 20}M is too little; give {LEAST_BYTES >> 20}M or more")
    room = limit - BASE_BYTES
    parts = [scan((), captures, compiled=False)]
    for piece in _pieces(batches, max(room // (120 << 20), 1) * PIECE_RECORDS):
        parts.append(scan([piece], captures, compiled=bool(how.compiled), with_secrets=how.with_secrets))
        _carry(parts)
        if sum(map(_cost, parts)) > room:
            _carry(parts, all_of_them=True)
            parts = [summarized(_compact(parts.pop()), room * DOWN_TO)]
    _carry(parts, all_of_them=True)
    return parts[0]


def _carry(parts: list[Scan], *, all_of_them: bool = False) -> None:
    """Merge the last scans as long as they are about equally large, so that no scan is copied often; or all of them."""
    while len(parts) > 1 and (all_of_them or bytes_of(parts[-2]) <= 2 * bytes_of(parts[-1])):
        last, before = parts.pop(), parts.pop()
        parts.append(merge(before, last))


def _pieces(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """The batches in pieces of ``size`` records at most; each must be taken before the next."""
    for batch in batches:
        for begin in range(0, len(batch.records.time), size):
            yield Batch(batch.buffer, part(batch.records, begin, begin + size))


def _compact(found: Scan) -> Scan:
    """Without the rows and bytes that pieces keep and the whole does not: what comes later changes no row before it."""
    settled = settle(found)
    start, chunk, chunks = _repacked(settled, np.arange(len(settled.rows.time)))
    return Scan(settled.table, settled.rows._replace(start=start), chunk, chunks, settled.ledger)


def _cost(found: Scan) -> float:
    """Bytes that a scan will take at most: at the end, with what later rooms make of it, or while it is merged."""
    rows, flows, packets = _sizes(found)
    merging = MERGING_ROWS * rows + MERGING_FLOWS * flows + MERGING_BYTES * packets
    return max(PER_BYTE * (rows + flows + packets) + PER_FLOW * int(found.table.size[0]), merging)


def bytes_of(found: Scan) -> int:
    """Bytes of a scan itself."""
    return sum(_sizes(found))


def _sizes(found: Scan) -> tuple[int, int, int]:
    """Bytes of its rows, of its flows, and of what is kept of the packets."""
    columns = sum(column.nbytes for column in (*found.rows, found.chunk))
    return columns, found.table.state.nbytes + found.table.keys.nbytes, sum(map(len, found.chunks))


def summarized(found: Scan, target: float) -> Scan:
    """The scan without so many flows that it costs ``target`` at most; the ledger counts them."""
    if _cost(found) <= target:
        return found
    per_row = sum(column.itemsize for column in found.rows) + 4
    found = _without_loose(found, int(LOOSE * target / (MERGING_ROWS * per_row)))
    rows = found.rows
    tracked = rows.flow >= 0
    flows = int(found.table.size[0])
    own = np.bincount(rows.flow[tracked], rows.kept[tracked] + per_row, flows)
    per_flow = 8 * 2 * fl.STATE_COLUMNS + 4 * KEY_WORDS
    # As in ``_cost``, with the share of either sum that is surely freed.
    costs = np.minimum(PER_BYTE * (own + per_flow) + PER_FLOW, MERGING_BYTES * own + MERGING_FLOWS * per_flow)
    return _without_oldest(found, costs[:, None], [_cost(found) - target])


def _without_oldest(found: Scan, costs: NDArray[Any], excess: Sequence[float]) -> Scan:
    """The scan without as many flows as free the ``excess`` of each kind; ``costs``: what each frees, shape (n, k)."""
    order = np.lexsort((times_of(found.table)[1], _stays(found)))
    freed = np.cumsum(costs[order], axis=0)
    enough = [int(np.searchsorted(freed[:, k], more)) + 1 for k, more in enumerate(excess) if more > 0]
    if not enough:
        return found
    gone = np.zeros(len(order), np.bool_)
    gone[order[: max(enough)]] = True
    return _without(found, gone)


def _stays(found: Scan) -> NDArray[np.int64]:
    """Of each flow how much it is wanted: 0 ended, 1 among the first of its socket, 2 open."""
    last, rows = times_of(found.table)[1], found.rows
    ended = last < last.max(initial=0) - IDLE_NS
    closing = (rows.flow >= 0) & (rows.tcp_flags & _FIN_RST > 0)
    ended[rows.flow[closing]] = True
    wanted = np.where(ended, 0, 2)
    keys = found.table.keys.reshape(-1, KEY_WORDS)
    answered = (found.table.state.reshape(-1, 2, fl.STATE_COLUMNS)[:, :, fl.RECORDS] > 0).all(axis=1)
    sockets = [
        _numbered(*(keys[:, word] for word in range(side, side + 4)), port, keys[:, 9])
        for side, port in ((0, keys[:, 8] >> 16), (4, keys[:, 8] & 0xFFFF))
    ]
    # Of the two ends the server is the one that more flows share.
    a, b = (np.bincount(socket)[socket] for socket in sockets)
    server = np.where(a > b, 2 * sockets[0], 2 * sockets[1] + 1)
    first = _nth_of(_numbered(server, np.asarray(answered))) < KEPT
    wanted[first & (wanted == 0)] = 1
    return wanted


def _numbered(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """A number for each different row, by a 64-bit hash: two that share one are taken for one socket."""
    digest = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        digest = (digest ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        digest ^= digest >> np.uint64(29)
    numbers: NDArray[np.int64] = np.unique(digest, return_inverse=True)[1]
    return numbers


def _nth_of(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each entry: how many before it belong to the same group."""
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    nth = np.empty(len(group), np.int64)
    sizes = np.diff(begins, append=len(group))
    nth[order] = np.arange(len(group)) - np.repeat(begins, sizes)
    return nth


def _without_loose(found: Scan, most: int) -> Scan:
    """The scan with the last ``most`` of its packets without a flow."""
    loose = np.flatnonzero(found.rows.flow < 0)
    if len(loose) <= most:
        return found
    rows, ledger = found.rows, found.ledger.copy()
    leaving = loose[: len(loose) - most]
    np.add.at(ledger[:, LEDGER.index("summarized_records")], rows.capture[leaving], 1)
    left = np.delete(np.arange(len(rows.time)), leaving)
    start, chunk, chunks = _repacked(found, left)
    kept = each_column(lambda column: column[left], rows)._replace(start=start)
    return Scan(found.table, kept, chunk, chunks, ledger)


def _without(found: Scan, gone: NDArray[np.bool_]) -> Scan:
    """The scan without these flows."""
    rows, ledger = found.rows, found.ledger.copy()
    tracked = np.flatnonzero(rows.flow >= 0)
    flows, firsts = np.unique(rows.flow[tracked], return_index=True)  # the first packets of a flow are among the rows
    captures = rows.capture[tracked[firsts]]
    counts = found.table.state.reshape(-1, 2, fl.STATE_COLUMNS)[flows, :, fl.RECORDS].sum(axis=1)
    leaving = gone[flows]
    for capture in np.unique(captures[leaving]).tolist():
        mine = leaving & (captures == capture)
        ledger[capture, LEDGER.index("summarized_connections")] += np.count_nonzero(mine)
        ledger[capture, LEDGER.index("summarized_records")] += counts[mine].sum()
    left = np.flatnonzero((rows.flow < 0) | ~gone[rows.flow])
    number = (np.cumsum(~gone) - 1).astype(np.int32)
    kept = each_column(lambda column: column[left], rows)
    kept = kept._replace(flow=np.where(kept.flow >= 0, number[kept.flow], -1).astype(np.int32))
    start, chunk, chunks = _repacked(found, left)
    return Scan(flows_of(found.table, np.flatnonzero(~gone)), kept._replace(start=start), chunk, chunks, ledger)


def _repacked(found: Scan, left: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int32], tuple[bytes, ...]]:
    """The bytes of the rows that are left, chunk by chunk: where they start, in which chunk, and the chunks."""
    start = np.zeros(len(left), np.int64)
    chunk = np.zeros(len(left), np.int32)
    chunks: list[bytes] = []
    numbers = found.chunk[left]
    for number in np.unique(numbers).tolist():
        mine = np.flatnonzero(numbers == number)
        begins, lengths = found.rows.start[left[mine]], found.rows.kept[left[mine]].astype(np.int64)
        start[mine], chunk[mine] = np.cumsum(lengths) - lengths, len(chunks)
        source = memoryview(found.chunks[number])
        spans = zip(begins.tolist(), (begins + lengths).tolist(), strict=True)
        chunks.append(b"".join([source[begin:end] for begin, end in spans]))
    return start, chunk, tuple(chunks)
