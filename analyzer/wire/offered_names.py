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


def places_of_names(messages: NDArray[np.uint8], lengths: NDArray[np.int64], *, compiled: bool) -> NDArray[np.int64]:
    """int64, a row for each message, with the columns above."""
    places = np.zeros((len(lengths), 4), np.int64)
    runner(find_names, compiled)(messages, lengths, places)
    return places
