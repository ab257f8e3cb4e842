"""A connection as the events room knows it: its rows, who is who, the request and what came back.

``FlowRows`` is the working view of one flow: its selected rows in order, as plain Python lists. ``Connection`` is what
the readers of QUIC, TCP and other UDP fill in; the exchanges room turns it into a row of the tables and judges it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events import flows as fl
from analyzer.events.fragments import reassemble
from analyzer.events.scan import Scan
from analyzer.events.tcp.states import State
from analyzer.wire.addresses import address_text
from analyzer.wire.packets import LATER_FRAGMENT
from analyzer.wire.quic.gquic import Chlo
from analyzer.wire.tls_hello import ClientHello, ServerHello, offered_names, read_client_hello, read_server_hello
from analyzer.wire.web.proxy import ProxyHeader

if TYPE_CHECKING:
    from analyzer.events.requests.opened import OpenedTls
    from analyzer.events.story.paths import Path
    from analyzer.events.story.story import Story
    from analyzer.wire.certificates import Certificate

ICMP_PROTOCOL, TCP_PROTOCOL, UDP_PROTOCOL, ICMPV6_PROTOCOL = 1, 6, 17, 58

# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each connection.
_new = tuple.__new__


class Socket(NamedTuple):
    """One end: address family (4 or 6), address and port."""

    family: int
    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.family == 6 else f"{self.address}:{self.port}"


class Counters(NamedTuple):
    """Packets and payload bytes of both ends of a connection, duplicates of the capture left out."""

    client_packets: int = 0
    server_packets: int = 0
    client_bytes: int = 0
    server_bytes: int = 0


NO_COUNTERS = Counters()


@dataclass(slots=True)
class Connection:
    """One QUIC connection, TCP connection or other UDP conversation.

    ``rows`` are indices of selected rows, duplicates left out. ``request_rows`` are the first request and its repeats,
    which begin at ``first_repeat`` (a ClientHello may take several datagrams); ``reply_row`` is the first row of the
    addressed socket's reply, -1 if none was seen.
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
    counters: Counters = NO_COUNTERS
    icmp_rows: tuple[int, ...] = ()  # ICMP errors that quote a packet of the client
    misquoted: int = 0  # of them, those whose packet is none that the client was seen to send, though all were seen
    unfit: int = 0  # of the server, and to be ignored: SYN/ACKs and RSTs with wrong numbers, datagrams of nobody
    elsewhere_rows: tuple[int, ...] = ()  # rows that belong here but lie in another flow
    replied_from: Socket | None = None
    rejected_rows: tuple[int, ...] = ()  # the client's ICMP errors that quote a reply from elsewhere
    paths: int = 1
    client_went_on: bool = False  # the client sent what it can only send after a reply
    went_on_row: int = -1  # the first row of that
    hello_bytes: bytes = b""  # of the ClientHello, from its first byte on
    names: tuple[str, tuple[bytes, ...]] | None = field(default=None, compare=False)  # server name and ALPN of it
    _hello: ClientHello | None = field(default=None, init=False, repr=False, compare=False)
    chlo: Chlo | None = None  # of gQUIC, in place of a ClientHello
    server_hello_bytes: bytes = b""  # of a ServerHello that can be read
    _server_hello: ServerHello | None = field(default=None, init=False, repr=False, compare=False)
    close_side: str = ""
    # TCP
    syn_ack_rows: tuple[int, ...] = ()
    reset_rows: tuple[int, ...] = ()
    fin_rows: tuple[int, ...] = ()
    handshake_acked: bool = False
    tcp_state: State = State.NEW
    reset_by: str = ""  # client or server: who sent the first RST
    opening: str = ""  # what the client's first bytes are: tls, http (wire.web.openings)
    proxy: ProxyHeader | None = None  # of the PROXY protocol, before them
    opened: OpenedTls | None = None  # of TLS 1.3, with a key log
    # QUIC
    hello_complete: bool = False
    hello_cut: bool = False  # bytes that the hello needs were not captured
    sealed: bool = False  # of the client's Initials none could be opened, those after a reply not looked at
    version: int = -1
    server_version: int = -1
    version_known: bool = False
    client_dcid: bytes = b""
    client_scid: bytes = b""
    server_scid: bytes = b""
    largest_request: int = -1
    strange_reply: bool = False  # the reply has a short header, without the client's connection ID
    retry: bool = False
    negotiated: bool = False  # a Version Negotiation came, and nothing after it
    server_crypto: bool = False
    left_closed: bytes = b""  # the DCID that opens the server's Initials, where nothing in them could change a verdict
    close_code: int = -1
    close_reason: str = ""
    chosen_alpn: str = ""  # what the server chose, with a key log
    certificates: tuple[Certificate, ...] = ()  # of the server, with a key log
    reset_tokens: tuple[bytes, ...] = ()  # of stateless resets of either side, with a key log
    client_kinds: int = 0  # bits of the kinds of QUIC packets that were seen, of wire.quic.summary
    server_kinds: int = 0
    other_paths: tuple[Path, ...] = ()  # further flows of the connection, by a connection ID of the server
    story: Story | None = None  # of a connection that did not simply complete and end

    @property
    def hello(self) -> ClientHello | None:
        """The ClientHello, read when first asked for: few are, but for their names."""
        if self._hello is None and self.hello_bytes:
            self._hello = read_client_hello(self.hello_bytes)
        return self._hello

    @property
    def server_hello(self) -> ServerHello | None:
        """The ServerHello, read when first asked for."""
        if self._server_hello is None and self.server_hello_bytes:
            self._server_hello = read_server_hello(self.server_hello_bytes)
        return self._server_hello

    @property
    def sni(self) -> str:
        """The server name that the client offered."""
        if not self.hello_bytes:
            return self.chlo.server_name if self.chlo is not None else ""
        return self._names()[0]

    @property
    def alpn(self) -> tuple[bytes, ...]:
        """The application protocols that a ClientHello offered."""
        return self._names()[1] if self.hello_bytes else ()

    def _names(self) -> tuple[str, tuple[bytes, ...]]:
        if self.names is None:
            self.names = offered_names(self.hello_bytes)
        return self.names

    @property
    def is_attempt(self) -> bool:
        """Whether the request that begins a connection was seen: a client Initial or a SYN."""
        return bool(self.request_rows) and self.transport != "udp"


class FlowRows(NamedTuple):
    """The selected rows of one flow in the order of their records, duplicates of the capture left out."""

    row: list[int]
    cid_digest: list[int]
    direction: list[int]
    quic: list[int]
    payload_length: list[int]
    chunk: list[int]  # where the kept payload bytes lie: from ``begin`` to ``end`` of this chunk of the scan's bytes
    begin: list[int]
    end: list[int]


class Flows:
    """The flows of a scan, and their rows. What came in IP fragments is whole in the row of the first one."""

    def __init__(self, scan: Scan) -> None:
        self.scan, self.fragments = reassemble(scan)
        rows = self.scan.rows
        order = np.argsort(rows.flow, kind="stable")
        order = order[(rows.flow[order] >= 0) & (rows.reason[order] & fl.IS_DUPLICATE == 0)]
        order = order[rows.kind[order] != LATER_FRAGMENT]
        self.order = order  # rows by flow, each flow's in the order of the records
        count = int(scan.table.size[0])
        #: int64: the rows of flow i lie in ``order`` from limits[i] to limits[i + 1].
        self.limits = np.searchsorted(rows.flow[order], np.arange(count + 1)).astype(np.int64)
        self._bounds = self.limits.tolist()
        # Lists of a flow's few rows are read many times faster than columns at single rows.
        begin = rows.start + np.maximum(rows.header, 0)
        end = np.where(rows.header >= 0, rows.start + rows.kept, begin)
        narrow = (rows.direction, rows.quic, rows.payload_length, self.scan.chunk, begin, end)
        self._wide = np.stack([order, rows.cid_digest[order]])
        self.narrow = np.stack([column[order].astype(np.int32) for column in narrow])
        state = self.scan.table.state.reshape(-1, 2, fl.STATE_COLUMNS)
        counts = state[:, :, fl.RECORDS] - state[:, :, fl.DUPLICATES], state[:, :, fl.BYTES]
        #: int64 of each flow: packets from a and from b, bytes from a and from b, time of the last packet.
        self.totals = np.column_stack([*counts, state[:, :, fl.LAST_TIME].max(axis=1)])
        self.keys = scan.table.keys.reshape(-1, fl.KEY_WORDS)
        self.protocol: NDArray[np.int64] = self.keys[:, 9].astype(np.int64) >> 8
        self.family: NDArray[np.int64] = self.keys[:, 9].astype(np.int64) & 0xFF

    def rows(self, flow: int) -> FlowRows:
        """The rows of a flow."""
        low, high = self._bounds[flow], self._bounds[flow + 1]
        return _new(FlowRows, (*self._wide[:, low:high].tolist(), *self.narrow[:, low:high].tolist()))

    def bounds(self, flow: int) -> tuple[int, int]:
        """Where the rows of a flow lie in ``order``: the first, and the one behind the last."""
        return self._bounds[flow], self._bounds[flow + 1]

    def last_row(self, flow: int) -> int:
        """The last row of a flow that has rows."""
        return int(self.order[self._bounds[flow + 1] - 1])

    def with_protocol(self, protocol: int) -> Iterator[int]:
        """Indices of the flows with an IP protocol that have rows."""
        for flow in np.flatnonzero(self.protocol == protocol).tolist():
            if self._bounds[flow] < self._bounds[flow + 1]:
                yield flow

    def ends(self, flow: int) -> tuple[Socket, Socket]:
        """The sockets a and b of a flow."""
        return _ends_of(self.keys[flow].tolist())

    def ends_of(self, flows: NDArray[np.int64]) -> list[tuple[Socket, Socket]]:
        """The sockets a and b of many flows."""
        return list(map(_ends_of, self.keys[flows].tolist()))

    def new_connection(self, transport: str, flow: int, client_direction: int, roles_from: str) -> Connection:
        """A connection of a flow whose client is end a (direction 0) or b (1)."""
        ends = self.ends(flow)
        client, server = ends[client_direction], ends[1 - client_direction]
        return Connection(transport, flow, client_direction, roles_from, client, server)

    def payload(self, row: int) -> bytes:
        """The kept payload bytes of a row, b"" if its headers were cut."""
        header = int(self.scan.rows.header[row])
        return self.scan.row_bytes(row)[header:] if header >= 0 else b""

    def count(self, connections: list[Connection]) -> None:
        """Fill in counters and the last time of the connections of one flow, which follow one another."""
        if len(connections) == 1:
            (connection,) = connections
            a, b, from_a, from_b, connection.last_time = self.totals[connection.flow].tolist()
            both = (b, a, from_b, from_a) if connection.client_direction else (a, b, from_a, from_b)
            connection.counters = _new(Counters, both)
            return
        for connection, following in zip(connections, [*connections[1:], None], strict=True):
            *until, last = self.totals[connection.flow].tolist()
            if following is not None:
                until = self.before(following.rows[0])
                last = int(self.scan.rows.time[connection.rows[-1]])
            if connection is not connections[0]:
                until = [u - b for u, b in zip(until, self.before(connection.rows[0]), strict=True)]
            if connection.client_direction:
                until = [until[1], until[0], until[3], until[2]]
            connection.counters, connection.last_time = _new(Counters, until), last

    def before(self, row: int) -> list[int]:
        """The running counters of a row's flow just before it: packets from a, from b, bytes from a, from b."""
        counters: list[int] = self.before_each(np.array([row]))[0].tolist()
        return counters

    def before_each(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """``before`` of many rows, a row of int64 each."""
        r = self.scan.rows
        own = r.ordinal[index] - r.duplicate_ordinal[index] - 1, r.bytes_so_far[index] - r.payload_length[index]
        other = r.other_records[index] - r.other_duplicates[index], r.other_bytes[index]
        of_a = np.stack([own[0], other[0], own[1], other[1]], axis=1)
        return np.where((r.direction[index] == 0)[:, None], of_a, of_a[:, [1, 0, 3, 2]])


def _ends_of(key: list[int]) -> tuple[Socket, Socket]:
    """The sockets a and b of a flow's key."""
    a0, a1, a2, a3, b0, b1, b2, b3, ports, kind = key
    family = kind & 0xFF
    return (
        _new(Socket, (family, address_text(family, a0, a1, a2, a3), ports >> 16)),
        _new(Socket, (family, address_text(family, b0, b1, b2, b3), ports & 0xFFFF)),
    )


#: Below this, a port is one that servers listen on rather than one that a client was given.
FIRST_EPHEMERAL_PORT = 1024


def client_by_port(a: Socket, b: Socket, first_sender: int) -> tuple[int, str]:
    """(direction of the client, what told): a well-known port is the server's; without one, who came first asks."""
    known_a, known_b = a.port < FIRST_EPHEMERAL_PORT, b.port < FIRST_EPHEMERAL_PORT
    if known_a != known_b:
        return (1 if known_a else 0), "port"
    return first_sender, "first-seen"
