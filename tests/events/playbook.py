"""Conversations as plays: who says what when, and what the events room makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from unittest import mock

from analyzer.capture.source import open_captures
from analyzer.columns import Words
from analyzer.events.connection import Connection
from analyzer.events.conversations import Conversations, conversations
from analyzer.events.quic import plain
from analyzer.events.scan import scan, settle
from analyzer.events.tcp.facts import TcpFacts, tcp_facts
from analyzer.events.tcp.ordinary import ordinary_facts
from tests.crafted import MS, START, Captured, ip, scan_of, tcp, udp

CLIENT, SERVER = ("192.0.2.10", 50660), ("198.51.100.80", 443)
CLIENT_6, SERVER_6 = ("2001:db8:a::10", 50660), ("2001:db8:b::80", 443)

Socket = tuple[str, int]

_COMPARED = [field.name for field in fields(Connection) if field.compare]

F, S, R, P, A, U = 1, 2, 4, 8, 16, 32


class Play:
    """Packets of two sockets, each ``step`` ms after the one before."""

    def __init__(self, client: Socket = CLIENT, server: Socket = SERVER, *, step: float = 10) -> None:
        self.client, self.server, self.step = client, server, step
        self.captured: list[Captured] = []
        self.now = START
        self.isn = 0  # of the client's last SYN
        self.ttl = 64

    def say(self, sender: Socket, receiver: Socket, protocol: int, body: bytes) -> Play:
        raw = ip(sender[0], receiver[0], protocol, body, ident=len(self.captured) + 1, ttl=self.ttl)
        self.captured.append(Captured(raw, self.now))
        self.now += int(self.step * MS)
        return self

    def c(self, flags: int, payload: bytes = b"", *, seq: int = 0, ack: int = 0) -> Play:
        """A TCP segment of the client."""
        self.isn = seq if flags & S else self.isn
        segment = tcp((self.client[1], self.server[1]), flags, payload, seq=seq, ack=ack)
        return self.say(self.client, self.server, 6, segment)

    def s(self, flags: int, payload: bytes = b"", *, seq: int = 0, ack: int = -1) -> Play:
        """A TCP segment of the server; if nothing else is said a SYN or RST acknowledges the client's last SYN."""
        ack = ack if ack >= 0 else self.isn + 1 if flags & (S | R) else 0
        segment = tcp((self.server[1], self.client[1]), flags, payload, seq=seq, ack=ack)
        return self.say(self.server, self.client, 6, segment)

    def ask(self, payload: bytes) -> Play:
        """A UDP datagram of the client."""
        return self.say(self.client, self.server, 17, udp((self.client[1], self.server[1]), payload))

    def reply(self, payload: bytes, *, sender: Socket | None = None) -> Play:
        """A UDP datagram of the server."""
        sender = sender or self.server
        return self.say(sender, self.client, 17, udp((sender[1], self.client[1]), payload))

    def hops(self, ttl: int) -> Play:
        """What follows arrives with another TTL."""
        self.ttl = ttl
        return self

    def wait(self, ms: float) -> Play:
        self.now += int(ms * MS)
        return self

    def played(self) -> list[Connection]:
        """The connections of the play."""
        return list(found_in(self.captured).connections)

    def only(self) -> Connection:
        """The one connection of the play."""
        (connection,) = self.played()
        return connection


def found_in(captured: Iterable[Captured]) -> Conversations:
    """What the events room finds in some packets; fails where it is another by columns."""
    scan = settle(scan_of(list(captured)))
    found = conversations(scan)
    with mock.patch.object(plain, "WORTH_KERNELS", 0):
        connections = conversations(scan).connections
    for one, other in zip(connections, found.connections, strict=True):
        for name in _COMPARED:
            a, b = getattr(one, name), getattr(other, name)
            assert a == b or _shown(a) == _shown(b), name
    ordinary_places(found)
    return found


def recorded(path: Path) -> Conversations:
    """What the events room finds in a capture."""
    captures = open_captures([str(path)])
    return conversations(settle(scan(captures.batches(compiled=False), 1, compiled=False)))


def ordinary_places(found: Conversations) -> list[int]:
    """The places of the ordinary TCP connections; fails where columns tell other facts of them."""
    told, each = ordinary_facts(found.flows, found.connections), tcp_facts(found.flows, found.connections)
    places: list[int] = told.places.tolist()
    for field in fields(TcpFacts):
        column = told.columns.get(field.name, [field.default] * len(places))
        values = column.texts() if isinstance(column, Words) else column
        if field.name == "rows":
            values = [tuple(sorted({*rows} - {-1})) for rows in told.rows.tolist()]
        assert list(values) == [getattr(each[place], field.name) for place in places], field.name
    return places


def _shown(value: object) -> str:
    """A value in words, without where its parts lie in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
