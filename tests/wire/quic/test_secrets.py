"""Keys from secrets: the vector of RFC 9001 A.5, and recorded connections with their key logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import UDP
from scapy.utils import rdpcap

from analyzer.wire.certificates import read_certificates
from analyzer.wire.keylog import CLIENT_HANDSHAKE, SERVER_HANDSHAKE, read_keylog
from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.quic.frames import Crypto, read_frames
from analyzer.wire.quic.header import read_datagram
from analyzer.wire.quic.protection import Protection, initial_keys, open_packet
from analyzer.wire.quic.secrets import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, keys_of_secret, updated
from analyzer.wire.quic.split import HANDSHAKE, INITIAL
from analyzer.wire.quic.versions import V1
from analyzer.wire.tls import CERTIFICATE, handshake_messages
from analyzer.wire.tls_hello import read_client_hello, read_server_hello

CASE = Path(__file__).parents[3] / "captures/01-caddy-http3-ok/caddy-2.6.2"
A5_SECRET = bytes.fromhex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")


def test_chacha20_vector() -> None:
    # RFC 9001 A.5: a short header packet with an empty DCID and packet number 654360564 on 3 bytes
    keys = keys_of_secret(V1, CHACHA20_POLY1305, A5_SECRET)
    assert keys is not None
    packet = bytes.fromhex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb")
    clear = open_packet(packet, 1, keys, largest=654360563)
    assert (clear.flaw, clear.packet_number, clear.payload) == (Protection.NONE, 654360564, b"\x01")


def test_key_update_of_the_vector() -> None:
    keys = keys_of_secret(V1, CHACHA20_POLY1305, A5_SECRET)
    assert keys is not None
    following = updated(V1, CHACHA20_POLY1305, A5_SECRET, keys)
    assert following is not None
    # RFC 9001 A.5: ku
    assert following[0].hex() == "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"
    assert following[1].mask is keys.mask


@pytest.mark.parametrize("suite", [AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305])
def test_a_secret_of_the_wrong_length_gives_no_keys(suite: int) -> None:
    assert keys_of_secret(V1, suite, bytes(31)) is None


def test_an_unknown_suite_or_version_gives_no_keys() -> None:
    assert keys_of_secret(V1, 0x1304, bytes(32)) is None
    assert keys_of_secret(0x1A2A3A4A, AES_128_GCM, bytes(32)) is None


def datagrams() -> Iterator[tuple[tuple[int, int], bytes]]:
    for packet in rdpcap(str(CASE / "client.pcap")):
        if UDP in packet and 443 in (packet[UDP].sport, packet[UDP].dport):
            yield (packet[UDP].sport, packet[UDP].dport), bytes(packet[UDP].payload)


def test_opens_the_handshake_packets_of_a_recorded_server() -> None:
    secrets = read_keylog((CASE / "client.keys").read_bytes()).secrets
    client = server = None
    hello, streams = CryptoStream(), {True: CryptoStream(), False: CryptoStream()}
    suite, opened = -1, 0
    for (source, _), payload in datagrams():
        from_server = source == 443
        for packet in read_datagram(payload, 0, len(payload), len(payload)):
            whole, number = payload[packet.start : packet.end], packet.payload_offset - packet.start
            if packet.kind == INITIAL and client is None:
                keys = initial_keys(packet.version, packet.dcid)
                assert keys is not None
                first = keys
                for frame in read_frames(open_packet(whole, number, keys.client).payload).frames:
                    if isinstance(frame, Crypto):
                        hello.add(frame.offset, frame.piece)
                client_hello = read_client_hello(hello.prefix())
                assert client_hello is not None
                client = secrets[client_hello.random]
            elif packet.kind == INITIAL and from_server and suite < 0:
                for frame in read_frames(open_packet(whole, number, first.server).payload).frames:
                    if isinstance(frame, Crypto):
                        server = read_server_hello(frame.piece)
                        assert server is not None
                        suite = server.cipher_suite
            elif packet.kind == HANDSHAKE and client is not None:
                label = SERVER_HANDSHAKE if from_server else CLIENT_HANDSHAKE
                keys_of_side = keys_of_secret(packet.version, suite, client[label])
                assert keys_of_side is not None
                clear = open_packet(whole, number, keys_of_side)
                if clear.flaw == Protection.NONE:  # another connection's packets do not open with these keys
                    opened += 1
                    for frame in read_frames(clear.payload).frames:
                        if isinstance(frame, Crypto):
                            streams[from_server].add(frame.offset, frame.piece)
    assert opened >= 2
    stream = streams[True].prefix()
    kinds = {message.kind: message for message in handshake_messages(stream)}
    chain = read_certificates(stream, kinds[CERTIFICATE])
    assert chain
    assert not chain[0].flaw
    assert "example.com" in chain[0].names
    assert chain[0].not_before is not None
    assert chain[0].not_after is not None
    assert chain[0].not_before < chain[0].not_after
