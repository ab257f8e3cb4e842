"""QUIC datagrams for a copy: Initials opened, edited and sealed again; of all other packets only the headers stay.

How it works: ``learn`` is called for every datagram before any is written. It opens what Initials it can and puts
their crypto streams together, since a ClientHello is shuffled over many frames and several Initials. Initials that came
before the one which tells their keys are tried again at the end. ``write`` then replaces in each frame the bytes that
lie at its place in the edited stream, so that repeats and overlaps say the same, and seals the packet with the keys and
the packet number that it had. Connection IDs stay, since the keys are made of them.

A token becomes random bytes of its length wherever it shows, and the tag of a Retry is made anew over that. The
protected bytes of 0-RTT, Handshake and 1-RTT packets, and of Initials that cannot be opened, become random ones. A long
packet of these at the end of its datagram is cut so soon that only different packets still differ. The last 16 bytes of
a datagram that may be a stateless reset are replaced by the same for the same token. Of versions whose packets are not
known, Google's among them, no more than the connection IDs stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from analyzer.anonymize.packets.edit import Edit, Maps
from analyzer.anonymize.packets.frames import edit_frames
from analyzer.anonymize.packets.hellos import edit_handshake
from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.quic.frames import Crypto, read_frames
from analyzer.wire.quic.gquic import GQUIC_FRAMES
from analyzer.wire.quic.header import RETRY_TAG, QuicPacket, read_datagram, read_invariants, read_long_header
from analyzer.wire.quic.protection import (
    ClearPacket,
    Keys,
    Protection,
    initial_keys,
    is_retry_intact,
    open_packet,
    retry_tag,
)
from analyzer.wire.quic.seal import seal_packet
from analyzer.wire.quic.split import (
    INITIAL,
    MAX_CID,
    MIN_PROTECTED,
    OTHER_LONG,
    REST,
    RETRY,
    SHORT,
    VERSION_NEGOTIATION,
    Flaw,
)
from analyzer.wire.quic.versions import V1, V2, version_of

_RESET_TOKEN = 16
_DIGEST = 7
#: Connections that are tried on one pair of sockets, the latest first.
_TRIED = 8

#: Both sockets of a datagram, its source first: address and port, packed.
Path = tuple[bytes, bytes]


class Written(NamedTuple):
    """What of a payload is written, and whether that is all of it."""

    payload: bytes
    whole: bool


class _Stream:
    """One direction's crypto stream of Initials, and its edited bytes once they are asked for."""

    def __init__(self) -> None:
        self.pieces = CryptoStream()
        self._edited: bytearray | None = None

    def edited(self, offset: int, piece: bytes, maps: Maps) -> bytes:
        """What replaces a piece; random bytes where the stream has a hole before it."""
        if self._edited is None:
            kept = self.pieces.kept()
            self._edited = bytearray(kept[-1][0] + len(kept[-1][1]) if kept else 0)
            for start, octets in kept:
                new = edit_handshake(octets, maps)[0] if start == 0 else bytes(Edit(octets, maps).copy)
                self._edited[start : start + len(octets)] = new
        found = bytes(self._edited[offset : offset + len(piece)])
        return found + maps.key.bytes_for(b"rest", piece, len(piece) - len(found))


@dataclass(slots=True, eq=False)
class _Connection:
    """What is known of a connection by the DCID that its keys are made of."""

    dcid: bytes
    client: Path
    streams: dict[bool, _Stream] = field(default_factory=lambda: {False: _Stream(), True: _Stream()})
    largest: dict[bool, int] = field(default_factory=lambda: {False: -1, True: -1})


class _Opened(NamedTuple):
    connection: _Connection
    from_server: bool
    keys: Keys
    clear: ClearPacket


@dataclass(slots=True)
class Datagram:
    """A datagram to be written: its packets, and by place what was opened of them."""

    payload: bytes
    path: Path
    packets: list[QuicPacket]
    opened: dict[int, _Opened] = field(default_factory=dict)


class QuicCopies:
    """All QUIC datagrams of a copy."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._of_path: dict[Path, list[_Connection]] = {}
        self._of_client: dict[bytes, list[_Connection]] = {}
        self._by_cid: dict[bytes, _Connection] = {}
        self._asked: dict[Path, list[bytes]] = {}
        self._cids: set[bytes] = set()
        self._negotiated: set[Path] = set()
        self._unopened: list[tuple[Datagram, int]] = []

    def learn(self, payload: bytes, length: int, path: Path) -> Datagram:
        """Take a UDP payload, of which ``length`` bytes were on the wire."""
        datagram = Datagram(payload, path, read_datagram(payload, 0, len(payload), length))
        if datagram.packets and datagram.packets[0].kind == OTHER_LONG:
            self._open_reserved(datagram, length)
        for place, packet in enumerate(datagram.packets):
            if packet.kind < OTHER_LONG:
                self._cids.update((packet.dcid, packet.scid))
            if packet.kind == VERSION_NEGOTIATION:
                self._negotiated.add((path[1], path[0]))
            if packet.kind == INITIAL:
                asked = self._asked.setdefault(path, [])
                if packet.dcid not in asked[-_TRIED:]:
                    asked.append(packet.dcid)
                if packet.flaw is Flaw.NONE and packet.version not in GQUIC_FRAMES and not self._open(datagram, place):
                    self._unopened.append((datagram, place))
        return datagram

    def learned(self) -> None:
        """Try once more what could not be opened when it came; to be called before the first ``write``."""
        waiting, self._unopened = self._unopened, []
        for datagram, place in waiting:
            self._open(datagram, place)

    def write(self, datagram: Datagram) -> Written:
        """The payload that takes the datagram's place."""
        pieces: list[bytes] = []
        last = len(datagram.packets) - 1
        for place, packet in enumerate(datagram.packets):
            written = self._packet(datagram, place, packet, is_last=place == last)
            pieces.append(written.payload)
            if not written.whole:
                return Written(b"".join(pieces), False)
        return Written(b"".join(pieces), True)

    def _open_reserved(self, datagram: Datagram, length: int) -> None:
        """Open an Initial of a reserved version, which a client protects as one of a version that it knows."""
        payload = datagram.payload
        packet = read_long_header(payload[:1] + V1.to_bytes(4, "big") + payload[5:], 0, len(payload), length)
        if packet is None or packet.kind != INITIAL or packet.flaw is not Flaw.NONE:
            return
        for version in (V1, V2):
            alike = datagram.packets[0]
            datagram.packets[0] = packet._replace(version=version)
            if self._open(datagram, 0):
                datagram.packets[1:] = read_datagram(payload, packet.end, len(payload), length)
                return
            datagram.packets[0] = alike

    def _open(self, datagram: Datagram, place: int) -> bool:
        packet = datagram.packets[place]
        octets = datagram.payload[packet.start : packet.end]
        for connection, from_server in self._candidates(packet, datagram.path):
            both = initial_keys(packet.version, connection.dcid)
            if both is None:
                return False
            keys = both.server if from_server else both.client
            largest = connection.largest[from_server]
            clear = open_packet(octets, packet.payload_offset - packet.start, keys, largest=largest)
            if clear.flaw is Protection.NONE:
                datagram.opened[place] = _Opened(connection, from_server, keys, clear)
                self._remember(connection, from_server, packet, clear)
                return True
        return False

    def _candidates(self, packet: QuicPacket, path: Path) -> list[tuple[_Connection, bool]]:
        """Connections that an Initial may belong to, and whether it would be from the server."""
        mine, theirs = self._of_path.get(path, []), self._of_path.get((path[1], path[0]), [])
        found = [(each, False) for each in mine if each.dcid == packet.dcid][-1:]
        found = found or [(_Connection(packet.dcid, path), False)]
        if (known := self._by_cid.get(packet.dcid)) is not None:
            found += [(known, True), (known, False)]
        found += [(each, False) for each in reversed(mine[-_TRIED:])]
        found += [(each, True) for each in reversed(theirs[-_TRIED:])]
        # A reply may come from another address than was asked.
        found += [(each, True) for each in reversed(self._of_client.get(path[1], [])[-_TRIED:])]
        return found

    def _remember(self, connection: _Connection, from_server: bool, packet: QuicPacket, clear: ClearPacket) -> None:
        if connection.dcid == packet.dcid and not from_server:
            of_path = self._of_path.setdefault(connection.client, [])
            if connection not in of_path:
                of_path.append(connection)
                self._of_client.setdefault(connection.client[0], []).append(connection)
        if packet.scid:
            self._by_cid[packet.scid] = connection
        connection.largest[from_server] = max(connection.largest[from_server], clear.packet_number)
        for frame in read_frames(clear.payload).frames:
            if type(frame) is Crypto:
                connection.streams[from_server].pieces.add(frame.offset, frame.piece)

    def _packet(self, datagram: Datagram, place: int, packet: QuicPacket, *, is_last: bool) -> Written:
        octets = datagram.payload[packet.start : packet.end]
        head = packet.payload_offset - packet.start
        if place in datagram.opened:
            return Written(self._sealed(datagram.opened[place], packet, octets), True)
        if packet.kind == VERSION_NEGOTIATION:
            return Written(octets, True)
        if packet.kind == RETRY and packet.flaw is Flaw.NONE:
            return Written(self._retry(datagram.path, packet, octets), True)
        if packet.kind < RETRY and packet.flaw is not Flaw.CUT_HEADER:
            hidden = self._with_token(octets[:head], packet) + self._hidden(octets, head)[head:]
            end = head + MIN_PROTECTED if is_last else len(hidden)
            return Written(hidden[:end], end >= len(hidden))
        if packet.kind == SHORT:
            return Written(self._short(octets), True)
        if packet.kind == REST and not any(octets):
            return Written(octets, True)  # padding outside of the packets
        if packet.kind == REST or not self._is_version(packet.version, datagram.path):
            # A digest, behind a byte that begins no QUIC packet: different datagrams stay different.
            digest = b"\0" + self._maps.key.bytes_for(b"digest", octets, _DIGEST)
            return Written(digest[: len(octets)], len(octets) <= len(digest))
        read = read_invariants(octets, 0, len(octets))
        return Written(octets[: read.after] if read is not None else b"", False)

    def _is_version(self, version: int, path: Path) -> bool:
        """Whether a version number is one of QUIC, so that connection IDs follow it, and not bytes of anything else."""
        known = version_of(version)
        return known.is_known or known.is_reserved or known.name[:1] in "QT" or path in self._negotiated

    def _sealed(self, opened: _Opened, packet: QuicPacket, octets: bytes) -> bytes:
        number_offset = packet.payload_offset - packet.start
        clear, stream = opened.clear, opened.connection.streams[opened.from_server]
        size = (clear.first_byte & 3) + 1
        number = (clear.packet_number & ((1 << 8 * size) - 1)).to_bytes(size, "big")
        head = self._with_token(octets[:number_offset], packet)
        payload = edit_frames(clear.payload, lambda offset, piece: stream.edited(offset, piece, self._maps), self._maps)
        header = b"%c%b%b" % (clear.first_byte, head[1:], number)
        return seal_packet(header, payload, opened.keys, packet_number=clear.packet_number)

    def _with_token(self, head: bytes, packet: QuicPacket) -> bytes:
        """A header up to the packet number; the token, which lies before the length field, replaced."""
        if not packet.token:
            return head
        # The length field behind the token is 1, 2, 4 or 8 bytes, and its first two bits say which.
        for size in (1, 2, 4, 8):
            end = len(head) - size
            if head[end - len(packet.token) : end] == packet.token and 1 << (head[end] >> 6) == size:
                return head[: end - len(packet.token)] + self._token(packet.token) + head[end:]
        return head[: len(head) - len(packet.token)] + self._token(packet.token)

    def _token(self, token: bytes) -> bytes:
        return self._maps.key.bytes_for(b"token", token, len(token))

    def _retry(self, path: Path, packet: QuicPacket, octets: bytes) -> bytes:
        """The Retry with another token; its tag fits where the original one did."""
        made = octets[: packet.payload_offset - packet.start] + self._token(packet.token)
        for dcid in reversed(self._asked.get((path[1], path[0]), [])[-_TRIED:]):
            if is_retry_intact(packet.version, dcid, octets):
                return made + retry_tag(packet.version, dcid, made)
        return made + self._maps.key.bytes_for(b"tag", octets, RETRY_TAG)

    def _hidden(self, octets: bytes, head: int) -> bytes:
        return octets[:head] + self._maps.key.bytes_for(b"protected", octets, len(octets) - head)

    def _short(self, octets: bytes) -> bytes:
        """A 1-RTT packet: a DCID that long headers showed stays, the end is replaced as a reset token is."""
        size = next((n for n in range(MAX_CID, 0, -1) if octets[1 : 1 + n] in self._cids), 0)
        made = self._hidden(octets, min(1 + size, len(octets)))
        end = len(octets) - _RESET_TOKEN
        if end < 1 + size:
            return made
        return made[:end] + self._maps.key.bytes_for(b"reset", octets[end:], _RESET_TOKEN)
