"""QUIC datagrams with other names: opened, edited and sealed again, whatever the client did to its ClientHello."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.anonymize.key import Key
from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.packets.quic import QuicCopies, Written
from analyzer.wire.quic.frames import ConnectionClose, Crypto, FrameFlaw, read_frames
from analyzer.wire.quic.header import read_datagram
from analyzer.wire.quic.protection import initial_keys, is_retry_intact, open_initial, open_packet, retry_tag
from analyzer.wire.quic.seal import InitialHeader, initial_header, seal_initial, seal_packet, write_varint
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, RETRY, SHORT, VERSION_NEGOTIATION
from analyzer.wire.quic.versions import V1, V2
from analyzer.wire.tls_hello import read_client_hello
from tests.anonymize.packets.test_hellos import HELLO, NAME
from tests.wire.quic.vectors import CLIENT_PAYLOAD, DCID, SERVER_PAYLOAD, SERVER_SCID

MAPS = Maps(Key(bytes(range(32))))
TO_SERVER = (b"\xc0\0\2\1\x9c\x40", b"\xc0\0\2\2\x01\xbb")
TO_CLIENT = (TO_SERVER[1], TO_SERVER[0])
CID = b"clientid"
TOKEN = b"token of www.example.com"


def crypto(offset: int, piece: bytes) -> bytes:
    return b"\x06" + write_varint(offset) + write_varint(len(piece)) + piece


def initial(payload: bytes, *, number: int = 0, version: int = V1, server: bool = False) -> bytes:
    keys = initial_keys(version, DCID)
    assert keys is not None
    fields = InitialHeader(version, CID if server else DCID, SERVER_SCID if server else CID, b"", number)
    return seal_initial(fields, payload.ljust(40, b"\0"), keys.server if server else keys.client)


def repeated_initial(payload: bytes) -> bytes:
    """The client's Initial after a Retry: with its token, and keys made of its SCID."""
    keys = initial_keys(V1, SERVER_SCID)
    assert keys is not None
    return seal_initial(InitialHeader(V1, SERVER_SCID, CID, TOKEN, 1), payload, keys.client)


def written(*datagrams: tuple[bytes, tuple[bytes, bytes]]) -> list[Written]:
    copies = QuicCopies(MAPS)
    learned = [copies.learn(payload, len(payload), path) for payload, path in datagrams]
    copies.learned()
    return [copies.write(each) for each in learned]


def opened(payload: bytes, key: bytes = DCID, *, server: bool = False, version: int = V1) -> bytes:
    [packet] = [each for each in read_datagram(payload, 0, len(payload), len(payload)) if each.kind == INITIAL]
    octets = payload[packet.start : packet.end]
    return open_initial(version, key, octets, packet.payload_offset - packet.start, from_server=server).payload


@pytest.mark.parametrize("version", [V1, V2])
def test_the_initials_of_the_rfc(version: int) -> None:
    client, server = written(
        (initial(CLIENT_PAYLOAD, version=version), TO_SERVER),
        (initial(SERVER_PAYLOAD, server=True, version=version), TO_CLIENT),
    )
    assert client.whole
    assert server.whole
    [frame] = [each for each in read_frames(opened(client.payload, version=version)).frames if type(each) is Crypto]
    hello = read_client_hello(frame.piece)
    assert hello is not None
    assert hello.server_name == MAPS.names.text("example.com")
    assert [len(each) for each in hello.alpn] == [4]
    clear = opened(server.payload, server=True, version=version)
    assert [type(each) for each in read_frames(clear).frames] == [
        type(each) for each in read_frames(SERVER_PAYLOAD).frames
    ]


@given(st.integers(0, 2**32), st.integers(1, 14), st.integers(1, 4))
def test_a_shuffled_hello_is_edited_as_one(seed: int, pieces: int, packets: int) -> None:
    """As Chromium sends it: many CRYPTO frames in any order, over several Initials, some of them twice."""
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(1, len(HELLO)), pieces - 1)) if pieces > 1 else []
    spans = list(zip([0, *cuts], [*cuts, len(HELLO)], strict=True))
    spans += [(max(0, low - 3), high) for low, high in chance.sample(spans, 1)]  # sent again, with an overlap
    chance.shuffle(spans)
    payloads = [b"".join(crypto(low, HELLO[low:high]) for low, high in spans[each::packets]) for each in range(packets)]
    made = written(*((initial(payload, number=n), TO_SERVER) for n, payload in enumerate(payloads)))
    said: dict[int, int] = {}
    for payload, one in zip(payloads, made, strict=True):
        frames = read_frames(opened(one.payload))
        assert frames.flaw is FrameFlaw.NONE
        for frame in frames.frames:
            if type(frame) is Crypto:
                for place, octet in enumerate(frame.piece, frame.offset):
                    assert said.setdefault(place, octet) == octet
        assert len(one.payload) == len(initial(payload))
    hello = read_client_hello(bytes(said[place] for place in range(len(HELLO))))
    assert hello is not None
    assert hello.server_name == MAPS.names.text(NAME.decode())


def test_a_piece_without_the_bytes_before_it_shows_nothing() -> None:
    at = HELLO.index(NAME)
    [made] = written((initial(crypto(at, HELLO[at : at + 40])), TO_SERVER))
    assert b"example" not in opened(made.payload)
    assert len(made.payload) == len(initial(crypto(at, HELLO[at : at + 40])))


def test_initials_that_come_before_the_one_that_tells_their_keys_are_opened() -> None:
    close = b"\x1c\x0a\x00" + bytes([len(TOKEN)]) + TOKEN
    server, client = written((initial(close, server=True), TO_CLIENT), (initial(crypto(0, HELLO)), TO_SERVER))
    frames = read_frames(opened(server.payload, server=True)).frames
    [reason] = [each.reason for each in frames if type(each) is ConnectionClose]
    assert b"example" not in reason
    assert len(reason) == len(TOKEN)
    assert client.whole


def test_a_reply_from_another_address_to_a_client_without_cid_is_opened() -> None:
    keys = initial_keys(V1, DCID)
    assert keys is not None
    first = seal_initial(InitialHeader(V1, DCID, b""), crypto(0, HELLO), keys.client)
    reply = seal_initial(InitialHeader(V1, b"", SERVER_SCID), SERVER_PAYLOAD, keys.server)
    _, made = written((first, TO_SERVER), (reply, (b"\xc0\0\2\3\x01\xbb", TO_CLIENT[1])))
    assert opened(made.payload, server=True)


def test_tokens_are_the_same_everywhere_and_the_tag_of_a_retry_fits() -> None:
    header = b"\xf0\0\0\0\1" + bytes([len(CID)]) + CID + bytes([len(SERVER_SCID)]) + SERVER_SCID + TOKEN
    retry = header + retry_tag(V1, DCID, header)
    wrong = header + bytes(16)
    _, made, forged, again = written(
        (initial(crypto(0, HELLO)), TO_SERVER),
        (retry, TO_CLIENT),
        (wrong, TO_CLIENT),
        (repeated_initial(crypto(0, HELLO)), TO_SERVER),
    )
    assert is_retry_intact(V1, DCID, made.payload) is True
    assert is_retry_intact(V1, DCID, forged.payload) is False
    [packet] = read_datagram(made.payload, 0, len(made.payload), len(made.payload))
    assert packet.kind == RETRY
    assert packet.token != TOKEN
    [repeated] = read_datagram(again.payload, 0, len(again.payload), len(again.payload))
    assert repeated.token == packet.token
    assert opened(again.payload, SERVER_SCID)


def test_handshake_packets_lose_what_they_hold() -> None:
    head = b"\xe0\0\0\0\1" + bytes([len(CID)]) + CID + bytes([len(SERVER_SCID)]) + SERVER_SCID
    packet = head + write_varint(60, 2) + b"certificate of www.example.com".ljust(60, b"!")
    short = b"\x40" + CID + b"answer for alice from the server, long enough"
    one, both = written((initial(SERVER_PAYLOAD, server=True) + packet, TO_CLIENT), (packet + short, TO_CLIENT))
    assert not one.whole
    assert one.payload[-20 - len(head) - 2 : -20] == head + write_varint(60, 2)
    assert b"certificate" not in one.payload
    kinds = [each.kind for each in read_datagram(both.payload, 0, len(both.payload), len(both.payload))]
    assert kinds == [HANDSHAKE, SHORT]
    assert len(both.payload) == len(packet + short)
    assert b"certificate" not in both.payload
    assert b"alice" not in both.payload
    assert both.payload[len(packet) : len(packet) + 9] == b"\x40" + CID  # known by its long headers


def test_what_only_looks_like_a_short_header_keeps_one_byte() -> None:
    [made] = written((b"INVITE sip:alice@example.com SIP/2.0\r\n", TO_SERVER))
    assert made.payload[:1] == b"I"
    assert b"sip" not in made.payload
    assert b"alice" not in made.payload


def test_stateless_resets_still_end_alike() -> None:
    resets = [bytes([0x41 + n]) + bytes([n]) * (10 + n) + b"reset token 1234" for n in range(3)]
    made = written(*((each, TO_CLIENT) for each in resets))
    assert len({each.payload[-16:] for each in made}) == 1
    assert len({each.payload[:-16] for each in made}) == 3
    assert [len(each.payload) for each in made] == [len(each) for each in resets]


def test_version_negotiation_stays_and_unknown_versions_end_behind_their_ids() -> None:
    negotiation = b"\xc0\0\0\0\0\x08" + CID + b"\x08" + DCID + b"\0\0\0\1\x6b\x33\x43\xcf"
    reserved = b"\xc0\x1a\x2a\x3a\x4a\x08" + DCID + b"\x08" + CID + b"a name: www.example.com"
    other = b"\xc0mail\x05alice\x05bobby.example.com"
    first, second, third = written((negotiation, TO_CLIENT), (reserved, TO_SERVER), (other, (b"elsewhere", b"there")))
    assert first == Written(negotiation, True)
    [kind] = {each.kind for each in read_datagram(negotiation, 0, len(negotiation), len(negotiation))}
    assert kind == VERSION_NEGOTIATION
    assert second == Written(reserved[: reserved.index(b"a name")], False)
    assert b"alice" not in third.payload


def test_a_reserved_version_protected_as_version_1_is_opened() -> None:
    keys = initial_keys(V1, DCID)
    assert keys is not None
    plain = InitialHeader(V1, DCID, CID)
    payload = crypto(0, HELLO)
    header = initial_header(plain, len(payload))
    header = header[:1] + b"\x1a\x2a\x3a\x4a" + header[5:]
    [made] = written((seal_packet(header, payload, keys.client, packet_number=0), TO_SERVER))
    assert made.whole
    assert made.payload[1:5] == b"\x1a\x2a\x3a\x4a"
    clear = open_packet(made.payload, len(header) - 1, keys.client).payload
    assert MAPS.names.name(NAME) in clear
    assert b"example" not in clear


@pytest.mark.parametrize(
    "payload",
    [
        b"\x09" + DCID + b"Q043" + b"\x01" + b"CHLO SNI www.example.com",
        b"\xc0Q046\x50" + DCID + b"CHLO www.example.com" * 2,
        b"\xc3Q050\x08" + DCID + b"\0\0\x40\x40" + b"www.example.com".ljust(64, b"!"),
    ],
)
def test_names_in_google_quic_do_not_stay(payload: bytes) -> None:
    [made] = written((payload, TO_SERVER))
    assert not made.whole
    assert b"example" not in made.payload


@given(st.lists(st.binary(max_size=120), max_size=5), st.booleans())
def test_no_bytes_raise_and_none_is_longer_than_it_was(payloads: list[bytes], reverse: bool) -> None:
    datagrams = [(b"\xc0\0\0\0\1" + each if reverse else each, TO_SERVER) for each in payloads if each or reverse]
    for (payload, _), made in zip(datagrams, written(*datagrams), strict=True):
        assert len(made.payload) <= len(payload)
        assert made.whole is (len(made.payload) == len(payload))
