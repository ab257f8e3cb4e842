"""What the Initials, Retries and Version Negotiations of one connection say, read to the end.

The connection's own reader stops where a verdict cannot change; this one goes on for those connections whose story
must be told: acknowledgments, CONNECTION_CLOSE of either side, holes in the ClientHello, tokens, version lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.events.connection import Connection, Flows
from analyzer.events.story.steps import Step
from analyzer.wire.codes import close_words
from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.quic.frames import Ack, ConnectionClose, Crypto
from analyzer.wire.quic.gquic import initial_frames
from analyzer.wire.quic.header import QuicPacket, read_datagram, read_long_header, read_versions
from analyzer.wire.quic.protection import ClearPacket, InitialKeys, Protection, initial_keys, open_packet
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, OTHER_LONG, RETRY, VERSION_NEGOTIATION, Flaw
from analyzer.wire.quic.versions import V1, V2

#: Initials of one side that are opened at most: repeats say nothing new.
_MOST_OPENED = 24
_CLIENT_BITS = 1 << INITIAL | 1 << OTHER_LONG
_SERVER_BITS = 1 << INITIAL | 1 << RETRY | 1 << VERSION_NEGOTIATION | 1 << HANDSHAKE

_CLOSED = ClearPacket(Protection.DECRYPTION_FAILURE, -1, 0, b"")


@dataclass(frozen=True, slots=True)
class Close:
    """A CONNECTION_CLOSE frame that could be read."""

    side: str
    by_application: bool
    code: int
    words: str
    row: int
    time: int


@dataclass(slots=True)
class Initials:
    """What was read. Times are ns, -1 where there is none; lists hold rows in order."""

    hello: CryptoStream = field(default_factory=CryptoStream)
    pieces: dict[int, list[Crypto]] = field(default_factory=dict)  # of the hello, by packet number
    acked_hello: CryptoStream = field(default_factory=CryptoStream)  # those that the server acknowledged
    ack_time: int = -1
    ack_rows: list[int] = field(default_factory=list)
    server_initials: int = 0
    server_crypto: bool = False
    unread: int = 0  # server Initials that were not opened
    token: bytes = b""  # of the client's first Initial
    retries: list[int] = field(default_factory=list)
    retry_tokens: set[bytes] = field(default_factory=set)
    echo_time: int = -1
    retried_again: bool = False
    answered_echo: bool = False
    negotiations: list[int] = field(default_factory=list)
    offered: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    server_version: int = -1
    closes: list[Close] = field(default_factory=list)

    @property
    def acked_whole(self) -> bool:
        """Every byte of the ClientHello was acknowledged, in whatever packet."""
        prefix = self.acked_hello.prefix()
        return len(prefix) >= 4 and len(prefix) >= 4 + int.from_bytes(prefix[1:4], "big")

    def missing(self) -> list[tuple[int, int]]:
        """Holes of the ClientHello as (start, end); an open end is -1."""
        prefix = self.hello.prefix()
        holes = self.hello.missing()
        if len(prefix) >= 4:
            length = 4 + int.from_bytes(prefix[1:4], "big")
            return self.hello.missing(length)
        return holes or [(self.hello.highest, -1)]


class InitialsReader:
    """Reads the steps of one connection."""

    def __init__(self, flows: Flows, connection: Connection) -> None:
        self.flows, self.connection = flows, connection
        self.read_so_far = Initials()
        self.dcids = [connection.client_dcid]
        self.keys: dict[tuple[int, bytes], InitialKeys | None] = {}
        self.opened = [0, 0]

    def read(self, steps: list[Step]) -> Initials:
        """Everything that can be read without secrets of the endpoints."""
        for step in steps:
            if step.kinds & (_CLIENT_BITS if step.is_client else _SERVER_BITS):
                payload = self.flows.payload(step.row)
                for packet in read_datagram(payload, 0, len(payload), max(len(payload), step.length)):
                    self._take(step, payload, packet)
        return self.read_so_far

    def _take(self, step: Step, payload: bytes, packet: QuicPacket) -> None:
        facts = self.read_so_far
        if packet.kind in (INITIAL, OTHER_LONG) and step.is_client:
            self._client_initial(step, payload, packet)
        elif packet.kind == INITIAL:
            self._server_initial(step, payload, packet)
        elif packet.kind == HANDSHAKE and not step.is_client:
            facts.server_version = packet.version
            facts.answered_echo |= facts.echo_time >= 0
        elif packet.kind == RETRY and not step.is_client:
            facts.retried_again |= facts.echo_time >= 0
            facts.retries.append(step.row)
            facts.retry_tokens.add(packet.token)
            self.dcids.append(packet.scid)
        elif packet.kind == VERSION_NEGOTIATION and not step.is_client:
            facts.negotiations.append(step.row)
            facts.listed = facts.listed or read_versions(payload, packet.payload_offset, packet.end)

    def _client_initial(self, step: Step, payload: bytes, packet: QuicPacket) -> None:
        facts = self.read_so_far
        if packet.version not in facts.offered:
            facts.offered.append(packet.version)
        if not facts.token and not facts.retries:
            facts.token = packet.token
        if packet.token and packet.token in facts.retry_tokens and facts.echo_time < 0:
            facts.echo_time = step.time
        clear = self._open(payload, packet, from_server=False)
        for frame in initial_frames(packet.version, clear.payload).frames:
            if type(frame) is Crypto:
                facts.hello.add(frame.offset, frame.piece)
                facts.pieces.setdefault(clear.packet_number, []).append(frame)
            elif type(frame) is ConnectionClose:
                self._close("client", frame, step)

    def _server_initial(self, step: Step, payload: bytes, packet: QuicPacket) -> None:
        facts = self.read_so_far
        facts.server_initials += 1
        facts.server_version = packet.version
        facts.answered_echo |= facts.echo_time >= 0
        clear = self._open(payload, packet, from_server=True)
        facts.unread += not clear.payload
        for frame in initial_frames(packet.version, clear.payload).frames:
            if type(frame) is Crypto:
                facts.server_crypto = True
            elif type(frame) is Ack:
                facts.ack_time = step.time if facts.ack_time < 0 else facts.ack_time
                facts.ack_rows.append(step.row)
                self._note_acked(frame)
            elif type(frame) is ConnectionClose:
                self._close("server", frame, step)

    def _note_acked(self, ack: Ack) -> None:
        """Take the parts of the hello that an ACK frame covers."""
        facts = self.read_so_far
        for number in [n for n in facts.pieces if any(low <= n <= top for low, top in ack.ranges)]:
            for piece in facts.pieces[number]:
                facts.acked_hello.add(piece.offset, piece.piece)

    def _close(self, side: str, frame: ConnectionClose, step: Step) -> None:
        words = close_words(frame.by_application, frame.code, frame.reason)
        close = Close(side, frame.by_application, frame.code, words, step.row, step.time)
        self.read_so_far.closes.append(close)

    def _open(self, payload: bytes, packet: QuicPacket, *, from_server: bool) -> ClearPacket:
        """The clear packet, empty if no keys of this connection fit or enough were opened."""
        if packet.flaw != Flaw.NONE or self.opened[from_server] >= _MOST_OPENED:
            return _CLOSED
        self.opened[from_server] += 1
        dcids = self.dcids[::-1] if from_server or packet.dcid in self.dcids else [*self.dcids[::-1], packet.dcid]
        versions: tuple[int, ...] = (packet.version,)
        if packet.kind == OTHER_LONG:
            # A client protects an Initial of a reserved version as one of a version that it knows.
            alike = payload[:1] + V1.to_bytes(4, "big") + payload[5:]
            versions, packet = (V1, V2), read_long_header(alike, 0, len(payload), len(payload)) or packet
        for dcid in dcids:
            for version in versions:
                clear = self._try(payload, packet, (version, dcid), from_server=from_server)
                if clear.payload:
                    return clear
        return _CLOSED

    def _try(self, payload: bytes, packet: QuicPacket, key: tuple[int, bytes], *, from_server: bool) -> ClearPacket:
        if key not in self.keys:
            self.keys[key] = initial_keys(*key)
        keys = self.keys[key]
        if keys is None:
            return _CLOSED
        side = keys.server if from_server else keys.client
        return open_packet(payload[packet.start : packet.end], packet.payload_offset - packet.start, side)
