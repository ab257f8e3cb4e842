"""Handshake and 1-RTT packets of QUIC opened with the secrets of a key log; TLS over TCP: ``requests.opened``.

How it works
------------
The client random of a ClientHello leads to the secrets of its connection. Handshake packets give the server's ALPN,
its certificate chain, the token of its stateless resets and CONNECTION_CLOSE frames in words; of 1-RTT packets only
those whose bytes were kept are opened (the first of each direction), for CONNECTION_CLOSE and NEW_CONNECTION_ID. A
connection ID that was issued there joins the flows that begin with it, a token proves a single reset; the stories of
those connections are told again. No outcome changes.
"""

from __future__ import annotations

from collections.abc import Mapping

from analyzer.events.connection import Connection, Flows, Socket
from analyzer.events.connections import Connections
from analyzer.events.quic.attempt import server_hello_of
from analyzer.events.requests.opened import note_handshake, open_tls
from analyzer.events.story.paths import TOKEN, has_token, join_paths
from analyzer.events.story.story import tell
from analyzer.wire import keylog
from analyzer.wire.codes import close_words
from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.quic.frames import ConnectionClose, Crypto, NewConnectionId, read_frames
from analyzer.wire.quic.header import QuicPacket, read_datagram
from analyzer.wire.quic.protection import Keys, Protection, open_packet
from analyzer.wire.quic.secrets import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, keys_of_secret, updated
from analyzer.wire.quic.split import HANDSHAKE, SHORT, Flaw
from analyzer.wire.quic.transport_parameters import STATELESS_RESET_TOKEN, read_transport_parameters
from analyzer.wire.tls_hello import ServerHello

_LABELS = {
    ("handshake", False): keylog.CLIENT_HANDSHAKE,
    ("handshake", True): keylog.SERVER_HANDSHAKE,
    ("1-rtt", False): keylog.CLIENT_TRAFFIC,
    ("1-rtt", True): keylog.SERVER_TRAFFIC,
}

#: Key updates that are followed between two packets whose bytes were kept.
_MOST_UPDATES = 4


class _Side:
    """The keys of one packet number space in one direction."""

    def __init__(self, version: int, suite: int, secret: bytes) -> None:
        self.version, self.suite, self.secret = version, suite, secret
        self.keys: Keys | None = keys_of_secret(version, suite, secret)
        self.largest = -1

    def open(self, packet: bytes, number_offset: int, *, may_update: bool) -> bytes:
        """The clear payload, b"" if these keys do not open it, nor those of the next key updates."""
        secret, keys = self.secret, self.keys
        for _ in range(1 + (_MOST_UPDATES if may_update else 0)):
            if keys is None:
                return b""
            clear = open_packet(packet, number_offset, keys, largest=self.largest)
            if clear.flaw == Protection.NONE:
                self.secret, self.keys = secret, keys
                self.largest = max(self.largest, clear.packet_number)
                return clear.payload
            following = updated(self.version, self.suite, secret, keys)
            if following is None:
                return b""
            secret, keys = following
        return b""


class _Opened:
    """One connection while its packets are opened."""

    def __init__(self, connection: Connection, secrets: Mapping[str, bytes], suites: tuple[int, ...]) -> None:
        self.connection, self.secrets, self.suites = connection, secrets, suites
        self.sides: dict[tuple[str, bool], _Side] = {}
        self.stream = CryptoStream()  # of the server's Handshake packets
        self.issued: list[bytes] = []  # connection IDs of the server
        self.tokens: set[bytes] = set()  # of stateless resets of either side

    def take(self, payload: bytes, packet: QuicPacket, *, from_server: bool) -> None:
        """Open one packet and keep what its frames say."""
        if packet.kind == HANDSHAKE:
            space, number = "handshake", packet.payload_offset - packet.start
        else:
            cid = self.connection.client_scid if from_server else self.connection.server_scid
            space, number = "1-rtt", 1 + len(cid)
        clear = self._open(payload[packet.start : packet.end], number, packet.version, (space, from_server))
        for frame in read_frames(clear).frames:
            if type(frame) is Crypto and from_server and space == "handshake":
                self.stream.add(frame.offset, frame.piece)
            elif type(frame) is NewConnectionId:
                self.tokens.add(frame.reset_token)
                self.issued += [frame.cid] if from_server else []
            elif type(frame) is ConnectionClose and not self.connection.close_side:
                self._close(frame, from_server=from_server)

    def _open(self, packet: bytes, number: int, version: int, place: tuple[str, bool]) -> bytes:
        side = self.sides.get(place)
        if side is not None:
            return side.open(packet, number, may_update=place[0] == "1-rtt")
        secret = self.secrets.get(_LABELS[place], b"")
        if version <= 0:  # a short header names none; of a server that was not seen, the client's is the best guess
            server_version = self.connection.server_version
            version = server_version if server_version > 0 else self.connection.version
        for suite in self.suites:
            side = _Side(version, suite, secret)
            clear = side.open(packet, number, may_update=False)
            if clear:
                self.sides[place] = side
                return clear
        return b""

    def _close(self, frame: ConnectionClose, *, from_server: bool) -> None:
        connection = self.connection
        connection.close_side, connection.close_code = "server" if from_server else "client", frame.code
        connection.close_reason = close_words(frame.by_application, frame.code, frame.reason)

    def finish(self) -> None:
        """What the server's Handshake messages say."""
        parameters = read_transport_parameters(note_handshake(self.connection, self.stream.prefix()))
        self.tokens.add(parameters.values.get(STATELESS_RESET_TOKEN, b""))
        self.connection.reset_tokens = tuple(sorted(token for token in self.tokens if len(token) == TOKEN))


def open_with_secrets(flows: Flows, connections: Connections, log: keylog.KeyLog) -> Connections:
    """Open what the secrets open, connection by connection; the connections without the flows that turn out to be a
    path of one."""
    issued: dict[tuple[Socket, bytes], Connection] = {}
    for connection in connections:
        hello = connection.hello
        secrets = log.secrets.get(hello.random) if hello is not None else None
        if not secrets:
            continue
        if connection.transport == "tcp":
            open_tls(flows, connection, secrets)
            continue
        opened = _Opened(connection, secrets, _suites(server_hello_of(flows, connection), secrets))
        for row in sorted((*connection.rows, *connection.elsewhere_rows)):
            payload = flows.payload(row)
            full = int(flows.scan.rows.payload_length[row])
            from_server = _is_from_server(flows, connection, row)
            for packet in read_datagram(payload, 0, len(payload), max(len(payload), full)):
                if packet.kind in (HANDSHAKE, SHORT) and packet.flaw == Flaw.NONE:
                    opened.take(payload, packet, from_server=from_server)
        opened.finish()
        issued |= {(connection.server, cid): connection for cid in opened.issued}
    before = {id(connection): len(connection.other_paths) for connection in connections}
    connections = join_paths(flows, connections, issued)
    for connection in connections:
        has_moved = len(connection.other_paths) > before[id(connection)]
        if has_moved or (connection.reset_tokens and has_token(flows, connection)):
            connection.story = tell(flows, connection)
    return connections


def _suites(hello: ServerHello | None, secrets: Mapping[str, bytes]) -> tuple[int, ...]:
    """The cipher suites that may be in use: the ServerHello's, else those whose hash is as long as the secrets."""
    if hello is not None:
        return (hello.cipher_suite,)
    is_long = len(next(iter(secrets.values()))) == 48
    return (AES_256_GCM,) if is_long else (AES_128_GCM, CHACHA20_POLY1305)


def _is_from_server(flows: Flows, connection: Connection, row: int) -> bool:
    """Whether a row's sender is not the client, on whatever path."""
    rows = flows.scan.rows
    sender = flows.ends(int(rows.flow[row]))[int(rows.direction[row])]
    return sender.address != connection.client.address or sender.port != connection.client.port
