"""Rows of many QUIC flows as columns, and the first packet of each of their datagrams with a long header.

A *head* is that first packet: its kind and version, where it lies, and its CIDs as numbers that a kernel compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import Matrix, kernel, runner
from analyzer.wire.quic.gquic import GQUIC_FRAMES
from analyzer.wire.quic.key_schedule import can_derive
from analyzer.wire.quic.split import FLAW_CUT, FLAW_CUT_HEADER, HANDSHAKE, INITIAL, Datagrams, quic_packets

#: Rows of ``narrow`` (``events.connection.Flows``).
DIRECTION, QUIC, LENGTH, CHUNK, BEGIN, STOP = range(6)

#: Words of a CID, of so many bytes each.
CID_WORDS, WORD_BYTES = 3, 7
#: Columns of ``heads``. OPENABLE: the only Initial of its datagram, whole, of a version with keys; CUT: an Initial of
#: such a version of which bytes were not captured. A CID is its length and its words; the last columns are offsets in
#: the chunk, and the version.
KIND, OPENABLE, CUT, DCID, SCID = 0, 1, 2, 3, 4 + CID_WORDS
START, DCID_AT, SCID_AT, NUMBER_AT, END, VERSION = range(SCID + 1 + CID_WORDS, SCID + CID_WORDS + 7)
HEAD_COLUMNS = VERSION + 1

Narrow = Annotated[NDArray[np.int32], 2]


class Portion(NamedTuple):
    """Flows as columns: the rows of flow i are the columns of ``narrow`` from bounds[i, 0] to bounds[i, 1]."""

    bounds: NDArray[np.int64]
    narrow: NDArray[np.int32]
    head_of: NDArray[np.int64]  # of each row, -1: it has none
    heads: NDArray[np.int64]
    chunk: NDArray[np.int64]  # of each head
    chunks: Sequence[bytes]  # of the scan

    @property
    def first(self) -> NDArray[np.int64]:
        """The head of each flow's first row."""
        return self.head_of[self.bounds[:, 0]]


def portion_of(
    bounds: NDArray[np.int64], narrow: NDArray[np.int32], chunks: Sequence[bytes], *, compiled: bool
) -> Portion:
    """Flows with the heads of their rows."""
    long = np.flatnonzero(narrow[QUIC])
    heads, head_of = np.zeros((len(long), HEAD_COLUMNS), np.int64), np.full(narrow.shape[1], -1, np.int64)
    chunk_of = narrow[CHUNK, long].astype(np.int64)
    for chunk in sorted(set(chunk_of.tolist())):
        here = np.flatnonzero(chunk_of == chunk)
        b = np.frombuffer(chunks[chunk], np.uint8)
        known = _read_heads(b, narrow[:, long[here]], heads, here, compiled=compiled)
        head_of[long[known]] = known
    return Portion(bounds, narrow, head_of, heads, chunk_of, chunks)


@kernel
def write_cids(b: NDArray[np.uint8], offsets: Matrix, heads: Matrix) -> int:
    """Write the CIDs at ``offsets`` (DCID, its length, SCID, its length; -1: no such packet) into ``heads``."""
    for row in range(len(offsets)):
        for side in range(2):
            at, length = offsets[row, 2 * side], offsets[row, 2 * side + 1]
            to = DCID if side == 0 else SCID
            heads[row, to] = length
            for word in range(CID_WORDS):
                value = 0
                for i in range(WORD_BYTES * word, min(WORD_BYTES * (word + 1), length)):
                    value = value << 8 | (int(b[at + i]) & 0xFF)
                heads[row, to + 1 + word] = value
    return len(offsets)


def _read_heads(
    b: NDArray[np.uint8],
    narrow: NDArray[np.int32],
    heads: NDArray[np.int64],
    here: NDArray[np.int64],
    *,
    compiled: bool,
) -> NDArray[np.int64]:
    """Fill in the rows ``here`` of ``heads`` from datagrams of one chunk; those whose first packet could be read."""
    begin, length = narrow[BEGIN].astype(np.int64), narrow[LENGTH].astype(np.int64)
    packets = quic_packets(b, Datagrams(begin, narrow[STOP].astype(np.int64), begin + length), compiled=compiled)
    initials = np.bincount(packets.datagram[packets.kind == INITIAL], minlength=len(here))
    first = np.flatnonzero(np.diff(packets.datagram, prepend=-1) > 0)
    first = first[packets.kind[first] <= HANDSHAKE]
    at = here[packets.datagram[first]]
    columns = {START: "start", DCID_AT: "dcid_offset", SCID_AT: "scid_offset", NUMBER_AT: "payload_offset"}
    columns |= {KIND: "kind", END: "end", VERSION: "version"}
    offsets = np.stack(
        [getattr(packets, f"{cid}_{what}")[first] for cid in ("dcid", "scid") for what in ("offset", "length")]
    )
    read = np.zeros((len(first), HEAD_COLUMNS), np.int64)
    runner(write_cids, compiled)(b, np.ascontiguousarray(offsets.T), read)
    for column, name in columns.items():
        read[:, column] = getattr(packets, name)[first]
    versions = [v for v in set(read[:, VERSION].tolist()) if can_derive(v) and v not in GQUIC_FRAMES]
    has_keys, flaw = (read[:, KIND] == INITIAL) & np.isin(read[:, VERSION], versions), packets.flaw[first]
    read[:, OPENABLE] = has_keys & (flaw == 0) & (initials[packets.datagram[first]] == 1)
    read[:, CUT] = has_keys & ((flaw == FLAW_CUT) | (flaw == FLAW_CUT_HEADER))
    heads[at] = read
    return at
