"""A file of several Parquet tables and a page of facts: how scans and tables are kept between two runs.

How it works: the file is a zip archive without compression of its own. ``facts.json`` says in its first key,
``schema``, what the file is and in which version; every other member is a Parquet file, ``NAME.parquet``, which any
Parquet reader opens when it is taken out. Tables are read column by column, only those that are asked for, from the
mapped file. Pages carry checksums, so that a damaged file is an error and never a wrong number. The same content gives
the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from analyzer.errors import DamagedScan, NotACapture, OtherVersion, UnreadableFile

_FACTS = "facts.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can hold
_ROWS_OF_A_GROUP = 1 << 20
_MOST_FACTS = 256 << 20  # bytes; key logs alone may take 64 MiB, written in hex
_LOCAL_HEADER = struct.Struct("<26xHH")  # lengths of the name and of the extra field
_LOCAL_HEADER_BYTES = 30

Columns = Mapping[str, Any]  # numpy arrays or pyarrow arrays, equally long


class PackedWriter:
    """Writes one packed file, member after member, into a binary file; ``close`` completes it."""

    def __init__(self, file: BinaryIO, facts: Mapping[str, Any]) -> None:
        """``facts`` are JSON values; ``facts["schema"]`` names the format and its version: ``halfshake-scan/1``."""
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        with self._or_nothing():
            self._archive.writestr(zipfile.ZipInfo(_FACTS, _EPOCH), json.dumps(facts, indent=1))

    def write(self, name: str, columns: Columns) -> None:
        """Write a table of equally long columns."""
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table(dict(columns))
        place = zipfile.ZipInfo(f"{name}.parquet", _EPOCH)
        with self._or_nothing(), self._archive.open(place, "w", force_zip64=True) as member:
            pyarrow.parquet.write_table(
                table,
                pyarrow.PythonFile(member, "w"),
                compression="zstd",
                row_group_size=_ROWS_OF_A_GROUP,
                write_page_checksum=True,
            )

    def close(self) -> None:
        """Write the directory of the archive; the binary file itself stays open."""
        with self._or_nothing():
            self._archive.close()

    @contextlib.contextmanager
    def _or_nothing(self) -> Iterator[None]:
        """Where writing fails (a full disk) the archive is left: it would write again when it is collected."""
        try:
            yield
        except BaseException:
            self._archive.fp = None
            raise


class PackedReader:
    """Reads a packed file from a path or from its bytes. Raises CaptureError of several kinds, see ``errors``."""

    def __init__(self, source: str | Path | bytes, schema: str) -> None:
        """``schema`` is what the file must say that it is; another version of it raises ``OtherVersion``."""
        self.path = None if isinstance(source, bytes) else Path(source)
        self.name = "bytes" if self.path is None else self.path.name
        self._buffer: Any = None
        self._source = source
        try:
            archive = io.BytesIO(source) if isinstance(source, bytes) else source
            with zipfile.ZipFile(archive) as opened:
                self._members = {each.filename: each for each in opened.infolist()}
                if self._members[_FACTS].file_size > _MOST_FACTS:
                    raise ValueError("facts of a size that no captures have")
                self.facts: dict[str, Any] = json.loads(opened.read(_FACTS))
            found = str(self.facts["schema"])
        except OSError as error:
            raise UnreadableFile(f"{self.name}: cannot be opened ({error.strerror}); check the name") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise NotACapture(f"{self.name}: not a saved scan, or one that was cut; scan the capture again") from error
        if found != schema:
            raise OtherVersion(
                f"{self.name}: is {found[:80]!r}, and this version reads {schema!r}; scan the capture again"
            )

    def has(self, name: str) -> bool:
        """Whether there is a table of this name."""
        return f"{name}.parquet" in self._members

    def column_names(self, name: str) -> list[str]:
        """The columns of a table, in the order of the file."""
        with self._trouble(name):
            return [str(column) for column in self._parquet(name).schema_arrow.names]

    def columns(self, name: str, wanted: Sequence[str]) -> dict[str, Any]:
        """Columns of a table as pyarrow chunked arrays."""
        with self._trouble(name):
            read = self._parquet(name).read(columns=list(wanted))
            return {column: read.column(column) for column in wanted}

    def arrays(self, name: str, wanted: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Columns of numbers as numpy arrays of the given dtypes; raises ``OtherVersion`` where the file's differ."""
        arrays = {}
        for column, read in self.columns(name, list(wanted)).items():
            array = read.to_numpy()
            if array.dtype != np.dtype(wanted[column]):
                raise OtherVersion(f"{self.name}: column {column} of {name} is {array.dtype}; scan the capture again")
            arrays[column] = array
        return arrays

    def _parquet(self, name: str) -> Any:
        import pyarrow
        import pyarrow.parquet

        member = self._members[f"{name}.parquet"]
        if self._buffer is None:
            bare = isinstance(self._source, bytes)
            self._buffer = (
                pyarrow.py_buffer(self._source) if bare else pyarrow.memory_map(str(self._source)).read_buffer()
            )
        head = self._buffer.slice(member.header_offset, _LOCAL_HEADER_BYTES).to_pybytes()
        begin = member.header_offset + _LOCAL_HEADER_BYTES + sum(_LOCAL_HEADER.unpack(head))
        content = self._buffer.slice(begin, member.file_size)
        return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content), page_checksum_verification=True)

    @contextlib.contextmanager
    def _trouble(self, name: str) -> Iterator[None]:
        """Say of which file an error is, in the words of ``errors``."""
        import pyarrow

        try:
            yield
        except (KeyError, IndexError, OSError, ValueError, struct.error, pyarrow.ArrowException) as error:
            raise DamagedScan(f"{self.name}: {name} cannot be read: damaged; scan the capture again") from error


def is_packed(head: bytes) -> bool:
    """Whether a file that begins with these bytes (40 or more) is a packed file."""
    return head.startswith(b"PK\x03\x04") and head[_LOCAL_HEADER_BYTES:].startswith(_FACTS.encode())


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends without an error, and not before.

    It is made beside its place under a name that did not exist, and renamed. Raises OSError where the file system does
    not let us write.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name[:200]}.partial-{os.getpid()}")
    if not partial.is_symlink():
        partial.unlink(missing_ok=True)  # of a process with our number that was killed: in a container the next has it
    # Whoever can write here could have put a link there: made by us, or nothing is written.
    with partial.open("xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
