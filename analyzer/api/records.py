"""Records read once more from the captures: a range of them, or all between two sockets, whether selected or not.

The captures are walked again from their begin, as for the evidence capture, which needs no index and works for
compressed files. What can be read only once (standard input, a pipe) raises UsageError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from analyzer.analysis import Analysis
from analyzer.capture.records import Batch, Records
from analyzer.capture.source import open_captures
from analyzer.columns import Column, Schema, Table
from analyzer.errors import UsageError
from analyzer.events import selected as sel
from analyzer.events.flows import KEY_WORDS, a_is_source, long_header_kinds, new_flow_table, write_key
from analyzer.events.selected import SELECTED_DTYPES, Selected, write_packet
from analyzer.exchanges.packets import Sight, detail_of, kind_of
from analyzer.exchanges.schemas import PACKETS
from analyzer.kernels import Matrix, runner, worth_compiling
from analyzer.reports.evidence.copy import check_paths
from analyzer.wire import packets as pk
from analyzer.wire.addresses import address_text
from analyzer.wire.packets import FLAW_NAMES, MOST_BYTES, decode_packets, new_packets

#: Rows of one table; a narrower question is asked for beyond.
MOST_ROWS = 1_000_000

#: Of packets between two places: they are earlier at one and later at the other.
ON_THE_WAY_NS = 1_000_000_000

_BYTES_READ = 4096  # of a packet, for what it holds

RECORDS: Schema = (
    *(column for column in PACKETS if column.public),
    Column("source_address", "text", "", "address of the sender", "IP header"),
    Column("source_port", "int", "", "port of the sender", "UDP or TCP header"),
    Column("destination_address", "text", "", "address of the receiver", "IP header"),
    Column("destination_port", "int", "", "port of the receiver", "UDP or TCP header"),
)

Socket = tuple[str, int]
Mask = NDArray[np.bool_]


class Wanted(Protocol):
    """Which records of a batch are wanted; ``packets`` are its decoded headers, a row for each record."""

    @property
    def captures(self) -> Sequence[int]: ...
    def __call__(self, records: Records, packets: Matrix) -> Mask: ...
    def done(self, records: Records) -> bool:
        """Whether no record after these is wanted."""
        ...


class InRange(NamedTuple):
    """Records ``first`` to ``last``, both included, of one capture."""

    captures: Sequence[int]
    first: int
    last: int

    def __call__(self, records: Records, packets: Matrix) -> Mask:
        return np.asarray((records.number >= self.first) & (records.number <= self.last), np.bool_)

    def done(self, records: Records) -> bool:
        return bool(records.number.max(initial=0) >= self.last)


class BetweenSockets(NamedTuple):
    """Records of flows with these keys in a span of time, both ends included; all captures.

    ``clocks`` is by how much each capture's clock is ahead of the one in which the span is given (ns).
    """

    captures: Sequence[int]
    keys: frozenset[tuple[int, ...]]
    from_time: int
    until_time: int
    clocks: tuple[int, ...]

    def __call__(self, records: Records, packets: Matrix) -> Mask:
        ports = packets[:, pk.SOURCE_PORT], packets[:, pk.DESTINATION_PORT]
        mine = {(key[8] >> 16, key[8] & 0xFFFF) for key in self.keys}
        near = np.zeros(len(packets), np.bool_)
        for a, b in mine:
            near |= ((ports[0] == a) & (ports[1] == b)) | ((ports[0] == b) & (ports[1] == a))
        times = records.time - np.array(self.clocks, np.int64)[records.capture]
        near &= (times >= self.from_time) & (times <= self.until_time)
        key = new_flow_table(1).key
        near[near] = [key_of(packets, row, key) in self.keys for row in np.flatnonzero(near).tolist()]
        return near

    def done(self, records: Records) -> bool:
        return False


def between_sockets(analysis: Analysis, connection: str) -> BetweenSockets:
    """The records of a connection on all its paths, from its first to its last one."""
    table = analysis.connections
    row = int(np.flatnonzero(table["connection"] == connection)[0])
    keys = frozenset(analysis.flow_keys(connection))
    captures = tuple(range(len(analysis.paths)))
    clocks = tuple(analysis.view.captures[capture].clock for capture in captures)
    slack = ON_THE_WAY_NS if len(captures) > 1 else 0
    first, last = int(table["first_time"][row]) - slack, int(table["last_time"][row]) + slack
    return BetweenSockets(captures, keys, first, last, clocks)


def key_of(packets: Matrix, row: int, key: NDArray[np.int64]) -> tuple[int, ...]:
    """The flow key of a decoded packet; ``key`` is that of a flow table, to write into."""
    write_key(packets, row, a_is_source(packets, row), key)
    return tuple(key[:KEY_WORDS].tolist())


def records_table(analysis: Analysis, wanted: Wanted) -> Table:
    """The wanted records in the order of the captures, with the columns ``RECORDS``."""
    check_paths([analysis.paths[capture] for capture in wanted.captures])
    captures = open_captures([analysis.paths[capture] for capture in wanted.captures])
    for _, error in captures.failures:
        raise error
    compiled = worth_compiling(captures.size_hint)
    decode = runner(decode_packets, compiled)
    owners = _Owners(analysis)
    rows: list[dict[str, Any]] = []
    for batch in captures.batches(compiled):
        packets = new_packets(len(batch.records.time))
        decode(batch.buffer, batch.records, packets)
        chosen = np.flatnonzero(wanted(batch.records, packets))
        rows.extend(_rows(batch, packets, chosen, owners=owners, captures=wanted.captures))
        if len(rows) > MOST_ROWS:
            raise UsageError(f"more than {MOST_ROWS:,} records; ask for fewer at once")
        if wanted.done(batch.records):
            break
    return Table.from_rows("records", RECORDS, rows)


def _rows(
    batch: Batch, packets: Matrix, chosen: NDArray[np.int64], *, owners: _Owners, captures: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """The chosen records of a batch, with what their headers say."""
    records = batch.records
    matrix = np.zeros((len(chosen), len(Selected._fields)), np.int64)
    for row, r in enumerate(chosen.tolist()):
        write_packet(packets, r, matrix, row)
        matrix[row, sel.FLOW] = row
        matrix[row, sel.QUIC] = long_header_kinds(batch.buffer, packets, r)
    columns = (matrix[:, place].astype(dtype) for place, dtype in enumerate(SELECTED_DTYPES))

    def row_bytes(row: int) -> bytes:
        r = int(chosen[row])
        begin, end = int(packets[r, pk.IP_OFFSET]), int(records.offset[r] + records.captured_length[r])
        return batch.buffer[begin : min(end, begin + _BYTES_READ)].tobytes()

    sight = Sight(Selected(*columns), packets[chosen, pk.FAMILY], row_bytes)
    for row, r in enumerate(chosen.tolist()):
        read: dict[str, Any] = {
            "capture": captures[int(records.capture[r])],
            "record": int(records.number[r]),
            "time": int(records.time[r]),
            "kind": kind_of(sight, row),
            "length": min(int(records.original_length[r]), MOST_BYTES),
            "captured_length": int(records.captured_length[r]),
            "flaw": FLAW_NAMES[int(packets[r, pk.FLAW])],
        }
        if packets[r, pk.IP_OFFSET] >= 0:
            read["detail"] = detail_of(sight, row)
        if family := int(packets[r, pk.FAMILY]):
            read |= {"family": f"ipv{family}", **_ends(packets, r, family)}
        yield read | owners.of(read)


def _ends(packets: Matrix, r: int, family: int) -> dict[str, Any]:
    source = address_text(family, *packets[r, pk.SOURCE_0 : pk.SOURCE_0 + 4].tolist())
    destination = address_text(family, *packets[r, pk.DESTINATION_0 : pk.DESTINATION_0 + 4].tolist())
    with_ports = packets[r, pk.KIND] in (pk.UDP, pk.TCP)
    return {
        "source_address": source,
        "source_port": int(packets[r, pk.SOURCE_PORT]) if with_ports else -1,
        "destination_address": destination,
        "destination_port": int(packets[r, pk.DESTINATION_PORT]) if with_ports else -1,
    }


class _Owners:
    """Whose a record is: a selected one by the table of packets, any other by its sockets and its time."""

    def __init__(self, analysis: Analysis) -> None:
        packets, table = analysis.packets, analysis.connections
        told = ("connection", "direction", "detail", "flaw")
        names = ("capture", "record", *told)
        self._selected = {
            (capture, record): dict(zip(told, words, strict=True))
            for capture, record, *words in zip(*(packets[name].tolist() for name in names), strict=True)
        }
        self._connections: dict[tuple[bool, frozenset[Socket]], list[tuple[int, str, Socket]]] = {}
        columns = (
            "transport",
            "client_address",
            "client_port",
            "server_address",
            "server_port",
            "first_time",
            "connection",
        )
        for transport, client, client_port, server, server_port, time, name in zip(
            *(table[name].tolist() for name in columns), strict=True
        ):
            pair = frozenset({(client, client_port), (server, server_port)})
            self._connections.setdefault((transport == "tcp", pair), []).append((time, name, (client, client_port)))

    def of(self, read: dict[str, Any]) -> dict[str, str]:
        """``connection`` and ``direction`` of a record, and what else the table of packets says of a selected one."""
        known = self._selected.get((read["capture"], read["record"]))
        if known is not None:
            return known
        source = read.get("source_address", ""), read.get("source_port", -1)
        destination = read.get("destination_address", ""), read.get("destination_port", -1)
        pair = str(read["kind"]).startswith("tcp"), frozenset({source, destination})
        before = [each for each in self._connections.get(pair, ()) if each[0] <= read["time"]]
        if not before:
            return {}
        _, name, client = before[-1]
        return {"connection": name, "direction": "client" if source == client else "server"}
