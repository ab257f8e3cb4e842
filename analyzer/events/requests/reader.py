"""All requests inside TCP connections: who asked for what by TLS, HTTP and OCSP, and what came back.

Only connections whose client begins with a ClientHello or an HTTP request are read, and those with a segment that
begins like an HTTP message. A PROXY header before the first bytes is passed over, and a tunnel that CONNECT opened
is read as a connection inside the connection.
"""

from __future__ import annotations

import numpy as np

from analyzer.events.connection import Connection, Flows
from analyzer.events.requests.http import http_requests
from analyzer.events.requests.request import Request
from analyzer.events.requests.tls import tls_request
from analyzer.events.tcp.streams import Stream
from analyzer.wire.tls import handshake_messages
from analyzer.wire.web import openings
from analyzer.wire.web.responders import responder_hosts

_CERTIFICATE = 11


class Requests:
    """The requests of all connections, in the order of the connections.

    ``responders`` are the names of OCSP responders in the certificates that were seen in clear.
    """

    def __init__(self, flows: Flows, connections: list[Connection]) -> None:
        self._flows = flows
        self.found: list[Request] = []
        self.responders: frozenset[str] = frozenset()
        rows = flows.scan.rows
        headed = set(np.unique(rows.flow[rows.head > 0]).tolist())
        speaking = [c for c in connections if c.transport == "tcp" and (c.opening or c.flow in headed)]
        for connection in [c for c in speaking if c.opening == openings.TLS]:
            self._read_tls(connection, *self._streams(connection))
        for connection in [c for c in speaking if c.opening != openings.TLS]:
            self._read_http(connection)

    def _streams(self, connection: Connection) -> tuple[Stream, Stream]:
        """The client's and the server's."""
        client, server = (Stream(self._flows, connection, connection.client_direction ^ side) for side in (0, 1))
        client.begin = connection.proxy.length if connection.proxy is not None else 0
        return client, server

    def _read_tls(self, connection: Connection, client: Stream, server: Stream) -> None:
        read = tls_request(self._flows, connection, client, server)
        if read is None:
            return
        request, handshake = read
        self.found.append(request)
        for message in handshake_messages(handshake):
            if message.kind == _CERTIFICATE:
                self.responders |= responder_hosts(handshake[message.start : message.start + 4 + message.length])

    def _read_http(self, connection: Connection) -> None:
        client, server = self._streams(connection)
        read = http_requests(self._flows, connection, client, server, responders=self.responders)
        self.found += read.requests
        if read.tunnel is not None:
            client.begin, server.begin = read.tunnel
            if openings.opening_of(client.behind(client.begin, 16))[0] == openings.TLS:
                self._read_tls(connection, client, server)
