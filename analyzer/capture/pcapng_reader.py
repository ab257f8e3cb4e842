"""Reads a pcapng file: the walk for the packets, Python for the blocks that describe them.

The walk fills columns until it meets a block that describes, which is read where it lies; then it goes on
filling the same columns. A batch is handed on when they are full or the buffer needs more of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.blocks import Blocks
from analyzer.capture.descriptions import BYTE_ORDERS, COMMENTS_LIMIT, INTERFACES_LIMIT, Descriptions
from analyzer.capture.pcap import (
    AT,
    BASE,
    BIG,
    CAPTURE,
    COMMENTS,
    COUNT,
    END,
    FIRST_INTERFACE,
    INTERFACES,
    LONGEST_RECORD,
    NEED,
    NUMBER,
    OPTIONS,
    STATE_LENGTH,
    STOP,
    STOP_COMMENT,
    STOP_DAMAGED,
    STOP_FULL,
    STOP_INTERFACE,
    STOP_LONG,
    STOP_MORE,
    STOP_OTHER,
    field32,
)
from analyzer.capture.pcapng import LEAST_BLOCK_BYTES, SECTION_BYTES, Clocks, no_clocks, set_clock, walk_pcapng
from analyzer.capture.records import BATCH_RECORDS, Batch, CaptureFacts, new_records, part, views
from analyzer.errors import NotACapture
from analyzer.kernels import runner

MAGIC = b"\x0a\x0d\x0d\x0a"


class PcapngReader:
    """Reads one pcapng file; its first section header is read when it is made."""

    def __init__(self, blocks: Blocks, facts: CaptureFacts, *, index: int, compiled: bool) -> None:
        self.blocks = blocks
        self.facts = facts
        self._walk = runner(walk_pcapng, compiled)
        self._compiled = compiled
        self._state: NDArray[np.int64] = np.zeros(STATE_LENGTH, dtype=np.int64)
        self._state[CAPTURE] = index
        self._state[COMMENTS] = 1
        self._columns = new_records(BATCH_RECORDS)
        self._clocks = no_clocks(8)
        self._descriptions = Descriptions(facts)
        self._damage = ""
        self.packets_only = False  # stop at a block that describes, and at a comment
        if not (blocks.fill(SECTION_BYTES) and blocks.fill(self._section_length())) or not self._section():
            reason = self._damage or f"only {len(blocks)} bytes of it are there"
            raise NotACapture(
                f"{facts.name}: the pcapng header at byte 0 cannot be read: {reason}; copy the file again"
            )

    @property
    def number(self) -> int:
        """The number of the last record read."""
        return int(self._state[NUMBER])

    @property
    def met_comment(self) -> bool:
        """Whether reading stopped behind a record with a comment, which was not kept."""
        return self.packets_only and int(self._state[STOP]) == STOP_COMMENT

    @property
    def counts(self) -> NDArray[np.int64]:
        """Two rows, of records and of drops that the packets tell, with a column per interface."""
        return np.array([self._clocks.records, self._clocks.dropped])[:, : int(self._state[INTERFACES])]

    def head(self) -> tuple[int, int]:
        """Read what describes up to the first packet: its position, -1 if there is none, and its number less one."""
        blocks, state = self.blocks, self._state
        while True:
            count = self._step()
            if count:
                state[COUNT] = 0
                self._clocks.records[:] = self._clocks.dropped[:] = 0
                return int(self._columns.position[0]), int(self._columns.number[0]) - 1
            stop = int(state[STOP])
            if stop == STOP_OTHER and self._describe():
                continue
            if stop not in (STOP_MORE, STOP_OTHER) or self._damage or not blocks.fill(int(state[NEED])):
                return -1, 0

    def resume(self, blocks: Blocks, number: int, counts: NDArray[np.int64] | None = None) -> None:
        """Go on in other bytes of the section, behind record ``number``; ``counts`` are those of what was left out."""
        self.blocks, self._state[NUMBER] = blocks, number
        if counts is not None:
            self._clocks.records[: counts.shape[1]] += counts[0]
            self._clocks.dropped[: counts.shape[1]] += counts[1]

    def batches(self) -> Iterator[Batch]:
        """The records in the order of the file, until its end or its cut."""
        blocks, state = self.blocks, self._state
        while True:
            count = self._step()
            stop = int(state[STOP])
            if stop == STOP_COMMENT and not self.packets_only:
                self._record_comments()
                continue
            if stop == STOP_OTHER and not self.packets_only and self._describe():
                continue
            if count:
                records = part(self._columns, 0, count)
                state[COUNT] = 0
                self.facts.saw(records)
                yield Batch(blocks.buffer, records)
            if stop == STOP_FULL:
                continue
            more = stop == STOP_MORE or (stop == STOP_OTHER and not self.packets_only)
            if more and not self._damage and blocks.fill(int(state[NEED])):
                continue
            self._end(stop)
            return

    def _step(self) -> int:
        """Walk on in the buffer, adding to the columns filled so far."""
        blocks, state, clocks = self.blocks, self._state, self._clocks
        state[BASE], state[AT], state[END] = blocks.base, blocks.begin, blocks.end
        if self._compiled:
            count = self._walk(blocks.buffer, state, clocks, self._columns)
        else:
            buffer: Any = blocks.buffer.data
            place: Any = state.data
            seen = Clocks(*(column.data for column in clocks))  # type: ignore[arg-type]
            count = self._walk(buffer, place, seen, views(self._columns))
        blocks.begin = int(state[AT])
        return count

    def _describe(self) -> bool:
        """Read the block that describes and step over it; False if it is not whole, or damaged."""
        blocks, state = self.blocks, self._state
        start = blocks.begin
        if blocks.buffer[start : start + 4].tobytes() == MAGIC:
            state[NEED] = need = self._section_length()
            return len(blocks) >= need and not self._damage and self._section()
        block = blocks.buffer[start : start + int(state[NEED])].tobytes()
        kind = int(field32(block, 0, int(state[BIG])))
        self._descriptions.other(kind, block[8:-4])
        self._describe_clocks()
        blocks.begin += len(block)
        return not self._damage

    def _section_length(self) -> int:
        """Length of the section header that comes next; sets the damage if it has none."""
        blocks = self.blocks
        head = blocks.buffer[blocks.begin : blocks.begin + LEAST_BLOCK_BYTES].tobytes()
        order = BYTE_ORDERS.get(head[8:12])
        if order is None:
            self._damage = f"no byte-order magic follows but {head[8:12].hex(' ')}"
            return LEAST_BLOCK_BYTES
        length = int.from_bytes(head[4:8], "little" if order == "<" else "big")
        if not SECTION_BYTES <= length <= LONGEST_RECORD or length % 4:
            self._damage = f"it claims a length of {length:,} bytes"
        return length

    def _section(self) -> bool:
        """Begin the section whose header is whole in the buffer; False if it is damaged."""
        blocks, state = self.blocks, self._state
        length = self._section_length()
        block = blocks.buffer[blocks.begin : blocks.begin + length].tobytes()
        order = BYTE_ORDERS.get(block[8:12], "<")
        byte_order: Any = "little" if order == "<" else "big"
        major, minor = (int.from_bytes(block[at : at + 2], byte_order) for at in (12, 14))
        if not self._damage and block[-4:] != block[4:8]:
            self._damage = "its two lengths differ"
        if not self._damage and major != 1:
            self._damage = f"pcapng version {major}.{minor} is not read (1.0 is)"
        if self._damage:
            return False
        self._descriptions.section(order, block[8:-4])
        state[BIG] = int(order == ">")
        state[FIRST_INTERFACE] = len(self.facts.interfaces)
        blocks.begin += length
        return True

    def _describe_clocks(self) -> None:
        """Tell the walk about interfaces that were described since the last time."""
        interfaces, known = self.facts.interfaces, int(self._state[INTERFACES])
        if len(interfaces) > INTERFACES_LIMIT:
            self._damage = f"it describes interface number {len(interfaces):,}, more than any system has"
            return
        while len(interfaces) > len(self._clocks.link_type):
            more = no_clocks(len(self._clocks.link_type))
            pairs = zip(self._clocks, more, strict=True)
            self._clocks = Clocks(*(np.concatenate(pair) for pair in pairs))
        for index in range(known, len(interfaces)):
            set_clock(self._clocks, index, interfaces[index])
        self._state[INTERFACES] = len(interfaces)

    def _record_comments(self) -> None:
        begin, end = int(self._state[OPTIONS]), self.blocks.begin - 4
        self._descriptions.record_comments(int(self._state[NUMBER]), self.blocks.buffer[begin:end].tobytes())
        self._state[COMMENTS] = int(len(self.facts.comments) <= COMMENTS_LIMIT)

    def _end(self, stop: int) -> None:
        """Settle the counts, and say in one sentence why reading ended here, unless the file just ends."""
        facts = self.facts
        for index, interface in enumerate(facts.interfaces[: int(self._state[INTERFACES])]):
            interface.records = int(self._clocks.records[index])
            if interface.dropped < 0 < self._clocks.dropped[index]:
                interface.dropped = int(self._clocks.dropped[index])
        seen = {interface.link_type for interface in facts.interfaces if interface.records}
        facts.link_types = sorted(seen or {interface.link_type for interface in facts.interfaces})
        unread = int(self._state[NUMBER]) - facts.records
        if unread:
            facts.warnings.append(
                f"{facts.name}: {unread:,} records hold no packet (journal entries, custom blocks, system calls) "
                "and were left out"
            )
        facts.cut = self._cut(stop)

    def _cut(self, stop: int) -> str:
        blocks, need, left = self.blocks, int(self._state[NEED]), self.blocks.left
        where = f"{self.facts.name}: the block at byte {blocks.position:,}, after record {int(self._state[NUMBER]):,}"
        if self._damage:
            return f"{where}, is damaged: {self._damage}; nothing was read from there on"
        if stop == STOP_LONG:
            return f"{where}, claims {need:,} bytes, which no block has: nothing was read from there on"
        if stop == STOP_DAMAGED:
            return f"{where}, is damaged: its lengths contradict each other; nothing was read from there on"
        if stop == STOP_INTERFACE:
            return f"{where}, is of an interface that the file does not describe; nothing was read from there on"
        if blocks.stream.damage:
            return f"{where}, is the first that is missing: {blocks.stream.damage}"
        if left:
            return f"{where}, needs {need:,} bytes and the file ends after {left:,} bytes: it was cut short there"
        return ""
