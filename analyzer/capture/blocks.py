"""A buffer that is filled again and again from a stream, keeping the part that was not read yet.

``buffer[begin:end]`` are the bytes not read yet, ``base`` is the place of ``buffer[0]`` in the stream. The
buffer grows only while a record that is longer than it really goes on, so its size follows the bytes that
exist and not what a file claims.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.formats import ByteStream


class Blocks:
    """The bytes of a stream, a block at a time."""

    def __init__(self, stream: ByteStream, *, block_bytes: int, size: int = -1) -> None:
        """``size`` is the length of the stream in bytes where it is known, else -1."""
        self.stream = stream
        self.size = size
        self.buffer: NDArray[np.uint8] = np.empty(max(block_bytes, 64), dtype=np.uint8)
        self.block_bytes = len(self.buffer)
        self.begin = 0
        self.end = 0
        self.base = 0
        self.ended = False

    def __len__(self) -> int:
        return self.end - self.begin

    @property
    def position(self) -> int:
        """Place of the first unread byte in the stream."""
        return self.base + self.begin

    @property
    def left(self) -> int:
        """Bytes from there to the end: read already, or known from the size of the file."""
        return max(len(self), self.size - self.position)

    def fill(self, need: int) -> bool:
        """Read until the buffer is full; whether ``need`` unread bytes are there now.

        The unread bytes move to the start of the buffer, so earlier places in it are no longer valid. A file
        that is too short for ``need`` bytes is not read into a larger buffer.
        """
        self._move(self.block_bytes)
        self._read()
        while len(self) < need and not self.ended and not 0 <= self.size < self.position + need:
            self._move(min(2 * len(self.buffer), max(need, self.block_bytes)))
            self._read()
        return len(self) >= need

    def _move(self, room: int) -> None:
        """Unread bytes to the start of a buffer of ``room`` bytes, or of as many as they are."""
        unread = len(self)
        room = max(room, unread)
        source = self.buffer[self.begin : self.end]
        if room != len(self.buffer):
            self.buffer = np.empty(room, dtype=np.uint8)
        self.buffer[:unread] = source
        self.base += self.begin
        self.begin, self.end = 0, unread

    def _read(self) -> None:
        view = self.buffer.data
        while self.end < len(self.buffer) and not self.ended:
            count = self.stream.readinto(view[self.end :])
            self.ended = count == 0
            self.end += count
