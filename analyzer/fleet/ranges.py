"""One large capture file, not compressed, scanned by ranges.

How it works
------------
``cuts_of`` looks in the file for places where a record seems to begin: a run of headers that are plausible and lead
from one to the next. That is a guess, and only a guess is needed. Each range is read up to where the next was guessed
to begin; ``join`` follows the ranges from the start of the file and takes one only if the range before it ended exactly
where it begins. From the first place where that fails, and from whatever describes the capture behind its packets
(statistics, names, a new section, comments), the file is read on as one process alone would have read all of it.
So a wrong guess costs time, and never changes a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.blocks import Blocks
from analyzer.capture.formats import RawStream
from analyzer.capture.pcap import PcapReader
from analyzer.capture.pcapng_reader import PcapngReader
from analyzer.capture.records import Batch, CaptureFacts
from analyzer.capture.source import CaptureFile, blocks_of, open_raw, reader_of
from analyzer.errors import AnalyzerError, CaptureError
from analyzer.events.scan import Scan, Scanner, merge
from analyzer.fleet.combine import numbered_on, tree
from analyzer.fleet.limit import Counts, is_too_much
from analyzer.fleet.pieces import BLOCK_BYTES, How, InOrder, Piece, Told

#: Records that must lead from one to the next where a range is to begin, and bytes in which they are looked for.
RUN = 16
LOOK_BYTES = 1 << 20

#: Two records that follow one another are this near in time (s), the plausible ones.
NEAR_S = 86_400

#: Connection IDs are counted per batch: in the batches of one process alone one may count this many times as often.
COUNTED_AGAIN = 3

#: No record is taken for one whose captured length is larger (bytes): tcpdump's own limit.
LARGEST_RECORD = 262_144

#: Called with a scan that goes on and the bytes read for it so far.
Seen = Callable[[Scanner, int], None]

_HEAD_BYTES = 64 << 10
_NO_END = 1 << 62
_KINDS = (2, 3, 5, 6)  # pcapng blocks that a run may consist of


class Window(RawStream):
    """The bytes of a file from a position up to another."""

    def __init__(self, source: BinaryIO, begin: int, end: int) -> None:
        super().__init__(source)
        source.seek(begin)
        self._left = end - begin

    def _take(self, into: memoryview) -> int:
        count = super()._take(into[: self._left]) if self._left else 0
        self._left -= count
        return count


class Crowded(AnalyzerError):
    """One process that reads all may have to leave out what is oldest: it is to read it."""


def is_crowded(remembered: Sequence[Counts]) -> bool:
    """Whether one process may have to summarize where ranges hold so much, each as in ``Scanner.remembered``."""
    flows, cids, rows, kept = (sum(counts) for counts in zip(*remembered, strict=True))
    return is_too_much((flows, COUNTED_AGAIN * cids, rows, kept))


class Plan(NamedTuple):
    """Positions where the ranges of a file begin; the last of them ends with the file."""

    cuts: tuple[int, ...]
    size: int

    def ranges(self) -> list[tuple[int, int]]:
        return list(zip(self.cuts, (*self.cuts[1:], self.size), strict=True))


@dataclass(frozen=True, slots=True)
class RangeJob:
    """The records of a file between two positions."""

    path: str
    begin: int
    end: int
    how: How

    @property
    def size(self) -> int:
        """Bytes that are to be read."""
        return self.end - self.begin

    def run(self, told: Told) -> Piece:
        """Scan the range up to its end, or to where it cannot be read without what lies before.

        Raises ``Crowded`` where even the range holds too much to be remembered.
        """
        remembered = (0, 0, 0, 0)

        def seen(scanner: Scanner, taken: int) -> None:
            nonlocal remembered
            remembered = scanner.remembered
            if is_crowded([remembered]):
                raise Crowded
            told(taken)

        piece = self.watched(seen)
        piece.remembered = remembered
        return piece

    def watched(self, seen: Seen) -> Piece:
        """The same; ``seen`` is called after each batch, and may raise what ends it."""
        with _Opened(self.path, compiled=bool(self.how.compiled)) as opened:
            reader = opened.reader
            reader.head()
            if isinstance(reader, PcapngReader):
                reader.packets_only = True
            stream = opened.window(self.begin, self.end)
            reader.resume(stream, 0)
            batches = InOrder(reader.batches())
            found = _scanned(batches, stream, self.how, seen)
            if isinstance(reader, PcapngReader):
                # Comments are counted and numbered over the whole file.
                end = self.begin if reader.met_comment else stream.position
                return Piece(opened.facts, found, -1, batches.holds, reader.number, end, counts=reader.counts)
            return Piece(opened.facts, found, -1, batches.holds, reader.number, stream.position)


def _scanned(batches: Iterable[Batch], blocks: Blocks, how: How, seen: Seen) -> Scan:
    """The scan of batches that are read from ``blocks``."""
    scanner = Scanner(1, compiled=bool(how.compiled), with_secrets=how.with_secrets)
    for batch in batches:
        scanner.add(batch)
        seen(scanner, blocks.stream.taken if isinstance(blocks.stream, RawStream) else 0)
    return scanner.result()


class _Opened:
    """A file with its reader, header read."""

    def __init__(self, path: str, *, compiled: bool) -> None:
        self.facts = CaptureFacts(CaptureFile(path).facts.name, path)
        self._raw = open_raw(self.facts)
        blocks = blocks_of(self._raw, self.facts, size=-1, block_bytes=_HEAD_BYTES)
        self.reader = reader_of(blocks, self.facts, index=0, compiled=compiled)

    def begin(self) -> int:
        """Where the first record or block with packets lies; -1 where the file cannot be read from the middle."""
        begin, _ = self.reader.head()
        return begin if self.facts.format in ("pcap", "pcapng") else -1

    def record_after(self, at: int, begin: int, size: int) -> int:
        """Where the first record seems to begin in the ``LOOK_BYTES`` from ``at`` on; -1 if none does."""
        at += (begin - at) % 4  # blocks of pcapng are multiples of four bytes
        blocks = self.window(at, min(at + LOOK_BYTES, size))
        blocks.fill(LOOK_BYTES)
        find = _pcap_begin if self.facts.format == "pcap" else _pcapng_begin
        found = find(blocks.buffer[: len(blocks)], self.facts)
        return at + found if found >= 0 else -1

    def window(self, begin: int, end: int, *, beyond: bool = False) -> Blocks:
        """The bytes of the file between two positions, to be read; ``beyond``: and what was written behind since."""
        stream = Window(self._raw.source, begin, _NO_END if beyond else end)
        blocks = Blocks(stream, block_bytes=BLOCK_BYTES, size=end)
        blocks.base = begin
        return blocks

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.source.close()


def cuts_of(path: str, size: int, parts: int) -> Plan | None:
    """Where to cut a file into about so many ranges; None where it is compressed or has no place to cut."""
    try:
        with _Opened(path, compiled=False) as opened:
            begin = opened.begin()
            if begin < 0:
                return None
            cuts = [begin]
            for k in range(1, parts):
                found = opened.record_after(begin + (size - begin) * k // parts, begin, size)
                if found > cuts[-1]:
                    cuts.append(found)
    except CaptureError:
        return None
    return Plan(tuple(cuts), size) if len(cuts) > 1 else None


def last_time_of(path: str, size: int) -> int:
    """The latest time in the last ``LOOK_BYTES`` of a file (ns); -1 where it is compressed or nothing is found."""
    try:
        with _Opened(path, compiled=False) as opened:
            begin = opened.begin()
            found = opened.record_after(max(begin, size - LOOK_BYTES), begin, size) if begin >= 0 else -1
            if found < 0:
                return -1
            opened.reader.resume(opened.window(found, size), 0)
            return max((int(batch.records.time.max()) for batch in opened.reader.batches()), default=-1)
    except CaptureError:
        return -1


def _words(view: NDArray[np.uint8], facts: CaptureFacts, step: int) -> NDArray[np.int64]:
    """The 32-bit words at each multiple of ``step`` bytes."""
    count = (len(view) - 4) // step + 1
    dtype = np.dtype(np.uint32).newbyteorder("<" if facts.byte_order == "little" else ">")
    words: NDArray[np.int64] = np.ndarray((count,), dtype, view, 0, (step,)).astype(np.int64)
    return words


def _pcap_begin(view: NDArray[np.uint8], facts: CaptureFacts) -> int:
    """Offset of the first record header in ``view`` that a run of ``RUN`` begins with; -1 if there is none."""
    if len(view) < 32:
        return -1
    words = _words(view, facts, 1)
    room = len(words) - 12
    seconds, fraction, captured, original = (words[k : k + room] for k in (0, 4, 8, 12))
    fits = (captured > 0) & (captured <= LARGEST_RECORD) & (captured <= original) & (original <= LARGEST_RECORD)
    fits &= fraction < facts.interfaces[0].ticks_per_second

    def following(at: int) -> int:
        return at + 16 + int(captured[at])

    def near(at: int, then: int) -> bool:
        return abs(int(seconds[at]) - int(seconds[then])) <= NEAR_S

    return _first_run(fits, following, near)


def _pcapng_begin(view: NDArray[np.uint8], facts: CaptureFacts) -> int:
    """As ``_pcap_begin``, for blocks with packets; ``view`` begins at a multiple of four bytes."""
    if len(view) < 64:
        return -1
    words = _words(view, facts, 4)
    room = len(words) - 7
    kind, length = words[:room], words[1 : room + 1]
    fits = np.isin(kind, _KINDS) & (length >= 12) & (length % 4 == 0) & (length <= 2 * LARGEST_RECORD)
    last = np.minimum(np.arange(room) + length // 4 - 1, len(words) - 1)
    fits &= words[last] == length
    packets = kind == 6
    fits &= ~packets | ((words[2 : room + 2] < len(facts.interfaces)) & (words[5 : room + 5] <= length - 32))
    found = _first_run(fits, lambda at: at + int(length[at]) // 4, lambda _at, _then: True)
    return 4 * found if found >= 0 else -1


def _first_run(fits: NDArray[np.bool_], following: Callable[[int], int], near: Callable[[int, int], bool]) -> int:
    """The first place from which ``RUN`` places that fit lead from one to the next."""
    for start in np.flatnonzero(fits).tolist():
        at = start
        for _ in range(RUN - 1):
            then = following(at)
            if then >= len(fits) or not fits[then] or not near(at, then):
                break
            at = then
        else:
            return int(start)
    return -1


def join(file: CaptureFile, plan: Plan, pieces: Sequence[Piece], how: How, *, seen: Seen = lambda *_: None) -> Scan:
    """The scan of the whole file; its facts are filled in. Raises CaptureError where the file went away.

    ``seen`` is called as by ``RangeJob.watched`` for what is read here.
    """
    with _Opened(file.facts.path, compiled=bool(how.compiled)) as opened:
        reader, facts = opened.reader, opened.facts
        end, number = reader.head()
        scans: list[Scan] = []
        for (begin, _), piece in zip(plan.ranges(), pieces, strict=True):
            if begin != end or piece.end == begin:
                break
            scans.append(numbered_on(piece.scan, number))
            _count(facts, piece.facts)
            end, number = piece.end, number + piece.number
            if isinstance(reader, PcapngReader) and piece.counts is not None:
                reader.resume(reader.blocks, number, piece.counts)
        rest = opened.window(end, file.disk_bytes, beyond=True)
        reader.resume(rest, number)
        if isinstance(reader, PcapReader):
            facts.interfaces[0].records = facts.records
        last = _scanned(reader.batches(), rest, how, seen)
        if last.ledger.any() or not scans:
            scans.append(last)
        file.facts, file.taken = facts, file.disk_bytes
        return tree(scans, merge)


def _count(facts: CaptureFacts, more: CaptureFacts) -> None:
    """Add what a range says of its records."""
    facts.records += more.records
    facts.untimed += more.untimed
    if more.first_time >= 0:
        facts.first_time = more.first_time if facts.first_time < 0 else min(facts.first_time, more.first_time)
    facts.last_time = max(facts.last_time, more.last_time)
