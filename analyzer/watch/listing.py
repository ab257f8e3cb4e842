"""Which files of a folder are rotated captures, which belong together, and which are complete.

A *series* is what one capturing program writes, file after file: the files of one folder whose names differ in their
counters and times alone (``fe1-20261128-2100.pcap``, ``fe1-20261128-2101.pcap``; ``trace.pcap``, ``trace.pcap1``).
A file is complete when its series went on to the next one, or when nothing was written to it for a while.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_SUFFIX = re.compile(r"(\.(pcapng|pcap|ntar|cap|dmp))?(\.?\d+)?(\.(gz|zst|lz4|xz))?$", re.IGNORECASE)
_COUNTER = re.compile(r"[0-9]+([TZ][0-9]*)?Z?")

#: Bytes at the start of a file by which it is known again when it has grown.
HEAD_BYTES = 4096


class Entry(NamedTuple):
    """A file as the folder lists it; equal entries are the same content."""

    name: str  # relative to the folder, with "/"
    size: int
    modified_ns: int
    inode: int


def series_of(name: str) -> str:
    """The series that a file belongs to, by its name."""
    folder, _, base = name.rpartition("/")
    words = re.split(r"([-_.:]+)", _SUFFIX.sub("", base, count=1))
    kept = list(words)
    while len(kept) > 1 and (_COUNTER.fullmatch(kept[-1]) or re.fullmatch(r"[-_.:]*", kept[-1])):
        kept.pop()
    if len(kept) == len(words):
        kept[-1] = kept[-1].rstrip("0123456789")
    elif _COUNTER.fullmatch(kept[0]):
        kept = []
    stem = "".join(kept)
    return f"{folder}/{stem}" if folder else stem


def entries_of(folder: Path, pattern: str) -> Iterator[Entry]:
    """The regular files of a folder and its subfolders whose names fit a pattern; hidden ones are unfinished copies."""
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith(".") or not fnmatch.fnmatch(name, pattern):
                continue
            full = Path(path, name)
            try:
                status = full.stat()
            except OSError:  # it vanished since it was listed
                continue
            if full.is_file():
                relative = full.relative_to(folder).as_posix()
                yield Entry(relative, status.st_size, status.st_mtime_ns, status.st_ino)


def in_order(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The files of each series in the order in which they were written."""
    found: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.modified_ns, len(entry.name), entry.name)):
        found.setdefault(series_of(entry.name), []).append(entry)
    return dict(sorted(found.items()))


def complete(series: list[Entry], *, now_ns: int, settle_ns: int) -> list[Entry]:
    """Those files of a series that will not grow any more: all but the last, and it too after ``settle_ns``."""
    return [entry for entry in series if entry is not series[-1] or now_ns - entry.modified_ns >= settle_ns]


def head_of(path: Path, size: int) -> str:
    """A digest of the first bytes of a file that had ``size`` bytes, empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(min(HEAD_BYTES, size))).hexdigest()
    except OSError:
        return ""
