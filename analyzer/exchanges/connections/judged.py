"""Every connection judged, with what was looked up on the way: times, ICMP errors, and what could be seen."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Words
from analyzer.events.connection import Connection
from analyzer.events.connections import Flags, Integers
from analyzer.events.requests.reader import Requests
from analyzer.events.tcp.states import ACK, RST
from analyzer.exchanges.attributes import Attributes
from analyzer.exchanges.hosts import Hosts
from analyzer.exchanges.judge import REFUSED, Context, judge
from analyzer.wire.checksums import transport_checksums_wrong
from analyzer.wire.icmp import error_name

MOST_RECORDS = 100  # of each list of records that a row keeps


class Judged(NamedTuple):
    """One connection, its outcome, and the time of the reply (ns, -1 for none)."""

    number: int
    connection: Connection
    outcome: str
    reply_time: int


class Judge:
    """Judges the connections of one analysis; every column has a row for each, in the order of their first records."""

    def __init__(self, attributes: Attributes, hosts: Hosts, capture_end: int) -> None:
        self.attributes = attributes
        self.flows = attributes.flows
        self.connections = attributes.connections
        self.hosts = hosts
        self.capture_end = capture_end
        self.rows = self.flows.scan.rows
        requests, replies = attributes.lists("request_rows"), attributes.integers("reply_row")
        #: The row of each connection's request, -1 where it was not seen.
        self.request_rows = np.where(attributes.words("transport").equal("udp"), -1, requests.first())
        self.request_time, self.reply_time = (self.of_rows(self.rows.time, r) for r in (self.request_rows, replies))
        self.icmp = self._icmp_names(attributes.lists("icmp_rows").first())
        self.one_way = np.zeros(len(attributes), np.bool_)
        unanswered = np.flatnonzero(replies < 0)
        self.one_way[unanswered] = self._is_one_way(unanswered)
        wrong = np.zeros(len(attributes), np.bool_)
        asked = unanswered[self.request_rows[unanswered] >= 0]
        wrong[asked] = self._checksums_wrong(self.request_rows[asked])
        self.outcome, self.reason = judge(
            attributes, Context(self.request_time, capture_end, self.one_way, self.icmp, wrong)
        )

    def at(self, rows: Integers) -> list[Judged]:
        """The connections in some rows."""
        outcomes = self.outcome.take(rows).texts().tolist()
        each = zip(
            (rows + 1).tolist(), self.connections.take(rows), outcomes, self.reply_time[rows].tolist(), strict=True
        )
        return [Judged(*known) for known in each]

    @functools.cached_property
    def row_of(self) -> dict[int, int]:
        """The row of each connection that requests or questions belong to, by the ``id`` of the object."""
        rows, objects = self.connections.objects()
        return dict(zip(map(id, objects), rows.tolist(), strict=True))

    def refusers(self) -> list[str]:
        """The address that refused: the server itself, or the sender of the ICMP error; "" where nobody did."""
        refusers = [""] * len(self.connections)
        errors = self.attributes.lists("icmp_rows").first()
        for row in np.flatnonzero(self.outcome.equal(REFUSED)).tolist():
            if self.reason.words[self.reason.codes[row]] in ("reset", "version-negotiation", "connection-close"):
                refusers[row] = self.connections[row].server.address
            else:
                refusers[row] = self._sender(int(errors[row]))
        return refusers

    @functools.cached_property
    def followed(self) -> dict[int, Connection]:
        """The next TCP connection on the same sockets, by the row of a connection."""
        last: dict[int, Connection] = {}
        followed = {}
        for row in np.flatnonzero(self.attributes.words("transport").equal("tcp"))[::-1].tolist():
            connection = self.connections[row]
            if connection.flow in last:
                followed[row] = last[connection.flow]
            last[connection.flow] = connection
        return followed

    def _is_one_way(self, rows: Integers) -> Flags:
        """Whether nothing shows that packets from the server's side to the client can be seen here.

        Where packets to the client were never seen, although it heard others, those of this server would not be either.
        """
        clients, servers = self.attributes.clients.take(rows), self.attributes.servers.take(rows)
        unheard = ~_of_each(clients, self.hosts.was_seen_receiving)
        if unheard.any():
            left = np.flatnonzero(unheard)
            mute = ~_of_each(servers.take(left), self.hosts.was_seen_sending)
            unseen = _of_each(clients.take(left), lambda client: self.hosts.same(client) in self._unseen)
            unheard[left] = mute | unseen
        return unheard

    def _checksums_wrong(self, rows: Integers) -> Flags:
        scan = self.flows.scan
        columns = (scan.chunk[rows].astype(np.int64), self.rows.start[rows], self.rows.kept[rows].astype(np.int64))
        return transport_checksums_wrong(scan.chunks, *columns)

    @functools.cached_property
    def _unseen(self) -> set[str]:
        """Hosts that acknowledge, or go on after, packets of which the capture shows none."""
        held = self.attributes
        went_on = held.flags("client_went_on")
        may = (held.counters[:, 1] == 0) & (went_on | held.words("transport").equal("tcp"))
        each = self.connections.take(np.flatnonzero(may))
        return {self.hosts.same(c.client.address) for c in each if c.client_went_on or self._acknowledges(c)}

    @functools.cached_property
    def requests(self) -> Requests:
        """What was asked inside TCP connections."""
        return Requests(self.flows, self.connections)

    def _acknowledges(self, connection: Connection) -> bool:
        """Whether the acknowledgment number of a TCP client moves: it takes data."""
        is_ack = [r for r in connection.rows if int(self.rows.tcp_flags[r]) & (ACK | RST) == ACK]
        return connection.transport == "tcp" and len({int(self.rows.acknowledgment[r]) for r in is_ack}) > 1

    def icmp_name(self, row: int) -> str:
        """Name of the ICMP error in a row."""
        return error_name(int(self.flows.family[self.rows.flow[row]]), int(self.rows.icmp[row]))

    def _icmp_names(self, rows: Integers) -> Words:
        """Names of the ICMP errors in rows, "" for -1."""
        names = np.full(len(rows), "", object)
        for k in np.flatnonzero(rows >= 0).tolist():
            names[k] = self.icmp_name(int(rows[k]))
        return Words.of(names.tolist())

    def _sender(self, row: int) -> str:
        if row < 0:
            return ""
        return self.flows.ends(int(self.rows.flow[row]))[int(self.rows.direction[row])].address

    def of_rows(self, column: NDArray[np.int64], rows: Integers) -> Integers:
        """A column of the selected packets in some rows, -1 for none."""
        return np.where(rows >= 0, column[rows], -1) if len(column) else rows

    def records(self, rows: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """(capture, record) of rows, the first ``MOST_RECORDS``."""
        return self.records_of([rows])[0]

    def records_at(self, rows: Integers) -> NDArray[np.int64]:
        """(capture, record) of rows: shape (n, 2)."""
        return np.column_stack([self.rows.capture[rows], self.rows.record[rows]])

    def records_of(self, lists: Sequence[Sequence[int]]) -> list[tuple[tuple[int, int], ...]]:
        """(capture, record) of the rows in each list, of its first ``MOST_RECORDS``."""
        lists = [rows[:MOST_RECORDS] for rows in lists]
        flat = np.fromiter(itertools.chain.from_iterable(lists), np.int64)
        records = tuple(zip(self.rows.capture[flat].tolist(), self.rows.record[flat].tolist(), strict=True))
        bounds = [0, *itertools.accumulate(map(len, lists))]
        return [records[low:high] for low, high in itertools.pairwise(bounds)]


def _of_each(words: Words, test: Callable[[str], bool]) -> Flags:
    """A test of the text of each row, made once for each text."""
    numbers, which = np.unique(words.codes, return_inverse=True)
    return np.fromiter((test(words.words[number]) for number in numbers.tolist()), np.bool_, len(numbers))[which]
