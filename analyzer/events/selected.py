"""The rows of selected packets: what is kept of each, in which type, and how the kernel writes it.

The kernel writes one int64 matrix, whose columns have the numbers below; what is kept of it are the columns of
``Selected``, in the same order and in the narrow types given there.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import helper, item_type
from analyzer.wire import packets as pk
from analyzer.wire.quic.split import INITIAL


class Selected(NamedTuple):
    """One row per selected packet. From ``start`` of the arena on lie ``kept`` bytes, beginning with the IP header."""

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
    syn_at: NDArray[np.int64]  # 1 + the records of this direction at the flow's last SYN or SYN/ACK, 0: none
    gap: NDArray[np.int64]  # ns since the previous record of this direction, -1: none before
    tail: NDArray[np.int64]  # of story.endings, as the next
    tail_repeat: NDArray[np.int32]
    head: NDArray[np.int32]  # number among the segments that begin like HTTP, or follow such a one (tcp.heads)
    jump: NDArray[np.int64]  # of tcp.segments
    start: NDArray[np.int64]
    kept: NDArray[np.int32]
    transport: NDArray[np.int16]  # offset of the transport header in the kept bytes, -1 if not reached
    header: NDArray[np.int16]  # bytes before the payload, -1 if it was not reached


#: The type of each column of ``Selected``.
SELECTED_DTYPES = tuple(item_type(hint) for hint in typing.get_type_hints(Selected).values())

# Columns of the kernel's matrix: the fields of ``Selected`` in their order (a test compares them).
CAPTURE, RECORD, POSITION, TIME, FLOW, DIRECTION, REASON = 0, 1, 2, 3, 4, 5, 6
KIND, FLAW, FRAGMENT, TTL = 7, 8, 9, 10
ORIGINAL_LENGTH, CAPTURED_LENGTH, PAYLOAD_LENGTH, PAYLOAD_CAPTURED = 11, 12, 13, 14
TCP_FLAGS, SEQUENCE, ACKNOWLEDGMENT, WINDOW = 15, 16, 17, 18
ICMP, DIGEST, QUIC, CID_DIGEST = 19, 20, 21, 22
ORDINAL, PAYLOAD_ORDINAL, DUPLICATE_ORDINAL, BYTES_SO_FAR = 23, 24, 25, 26
OTHER_RECORDS, OTHER_DUPLICATES, OTHER_BYTES, SYN_AT, GAP = 27, 28, 29, 30, 31
TAIL, TAIL_REPEAT, HEAD, JUMP, START, KEPT, TRANSPORT, HEADER = 32, 33, 34, 35, 36, 37, 38, 39

# Columns of the ledger that the kernel counts: the first of ``scan.LEDGER`` (a test compares them).
RECORDS, DECODED, NOT_IP, FRAGMENTS, DUPLICATES, TRUNCATED, FLAWED, UNREAD_LINK_TYPE = 0, 1, 2, 3, 4, 5, 6, 7

_INITIAL_BIT = 1 << INITIAL
_SEAL_BYTES = 8 << 20  # a chunk of the arena is closed when it holds this much


def each_column(function: Callable[..., NDArray[Any]], *rows: Selected) -> Selected:
    """The result of a function over each column."""
    return Selected(*(function(*columns) for columns in zip(*rows, strict=True)))


class Collector:
    """Working buffers of the kernel, closed into compact chunks as they fill."""

    def __init__(self) -> None:
        self.rows = np.empty((0, len(Selected._fields)), np.int64)
        self.arena = np.empty(0, np.uint8)
        self.closed_rows: list[Selected] = []
        self.closed_chunks: list[bytes] = []
        self.count = self.size = self.cids = 0  # of closed rows and their bytes; of Initials, counted per batch

    def remembered(self, cursor: NDArray[np.int64], before: int) -> tuple[int, int, int]:
        """QUIC connection IDs, rows and bytes so far; ``before`` rows were written before this batch."""
        new = self.rows[before : cursor[1]]
        self.cids += len(set(new[new[:, QUIC] & _INITIAL_BIT > 0, CID_DIGEST].tolist()))
        return self.cids, self.count + int(cursor[1]), self.size + int(cursor[2])

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


@helper
def count_record(p: Any, r: int, is_truncated: bool, ledger: Any, capture: int) -> None:
    """Add packet ``r`` to the ledger: it is decoded, not IP, a fragment, flawed or of an unread link type."""
    kind, what = p[r, pk.KIND], DECODED
    if p[r, pk.FLAW] != pk.NO_FLAW:
        what = FLAWED
    elif kind == pk.UNREAD_LINK:
        what = UNREAD_LINK_TYPE
    elif kind == pk.NOT_IP:
        what = NOT_IP
    elif kind == pk.LATER_FRAGMENT:
        what = FRAGMENTS
    ledger[capture, RECORDS] += 1
    ledger[capture, what] += 1
    ledger[capture, TRUNCATED] += 1 if is_truncated else 0


@helper
def write_packet(p: Any, r: int, out: Any, row: int) -> None:
    """Write what the headers of packet ``r`` say into row ``row`` of the matrix."""
    ip, transport, payload = p[r, pk.IP_OFFSET], p[r, pk.TRANSPORT_OFFSET], p[r, pk.PAYLOAD_OFFSET]
    out[row, KIND], out[row, FLAW], out[row, FRAGMENT], out[row, TTL] = (
        p[r, pk.KIND],
        p[r, pk.FLAW],
        p[r, pk.FRAGMENT],
        p[r, pk.TTL],
    )
    out[row, PAYLOAD_LENGTH], out[row, PAYLOAD_CAPTURED] = p[r, pk.PAYLOAD_LENGTH], p[r, pk.PAYLOAD_CAPTURED]
    out[row, TCP_FLAGS], out[row, WINDOW] = p[r, pk.TCP_FLAGS], p[r, pk.WINDOW]
    out[row, SEQUENCE], out[row, ACKNOWLEDGMENT] = p[r, pk.SEQUENCE], p[r, pk.ACKNOWLEDGMENT]
    out[row, ICMP], out[row, DIGEST] = p[r, pk.ICMP_TYPE], p[r, pk.DIGEST]
    out[row, TRANSPORT] = transport - ip if transport >= 0 else -1
    out[row, HEADER] = payload - ip if payload >= 0 else -1
