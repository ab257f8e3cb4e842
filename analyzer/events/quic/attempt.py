"""One QUIC connection while its rows are read: its keys, crypto streams and connection IDs.

Packets are opened for what can still change a verdict, and no further: the client's Initials until its ClientHello is
whole, the server's until CRYPTO or CONNECTION_CLOSE was read, and not at all where the client went on to Handshake
packets. Repeated and late Initials are counted, not opened.
"""

from __future__ import annotations

from analyzer.events.connection import Connection, Flows
from analyzer.events.gquic import note_chlo
from analyzer.wire.codes import close_words
from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.quic.frames import ConnectionClose, Crypto, message_in_front
from analyzer.wire.quic.gquic import GQUIC_FRAMES, find_chlo, initial_frames
from analyzer.wire.quic.header import QuicPacket, read_datagram
from analyzer.wire.quic.protection import InitialKeys, initial_keys, is_retry_intact, open_packet
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, Flaw
from analyzer.wire.tls_hello import ServerHello, client_hello_bytes, read_server_hello, server_hello_bytes

_INITIAL_BIT, _HANDSHAKE_BIT = 1 << INITIAL, 1 << HANDSHAKE

#: Server Initials are opened no further: acknowledgments without CRYPTO repeat for as long as the client does.
_MAX_SERVER_INITIALS = 4

#: Keys kept of one attempt: of its first DCID and of a Retry's, in two versions.
_MOST_KEYS = 8


class Attempt:
    """One connection while its rows are read: keys, crypto streams and the CIDs that belong to it."""

    __slots__ = (
        "began_early",
        "client_stream",
        "connection",
        "dcids",
        "key_dcid",
        "keys",
        "opened",
        "server_initials",
        "unread",
    )

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dcids: set[bytes] = set()  # that the client puts on its packets
        self.key_dcid = b""
        self.keys: dict[tuple[int, bytes], InitialKeys | None] = {}
        self.client_stream: CryptoStream | None = None  # where the hello does not lie whole in one frame
        self.server_initials: list[tuple[bytes, QuicPacket, bytes]] = []  # payload, packet, key DCID
        self.unread: list[tuple[int, bytes]] = []  # rows of further Initials of the server, and their key DCID
        self.opened: tuple[QuicPacket, bytes] | None = None  # the Initial that told that this is an attempt
        self.began_early = False  # with 0-RTT, before the Initial that it was sent with or after

    def keys_for(self, version: int, dcid: bytes) -> InitialKeys | None:
        """Initial keys of a version from a DCID, derived once while they are few: anyone can send more Initials."""
        if (version, dcid) not in self.keys:
            if len(self.keys) == _MOST_KEYS:
                self.keys.clear()
            self.keys[version, dcid] = initial_keys(version, dcid)
        return self.keys[version, dcid]

    def open(self, payload: bytes, packet: QuicPacket, *, from_server: bool) -> bytes:
        """The clear payload of an Initial, b"" if no keys of this attempt fit."""
        if self.opened is not None and self.opened[0] is packet:
            return self.opened[1]
        for dcid in (self.key_dcid, packet.dcid):
            keys = None if from_server and dcid is packet.dcid else self.keys_for(packet.version, dcid)
            if keys is None:
                continue
            side = keys.server if from_server else keys.client
            clear = open_packet(payload[packet.start : packet.end], packet.payload_offset - packet.start, side)
            if clear.payload:
                if not from_server:
                    self.key_dcid = dcid
                return clear.payload
        return b""

    def awaits_initial_of(self, direction: int) -> bool:
        """Whether this side's 0-RTT packets were seen, and not yet an Initial of it."""
        connection = self.connection
        return self.began_early and not connection.client_dcid and direction == connection.client_direction

    @property
    def is_nameless(self) -> bool:
        """Whether no connection ID is known yet: the capture began with short headers, or with headers that are cut."""
        connection = self.connection
        return not (connection.client_dcid or connection.client_scid or connection.server_scid)

    @property
    def is_beyond_its_hello(self) -> bool:
        """Whether the server replied to Initials that are all cut: what its client sends now acknowledges that."""
        connection = self.connection
        return connection.hello_cut and connection.version < 0 and connection.reply_row >= 0

    @property
    def wants_server(self) -> bool:
        """Whether a server's Initial can still change a verdict."""
        known = len(self.server_initials) + len(self.unread)
        return known < _MAX_SERVER_INITIALS and not self.connection.client_kinds & _HANDSHAKE_BIT

    def read_client_initial(self, payload: bytes, packet: QuicPacket) -> bool:
        """Take the CRYPTO of a client Initial; whether it was authentic."""
        connection = self.connection
        clear = self.open(payload, packet, from_server=False)
        if not clear:
            if not connection.version_known:  # Q046 has no Initial keys: its CHLO lies in clear
                note_chlo(connection, find_chlo(payload[packet.payload_offset : packet.end]))
            return False
        if connection.version < 0:
            connection.version, connection.version_known = packet.version, True
        prefix = self._client_prefix(packet.version, clear)
        if prefix.startswith(b"CHLO"):  # Q050
            note_chlo(connection, find_chlo(prefix))
        elif len(prefix) >= 4 and len(prefix) >= 4 + int.from_bytes(prefix[1:4], "big"):
            connection.hello_bytes = client_hello_bytes(prefix)
            connection.hello_complete = bool(connection.hello_bytes)
            connection.first_repeat = max(len(connection.request_rows), 1)
        return True

    def _client_prefix(self, version: int, clear: bytes) -> bytes:
        """The client's crypto stream up to its first hole, with what this packet adds."""
        stream = self.client_stream
        if stream is None:
            if version not in GQUIC_FRAMES and (message := message_in_front(clear)):
                return message  # as most clients send it: nothing is left to put together
            stream = self.client_stream = CryptoStream()
        stream.add_all([frame for frame in initial_frames(version, clear).frames if type(frame) is Crypto])
        return stream.prefix()

    def read_server_initials(self) -> None:
        """Take CRYPTO or CONNECTION_CLOSE of the server's Initials, unless the client's packets tell that CRYPTO came.

        Keys of Handshake packets come out of the server's CRYPTO (RFC 9001 §4): a client that sends one has read it.
        """
        connection = self.connection
        if connection.client_kinds & _HANDSHAKE_BIT:
            connection.server_crypto, connection.left_closed = True, self.server_initials[0][2]
            return
        for payload, packet, key_dcid in self.server_initials[:_MAX_SERVER_INITIALS]:
            if connection.server_crypto or connection.close_side:
                break
            self.key_dcid = key_dcid
            self._read_server_initial(payload, packet, CryptoStream())

    def _read_server_initial(self, payload: bytes, packet: QuicPacket, stream: CryptoStream) -> None:
        connection = self.connection
        for frame in initial_frames(packet.version, self.open(payload, packet, from_server=True)).frames:
            if type(frame) is Crypto:
                stream.add(frame.offset, frame.piece)
                connection.server_crypto = True
                connection.server_hello_bytes = server_hello_bytes(stream.prefix())
            elif type(frame) is ConnectionClose and not connection.close_side:
                connection.close_side, connection.close_code = "server", frame.code
                connection.close_reason = close_words(frame.by_application, frame.code, frame.reason)

    def read_retry(self, payload: bytes, packet: QuicPacket) -> None:
        """A Retry: the client's next Initials carry its SCID, and keys come from that (RFC 9001 §5.2)."""
        if is_retry_intact(packet.version, self.connection.client_dcid, payload[packet.start : packet.end]) is False:
            return
        self.dcids.add(packet.scid)
        if not self.connection.retry:  # a client takes one Retry, and one comes for each of its Initials (§17.2.5.2)
            self.connection.retry, self.key_dcid = True, packet.scid


def server_hello_of(flows: Flows, connection: Connection) -> ServerHello | None:
    """The ServerHello of any connection; of a QUIC connection whose verdict does not need it, it is opened now."""
    if connection.server_hello_bytes or not connection.left_closed:
        return connection.server_hello
    rows, stream = flows.scan.rows, CryptoStream()
    for row in connection.rows:
        if rows.direction[row] == connection.client_direction or not rows.quic[row] & _INITIAL_BIT:
            continue
        payload = flows.payload(row)
        for packet in read_datagram(payload, 0, len(payload), max(len(payload), int(rows.payload_length[row]))):
            readable = packet.kind == INITIAL and packet.flaw == Flaw.NONE
            keys = initial_keys(packet.version, connection.left_closed) if readable else None
            if keys is None:
                continue
            closed = payload[packet.start : packet.end]
            clear = open_packet(closed, packet.payload_offset - packet.start, keys.server).payload
            for frame in initial_frames(packet.version, clear).frames:
                if type(frame) is Crypto:
                    stream.add(frame.offset, frame.piece)
            if stream.highest:
                return read_server_hello(stream.prefix())
    return None
