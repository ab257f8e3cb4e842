"""The first handshake messages of many clients at once, out of CRYPTO frames: what ``frames`` reads, as a kernel.

Clients send their ClientHello whole, in order, or shuffled into a dozen CRYPTO frames over two or three Initials (RFC
9000 §19.6). Read here are PADDING, PING and CRYPTO, of which a client's first flight consists. Whatever is not so
plain (another frame, a frame that is cut, bytes that contradict each other, a message beyond ``MOST_BYTES``) is ODD:
``frames`` and ``crypto_stream`` read any.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import Matrix, kernel, runner
from analyzer.wire.bytes import u8
from analyzer.wire.offered_names import places_of_names
from analyzer.wire.quic.split import varint, varint_size
from analyzer.wire.tls import CLIENT_HELLO

#: Bytes of a stream that are put together here: what fits into four Initials of 1200 bytes.
MOST_BYTES = 4608
#: In place of a message's length: bytes of it are missing; it must be read otherwise.
MISSING, ODD = 0, -1

_PADDING, _PING, _CRYPTO = 0, 1, 6
_HEADER = 4  # of a handshake message: type (8), length (24), RFC 8446 §4

_Areas = Annotated[NDArray[np.uint8], 2]


@kernel
def gather_messages(
    clear: NDArray[np.uint8], payloads: Matrix, streams: _Areas, there: _Areas, lengths: NDArray[np.int64]
) -> int:
    """Add payloads (begin and end in ``clear``, row of ``streams``) to streams, and tell the lengths of their messages.

    ``there`` has a 1 for each byte of ``streams`` that is known. ``lengths`` must be MISSING for a new stream.
    """
    for row in range(len(payloads)):
        at, end, stream = payloads[row, 0], payloads[row, 1], payloads[row, 2]
        whole = at < end
        while at < end and whole:
            kind = u8(clear, at)
            at += 1
            if kind == _CRYPTO:
                offset = varint(clear, at, end)
                at += varint_size(clear, at) if offset >= 0 else 0
                size = varint(clear, at, end) if offset >= 0 else -1
                at += varint_size(clear, at) if size >= 0 else 0
                whole = 0 <= size <= end - at and offset + size <= MOST_BYTES
                if whole:
                    for i in range(size):
                        byte = clear[at + i]
                        if there[stream, offset + i] and streams[stream, offset + i] != byte:
                            whole = False
                        streams[stream, offset + i] = byte
                        there[stream, offset + i] = 1
                    at += size
            elif kind != _PADDING and kind != _PING:
                whole = False
        if not whole:
            lengths[stream] = ODD
        if lengths[stream] != MISSING:
            continue
        known = 0
        while known < _HEADER and there[stream, known]:
            known += 1
        if known == _HEADER:
            size = _HEADER + (u8(streams[stream], 1) << 16 | u8(streams[stream], 2) << 8 | u8(streams[stream], 3))
            while known < min(size, MOST_BYTES) and there[stream, known]:
                known += 1
            if known == size:
                lengths[stream] = size
    return len(payloads)


class FirstMessages:
    """The first messages of ``count`` streams, as their payloads come."""

    def __init__(self, count: int, *, compiled: bool) -> None:
        self._streams, self._there = np.empty((count, MOST_BYTES), np.uint8), np.zeros((count, MOST_BYTES), np.uint8)
        self._flat = memoryview(self._streams.data).cast("B")
        #: int64 of each stream: the message's length, MISSING or ODD.
        self.lengths = np.zeros(count, np.int64)
        self._run, self._compiled = runner(gather_messages, compiled), compiled

    def add(self, streams: NDArray[np.int64], payloads: list[bytes]) -> None:
        """Add one payload to each of some streams."""
        ends = np.cumsum(np.fromiter(map(len, payloads), np.int64, len(payloads)))
        begins = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
        clear = np.frombuffer(b"".join(payloads), np.uint8)
        table = np.ascontiguousarray(np.stack([begins, ends, streams], axis=1))
        self._run(clear, table, self._streams, self._there, self.lengths)

    def hellos(self, streams: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some streams whose message is whole, and a ClientHello."""
        found: NDArray[np.int64] = streams[(self.lengths[streams] > 0) & (self._streams[streams, 0] == CLIENT_HELLO)]
        return found

    def names(self) -> NDArray[np.int64]:
        """Where in each message that is a ClientHello its names lie (``offered_names``)."""
        return places_of_names(self._streams, np.maximum(self.lengths, 0), compiled=self._compiled)

    def message(self, stream: int) -> bytes:
        """The whole message of a stream, b"" where there is none."""
        begin = stream * MOST_BYTES
        return bytes(self._flat[begin : begin + max(self.lengths.item(stream), 0)])
