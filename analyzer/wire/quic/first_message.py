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
from analyzer.wire.offered_names import first_with_names, places_of_names
from analyzer.wire.quic.split import varint, varint_size
from analyzer.wire.tls import CLIENT_HELLO
from analyzer.wire.tls_hello import Names, names_of

#: Bytes of a stream that are put together here: what fits into four Initials of 1200 bytes.
MOST_BYTES = 4608
#: In place of a message's length: bytes of it are missing; it must be read otherwise.
MISSING, ODD = 0, -1
#: Columns of the state of a stream: its message's length, or one of these; the end of the highest byte that is known.
MESSAGE, HIGHEST = 0, 1

_PADDING, _PING, _CRYPTO = 0, 1, 6
_HEADER = 4  # of a handshake message: type (8), length (24), RFC 8446 §4

_Areas = Annotated[NDArray[np.uint8], 2]


@kernel
def gather_messages(clear: NDArray[np.uint8], payloads: Matrix, streams: _Areas, there: _Areas, state: Matrix) -> int:
    """Add payloads (begin and end in ``clear``, row of ``streams``) to streams, and tell the lengths of their messages.

    ``there`` has a 1 for each byte of ``streams`` that is known. ``state`` must be MISSING and 0 for a new stream.
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
                    differ = 0
                    for i in range(size):
                        known, byte = there[stream, offset + i], clear[at + i]
                        differ |= known * (streams[stream, offset + i] ^ byte)
                        streams[stream, offset + i] = byte
                        there[stream, offset + i] = 1
                    whole = differ == 0
                    state[stream, HIGHEST] = max(state[stream, HIGHEST], offset + size)
                    at += size
            elif kind == _PADDING:  # most of a datagram: by 16 bytes at a time
                some = 0
                while some == 0 and at + 16 <= end:
                    for i in range(16):
                        some |= clear[at + i]
                    at += 16 if some == 0 else 0
            elif kind != _PING:
                whole = False
        if not whole:
            state[stream, MESSAGE] = ODD
        if state[stream, MESSAGE] != MISSING:
            continue
        known = 0
        while known < _HEADER and there[stream, known]:
            known += 1
        if known == _HEADER:
            size = _HEADER + (u8(streams[stream], 1) << 16 | u8(streams[stream], 2) << 8 | u8(streams[stream], 3))
            while known < min(size, MOST_BYTES) and there[stream, known]:
                known += 1
            if known == size:
                state[stream, MESSAGE] = size
    return len(payloads)


@kernel
def copy_messages(streams: _Areas, chosen: NDArray[np.int64], ends: NDArray[np.int64], out: NDArray[np.uint8]) -> int:
    """Copy the messages of some streams one behind another; ``ends`` is where each ends."""
    begin = 0
    for k in range(len(chosen)):
        for i in range(ends[k] - begin):
            out[begin + i] = streams[chosen[k], i]
        begin = ends[k]
    return begin


class FirstMessages:
    """The first messages of up to ``most`` streams, as their payloads come."""

    def __init__(self, most: int, *, compiled: bool) -> None:
        self._streams, self._there = np.empty((most, MOST_BYTES), np.uint8), np.zeros((most, MOST_BYTES), np.uint8)
        self._state = np.zeros((most, 2), np.int64)
        self.compiled = compiled

    def begin(self) -> None:
        """Forget what was read."""
        self._there[:, : self._state[:, HIGHEST].max(initial=0)] = 0
        self._state[:] = MISSING, 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 of each stream: the message's length, MISSING or ODD."""
        return self._state[:, MESSAGE]

    def add(self, streams: NDArray[np.int64], payloads: list[bytes]) -> None:
        """Add one payload to each of some streams."""
        ends = np.cumsum(np.fromiter(map(len, payloads), np.int64, len(payloads)))
        begins = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
        clear = np.frombuffer(b"".join(payloads), np.uint8)
        table = np.ascontiguousarray(np.stack([begins, ends, streams], axis=1))
        runner(gather_messages, self.compiled)(clear, table, self._streams, self._there, self._state)

    def hellos(self, streams: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some streams whose message is whole, and a ClientHello."""
        found: NDArray[np.int64] = streams[(self.lengths[streams] > 0) & (self._streams[streams, 0] == CLIENT_HELLO)]
        return found

    def names(self, streams: NDArray[np.int64]) -> tuple[list[Names], NDArray[np.int64]]:
        """The names in the ClientHellos of some streams, each once, and the number of each stream's."""
        lengths = np.zeros(len(self._streams), np.int64)
        lengths[streams] = self.lengths[streams]
        places = places_of_names(self._streams, lengths, compiled=self.compiled)
        same = first_with_names(self._streams, places, streams, compiled=self.compiled)
        first, number = np.unique(same, return_inverse=True)
        each = zip(first.tolist(), places[first].tolist(), strict=True)
        return [
            names_of(self._part(stream, sni, sni_length), self._part(stream, alpn, alpn_length))
            for stream, (sni, sni_length, alpn, alpn_length) in each
        ], number

    def _part(self, stream: int, begin: int, length: int) -> bytes:
        return self._streams[stream, begin : begin + length].tobytes()

    def messages(self, streams: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The whole messages of some streams one behind another, and where each ends."""
        ends = np.cumsum(self.lengths[streams])
        out = np.empty(ends[-1] if len(ends) else 0, np.uint8)
        runner(copy_messages, self.compiled)(self._streams, streams, ends, out)
        return out, ends
