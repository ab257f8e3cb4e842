"""Server name and ALPN of many ClientHellos at once: where ``tls_hello`` would find them, as a kernel.

They are what tables show of every connection; the rest of a hello is read where somebody asks for it.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import Matrix, helper, kernel, runner
from analyzer.wire.bytes import u8, u16
from analyzer.wire.tls_hello import ALPN, SERVER_NAME

#: Columns of ``places``: offset and length of the body of each extension, 0 and 0 where it is not there.
NAME, NAME_LENGTH, PROTOCOLS, PROTOCOLS_LENGTH = range(4)

_FIRST_VECTOR = 38  # behind type, length, version and random

_Messages = Annotated[NDArray[np.uint8], 2]


@helper
def behind_vector(b: Any, at: int, size: int, end: int) -> int:
    """Offset behind the vector at ``at``, whose length field has ``size`` bytes; -1 if it does not fit, or for -1."""
    if at < 0 or at + size > end:
        return -1
    length = u8(b, at) if size == 1 else u16(b, at)
    return at + size + length if at + size + length <= end else -1


@kernel
def find_names(messages: _Messages, lengths: NDArray[np.int64], places: Matrix) -> int:
    """Find both extensions in ClientHellos, the rows of ``messages``, of which ``lengths`` bytes are there."""
    for row in range(len(lengths)):
        b, end = messages[row], lengths[row]
        at = behind_vector(b, _FIRST_VECTOR, 1, end)
        at = behind_vector(b, at, 2, end)
        at = behind_vector(b, at, 1, end)
        at = at + 2 if at >= 0 else end
        while at + 4 <= end:
            kind, length = u16(b, at), u16(b, at + 2)
            if at + 4 + length > end:
                break
            if kind == SERVER_NAME and places[row, NAME] == 0:
                places[row, NAME], places[row, NAME_LENGTH] = at + 4, length
            elif kind == ALPN and places[row, PROTOCOLS] == 0:
                places[row, PROTOCOLS], places[row, PROTOCOLS_LENGTH] = at + 4, length
            at += 4 + length
    return len(lengths)


@helper
def same_area(messages: Any, one: int, other: int, places: Any, column: int) -> bool:
    """Whether the body whose place stands in ``column`` and behind it is the same in two messages."""
    length = places[one, column + 1]
    if places[other, column + 1] != length:
        return False
    a, b = places[one, column], places[other, column]
    differ = 0
    for i in range(length):
        differ |= messages[one, a + i] ^ messages[other, b + i]
    return differ == 0


@kernel
def find_same_names(
    messages: _Messages, places: Matrix, chosen: NDArray[np.int64], slots: NDArray[np.int64], first: NDArray[np.int64]
) -> int:
    """Write the first of the ``chosen`` messages with the same names as each of them into ``first``.

    ``slots``, -1 each, are a hash table of more slots than messages, a power of two.
    """
    count = 0
    for k in range(len(chosen)):
        row = chosen[k]
        digest = 0
        for column in range(NAME, PROTOCOLS_LENGTH, 2):
            at = places[row, column]
            for i in range(places[row, column + 1]):
                digest = (digest * 31 + u8(messages[row], at + i)) & 0xFFFFFFFF
        slot = (digest ^ digest >> 16) & (len(slots) - 1)
        while slots[slot] >= 0 and not (
            same_area(messages, row, slots[slot], places, NAME)
            and same_area(messages, row, slots[slot], places, PROTOCOLS)
        ):
            slot = (slot + 1) & (len(slots) - 1)
        if slots[slot] < 0:
            slots[slot] = row
            count += 1
        first[k] = slots[slot]
    return count


def places_of_names(messages: NDArray[np.uint8], lengths: NDArray[np.int64], *, compiled: bool) -> NDArray[np.int64]:
    """int64, a row for each message, with the columns above."""
    places = np.zeros((len(lengths), 4), np.int64)
    runner(find_names, compiled)(messages, lengths, places)
    return places


def first_with_names(
    messages: NDArray[np.uint8], places: NDArray[np.int64], chosen: NDArray[np.int64], *, compiled: bool
) -> NDArray[np.int64]:
    """Of each of the ``chosen`` messages the first of them that has the same names, byte for byte."""
    slots, first = np.full(2 << len(chosen).bit_length(), -1, np.int64), np.empty(len(chosen), np.int64)
    runner(find_same_names, compiled)(messages, places, chosen, slots, first)
    return first
