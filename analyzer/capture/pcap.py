"""The pcap file format: a header of 24 bytes, then records of 16 bytes and the captured bytes each.

    file     magic:4 major:2 minor:2 zone:4 accuracy:4 snaplen:4 link type:4
    record   seconds:4 fraction:4 captured length:4 original length:4 captured bytes

All in the byte order of the writer; the magic number tells it, and whether the fraction counts microseconds or
nanoseconds (draft-ietf-opsawg-pcap §4). Not read: the FCS bits beside the link type, the time zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.blocks import Blocks
from analyzer.capture.records import (
    BATCH_RECORDS,
    Batch,
    CaptureFacts,
    Interface,
    Records,
    new_records,
    part,
    views,
)
from analyzer.errors import NotACapture
from analyzer.kernels import helper, kernel, runner
from analyzer.wire.bytes import le32, u32

#: Magic number as the file has it -> byte order, ticks per second.
MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("little", 1_000_000),
    b"\xa1\xb2\xc3\xd4": ("big", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("little", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": ("big", 1_000_000_000),
}

FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16

#: No record or block is longer (bytes): what claims more is taken for damage. Wireshark's own limit for the
#: link type with the longest records is half of it.
LONGEST_RECORD = 256 << 20

# Why a walk over a block of bytes stopped. Constants of kernels live in modules that name the cache folder.
STOP_MORE = 0  # the next record needs more bytes than there are
STOP_FULL = 1  # the columns are full
STOP_LONG = 2  # the next record claims more than LONGEST_RECORD
STOP_ZEROS = 3  # the next record header is all zeros
STOP_OTHER = 4  # pcapng: a block that describes, and is read in Python
STOP_COMMENT = 5  # pcapng: the last record carries a comment
STOP_DAMAGED = 6  # pcapng: the lengths of a block contradict each other
STOP_INTERFACE = 7  # pcapng: a packet of an interface that was not described

# Places in the state of a walk, for pcap and pcapng.
BIG = 0  # 1: big endian
CAPTURE = 1  # what the column says
BASE = 2  # position of buffer[0] in the file
NUMBER = 3  # of the last record read
COUNT = 4  # columns filled
AT = 5  # where the walk begins, then where it stopped, in the buffer
END = 6  # of the bytes in the buffer
NEED = 7  # bytes from AT that the next record needs
STOP = 8  # why it stopped
TICK_NS = 9  # pcap: nanoseconds per tick of the fraction
LINK_TYPE = 10  # pcap
FIRST_INTERFACE = 9  # pcapng: of the section, counted over the whole file
INTERFACES = 10  # pcapng: described so far in the whole file
COMMENTS = 11  # pcapng: 1: stop after a record with a comment
OPTIONS = 12  # pcapng: where the options of that record begin in the buffer
STATE_LENGTH = 13


@helper
def field32(b: Any, i: int, big: int) -> int:
    """Four bytes at ``i`` in the byte order of the file; ``| 0`` makes them signed where they are compiled."""
    if big:
        return u32(b, i) | 0
    return le32(b, i) | 0


@kernel
def walk_pcap(b: NDArray[np.uint8], state: NDArray[np.int64], out: Records) -> int:
    """Fill columns from the records that are whole in ``b[AT:END]``; returns how many columns are filled."""
    big = int(state[BIG])
    tick = int(state[TICK_NS])
    link_type = int(state[LINK_TYPE])
    capture = int(state[CAPTURE])
    base = int(state[BASE])
    number = int(state[NUMBER])
    count = int(state[COUNT])
    capacity = len(out.offset)
    i = int(state[AT])
    end = int(state[END])
    need = RECORD_HEADER_BYTES
    stop = STOP_MORE
    while i + RECORD_HEADER_BYTES <= end:
        if count == capacity:
            stop = STOP_FULL
            break
        seconds = field32(b, i, big)
        fraction = field32(b, i + 4, big)
        captured = field32(b, i + 8, big)
        original = field32(b, i + 12, big)
        need = RECORD_HEADER_BYTES + captured
        if captured > LONGEST_RECORD:
            stop = STOP_LONG
            break
        if seconds + fraction + captured + original == 0:
            stop = STOP_ZEROS
            break
        if i + need > end:
            break
        number += 1
        out.offset[count] = i + RECORD_HEADER_BYTES
        out.captured_length[count] = captured
        out.original_length[count] = original
        out.time[count] = seconds * 1_000_000_000 + fraction * tick
        out.link_type[count] = link_type
        out.interface[count] = 0
        out.capture[count] = capture
        out.number[count] = number
        out.position[count] = base + i
        count += 1
        i += need
        need = RECORD_HEADER_BYTES
    state[NUMBER] = number
    state[COUNT] = count
    state[AT] = i
    state[NEED] = need
    state[STOP] = stop
    return count


class PcapReader:
    """Reads one pcap file; the header is read when it is made."""

    def __init__(self, blocks: Blocks, facts: CaptureFacts, *, index: int, compiled: bool) -> None:
        self.blocks = blocks
        self.facts = facts
        self._walk = runner(walk_pcap, compiled)
        self._compiled = compiled
        self._state: NDArray[np.int64] = np.zeros(STATE_LENGTH, dtype=np.int64)
        self._state[CAPTURE] = index
        self._columns = new_records(BATCH_RECORDS)
        self._read_header()

    def _read_header(self) -> None:
        blocks, facts = self.blocks, self.facts
        if not blocks.fill(FILE_HEADER_BYTES):
            raise NotACapture(
                f"{facts.name}: the pcap header is cut: {len(blocks)} of {FILE_HEADER_BYTES} bytes are there; "
                "capture again, or copy the file again"
            )
        header = blocks.buffer[blocks.begin : blocks.begin + FILE_HEADER_BYTES].tobytes()
        facts.byte_order, ticks = MAGICS[header[:4]]
        order = "<" if facts.byte_order == "little" else ">"
        major, minor = (int(v) for v in np.frombuffer(header, dtype=f"{order}u2", count=2, offset=4))
        snaplen, link_type = (int(v) for v in np.frombuffer(header, dtype=f"{order}u4", count=2, offset=16))
        if major != 2:
            raise NotACapture(
                f"{facts.name}: pcap version {major}.{minor} at byte 4 is not read (2.4 is); "
                "convert it with: editcap -F pcapng IN OUT"
            )
        # draft-ietf-opsawg-pcap §4: the lower 16 bits are the link type, bits above tell of an FCS.
        link_type &= 0xFFFF
        facts.snaplen = snaplen
        facts.link_types = [link_type]
        facts.interfaces = [Interface(link_type, snaplen, ticks)]
        self._state[BIG] = int(order == ">")
        self._state[TICK_NS] = 1_000_000_000 // ticks
        self._state[LINK_TYPE] = link_type
        blocks.begin += FILE_HEADER_BYTES

    @property
    def number(self) -> int:
        """The number of the last record read."""
        return int(self._state[NUMBER])

    def head(self) -> tuple[int, int]:
        """Position of the first record, and its number less one."""
        return self.blocks.position, 0

    def resume(self, blocks: Blocks, number: int) -> None:
        """Go on in other bytes of the file, behind record ``number``."""
        self.blocks, self._state[NUMBER] = blocks, number

    def batches(self) -> Iterator[Batch]:
        """The records in the order of the file, until its end or its cut."""
        blocks, state = self.blocks, self._state
        while True:
            state[BASE], state[COUNT], state[AT], state[END] = blocks.base, 0, blocks.begin, blocks.end
            if self._compiled:
                count = self._walk(blocks.buffer, state, self._columns)
            else:
                buffer: Any = blocks.buffer.data
                place: Any = state.data
                count = self._walk(buffer, place, views(self._columns))
            blocks.begin = int(state[AT])
            if count:
                records = part(self._columns, 0, count)
                self.facts.saw(records)
                self.facts.interfaces[0].records += count
                yield Batch(blocks.buffer, records)
            stop, need = int(state[STOP]), int(state[NEED])
            if stop == STOP_FULL or (stop == STOP_MORE and blocks.fill(need)):
                continue
            self._end(stop)
            return

    def _end(self, stop: int) -> None:
        """Say in one sentence why reading ended here, unless the file just ends."""
        blocks, name = self.blocks, self.facts.name
        need, number = int(self._state[NEED]), int(self._state[NUMBER]) + 1
        where = f"{name}: record {number:,} at byte {blocks.position:,}"
        rest = f"{blocks.left:,} bytes"
        if stop == STOP_LONG:
            self.facts.cut = (
                f"{where} claims {need - RECORD_HEADER_BYTES:,} captured bytes, which no record has: "
                "what follows is not a capture and was not read"
            )
        elif stop == STOP_ZEROS:
            self.facts.cut = f"{where} is all zeros: what follows is not a capture and was not read"
        elif blocks.stream.damage:
            self.facts.cut = f"{where} is the first that is missing: {blocks.stream.damage}"
        elif blocks.left >= RECORD_HEADER_BYTES:
            self.facts.cut = f"{where} needs {need:,} bytes and the file ends after {rest}: it was cut short there"
        elif blocks.left:
            self.facts.cut = f"{where} has {rest} of its header: the file was cut short there"
