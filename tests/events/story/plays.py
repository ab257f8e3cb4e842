"""QUIC conversations made to order: Initials that really open, other packets by their headers alone."""

from __future__ import annotations

import hashlib

from analyzer.events.connection import Connection
from analyzer.events.story.story import Story
from analyzer.wire.quic.protection import initial_keys
from analyzer.wire.quic.seal import InitialHeader, seal_initial, write_varint
from tests.events.playbook import Play
from tests.wire.hellos import alpn, client_hello, server_name, versions

V1 = 1
DCID, CLIENT_CID, SERVER_CID = bytes(range(8)), b"clientid", b"serverid"
HELLO = client_hello([0x1301], server_name(b"example.com"), alpn(b"h3"), versions(0x0304))
SERVER_HELLO = b"\x02\x00\x00\x2c\x03\x03" + bytes(32) + b"\x00\x13\x01\x00\x00\x04\x00\x2b\x00\x02"

_KEYS = initial_keys(V1, DCID)


def crypto(piece: bytes, offset: int = 0) -> bytes:
    """A CRYPTO frame."""
    return b"\x06" + write_varint(offset) + write_varint(len(piece)) + piece


def ack(largest: int, smallest: int = 0) -> bytes:
    """An ACK frame of one range."""
    return b"\x02" + write_varint(largest) + b"\x00\x00" + write_varint(largest - smallest)


def close(code: int, reason: bytes = b"") -> bytes:
    """A CONNECTION_CLOSE frame of the transport."""
    return b"\x1c" + write_varint(code) + b"\x00" + write_varint(len(reason)) + reason


def initial(
    frames: bytes, number: int = 0, *, from_server: bool = False, size: int = 1200, token: bytes = b""
) -> bytes:
    """An Initial alone in a datagram of ``size`` bytes."""
    assert _KEYS is not None
    dcid, scid = (CLIENT_CID, SERVER_CID) if from_server else (DCID, CLIENT_CID)
    header = InitialHeader(V1, dcid, scid, token=token, packet_number=number)
    keys = _KEYS.server if from_server else _KEYS.client
    bare = len(seal_initial(header, frames + bytes(20), keys)) - 20
    return seal_initial(header, frames + bytes(max(size - bare, 20)), keys)


def random_bytes(size: int, seed: object) -> bytes:
    """Bytes that look random, the same in every run."""
    return hashlib.shake_256(repr(seed).encode()).digest(size)


def handshake(size: int = 1200, *, from_server: bool = False, seed: int = 0) -> bytes:
    """A Handshake packet alone in a datagram of ``size`` bytes."""
    dcid, scid = (CLIENT_CID, SERVER_CID) if from_server else (SERVER_CID, CLIENT_CID)
    head = b"\xe0" + V1.to_bytes(4, "big") + bytes([len(dcid)]) + dcid + bytes([len(scid)]) + scid
    body = size - len(head) - 2
    return head + write_varint(body, 2) + random_bytes(body, ("handshake", seed, from_server))


def short(size: int = 60, *, from_server: bool = False, seed: object = 0, cid: bytes = b"") -> bytes:
    """A short header packet."""
    return b"\x4f" + (cid or (CLIENT_CID if from_server else SERVER_CID)) + random_bytes(size - 9, ("short", seed))


def reset(token: bytes, size: int = 60, seed: object = 0) -> bytes:
    """A stateless reset."""
    return b"\x4f" + random_bytes(size - 17, ("reset", seed)) + token


def completed(play: Play | None = None) -> Play:
    """A handshake that completes: the server's flight takes two datagrams."""
    play = play or Play()
    play.ask(initial(crypto(HELLO)))
    play.reply(initial(ack(0) + crypto(SERVER_HELLO), from_server=True)).reply(handshake(from_server=True))
    play.ask(initial(ack(0), 1)).ask(handshake(90)).ask(short(seed=1))
    return play.reply(short(from_server=True, seed=2)).ask(short(40, seed=3))


def story_of(connection: Connection) -> Story:
    """The connection's story, which it must have."""
    assert connection.story is not None
    return connection.story
