"""A scan and the facts of its captures as bytes: to save it, and to send it from one process to another.

What is written are the columns of ``Scan`` as they stand, settled or not, so that pieces can be merged after they were
read. ``SCHEMA`` has the version of what the columns mean; their names and dtypes are compared as well. Secrets that a
pcapng file held are part of its facts, so a saved scan deserves the care that the capture does.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.records import CaptureFacts, Interface
from analyzer.errors import DamagedScan, OtherVersion
from analyzer.events.flows import KEY_WORDS, STATE_COLUMNS, FlowTable
from analyzer.events.scan import LEDGER, Scan
from analyzer.events.selected import SELECTED_DTYPES, Selected
from analyzer.packed import PackedReader, PackedWriter
from analyzer.version import __version__

#: Raised by one when a column of a scan means something else than before.
SCHEMA = "halfshake-scan/1"

_BLOCK = 8192

_ROWS = dict(zip(Selected._fields, SELECTED_DTYPES, strict=True)) | {"chunk": np.int32}
_KEYS = {f"key_{word}": np.uint32 for word in range(KEY_WORDS)}
_STATE = {f"state_{column}": np.int64 for column in range(STATE_COLUMNS)}


def facts_of_file(captures: Sequence[CaptureFacts]) -> dict[str, Any]:
    """The page of facts of a file that holds a scan of these captures."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "halfshake", "version": __version__},
        "captures": [_plain(facts) for facts in captures],
    }


def write_scan(writer: PackedWriter, scan: Scan) -> None:
    """Write the tables of a scan into a packed file."""
    import pyarrow

    keys = scan.table.keys.reshape(-1, KEY_WORDS)
    writer.write("flow_keys", {name: keys[:, word] for word, name in enumerate(_KEYS)})
    state = scan.table.state
    writer.write("flow_states", {name: state[:, column] for column, name in enumerate(_STATE)})
    writer.write("packets_selected", {**scan.rows._asdict(), "chunk": scan.chunk})
    writer.write("packet_bytes", {"chunk": pyarrow.array(list(scan.chunks), pyarrow.large_binary())})
    writer.write("ledger", {name: scan.ledger[:, place] for place, name in enumerate(LEDGER)})


def read_scan(reader: PackedReader) -> Scan:
    """The scan of a packed file; raises ``OtherVersion`` where columns are missing or more than expected."""
    keys = _matrix(reader, "flow_keys", _KEYS)
    state = _matrix(reader, "flow_states", _STATE)
    rows = _checked(reader, "packets_selected", _ROWS)
    chunk = rows.pop("chunk")
    chunks = reader.columns("packet_bytes", ["chunk"])["chunk"].to_pylist()
    ledger = _matrix(reader, "ledger", dict.fromkeys(LEDGER, np.int64))
    table = FlowTable(
        np.array([len(keys)]), np.zeros(0, np.int32), keys.reshape(-1), state, np.zeros(KEY_WORDS, np.int64)
    )
    flows_fit = len(state) == 2 * len(keys) > 2 * rows["flow"].max(initial=-1)
    if not flows_fit or len(chunks) <= chunk.max(initial=-1):
        raise DamagedScan(f"{reader.name}: its tables do not fit together; scan the capture again")
    return Scan(table, Selected(**rows), chunk, tuple(chunks), ledger)


def read_facts(reader: PackedReader) -> list[CaptureFacts]:
    """What the captures of a packed file said about themselves."""
    try:
        return [_facts(plain) for plain in reader.facts["captures"]]
    except (KeyError, TypeError, ValueError) as error:
        raise OtherVersion(f"{reader.name}: facts of its captures are missing; scan the capture again") from error


def scan_to_file(file: BinaryIO, scan: Scan, captures: Sequence[CaptureFacts]) -> None:
    """Write a scan alone."""
    writer = PackedWriter(file, facts_of_file(captures))
    write_scan(writer, scan)
    writer.close()


def scan_to_bytes(scan: Scan, captures: Sequence[CaptureFacts]) -> bytes:
    """A scan as bytes, to send it to another process."""
    file = io.BytesIO()
    scan_to_file(file, scan, captures)
    return file.getvalue()


def scan_from(source: str | Path | bytes) -> tuple[Scan, list[CaptureFacts]]:
    """The scan in a file or in bytes, and the facts of its captures; the arrays may be read-only."""
    reader = PackedReader(source, SCHEMA)
    return read_scan(reader), read_facts(reader)


def _checked(reader: PackedReader, name: str, wanted: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    found = reader.column_names(name)
    if found != list(wanted):
        odd = sorted({*found} ^ {*wanted})
        raise OtherVersion(f"{reader.name}: {name} has other columns ({', '.join(odd)[:200]}); scan the capture again")
    return reader.arrays(name, wanted)


def _matrix(reader: PackedReader, name: str, wanted: Mapping[str, Any]) -> NDArray[Any]:
    """Columns of one dtype as a C-contiguous matrix."""
    columns = list(_checked(reader, name, wanted).values())
    matrix = np.empty((len(columns[0]), len(columns)), columns[0].dtype)
    for begin in range(0, len(matrix), _BLOCK):  # what is written row by row should stay in the processor's cache
        for place, column in enumerate(columns):
            matrix[begin : begin + _BLOCK, place] = column[begin : begin + _BLOCK]
    return matrix


def _plain(facts: CaptureFacts) -> dict[str, Any]:
    plain = dataclasses.asdict(facts)
    plain["secrets"] = [base64.b64encode(block).decode() for block in facts.secrets]
    return plain


def _facts(plain: Mapping[str, Any]) -> CaptureFacts:
    values = dict(plain)
    values["interfaces"] = [Interface(**interface) for interface in values["interfaces"]]
    values["secrets"] = [base64.b64decode(block) for block in values["secrets"]]
    return CaptureFacts(**values)
