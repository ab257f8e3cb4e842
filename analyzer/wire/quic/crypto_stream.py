"""Putting the pieces of a crypto stream together (RFC 9000 §7.5, §19.6), as an observer that may have missed some.

How it works: pieces arrive in any order, may overlap and may repeat. The bytes from offset 0 without a hole are
the *prefix*; later pieces wait, sorted and without overlap, until the hole before them is filled. Of two
different values for one byte the first seen is kept and the place noted, since an endpoint would not let it
pass. Offsets reach 2^62, so what lies beyond ``limit`` is counted and not kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter

#: A ClientHello with post-quantum key shares takes about 2 KB, a server's flight with a large chain 20 KB.
DEFAULT_LIMIT = 1 << 16
_OFFSET = itemgetter(0)
#: One is enough to say that the stream contradicts itself; a few show where.
MAX_CONFLICTS = 16


class CryptoStream:
    """The crypto stream of one packet number space in one direction."""

    __slots__ = ("_prefix", "_starts", "_waiting", "beyond", "conflicts", "highest", "limit")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        #: Bytes that lay beyond the limit, repeats counted again.
        self.beyond = 0
        #: (start, end) of runs of bytes that were seen with different values, in the order noticed.
        self.conflicts: list[tuple[int, int]] = []
        #: End of the furthest piece seen, kept or not.
        self.highest = 0
        self._prefix = bytearray()
        self._starts: list[int] = []
        self._waiting: list[bytes] = []

    def add(self, offset: int, piece: bytes) -> None:
        """Take one piece, of any offset and length."""
        end = offset + len(piece)
        if end <= len(self._prefix) and self._prefix[offset:end] == piece:
            return  # said before
        if end > self.highest:
            self.highest = end
        if end > self.limit:
            self.beyond += end - max(offset, self.limit)
            piece = piece[: max(0, self.limit - offset)]
        if not piece:
            return
        if offset == len(self._prefix) and not self._starts:
            self._prefix += piece
            return
        self._insert(offset, piece)
        while self._starts and self._starts[0] == len(self._prefix):
            del self._starts[0]
            self._prefix += self._waiting.pop(0)

    def add_all(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        """Take the pieces of one packet: (offset, bytes)."""
        at = 0
        if not self._prefix and not self._starts:
            ordered = sorted(pieces, key=_OFFSET) if len(pieces) > 1 else pieces
            for offset, piece in ordered:
                if offset != at:
                    break
                at += len(piece)
            else:
                if at <= self.limit:  # they are the stream so far, whatever their order was
                    self._prefix += b"".join([piece for _, piece in ordered])
                    self.highest = max(self.highest, at)
                    return
        for offset, piece in pieces:
            self.add(offset, piece)

    def prefix(self) -> bytes:
        """The bytes from offset 0 up to the first hole."""
        return bytes(self._prefix)

    def kept(self) -> list[tuple[int, bytes]]:
        """All bytes that are there: (offset, bytes), sorted, without overlap; the prefix first unless empty."""
        waiting = list(zip(self._starts, self._waiting, strict=True))
        return [(0, self.prefix()), *waiting] if self._prefix else waiting

    def missing(self, end: int | None = None) -> list[tuple[int, int]]:
        """(start, end) of the holes before ``end``, which is the end of the furthest piece kept if not given."""
        spans = [(start, start + len(piece)) for start, piece in self.kept()]
        end = (spans[-1][1] if spans else 0) if end is None else end
        holes, at = [], 0
        for start, behind in spans:
            if start > at and at < end:
                holes.append((at, min(start, end)))
            at = behind
        if at < end:
            holes.append((at, end))
        return holes

    def _insert(self, offset: int, piece: bytes) -> None:
        """Keep the parts of a piece that are new, and compare the others with what is there."""
        end = offset + len(piece)
        if offset < len(self._prefix):
            self._compare(offset, piece, 0, self._prefix)
            piece = piece[len(self._prefix) - offset :]
            offset = end - len(piece)
        i = bisect_left(self._starts, offset)
        if i and self._starts[i - 1] + len(self._waiting[i - 1]) > offset:
            i -= 1
        while piece:
            start = self._starts[i] if i < len(self._starts) else end
            if offset < start:
                new = piece[: start - offset]
                self._starts.insert(i, offset)
                self._waiting.insert(i, new)
                behind = offset + len(new)
            else:
                self._compare(offset, piece, start, self._waiting[i])
                behind = start + len(self._waiting[i])
            piece = piece[behind - offset :]
            offset = behind
            i += 1

    def _compare(self, offset: int, piece: bytes, start: int, there: bytes | bytearray) -> None:
        """Note where two pieces, the second being there already, differ."""
        low, high = max(offset, start), min(offset + len(piece), start + len(there))
        mine, theirs = piece[low - offset : high - offset], there[low - start : high - start]
        if mine == theirs:
            return
        run = low
        for at, (a, b) in enumerate(zip(mine, theirs, strict=True), start=low):
            if a == b:
                self._conflict(run, at)
                run = at + 1
        self._conflict(run, high)

    def _conflict(self, start: int, end: int) -> None:
        if start < end and (start, end) not in self.conflicts and len(self.conflicts) < MAX_CONFLICTS:
            self.conflicts.append((start, end))
