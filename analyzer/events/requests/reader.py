"""All requests inside TCP connections: who asked for what by TLS, HTTP and OCSP, and what came back.

Only connections whose client begins with a ClientHello or an HTTP request are read, and those with a segment that
begins like an HTTP message. A PROXY header before the first bytes is passed over, and a tunnel that CONNECT opened
is read as a connection inside the connection.
"""

from __future__ import annotations

import functools

from analyzer.events.connection import Connection, Flows
from analyzer.events.connections import Connections
from analyzer.events.requests.request import Request
from analyzer.events.requests.tls import plain_tls_requests, server_handshake, tls_request
from analyzer.events.tcp.streams import Stream, streams_of
from analyzer.wire.tls import CERTIFICATE, handshake_messages
from analyzer.wire.web import openings
from analyzer.wire.web.responders import responder_hosts

_TLS_1_3 = 0x0304

#: Requests of one reading. A hostile capture may hold one in every 27 bytes that were kept.
MOST_REQUESTS = 500_000

#: Servers whose certificates are looked at for the names of OCSP responders.
MOST_SERVERS = 1_000


class Requests:
    """The requests of all connections: those of TLS, then those of HTTP, each in the order of the connections."""

    def __init__(self, flows: Flows, connections: Connections) -> None:
        self._flows = flows
        self.found: list[Request] = []
        rows = flows.scan.rows
        headed = set(rows.flow[rows.head > 0].tolist())
        speaking = [c for c in connections.objects()[1] if c.transport == "tcp" and (c.opening or c.flow in headed)]
        self._tls = [c for c in speaking if c.opening == openings.TLS]
        self.unread = 0  # connections that were left out
        plain = iter(plain_tls_requests(flows, self._tls[:MOST_REQUESTS]))
        for connection in [*self._tls, *(c for c in speaking if c.opening != openings.TLS)]:
            if len(self.found) >= MOST_REQUESTS:
                self.unread += 1
            elif connection.opening == openings.TLS:
                self._read_tls(connection, next(plain, None))
            else:
                self._read_http(connection)

    @functools.cached_property
    def by_connection(self) -> dict[int, list[Request]]:
        """The requests of each connection, by the identity of that."""
        requests: dict[int, list[Request]] = {}
        for request in self.found:
            requests.setdefault(id(request.connection), []).append(request)
        return requests

    @functools.cached_property
    def responders(self) -> frozenset[str]:
        """The names of OCSP responders in certificates that were seen in clear, one connection for each server."""
        hosts: frozenset[str] = frozenset()
        seen = set()
        for connection in self._tls:
            hello = connection.server_hello
            if hello is None or hello.tls_version >= _TLS_1_3 or connection.server in seen:
                continue
            seen.add(connection.server)
            handshake = server_handshake(streams_of(self._flows, connection)[1])
            for message in handshake_messages(handshake):
                if message.kind == CERTIFICATE:
                    hosts |= responder_hosts(handshake[message.start : message.start + 4 + message.length])
            if len(seen) == MOST_SERVERS:
                break
        return hosts

    def _read_tls(self, connection: Connection, request: Request | None) -> None:
        """The exchange of a TLS connection, unless it is known already."""
        if request is None:
            client, server = streams_of(self._flows, connection)
            request = tls_request(self._flows, connection, client, server)
            if request is not None:
                _note_proxy(request, client)
        if request is not None:
            self.found.append(request)

    def _read_http(self, connection: Connection) -> None:
        from analyzer.events.requests.http import http_requests

        client, server = streams_of(self._flows, connection)
        read = http_requests(self._flows, connection, client, server, is_responder=self._is_responder)
        self.found += read.requests
        if read.requests:
            _note_proxy(read.requests[0], client)
        if read.tunnel is not None:
            client.begin, server.begin = read.tunnel
            if openings.opening_of(client.behind(client.begin, 16))[0] == openings.TLS:
                inside = tls_request(self._flows, connection, client, server)
                self.found += [inside] if inside is not None else []

    def _is_responder(self, name: str) -> bool:
        return bool(name) and name in self.responders


def _note_proxy(request: Request, client: Stream) -> None:
    """Note the PROXY header before the first request of a connection."""
    proxy, rows = request.connection.proxy, client.rows_at(0)
    if proxy is not None and rows:
        words = f"PROXY header, client {proxy.source} port {proxy.source_port}" if proxy.source else "PROXY header"
        request.details.notes.insert(0, (rows[0], words))
