"""The door of the capture room: names of files in, batches of records and facts out.

``open_captures`` looks at the start of every file, keeps what cannot be read as failures, and hands on the rest.
What can be opened again (a file) is closed after that look; what cannot (standard input, a named pipe) stays
open, and the bytes that were looked at are read again from memory.
"""

from __future__ import annotations

import functools
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, cast

from analyzer.capture.blocks import Blocks
from analyzer.capture.formats import ByteStream, RawStream, describe_other, unpacked
from analyzer.capture.merge import Piece, merged
from analyzer.capture.pcap import MAGICS, PcapReader
from analyzer.capture.pcapng_reader import MAGIC, PcapngReader
from analyzer.capture.records import Batch, CaptureFacts, clean_text
from analyzer.errors import CaptureError, DamagedCompression, NotACapture, UnreadableFile, UsageError
from analyzer.kernels import COMPILE_FROM_BYTES

#: Called with the bytes read from disk so far and their number in all (-1: unknown).
Progress = Callable[[int, int], None]

#: Bytes in which the first time of a capture is looked for, and how many are read at once.
LOOK_BYTES = 1 << 20
LOOK_BLOCK_BYTES = 4096

#: ``s3://bucket/key``, ``simplecache::https://host/name``.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z0-9+.:/-]*)?://")

#: The buffers of all captures that may be read at the same time have together about this size.
BUFFERS_BYTES = 64 << 20


class CaptureFile:
    """One file or pipe, and what is known of it before it is read."""

    def __init__(self, path: str) -> None:
        self.facts = CaptureFacts(clean_text(os.path.basename(path) or path), path)
        self.disk_bytes = -1  # as it lies on disk; -1: a pipe
        self.size_hint = -1  # bytes, decompressed; -1: unknown, and COMPILE_FROM_BYTES at least
        self.first_time = -1
        self.taken = 0  # bytes read from disk or pipe
        self._pipe: RawStream | None = None

    def look(self, *, for_time: bool) -> None:
        """Read the header, and the first time if asked for; raises CaptureError for what is no capture."""
        raw = open_raw(self.facts)
        self.disk_bytes = disk_bytes_of(raw)
        if self.disk_bytes < 0:
            self._pipe = raw
            raw = RawStream(io.BytesIO(raw.peek(COMPILE_FROM_BYTES)))
        try:
            facts = CaptureFacts(self.facts.name, self.facts.path)
            blocks = blocks_of(raw, facts, size=self.disk_bytes, block_bytes=LOOK_BLOCK_BYTES)
            reader = reader_of(blocks, facts, index=0, compiled=False)
            for _ in reader.batches() if for_time else ():
                self.first_time = facts.first_time
                if facts.first_time >= 0 or blocks.position > LOOK_BYTES:
                    break
            self.size_hint = self._measured(blocks.stream, blocks.base + blocks.end)
            self.facts.format = facts.format
        finally:
            if self._pipe is None:
                raw.source.close()

    def read(self, *, index: int, compiled: bool, block_bytes: int) -> Iterator[Batch]:
        """The records; the facts are complete at the end. What went away since the look is a cut."""
        try:
            raw = self._pipe or open_raw(self.facts)
        except CaptureError as error:
            self.facts.cut = str(error)
            return
        try:
            blocks = blocks_of(raw, self.facts, size=self.disk_bytes, block_bytes=block_bytes)
            reader = reader_of(blocks, self.facts, index=index, compiled=compiled)
            for batch in reader.batches():
                self.taken = raw.taken
                yield batch
        except CaptureError as error:
            self.facts.cut = str(error)
        finally:
            self.taken = raw.taken
            if self.facts.path != "-":
                raw.source.close()

    def _measured(self, stream: ByteStream, given: int) -> int:
        """The decompressed size where that is plain, or found by reading on for COMPILE_FROM_BYTES."""
        if isinstance(stream, RawStream) and self.disk_bytes >= 0:
            return self.disk_bytes
        scratch = memoryview(bytearray(64 << 10))
        while given < COMPILE_FROM_BYTES:
            count = stream.readinto(scratch)
            if not count:
                return given
            given += count
        return -1


class CaptureSet:
    """The captures of one analysis, read once, in the order of their records."""

    def __init__(self, files: Sequence[CaptureFile], *, block_bytes: int, progress: Progress | None) -> None:
        self.failures: list[tuple[str, CaptureError]] = []
        self.files = list(files)
        self._block_bytes = block_bytes
        self._progress = progress
        self._begun = False
        self._size: int | None = None  # bytes in all, where somebody wants to know

    @property
    def captures(self) -> list[CaptureFacts]:
        """The facts of the files that could be opened; ``Records.capture`` is an index of this list."""
        return [file.facts for file in self.files]

    @property
    def disk_bytes(self) -> int:
        """Bytes of all files as they lie on disk; -1 where one of them is a pipe."""
        sizes = [file.disk_bytes for file in self.files]
        return -1 if -1 in sizes else sum(sizes)

    @property
    def size_hint(self) -> int:
        """Decompressed bytes in all; -1: unknown, and COMPILE_FROM_BYTES at least."""
        sizes = [file.size_hint for file in self.files]
        return -1 if -1 in sizes else sum(sizes)

    def batches(self, compiled: bool) -> Iterator[Batch]:
        """All records, merged by time where captures overlap; the walk is compiled or interpreted.

        Buffer and columns of a batch are used again for the next.
        """
        if self._begun:
            raise UsageError("the captures were read already: open them again to read them again")
        self._begun = True
        block_bytes = min(self._block_bytes, max(BUFFERS_BYTES // max(len(self.files), 1), 64 << 10))

        taken = 0

        def batches(index: int, file: CaptureFile) -> Iterator[Batch]:
            nonlocal taken
            before = 0
            for batch in file.read(index=index, compiled=compiled, block_bytes=block_bytes):
                taken, before = taken + file.taken - before, file.taken
                yield batch
            taken += file.taken - before

        pieces = [
            Piece(file.first_time, functools.partial(batches, index, file)) for index, file in enumerate(self.files)
        ]
        for batch in merged(pieces):
            yield batch
            self.told(taken)

    def told(self, taken: int) -> None:
        """So many bytes were read from disk."""
        if self._progress is not None:
            if self._size is None:
                self._size = self.disk_bytes
            self._progress(taken, self._size)

    def give_up(self, file: CaptureFile, error: CaptureError) -> None:
        """A file that could be opened and cannot be read after all."""
        self.files.remove(file)
        self.failures.append((file.facts.path, error))

    @property
    def are_files(self) -> bool:
        """Whether all captures can be read once more: they are files."""
        return all(file.disk_bytes >= 0 for file in self.files)

    def again(self, chosen: Sequence[int], compiled: bool, *, ahead: int = 0) -> Iterator[Batch]:
        """The records of some of the captures once more, their times set back by ``ahead`` ns; facts stay as they are.

        A file that went away since gives no records.
        """
        pieces = []
        for index in chosen:
            first, file = self.files[index], CaptureFile(self.files[index].facts.path)
            file.disk_bytes = first.disk_bytes

            def batches(index: int = index, file: CaptureFile = file) -> Iterator[Batch]:
                return file.read(index=index, compiled=compiled, block_bytes=self._block_bytes)

            pieces.append(Piece(first.first_time, batches))
        for batch in merged(pieces):
            if ahead:
                times = batch.records.time
                times[times >= 0] -= ahead
            yield batch


def open_captures(names: Sequence[str], *, block_bytes: int = 4 << 20, progress: Progress | None = None) -> CaptureSet:
    """The captures under these names or URLs; "-" is standard input. What cannot be read is in ``failures``."""
    files, failures = [], []
    names = expanded(names)
    for place, name in enumerate(names):
        file = CaptureFile(name)
        try:
            if name == "-" and "-" in names[:place]:
                raise UnreadableFile("-: standard input was named twice and can be read once; name it once")
            file.look(for_time=len(names) > 1)
            files.append(file)
        except CaptureError as error:
            failures.append((name, error))
    captures = CaptureSet(files, block_bytes=block_bytes, progress=progress)
    captures.failures = failures
    return captures


def blocks_of(raw: RawStream, facts: CaptureFacts, *, size: int, block_bytes: int) -> Blocks:
    """The decompressed bytes of a file; raises CaptureError where there is not one."""
    stream, facts.format = unpacked(raw)
    if not stream.peek(1):
        raise _nothing(raw, stream, facts.name)
    return Blocks(stream, block_bytes=block_bytes, size=-1 if facts.format else size)


def reader_of(blocks: Blocks, facts: CaptureFacts, *, index: int, compiled: bool) -> PcapReader | PcapngReader:
    """The reader of what the bytes turn out to be; raises NotACapture."""
    head = blocks.stream.peek(48)
    if any(magic.startswith(head[:4]) for magic in MAGICS):  # fewer than four bytes: a header that is cut
        facts.format = "pcap" + facts.format
        return PcapReader(blocks, facts, index=index, compiled=compiled)
    if MAGIC.startswith(head[:4]):
        facts.format = "pcapng" + facts.format
        return PcapngReader(blocks, facts, index=index, compiled=compiled)
    what, advice = describe_other(head)
    raise NotACapture(f"{facts.name}: not a packet capture: at byte 0 is {what}; {advice}")


def _nothing(raw: RawStream, stream: ByteStream, name: str) -> CaptureError:
    """The error for a file without a first byte."""
    if raw.damage:
        return UnreadableFile(f"{name}: {raw.damage}; copy the file again")
    if stream.damage:
        return DamagedCompression(f"{name}: {stream.damage}; copy or compress the file again")
    return UnreadableFile(
        f"{name}: empty (0 bytes): nothing was captured, or nothing was written yet; "
        "tcpdump -U writes each packet at once"
    )


def open_raw(facts: CaptureFacts) -> RawStream:
    """The bytes of a file, a URL or standard input; raises UnreadableFile."""
    path, name = facts.path, facts.name
    if is_url(path):
        return _open_url(path, name)
    if path == "-":
        source = getattr(sys.stdin, "buffer", None)
        if source is None or sys.stdin.isatty():
            raise UnreadableFile("-: standard input is not a capture; pipe one: tcpdump -w - | halfshake analyze -")
        return RawStream(cast(BinaryIO, source))
    try:
        return RawStream(cast(BinaryIO, open(path, "rb", buffering=0)))
    except FileNotFoundError:
        where = "" if path == name else f" ({clean_text(path)})"
        raise UnreadableFile(f"{name}: no such file{where}; check the name and the folder") from None
    except IsADirectoryError:
        raise UnreadableFile(f"{name}: a directory; name the captures in it, such as {name}/*.pcap") from None
    except PermissionError:
        raise UnreadableFile(f"{name}: may not be read (permission denied); change its owner or use sudo") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(f"{name}: cannot be opened ({reason}); check the name") from None


class UrlStream(RawStream):
    """The bytes behind a URL as they are; ``size`` is -1 where the server does not tell it."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__(source)
        self.size = int(getattr(source, "size", None) or -1)

    def _take(self, into: memoryview) -> int:
        try:
            return super()._take(into)
        except Exception as error:  # each file system raises the errors of its own library
            self.damage = f"reading failed after {self.taken:,} bytes ({clean_text(str(error), 200)})"
            return 0


def is_url(name: str) -> bool:
    """Whether a name is a URL as fsspec knows them (``s3://bucket/key``), not a local file."""
    return _URL.match(name) is not None


def _open_url(url: str, name: str) -> RawStream:
    try:
        import fsspec
    except ImportError:
        raise UnreadableFile(f"{name}: URLs are read with fsspec; pip install 'halfshake[cluster]'") from None
    try:
        return UrlStream(cast(BinaryIO, fsspec.open(url, "rb", compression=None).open()))
    except Exception as error:  # each file system raises the errors of its own library
        reason = clean_text(str(error) or type(error).__name__, 200)
        raise UnreadableFile(f"{name}: cannot be opened ({reason}); check the URL {clean_text(url)}") from None


def expanded(names: Sequence[str]) -> list[str]:
    """The names, a URL with ``*``, ``?`` or ``[`` replaced by all that fit it, in order; itself where none does."""
    found: list[str] = []
    for name in names:
        if is_url(name) and any(sign in name for sign in "*?["):
            found += _matches(name) or [name]
        else:
            found.append(name)
    return found


def _matches(url: str) -> list[str]:
    try:
        import fsspec

        files, path = fsspec.core.url_to_fs(url)
        return sorted(files.unstrip_protocol(match) for match in files.glob(path))
    except Exception:  # opening it says what is wrong
        return []


def disk_bytes_of(raw: RawStream) -> int:
    """Size of a file that can be opened again; -1 for standard input, pipes, and URLs that do not tell it."""
    if raw.source is getattr(sys.stdin, "buffer", None):
        return -1
    if isinstance(raw, UrlStream):
        return raw.size
    status = os.fstat(raw.source.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
