"""The pcapng file format: blocks that each give their type and, twice, their length.

    block    type:4 length:4 body length:4
    EPB (6)  interface:4 time:4+4 captured length:4 original length:4 captured bytes, options
    PB (2)   interface:2 drops:2, the rest as in an EPB (obsolete, still written by old tools)
    SPB (3)  original length:4 captured bytes; interface 0 of the section, no time

A compiled walk reads these three and steps over blocks that nobody here knows; it stops at a block that describes
(``descriptions.py``). Byte order and the numbers of interfaces hold for one section
(draft-ietf-opsawg-pcapng §3, §4). A block whose lengths contradict each other ends the reading, as in Wireshark:
where the next block begins is then anybody's guess.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
from analyzer.capture.records import Interface, Records
from analyzer.kernels import helper, kernel
from analyzer.wire.bytes import le16, u16

LEAST_BLOCK_BYTES = 12
SECTION_BYTES = 28  # of a section header without options
PACKET_BYTES = 32  # of an EPB or PB without captured bytes and options
SIMPLE_BYTES = 16  # of an SPB without captured bytes


class Clocks(NamedTuple):
    """Per interface of the file: what the walk must know, and what it counts."""

    link_type: NDArray[np.int64]
    snaplen: NDArray[np.int64]  # bytes; 0: unlimited
    per_second: NDArray[np.int64]  # ticks; 0: a resolution that no clock has
    shift: NDArray[np.int64]  # log2 of ticks per second, or -1 where they are a power of ten
    offset_seconds: NDArray[np.int64]
    records: NDArray[np.int64]
    dropped: NDArray[np.int64]  # as the packets' own drop counts say


@helper
def field16(b: Any, i: int, big: int) -> int:
    """Two bytes at ``i`` in the byte order of the section."""
    if big:
        return u16(b, i) | 0
    return le16(b, i) | 0


@helper
def clock_time(high: int, low: int, clocks: Any, k: int) -> int:
    """Ticks of interface ``k`` as ns since the epoch; -1 if no clock shows that (before 1970, after 2255)."""
    per_second = int(clocks.per_second[k])
    shift = int(clocks.shift[k])
    if high >= 0x80000000 or per_second == 0:
        return -1
    ticks = (high << 32) | low
    if shift >= 0:
        seconds = ticks >> shift
        fraction = ticks - (seconds << shift)
        if shift > 33:
            fraction = fraction >> (shift - 33)
            shift = 33
        fraction = (fraction * 1_000_000_000) >> shift
    else:
        seconds = ticks // per_second
        fraction = ticks - seconds * per_second
        if per_second <= 1_000_000_000:
            fraction = fraction * (1_000_000_000 // per_second)
        else:
            fraction = fraction // (per_second // 1_000_000_000)
    if seconds > 1_000_000_000_000_000:  # the sum below must not leave int64
        return -1
    seconds += int(clocks.offset_seconds[k])
    if seconds < 0 or seconds >= 9_000_000_000:
        return -1
    return seconds * 1_000_000_000 + fraction


@helper
def packet_options(b: Any, i: int, end: int, big: int) -> int:
    """Among options in ``b[i:end]``: dropped packets times 2 (at most 2**32 each), plus 1 if there is a comment."""
    dropped = 0
    comment = 0
    while i + 4 <= end:
        code = field16(b, i, big)
        length = field16(b, i + 2, big)
        i += 4
        if code == 0 or i + length > end:
            break
        if code == 1:
            comment = 1
        if code == 4 and length == 8:  # epb_dropcount
            if big:
                dropped = field32(b, i + 4, big)
            else:
                dropped = field32(b, i, big)
        i += length + (-length & 3)
    return dropped * 2 + comment


@kernel
def walk_pcapng(b: NDArray[np.uint8], state: NDArray[np.int64], clocks: Clocks, out: Records) -> int:
    """Fill columns from the blocks that are whole in ``b[AT:END]``; returns how many columns are filled."""
    big = int(state[BIG])
    capture = int(state[CAPTURE])
    base = int(state[BASE])
    number = int(state[NUMBER])
    count = int(state[COUNT])
    first_interface = int(state[FIRST_INTERFACE])
    interfaces = int(state[INTERFACES])
    capacity = len(out.offset)
    i = int(state[AT])
    end = int(state[END])
    need = LEAST_BLOCK_BYTES
    stop = STOP_MORE
    while i + LEAST_BLOCK_BYTES <= end:
        if count == capacity:
            stop = STOP_FULL
            break
        kind = field32(b, i, big)
        length = field32(b, i + 4, big)
        if kind == 0x0A0D0D0A:  # its length is in the byte order of the section that it begins
            stop = STOP_OTHER
            break
        need = length
        if length > LONGEST_RECORD:
            stop = STOP_LONG
            break
        if length < LEAST_BLOCK_BYTES or length & 3:
            stop = STOP_DAMAGED
            break
        if i + length > end:
            break
        if field32(b, i + length - 4, big) != length:
            stop = STOP_DAMAGED
            break
        if kind == 1 or kind == 4 or kind == 5 or kind == 10:
            stop = STOP_OTHER
            break
        if kind != 2 and kind != 3 and kind != 6:
            if kind == 9 or kind == 0xBAD or kind == 0x40000BAD or kind == 0x204 or kind == 0x216 or kind == 0x221:
                number += 1  # journal entry, custom, system call: numbered as a frame by Wireshark
            i += length
            need = LEAST_BLOCK_BYTES
            continue
        interface = first_interface
        time = -1
        if kind == 3:
            original = field32(b, i + 8, big)
            captured = min(original, length - SIMPLE_BYTES)
            offset = i + 12
            if length < SIMPLE_BYTES:
                stop = STOP_DAMAGED
                break
        else:
            if length < PACKET_BYTES:
                stop = STOP_DAMAGED
                break
            if kind == 6:
                interface += field32(b, i + 8, big)
            else:
                interface += field16(b, i + 8, big)
            captured = field32(b, i + 20, big)
            original = field32(b, i + 24, big)
            offset = i + 28
            if captured > length - PACKET_BYTES:
                stop = STOP_DAMAGED
                break
        if interface >= interfaces:
            stop = STOP_INTERFACE
            break
        extra = 0
        options = offset + captured + (-captured & 3)
        if kind == 3:
            if clocks.snaplen[interface] > 0:
                captured = min(captured, int(clocks.snaplen[interface]))
        else:
            time = clock_time(field32(b, i + 12, big), field32(b, i + 16, big), clocks, interface)
            if options + 4 <= i + length - 4:
                extra = packet_options(b, options, i + length - 4, big)
            drops = extra >> 1
            if kind == 2 and field16(b, i + 10, big) != 0xFFFF:
                drops += field16(b, i + 10, big)
            clocks.dropped[interface] += drops
        number += 1
        clocks.records[interface] += 1
        out.offset[count] = offset
        out.captured_length[count] = captured
        out.original_length[count] = original
        out.time[count] = time
        out.link_type[count] = clocks.link_type[interface]
        out.interface[count] = interface
        out.capture[count] = capture
        out.number[count] = number
        out.position[count] = base + i
        count += 1
        i += length
        need = LEAST_BLOCK_BYTES
        if extra & 1 and state[COMMENTS]:
            state[OPTIONS] = options
            stop = STOP_COMMENT
            break
    state[NUMBER] = number
    state[COUNT] = count
    state[AT] = i
    state[NEED] = need
    state[STOP] = stop
    return count


def no_clocks(capacity: int) -> Clocks:
    """Room for ``capacity`` interfaces."""
    return Clocks(*(np.zeros(capacity, dtype=np.int64) for _ in Clocks._fields))


def set_clock(clocks: Clocks, index: int, interface: Interface) -> None:
    """Tell the walk what it must know of one interface."""
    ticks = interface.ticks_per_second
    binary = ticks & (ticks - 1) == 0
    clocks.link_type[index] = interface.link_type
    clocks.snaplen[index] = interface.snaplen
    clocks.per_second[index] = ticks if ticks < 1 << 63 else 0
    clocks.shift[index] = ticks.bit_length() - 1 if binary else -1
    clocks.offset_seconds[index] = interface.offset_seconds
