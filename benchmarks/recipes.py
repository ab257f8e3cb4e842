"""How to tell a recorded QUIC connection again with other connection IDs.

A recipe holds the datagrams of the recording with their Initials in the clear, and where in them the *names* of the
connection stand: its connection IDs, in long and short headers and in the client's transport parameters, and the
random of its ClientHello. ``retell`` writes fresh names in all these places and seals the Initials again under the
fresh client DCID. Handshake and 1-RTT payloads stay as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from analyzer.wire.quic.header import QuicPacket, read_datagram, read_varint
from analyzer.wire.quic.protection import InitialKeys, Protection, initial_keys, open_packet
from analyzer.wire.quic.seal import AEAD_TAG, seal_packet
from analyzer.wire.quic.split import INITIAL, REST, RETRY, SHORT, VERSION_NEGOTIATION
from benchmarks.conversations import Conversation

VERSION_1 = 1
PADDING, PING, ACK_FRAME, ACK_ECN, CRYPTO = 0, 1, 2, 3, 6  # frame types (RFC 9000 §19)
RANDOM_AT, RANDOM_BYTES = 6, 32  # in a ClientHello (RFC 8446 §4.1.2)
SOURCE_CID_PARAMETER = 0x0F  # initial_source_connection_id (RFC 9000 §18.2)


class Place(NamedTuple):
    """Bytes of a datagram that repeat a part of a name."""

    at: int
    name: int  # index in Recipe.names
    start: int  # of the part, in the name
    size: int


class Initial(NamedTuple):
    """An Initial packet inside a datagram, in the clear, its tag left empty."""

    start: int
    payload_at: int
    end: int
    packet_number: int


@dataclass(slots=True)
class Datagram:
    """One datagram of a recipe."""

    from_client: bool
    body: bytes
    places: list[Place] = field(default_factory=list)
    initials: list[Initial] = field(default_factory=list)


@dataclass(slots=True)
class Recipe:
    """A QUIC connection whose names can be replaced; ``names[0]`` is the client DCID of its first Initial."""

    names: list[bytes]
    datagrams: list[Datagram]


def recipe_of(conversation: Conversation) -> Recipe | None:
    """The recipe of a QUIC v1 connection; None if it has a Retry, or an Initial that cannot be opened."""
    first = _packets(conversation.packets[0].body)[0]
    if first.kind != INITIAL or first.version != VERSION_1:
        return None
    reader = _Reader(first)
    for packet in conversation.packets:
        datagram = Datagram(packet.from_client, packet.body)
        if not reader.read(datagram):
            return None
        reader.datagrams.append(datagram)
    reader.place_hello()
    return Recipe(reader.names, reader.datagrams)


def retell(recipe: Recipe, names: Sequence[bytes]) -> list[bytes]:
    """The datagrams of the recipe with ``names`` in place of its own, Initials sealed under ``names[0]``."""
    keys = initial_keys(VERSION_1, names[0])
    assert keys is not None
    told = []
    for datagram in recipe.datagrams:
        body = bytearray(datagram.body)
        for place in datagram.places:
            body[place.at : place.at + place.size] = names[place.name][place.start : place.start + place.size]
        for initial in datagram.initials:
            header = bytes(body[initial.start : initial.payload_at])
            payload = bytes(body[initial.payload_at : initial.end - AEAD_TAG])
            direction = keys.client if datagram.from_client else keys.server
            body[initial.start : initial.end] = seal_packet(
                header, payload, direction, packet_number=initial.packet_number
            )
        told.append(bytes(body))
    return told


def _packets(body: bytes) -> list[QuicPacket]:
    return read_datagram(body, 0, len(body), len(body))


class _Reader:
    """Takes the datagrams of one connection apart, in order."""

    def __init__(self, first: QuicPacket) -> None:
        keys = initial_keys(VERSION_1, first.dcid)
        assert keys is not None
        self.names = [first.dcid]
        self.datagrams: list[Datagram] = []
        self._keys: InitialKeys = keys
        self._cids: dict[bool, list[bytes]] = {True: [first.dcid], False: [first.scid]}  # by from_client: DCIDs seen
        self._pieces: list[tuple[Datagram, int, int, int]] = []  # CRYPTO: datagram, place, stream offset, size
        self._client_scid = first.scid

    def read(self, datagram: Datagram) -> bool:
        """Find the names in a datagram and open its Initials; False if that cannot be done."""
        for packet in _packets(datagram.body):
            if packet.kind == SHORT:
                self._read_short(datagram, packet.start)
            elif packet.kind in (RETRY, VERSION_NEGOTIATION) or packet.flaw:
                return False
            elif packet.kind != REST:
                self._name(datagram, packet.start + 6, packet.dcid)
                self._name(datagram, packet.start + 7 + len(packet.dcid), packet.scid)
                self._cids[not datagram.from_client].append(packet.scid)
                if packet.kind == INITIAL and not self._open(datagram, packet):
                    return False
        return True

    def _read_short(self, datagram: Datagram, at: int) -> None:
        """A short header: its DCID is a known one, or one issued under protection and as long as the last known."""
        known = self._cids[datagram.from_client]
        rest = datagram.body[at + 1 :]
        dcid = next((cid for cid in reversed(known) if cid and rest.startswith(cid)), rest[: len(known[-1])])
        self._name(datagram, at + 1, dcid)

    def _name(self, datagram: Datagram, at: int, cid: bytes) -> None:
        if cid not in self.names:
            self.names.append(cid)
        if cid:
            datagram.places.append(Place(at, self.names.index(cid), 0, len(cid)))

    def _open(self, datagram: Datagram, packet: QuicPacket) -> bool:
        start, end = packet.start, packet.end
        keys = self._keys.client if datagram.from_client else self._keys.server
        clear = open_packet(datagram.body[start:end], packet.payload_offset - start, keys)
        if clear.flaw != Protection.NONE:
            return False
        width = (clear.first_byte & 3) + 1
        payload_at = packet.payload_offset + width
        number = (clear.packet_number & ((1 << 8 * width) - 1)).to_bytes(width)
        header = bytes([clear.first_byte]) + datagram.body[start + 1 : packet.payload_offset] + number
        datagram.body = datagram.body[:start] + header + clear.payload + bytes(AEAD_TAG) + datagram.body[end:]
        datagram.initials.append(Initial(start, payload_at, end, clear.packet_number))
        if datagram.from_client:
            for at, offset, size in crypto_frames(datagram.body[: end - AEAD_TAG], payload_at):
                self._pieces.append((datagram, at, offset, size))
        return True

    def place_hello(self) -> None:
        """Find the random of the ClientHello, and the client's SCID in its transport parameters, wherever sent."""
        hello = bytearray(max((offset + size for _, _, offset, size in self._pieces), default=0))
        for datagram, at, offset, size in self._pieces:
            hello[offset : offset + size] = datagram.body[at : at + size]
        spans = [(RANDOM_AT, bytes(hello[RANDOM_AT : RANDOM_AT + RANDOM_BYTES]))]
        scid = self._client_scid
        parameter = hello.find(bytes([SOURCE_CID_PARAMETER, len(scid)]) + scid)
        if scid and parameter >= 0:
            spans.append((parameter + 2, scid))
        for began, name in spans:
            if name not in self.names:
                self.names.append(name)
            for datagram, at, offset, size in self._pieces:
                low, high = max(began, offset), min(began + len(name), offset + size)
                if low < high:
                    place = Place(at + low - offset, self.names.index(name), low - began, high - low)
                    datagram.places.append(place)


def crypto_frames(packet: bytes, at: int) -> list[tuple[int, int, int]]:
    """CRYPTO frames of a clear Initial payload that begins at ``at``: place and stream offset of the bytes, size."""
    frames = []
    while at < len(packet):
        kind = packet[at]
        at += 1
        if kind in (PADDING, PING):
            continue
        if kind in (ACK_FRAME, ACK_ECN):
            at = _skip_ack(packet, at, kind == ACK_ECN)
        elif kind == CRYPTO:
            offset, at = read_varint(packet, at)
            size, at = read_varint(packet, at)
            frames.append((at, offset, size))
            at += size
        else:
            break
    return frames


def _skip_ack(packet: bytes, at: int, ecn: bool) -> int:
    """Where an ACK frame ends (RFC 9000 §19.3)."""
    for _ in range(2):
        _, at = read_varint(packet, at)
    ranges, at = read_varint(packet, at)
    for _ in range(1 + 2 * ranges + (3 if ecn else 0)):
        _, at = read_varint(packet, at)
    return at
