"""What can go wrong that is not on the wire.

* ``AnalyzerError``
    * ``CaptureError``: a file that cannot be read as a capture
        * ``NotACapture``: the bytes are no capture format that is known here
        * ``UnreadableFile``: missing, a directory, no permission, empty
        * ``DamagedCompression``: nothing could be decompressed
        * ``DamagedScan``: a saved scan whose content does not fit together
        * ``OtherVersion``: a saved scan of a version that this one does not read
    * ``OutputError``: the file system does not let us write
    * ``UsageError``: the caller asked for something that does not exist or does not fit

Each message says what, where (file, byte offset, record) and what to try, in one line. Wire data never
raises: what is wrong on the wire is a value with a flaw. A record that is cut is a ledger line.
"""

from __future__ import annotations

from collections.abc import Iterable


class AnalyzerError(Exception):
    """Base of every error that this package raises on purpose."""


class CaptureError(AnalyzerError):
    """A file cannot be read as a capture at all."""


class NotACapture(CaptureError):
    """The bytes at the start are no capture format that is known here."""


class UnreadableFile(CaptureError):
    """The file is missing, a directory, empty, or may not be read."""


class DamagedCompression(CaptureError):
    """Compressed data from which not one byte could be recovered."""


class DamagedScan(CaptureError):
    """A saved scan from which not all can be read."""


class OtherVersion(CaptureError):
    """A saved scan whose format or columns are those of another version."""


class OutputError(AnalyzerError):
    """The file system does not let us write: a full disk, no permission, a folder that is none."""


class UsageError(AnalyzerError):
    """The caller asked for something that does not exist or does not fit."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the known word that is nearest, "" where none is near."""
    import difflib

    near = difflib.get_close_matches(word.lower(), list(known), 1)
    return f"did you mean {near[0]!r}?" if near else ""
