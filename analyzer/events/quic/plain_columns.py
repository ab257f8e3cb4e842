"""QUIC connections of plain flows as columns: an object is made of one when somebody looks at it.

A busy or flooded server has tens of thousands of them, of which nearly all are only counted and compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import MISSING
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Words
from analyzer.events.connection import Connection, Counters, Flows
from analyzer.wire.tls_hello import Names

# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each connection.
_new = tuple.__new__

#: Columns of the table. Rows are selected rows, -1: none; a CID lies in a chunk of the scan's bytes, the hello in those
#: of its part. A word is the first of a CID, as in ``portions``.
FLOW, CLIENT, REQUESTS, FIRST_REPEAT, REPLY_ROW, WENT_ON_ROW, LARGEST, CLIENT_KINDS, SERVER_KINDS = range(9)
VERSION, CHUNK, DCID_AT, DCID_LENGTH, SCID_AT, SCID_LENGTH = range(9, 15)
SERVER_VERSION, SERVER_CHUNK, SERVER_SCID_AT, SERVER_SCID_LENGTH, SERVER_SCID_WORD = range(15, 20)
PART, HELLO_BEGIN, HELLO_END, NAMES = range(20, 24)
HAS_CRYPTO, SEALED, ROLES, COLUMNS = 24, 25, 26, 27

#: What told client from server, by column ROLES.
_TOLD_BY = ("initial", "port", "first-seen")
BY_PORT, FIRST_SEEN = 1, 2

#: Of a hello that was not read.
NO_NAMES: Names = ("", ())


class Part(NamedTuple):
    """Some connections: the table, the bytes of their hellos, and the names that column NAMES counts."""

    table: NDArray[np.int64]
    hellos: NDArray[np.uint8]
    names: list[Names]


#: What plain connections hold in attributes of this name, beside those that ``PlainConnections`` tells by methods; what
#: stands nowhere is as in a new connection.
_INTEGERS = {
    "flow": FLOW,
    "client_direction": CLIENT,
    "first_repeat": FIRST_REPEAT,
    "reply_row": REPLY_ROW,
    "went_on_row": WENT_ON_ROW,
    "largest_request": LARGEST,
    "client_kinds": CLIENT_KINDS,
    "server_kinds": SERVER_KINDS,
    "version": VERSION,
    "server_version": SERVER_VERSION,
}
_SAME = {"transport": "quic", "version_known": True}
_TOLD_OTHERWISE = frozenset(
    ("counters", "hello_bytes", "names", "client_dcid", "client_scid", "server_scid", "left_closed")
)


class PlainConnections:
    """The connections of plain flows, one each, as the rows of columns."""

    def __init__(self, flows: Flows, parts: Sequence[Part] = ()) -> None:
        self._flows = flows
        self._hellos = [part.hellos for part in parts]
        names: dict[Names, int] = {}
        tables = [np.zeros((0, COLUMNS), np.int64)]
        for number, part in enumerate(parts):
            table = part.table.copy()
            table[:, PART] = number
            numbers = [names.setdefault(each, len(names)) for each in part.names]
            table[:, NAMES] = np.array(numbers, np.int64)[table[:, NAMES]]
            tables.append(table)
        #: int64: a row for each connection, with the columns above.
        self.table = np.concatenate(tables)
        self.names = list(names)

    def __len__(self) -> int:
        return len(self.table)

    def values(self, name: str) -> Any:
        """An attribute of all connections: a column, of texts by number, or what each of them holds.

        Raises KeyError for one that is told by a method, or only of objects.
        """
        if name in _INTEGERS:
            return self.table[:, _INTEGERS[name]]
        if name == "last_time":
            return self._flows.totals[self.table[:, FLOW], 4]
        if name == "client_went_on":
            return self.table[:, WENT_ON_ROW] >= 0
        if name == "server_crypto":
            return self.table[:, HAS_CRYPTO] > 0
        if name == "hello_complete":
            return self.table[:, SEALED] == 0
        if name in ("sealed", "hello_cut"):
            return self.table[:, SEALED] > 0
        if name == "roles_from":
            return Words(self.table[:, ROLES], _TOLD_BY)
        if name in _SAME:
            return _SAME[name]
        default = Connection.__dataclass_fields__[name].default
        if name in _TOLD_OTHERWISE or default is MISSING:
            raise KeyError(name)
        return default

    def spans(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of ``rows`` or ``request_rows``: where they begin in the order of the flows, and how many there are."""
        begin = self._flows.limits[self.table[:, FLOW]]
        if name == "request_rows":
            return begin, self.table[:, REQUESTS]
        if name == "rows":
            return begin, self._flows.limits[self.table[:, FLOW] + 1] - begin
        return begin, np.zeros(len(self), np.int64)

    @property
    def order(self) -> NDArray[np.int64]:
        """What ``spans`` counts in."""
        order: NDArray[np.int64] = self._flows.order
        return order

    @property
    def first_rows(self) -> NDArray[np.int64]:
        """The first row of each connection."""
        first: NDArray[np.int64] = self._flows.order[self._flows.limits[self.table[:, FLOW]]]
        return first

    @property
    def counters(self) -> NDArray[np.int64]:
        """The four counters of each connection, in the order of ``Counters``: shape (n, 4)."""
        of_a = self._flows.totals[self.table[:, FLOW], :4]
        return np.where(self.table[:, CLIENT, None] == 0, of_a, of_a[:, [1, 0, 3, 2]])

    def dcids(self, rows: NDArray[np.int64]) -> Iterator[bytes]:
        """The DCID of the client's first Initial of some connections."""
        chunks, columns = self._flows.scan.chunks, self.table[rows][:, [CHUNK, DCID_AT, DCID_LENGTH]]
        return (chunks[chunk][at : at + length] for chunk, at, length in columns.tolist())

    def objects(self, rows: NDArray[np.int64]) -> Iterator[Connection]:
        """Some connections as objects, new ones each time."""
        table, flows = self.table[rows], self._flows
        bounds = zip(flows.limits[table[:, FLOW]].tolist(), flows.limits[table[:, FLOW] + 1].tolist(), strict=True)
        each = zip(
            table.tolist(), flows.ends_of(table[:, FLOW]), flows.totals[table[:, FLOW]].tolist(), bounds, strict=True
        )
        for told, ends, (a, b, from_a, from_b, last_time), (low, high) in each:
            flow, client, requests, first_repeat, reply_row, went_on_row, largest, client_kinds, server_kinds = told[:9]
            listed, dcid = flows.order[low:high].tolist(), self._bytes(told[CHUNK], told[DCID_AT], told[DCID_LENGTH])
            is_sealed, has_crypto = told[SEALED] > 0, told[HAS_CRYPTO] > 0
            yield Connection(
                "quic",
                flow,
                client,
                _TOLD_BY[told[ROLES]],
                ends[client],
                ends[1 - client],
                listed,
                listed[:requests],
                first_repeat,
                reply_row,
                last_time,
                _new(Counters, (b, a, from_b, from_a) if client else (a, b, from_a, from_b)),
                client_went_on=went_on_row >= 0,
                went_on_row=went_on_row,
                hello_bytes=self._hellos[told[PART]][told[HELLO_BEGIN] : told[HELLO_END]].tobytes(),
                names=self.names[told[NAMES]],
                hello_complete=not is_sealed,
                hello_cut=is_sealed,
                sealed=is_sealed,
                version=told[VERSION],
                server_version=told[SERVER_VERSION],
                version_known=True,
                client_dcid=dcid,
                client_scid=self._bytes(told[CHUNK], told[SCID_AT], told[SCID_LENGTH]),
                server_scid=self._bytes(told[SERVER_CHUNK], told[SERVER_SCID_AT], told[SERVER_SCID_LENGTH]),
                largest_request=largest,
                server_crypto=has_crypto,
                left_closed=dcid if has_crypto else b"",
                client_kinds=client_kinds,
                server_kinds=server_kinds,
            )

    def _bytes(self, chunk: int, at: int, length: int) -> bytes:
        return self._flows.scan.chunks[chunk][at : at + length] if length else b""
