"""A connection as the events room knows it: its rows, who is who, the request and what came back.

``FlowRows`` is the working view of one flow: its selected rows in order, as plain Python lists. ``Connection`` is what the readers of
QUIC, TCP and other UDP fill in; the exchanges room turns it into a row of the tables and judges it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events.flows import IS_DUPLICATE, KEY_WORDS
from analyzer.events.scan import Scan
from analyzer.wire.addresses import address_text

UDP_PROTOCOL, TCP_PROTOCOL, ICMP_PROTOCOL, ICMPV6_PROTOCOL = 17, 6, 1, 58


class Socket(NamedTuple):
    """One end: address family (4 or 6), address and port."""

    family: int
    address: str
    port: int


@dataclass(slots=True)
class Connection:
    """One QUIC connection, TCP connection or other UDP conversation.

    ``rows`` are indices of selected rows, duplicates left out. ``request_rows`` are the first request and its repeats, which
    begin at ``first_repeat``; ``reply_row`` is the first row of the addressed socket's reply, -1 if none was seen.
    """

    transport: str
    flow: int
    client_direction: int
    roles_from: str
    client: Socket
    server: Socket
    rows: list[int] = field(default_factory=list)
    request_rows: list[int] = field(default_factory=list)
    first_repeat: int = 1
    reply_row: int = -1
    last_time: int = -1
    counters: tuple[int, int, int, int] = (0, 0, 0, 0)  # client packets, server packets, client bytes, server bytes
    history: str = ""
    icmp_rows: list[int] = field(default_factory=list)  # ICMP errors that quote a packet of the client
    elsewhere_rows: list[int] = field(default_factory=list)  # rows that belong here but lie in another flow
    replied_from: Socket | None = None
    paths: int = 1
    client_went_on: bool = False  # the client sent what it can only send after a reply
    # TCP
    syn_ack_rows: list[int] = field(default_factory=list)
    reset_rows: list[int] = field(default_factory=list)
    fin_rows: list[int] = field(default_factory=list)
    handshake_acked: bool = False
    client_reset: bool = False
    server_reset: bool = False
    # QUIC
    hello: object = None  # a wire.tls ClientHello
    hello_complete: bool = False
    hello_cut: bool = False  # bytes that the hello needs were not captured
    server_hello: object = None
    version: int = -1
    server_version: int = -1
    version_known: bool = False
    client_dcid: bytes = b""
    client_scid: bytes = b""
    server_scid: bytes = b""
    largest_request: int = -1
    retry: bool = False
    negotiated: bool = False  # a Version Negotiation came
    server_crypto: bool = False
    close_side: str = ""
    close_code: int = -1
    close_reason: str = ""


class FlowRows(NamedTuple):
    """The selected rows of one flow in the order of their records, duplicates of the capture left out."""

    flow: int
    row: list[int]
    time: list[int]
    direction: list[int]
    reason: list[int]
    payload_length: list[int]


class Flows:
    """The flows of a scan, and their rows."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        rows = scan.rows
        order = np.argsort(rows.flow, kind="stable")
        order = order[(rows.flow[order] >= 0) & (rows.reason[order] & IS_DUPLICATE == 0)]
        self._order = order
        count = int(scan.table.size[0])
        self._bounds = np.searchsorted(rows.flow[order], np.arange(count + 1))
        self._columns = tuple(column[order] for column in (rows.time, rows.direction, rows.reason, rows.payload_length))
        self.keys = scan.table.keys.reshape(-1, KEY_WORDS)
        self.protocol: NDArray[np.int64] = self.keys[:, 9].astype(np.int64) >> 8
        self.family: NDArray[np.int64] = self.keys[:, 9].astype(np.int64) & 0xFF

    def rows(self, flow: int) -> FlowRows:
        """The rows of a flow."""
        low, high = self._bounds[flow], self._bounds[flow + 1]
        lists = [column[low:high].tolist() for column in self._columns]
        return FlowRows(flow, self._order[low:high].tolist(), *lists)

    def with_protocol(self, protocol: int) -> Iterator[int]:
        """Indices of the flows with an IP protocol."""
        yield from np.flatnonzero(self.protocol == protocol).tolist()

    def ends(self, flow: int) -> tuple[Socket, Socket]:
        """The sockets a and b of a flow."""
        key = self.keys[flow].tolist()
        family = int(self.family[flow])
        return (
            Socket(family, address_text(family, *key[0:4]), key[8] >> 16),
            Socket(family, address_text(family, *key[4:8]), key[8] & 0xFFFF),
        )

    def counters(self, flow: int, first_row: int, next_row: int) -> tuple[int, int, int, int]:
        """Packets from a and b, payload bytes from a and b, from ``first_row`` up to before ``next_row`` (-1: the end)."""
        table = self.scan.table
        until = [int(table.records[2 * flow + d] - table.duplicates[2 * flow + d]) for d in (0, 1)]
        until += [int(table.bytes[2 * flow + d]) for d in (0, 1)]
        if next_row >= 0:
            until = self._before(next_row)
        begun = self._before(first_row)
        return tuple(u - b for u, b in zip(until, begun, strict=True))  # type: ignore[return-value]

    def _before(self, row: int) -> list[int]:
        """The running counters of a row's flow just before it: packets from a, from b, bytes from a, from b."""
        r = self.scan.rows
        own = int(r.ordinal[row] - r.duplicate_ordinal[row]) - 1, int(r.bytes_so_far[row] - r.payload_length[row])
        other = int(r.other_records[row] - r.other_duplicates[row]), int(r.other_bytes[row])
        a, b = (own, other) if r.direction[row] == 0 else (other, own)
        return [a[0], b[0], a[1], b[1]]
