"""QUIC flows of one 4-tuple as plays of datagrams: made by chance, or recorded; and what both readers make of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import fields
from random import Random
from typing import Any, NamedTuple

import numpy as np

from analyzer.events.connection import UDP_PROTOCOL, Connection, Flows
from analyzer.events.quic.plain import plain_connections
from analyzer.events.quic.reader import quic_connections
from analyzer.events.scan import Scan, merge, scan, settle
from analyzer.wire.quic.protection import initial_keys, retry_tag
from analyzer.wire.quic.seal import InitialHeader, seal_initial, write_varint
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, REST, RETRY, SHORT, VERSION_NEGOTIATION, ZERO_RTT
from analyzer.wire.quic.summary import LEAST_PACKET
from analyzer.wire.quic.versions import V1, V2, version_of
from tests.crafted import MS, START, Captured, batch_of, ip, udp
from tests.wire.hellos import alpn, client_hello, server_name

Socket = tuple[str, int]

CLIENT, SERVER = ("192.0.2.10", 20000), ("198.51.100.80", 443)
RESERVED, UNKNOWN, Q050, T051, DRAFT_29, Q046 = 0x1A2A3A4A, 0x5A5A0001, 0x51303530, 0x54303531, 0xFF00001D, 0x51303436

HELLO = client_hello([0x1301], server_name(b"example.com"), alpn(b"h3"))
OTHER_HELLO = client_hello([0x1301], server_name(b"example.org"), alpn(b"h3"))
HALF = len(HELLO) // 2
PING, ACK, CLOSE = b"\x01", b"\x02\0\0\0\0", b"\x1c\x01\x00\x00"


class Datagram(NamedTuple):
    """One UDP payload; ``captured``: so many bytes of it were, -1: all."""

    from_client: bool
    payload: bytes
    captured: int = -1


def crypto(offset: int, piece: bytes) -> bytes:
    """A CRYPTO frame."""
    return b"\x06" + write_varint(offset) + write_varint(len(piece)) + piece


def initial(cids: tuple[bytes, bytes], clear: bytes, *, key: bytes, version: int = V1, server: bool = False) -> bytes:
    """An Initial from and with (DCID, SCID), sealed by the keys of the DCID ``key``."""
    keys = initial_keys(version, key)
    payload = clear.ljust(24, b"\0")
    if keys is None:  # nobody opens it
        return long_packet(INITIAL, cids, version=version)
    return seal_initial(InitialHeader(version, *cids), payload, keys.server if server else keys.client)


def long_packet(kind: int, cids: tuple[bytes, bytes], *, version: int = V1, body: bytes = b"protected" * 5) -> bytes:
    """A 0-RTT, Handshake or closed Initial packet, or a Retry whose tag is wrong."""
    types = version_of(version).packet_types
    first = 0xC0 | (types.index(kind) if kind in types else kind & 3) << 4
    head = bytes([first]) + version.to_bytes(4, "big") + b"".join(bytes([len(cid)]) + cid for cid in cids)
    token = b"\0" if kind == INITIAL else b""
    return head + (b"" if kind == RETRY else token + write_varint(len(body), 2)) + body


def retry(cids: tuple[bytes, bytes], *, asked_for: bytes, version: int = V1) -> bytes:
    """A Retry of a server that was asked for the DCID ``asked_for``."""
    whole = long_packet(RETRY, cids, version=version, body=b"token")
    return whole + (retry_tag(version, asked_for, whole) or bytes(16))


def negotiation(cids: tuple[bytes, bytes]) -> bytes:
    """A Version Negotiation packet."""
    listed = b"".join(version.to_bytes(4, "big") for version in (V1, V2))
    return b"\x80\0\0\0\0" + b"".join(bytes([len(cid)]) + cid for cid in cids) + listed


def short(cid: bytes = b"") -> bytes:
    """A 1-RTT packet."""
    return b"\x41" + cid + b"rest of it, which is protected"


def captured(plays: Iterable[Sequence[Datagram]], *, ends: tuple[Socket, Socket] = (CLIENT, SERVER)) -> list[Captured]:
    """The records of some flows, one client port each, side by side."""
    client, server = ends
    out: list[Captured] = []
    numbers = itertools.count(1)
    for flow, play in enumerate(plays):
        here = client[0], client[1] + flow
        for place, (from_client, payload, kept) in enumerate(play):
            source, destination = (here, server) if from_client else (server, here)
            body = udp((source[1], destination[1]), payload)
            raw = ip(source[0], destination[0], 17, body, ident=next(numbers) & 0xFFFF)
            end = len(raw) if kept < 0 else len(raw) - len(payload) + min(kept, len(payload))
            out.append(Captured(raw[:end], START + 50 * place * MS, len(raw)))
    return sorted(out, key=lambda one: one.time)


def scanned(packets: Sequence[Captured], *, chunks: int = 1) -> Scan:
    """The settled scan of packets whose bytes lie in so many chunks."""
    size = max(1, -(-len(packets) // chunks))
    pieces = [batch_of(packets[at : at + size], first_number=at + 1) for at in range(0, max(len(packets), 1), size)]
    return settle(functools.reduce(merge, (scan([piece], 1, compiled=True) for piece in pieces)))


def differences(one: Connection, other: Connection) -> dict[str, tuple[Any, Any]]:
    """Fields that differ, in value or type."""
    names = [field.name for field in fields(Connection) if field.compare] + ["hello", "sni", "alpn"]
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if repr(pair[0]) != repr(pair[1])}


def plain_flows(found: Scan, *, compiled: bool = True) -> tuple[set[int], set[int]]:
    """The plain flows and the others of a scan; fails where ``plain_connections`` says else than the reader."""
    flows = Flows(found)
    rows = flows.scan.rows
    quic = set(rows.flow[rows.quic != 0].tolist())
    chosen = [flow for flow in flows.with_protocol(UDP_PROTOCOL) if flow in quic]
    columns, others = plain_connections(flows, chosen, compiled=compiled)
    connections = list(columns.objects(np.arange(len(columns))))
    plain = [connection.flow for connection in connections]
    assert sorted(plain + others) == chosen
    for connection in connections:
        expected = quic_connections(flows, connection.flow)
        assert len(expected) == 1, f"flow {connection.flow} has {len(expected)} connections"
        assert differences(connection, expected[0]) == {}
        assert connection == expected[0]
    return set(plain), set(others)


#: Connection IDs are few, so that they meet: what a client asks for first, its own, and the server's.
FIRST = (b"first--1", b"first--2x", b"f" * 20, b"")
OWN = (b"client-1", b"client-2", b"", b"first--1")
CHOSEN = (b"server-1", b"server-2", b"", b"client-1")
VERSIONS = (V1,) * 24 + (V2, DRAFT_29, Q050, T051, Q046, RESERVED, UNKNOWN)

HALVES = crypto(0, HELLO[:HALF]), crypto(HALF, HELLO[HALF:])
CLEAR = (
    *(crypto(0, HELLO),) * 4,
    *HALVES * 3,
    HALVES[1] + PING + HALVES[0],
    crypto(0, HELLO[: HALF + 9]),
    crypto(HALF - 9, HELLO[HALF - 9 :]),
    crypto(0, OTHER_HELLO),
    crypto(0, OTHER_HELLO[:HALF]),
    crypto(HALF, OTHER_HELLO[HALF:]),
    crypto(0, b"\x02" + HELLO[1:]),
    crypto(0, b"\x01\0\0\0"),
    crypto(0, b""),
    crypto(0, HELLO)[:-1],
    crypto(1 << 61, b"x") + crypto(0, HELLO),
    ACK + crypto(0, HELLO),
    crypto(0, HELLO) + ACK,
    crypto(0, HELLO) + b"\xff",
    crypto(0, HELLO) + crypto(0, OTHER_HELLO),
    crypto(0, HELLO + HELLO),
    PING,
    ACK,
    CLOSE,
    b"\x08" + crypto(0, HELLO)[1:],
)
KINDS = (INITIAL,) * 7 + (HANDSHAKE,) * 3 + (ZERO_RTT, RETRY, VERSION_NEGOTIATION, SHORT, SHORT, REST)


class Cast(NamedTuple):
    """Who plays a flow: the client's first DCID, its SCID, the server's, and the version."""

    first: bytes
    client: bytes
    server: bytes
    version: int


def made_packet(chance: Random, cast: Cast, *, from_client: bool) -> bytes:
    """A packet of any kind with likely connection IDs."""

    def one(likely: bytes, names: Sequence[bytes]) -> bytes:
        return likely if chance.random() < 0.75 else chance.choice(names)

    asked = one(cast.first, FIRST) if chance.random() < 0.5 else one(cast.server, CHOSEN)
    cids = (asked, one(cast.client, OWN)) if from_client else (one(cast.client, OWN), one(cast.server, CHOSEN))
    version = cast.version if chance.random() < 0.95 else chance.choice(VERSIONS[24:])
    kind = chance.choice(KINDS)
    if kind == INITIAL:
        key = chance.choices((cast.first, cids[0], chance.choice(FIRST + CHOSEN)), (7, 3, 1))[0]
        server = from_client ^ (chance.random() < 0.97)
        return initial(cids, chance.choice(CLEAR), key=key, version=version, server=server)
    if kind == RETRY and chance.random() < 0.7:
        return retry(cids, asked_for=cast.first, version=version)
    if kind == VERSION_NEGOTIATION:
        return negotiation(cids)
    if kind == SHORT:
        return short(cids[0])[: chance.choice((LEAST_PACKET - 1, LEAST_PACKET, 99, 99))]
    return chance.randbytes(30) if kind == REST else long_packet(kind, cids, version=version)


def strange_hello(chance: Random) -> bytes:
    """A whole message that begins as a ClientHello does; lengths and types in it may be any."""
    message = bytearray(HELLO)
    for _ in range(chance.randint(1, 4)):
        message[chance.randrange(38, len(message))] = chance.choice((0, 1, 2, 16, chance.randrange(256)))
    return bytes(message)


def made_play(chance: Random) -> list[Datagram]:
    """A flow by chance: mostly one that begins with a hello, and goes on as it pleases."""
    cast = Cast(*(chance.choice(names[:1] * 6 + names) for names in (FIRST, OWN, CHOSEN)), chance.choice(VERSIONS))
    clear = chance.choice(
        (CLEAR[:1], CLEAR[:1], HALVES, HALVES[::-1], (chance.choice(CLEAR),), (crypto(0, strange_hello(chance)),))
    )
    to_first, to_server = (cast.first, cast.client), (cast.server, cast.client)
    opening = [initial(to_first, each, key=cast.first, version=cast.version) for each in clear]
    greeting = initial(to_server[::-1], crypto(0, b"\x02\0\0\0"), key=cast.first, version=cast.version, server=True)
    finished = initial(to_server, ACK, key=cast.first, version=cast.version)
    finished += long_packet(HANDSHAKE, to_server, version=cast.version)
    play = [Datagram(True, payload) for payload in opening]
    if chance.random() < 0.6:
        play += [Datagram(False, greeting)] if chance.random() < 0.9 else []
        play += [Datagram(True, finished)] if chance.random() < 0.8 else []
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3, 6))):
        from_client = chance.random() < 0.6
        count = 1 if chance.random() < 0.7 else chance.choice((2, 3))
        payload = b"".join(made_packet(chance, cast, from_client=from_client) for _ in range(count))
        play.insert(chance.randint(0, len(play)), Datagram(from_client, payload))
    return disturbed(chance, play, others=(), times=chance.choice((0, 0, 0, 1, 2)))


def disturbed(chance: Random, play: Sequence[Datagram], *, others: Sequence[Datagram], times: int) -> list[Datagram]:
    """The play with datagrams dropped, repeated, swapped, cut, damaged, turned, joined, or brought from another one."""
    out = list(play)
    for _ in range(times):
        if not out:
            break
        i, j = chance.randrange(len(out)), chance.randint(0, len(out))
        one = out[i]
        match chance.randrange(9):
            case 0:
                del out[i]
            case 1:
                out.insert(j, one)
            case 2:
                out[i], out[j - 1] = out[j - 1], one
            case 3:
                out[i] = one._replace(captured=chance.randint(0, len(one.payload)))
            case 4 if one.payload:
                at = chance.randrange(min(len(one.payload), chance.choice((8, 40, 2000))))
                changed = bytes([one.payload[at] ^ chance.choice((1, 0x10, 0x40, 0x80, 0xFF))])
                out[i] = one._replace(payload=one.payload[:at] + changed + one.payload[at + 1 :])
            case 5:
                out[i] = one._replace(from_client=not one.from_client)
            case 6:
                out[i] = one._replace(payload=one.payload[: chance.randint(0, len(one.payload))])
            case 7:
                out[i] = one._replace(payload=one.payload + out[j - 1].payload)
            case 8 if others:
                out.insert(j, chance.choice(others))
    return out


@functools.cache
def recorded_plays(names: tuple[str, ...]) -> tuple[tuple[Datagram, ...], ...]:
    """The QUIC flows of captures, from the first datagram of each on."""
    from tests.wire.quic.recorded import datagrams

    plays: dict[tuple[Any, ...], list[Datagram]] = {}
    for name in names:
        for one in datagrams(name):
            if 443 in (one.source[1], one.destination[1]):
                from_client = one.destination[1] == 443
                ends = (one.source, one.destination) if from_client else (one.destination, one.source)
                plays.setdefault((name, *ends), []).append(Datagram(from_client, one.payload))
    return tuple(tuple(play[:24]) for play in plays.values())
