"""All decoders of QUIC together over recorded connections: nothing of a quiet network stays unread."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.quic.frames import Crypto, FrameFlaw, read_frames
from analyzer.wire.quic.header import QuicPacket, read_datagram, read_versions
from analyzer.wire.quic.protection import InitialKeys, Protection, initial_keys, is_retry_intact, open_packet
from analyzer.wire.quic.split import INITIAL, OTHER_LONG, RETRY, VERSION_NEGOTIATION, Datagrams, quic_packets
from analyzer.wire.quic.transport_parameters import INITIAL_SCID, read_transport_parameters
from analyzer.wire.tls_hello import HelloFlaw, read_client_hello, read_server_hello
from tests.wire.quic.recorded import Datagram, datagrams

OK = "01-caddy-http3-ok/caddy-2.6.2/client.pcap"
SILENT = "02-caddy-ipv4-silent/nft-output-drop/server.pcap"
RETRIED = "07-retry/aioquic-ok/client.pcap"
RESERVED = "06-version-negotiation/reserved-then-v1/client.pcap"


class Side(NamedTuple):
    """What one side of a connection sent in Initial packets."""

    stream: CryptoStream
    packets: list[QuicPacket]


class Conversation:
    """Initial packets between two sockets under the keys of one DCID."""

    def __init__(self, first: Datagram, packet: QuicPacket) -> None:
        keys = initial_keys(packet.version, packet.dcid)
        assert keys is not None
        self.client, self.dcid, self.keys = first.source, packet.dcid, keys
        self.sides = {True: Side(CryptoStream(), []), False: Side(CryptoStream(), [])}


def read(conversation: Conversation, datagram: Datagram, packet: QuicPacket) -> bool:
    """Add an Initial packet to a conversation; whether its keys open it."""
    by_client = datagram.source == conversation.client
    keys: InitialKeys = conversation.keys
    raw = datagram.payload[packet.start : packet.end]
    clear = open_packet(raw, packet.payload_offset - packet.start, keys.client if by_client else keys.server)
    if clear.flaw is not Protection.NONE:
        return False
    frames, flaw, _ = read_frames(clear.payload)
    assert flaw is FrameFlaw.NONE
    side = conversation.sides[by_client]
    side.packets.append(packet)
    for frame in frames:
        if isinstance(frame, Crypto):
            side.stream.add(frame.offset, frame.piece)
    return True


def conversations(name: str) -> list[Conversation]:
    """Conversations of a capture, each Initial packet in one of them."""
    found: list[Conversation] = []
    for datagram in datagrams(name):
        for packet in read_datagram(datagram.payload, 0, len(datagram.payload), len(datagram.payload)):
            if packet.kind != INITIAL or any(
                read(c, datagram, packet) for c in found if c.client in (datagram.source, datagram.destination)
            ):
                continue
            found.append(Conversation(datagram, packet))
            assert read(found[-1], datagram, packet), datagram.record
    return found


def test_every_initial_of_a_healthy_capture_is_opened() -> None:
    found = conversations(OK)
    assert len(found) == 10
    for conversation in found:
        client, server = conversation.sides[True], conversation.sides[False]
        hello = read_client_hello(client.stream.prefix())
        assert hello is not None
        assert (hello.flaw, hello.alpn) == (HelloFlaw.NONE, (b"h3",))
        assert hello.server_name in ("example.com", "www.example.com", "api.example.com")
        assert hello.transport_parameters is not None
        parameters = read_transport_parameters(hello.transport_parameters)
        assert parameters.is_whole
        assert parameters.values[INITIAL_SCID] == client.packets[0].scid
        answer = read_server_hello(server.stream.prefix())
        assert answer is not None
        assert (answer.flaw, answer.tls_version, answer.is_hello_retry_request) == (HelloFlaw.NONE, 0x0304, False)
        assert client.stream.conflicts == server.stream.conflicts == []


def test_the_silent_family_shows_hellos_without_answers() -> None:
    found = conversations(SILENT)
    answered = {(len(c.client[0]), bool(c.sides[False].packets)) for c in found}
    assert answered == {(4, False), (16, True)}
    assert all(read_client_hello(c.sides[True].stream.prefix()) for c in found)


def test_retries_are_intact_and_their_scid_gives_the_next_keys() -> None:
    dcids: dict[tuple[bytes, int], bytes] = {}
    retries: dict[tuple[bytes, int], bytes] = {}
    for datagram in datagrams(RETRIED):
        packet = read_datagram(datagram.payload, 0, len(datagram.payload), len(datagram.payload))[0]
        if packet.kind == INITIAL and datagram.source not in dcids and datagram.destination not in dcids:
            dcids[datagram.source] = packet.dcid
        if packet.kind == RETRY:
            assert is_retry_intact(packet.version, dcids[datagram.destination], datagram.payload) is True
            assert is_retry_intact(packet.version, packet.scid, datagram.payload) is False
            # RFC 9000 §17.2.5.2: a client accepts at most one Retry; a repeated first Initial draws a second one
            retries.setdefault(datagram.destination, packet.scid)
    assert retries
    after_retry = {c.client: c.dcid for c in conversations(RETRIED) if c.sides[False].packets}
    assert after_retry == retries


def test_a_reserved_version_is_answered_with_a_list() -> None:
    listed, offered = set(), set()
    for datagram in datagrams(RESERVED):
        for packet in read_datagram(datagram.payload, 0, len(datagram.payload), len(datagram.payload)):
            if packet.kind == VERSION_NEGOTIATION:
                listed |= set(read_versions(datagram.payload, packet.payload_offset, packet.end))
            elif packet.kind == OTHER_LONG:
                offered.add(packet.version)
    assert 1 in listed
    assert offered == {0x1A2A3A4A}


@pytest.mark.parametrize("name", [OK, SILENT, RETRIED, RESERVED])
def test_the_kernel_agrees_on_every_datagram(name: str) -> None:
    found = list(datagrams(name))
    buffer = b"".join(datagram.payload for datagram in found)
    ends = np.cumsum([len(datagram.payload) for datagram in found]).astype(np.int64)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    array = np.frombuffer(bytearray(buffer), np.uint8)
    interpreted = quic_packets(array, Datagrams(starts, ends, ends), compiled=False)
    compiled = quic_packets(array, Datagrams(starts, ends, ends), compiled=True)
    assert all((a == b).all() for a, b in zip(interpreted, compiled, strict=True))
    expected = [
        (d, packet.kind, packet.version, packet.flaw, packet.end - packet.start)
        for d, datagram in enumerate(found)
        for packet in read_datagram(datagram.payload, 0, len(datagram.payload), len(datagram.payload))
    ]
    lengths = interpreted.end - interpreted.start
    columns = (interpreted.datagram, interpreted.kind, interpreted.version, interpreted.flaw, lengths)
    assert list(zip(*columns, strict=True)) == expected
