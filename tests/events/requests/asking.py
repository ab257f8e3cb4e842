"""TCP connections in which something is asked, and what the events room makes of it."""

from __future__ import annotations

from typing import NamedTuple

from analyzer.events.conversations import Conversations
from analyzer.events.requests.reader import Requests
from analyzer.events.requests.request import Request
from analyzer.events.requests.tls import plain_tls_requests, tls_request
from analyzer.events.tcp.streams import streams_of
from tests.events.playbook import A, P, Play, S, found_in


class Asking:
    """A connection whose sides say bytes in order; sequence numbers follow."""

    def __init__(self, play: Play | None = None, *, isn: int = 100, server_isn: int = 900) -> None:
        self.play = play or Play()
        self.sent, self.came = isn + 1, server_isn + 1
        self.play.c(S, seq=isn).s(S | A, seq=server_isn, ack=self.sent).c(A, seq=self.sent, ack=self.came)

    def c(self, payload: bytes, *, flags: int = A | P) -> Asking:
        """The client's next bytes, in one segment."""
        self.play.c(flags, payload, seq=self.sent, ack=self.came)
        self.sent += len(payload)
        return self

    def s(self, payload: bytes, *, flags: int = A | P) -> Asking:
        """The server's next bytes, in one segment."""
        self.play.s(flags, payload, seq=self.came, ack=self.sent)
        self.came += len(payload)
        return self

    def unseen(self, length: int) -> Asking:
        """The server's next bytes, which the capture lacks."""
        self.came += length
        return self

    def found(self) -> list[Request]:
        """The requests of the play."""
        return read(found_in(self.play.captured))

    def only(self) -> Request:
        """The one request of the play."""
        (request,) = self.found()
        return request


def read(found: Conversations) -> list[Request]:
    """The requests in what was found; fails where those of TLS that are told together differ from what each tells."""
    plain_places(found)
    return Requests(found.flows, found.connections).found


def plain_places(found: Conversations) -> list[int]:
    """The places of the TLS connections that are told together; fails where each alone tells else."""
    flows, connections = found.flows, list(found.connections)
    places = []
    for place, request in enumerate(plain_tls_requests(flows, connections)):
        if request is not None:
            connection = connections[place]
            alone = tls_request(flows, connection, *streams_of(flows, connection))
            assert alone is not None
            for name in ("kind", "rows", "name", "reply_row", "refusal", "is_whole", "came", "details"):
                assert getattr(request, name) == getattr(alone, name), name
            places.append(place)
    return places


class Told(NamedTuple):
    """A request in short."""

    kind: str
    name: str
    asked: str
    replied: str
    rows: list[int]
    reply_row: int


def told(request: Request) -> Told:
    details = request.details
    return Told(request.kind, request.name, details.asked, details.replied, request.rows, request.reply_row)
