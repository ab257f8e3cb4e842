"""Hellos with other names: what is private goes, what tells software stays, and lengths never change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.anonymize.key import Key
from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.packets.hellos import edit_handshake
from analyzer.wire.tls_hello import HELLO_RETRY_RANDOM, ClientHello, read_client_hello, read_server_hello
from tests.wire import hellos
from tests.wire.hellos import client_hello, extension, u16s, vector

MAPS = Maps(Key(bytes(range(32))))
NAME = b"www.example.com"
TICKET = b"ticket of alice, 32 bytes long.."
EXTENSIONS = (
    hellos.server_name(NAME),
    hellos.alpn(b"h3", b"acme-secret"),
    hellos.versions(0x0A0A, 0x0304),
    hellos.groups(0x11EC, 29),
    hellos.signatures(0x0403),
    hellos.key_shares((0x11EC, 1216), (29, 32)),
    extension(5, b"\x01\0\0\0\0"),
    extension(35, TICKET),
    extension(44, vector(2, TICKET)),
    extension(47, vector(2, vector(2, b"CN=Acme Internal CA"))),
    extension(0xFE0D, b"\0\0\x01\0\x01\x07" + vector(2, TICKET) + vector(2, TICKET * 4)),
    extension(0x39, b"\x01\x02\x67\x10" + b"\x71\x29" + vector(1, b"Cronet/alice") + b"\x1b" + vector(1, TICKET)),
    extension(0x7777, TICKET),
    extension(41, vector(2, vector(2, TICKET) + b"\1\2\3\4") + vector(2, vector(1, TICKET))),
)
HELLO = client_hello([0x1301, 0x1302], *EXTENSIONS, session=TICKET)


def copied(stream: bytes) -> bytes:
    copy, shown = edit_handshake(stream, MAPS)
    assert len(copy) == len(stream)
    assert 0 <= shown <= len(stream)
    return copy


def read(stream: bytes) -> ClientHello:
    hello = read_client_hello(stream)
    assert hello is not None
    return hello


def test_what_is_private_goes_and_what_tells_software_stays() -> None:
    copy = copied(HELLO)
    for private in (b"example", b"alice", b"acme", b"Acme", bytes(range(32))):
        assert private in HELLO
        assert private not in copy
    before, after = read(HELLO), read(copy)
    for same in ("length", "missing", "flaw", "cipher_suites", "extensions", "supported_versions"):
        assert getattr(before, same) == getattr(after, same), same
    assert after.server_name == MAPS.names.text(NAME.decode())
    assert [len(name) for name in after.alpn] == [2, 11]
    assert after.alpn[0] == b"h3"
    assert after.transport_parameters is not None
    assert after.transport_parameters.startswith(b"\x01\x02\x67\x10")


def test_a_ticket_becomes_the_same_wherever_it_shows() -> None:
    copy = copied(HELLO)
    made = MAPS.key.bytes_for(b"ticket", TICKET, len(TICKET))
    assert copy.count(made) == 4  # ticket, cookie, unknown extension, PSK identity


def test_the_same_hello_becomes_the_same_and_another_key_makes_another() -> None:
    assert copied(HELLO) == copied(HELLO)
    assert edit_handshake(HELLO, Maps(Key(bytes(32))))[0] != copied(HELLO)


def test_every_prefix_is_safe_and_read_as_before() -> None:
    for length in range(len(HELLO)):
        copy = copied(HELLO[:length])
        assert not any(private in copy for private in (b"example", b"alice", b"acme")), length
        before, after = read_client_hello(HELLO[:length]), read_client_hello(copy)
        assert (before is None) is (after is None), length
        if before is not None and after is not None:
            assert before.extensions == after.extensions, length
            assert before.cipher_suites == after.cipher_suites, length


@given(st.binary(max_size=400))
def test_no_bytes_raise(stream: bytes) -> None:
    copied(stream)
    copied(b"\x01\0\1\0" + stream)
    copied(b"\x02\0\1\0" + stream)


def server_hello(random: bytes) -> bytes:
    body = u16s([0x0303]) + random + vector(1, TICKET) + u16s([0x1301]) + b"\0"
    body += vector(2, extension(43, u16s([0x0304])) + extension(51, u16s([29]) + vector(2, bytes(32))))
    return b"\x02" + vector(3, body)


def test_a_server_hello_echoes_the_session_and_nothing_behind_it_is_shown() -> None:
    stream = server_hello(bytes(32)) + b"\x0b" + vector(3, b"certificate of www.example.com")
    copy, shown = edit_handshake(stream, MAPS)
    assert shown == len(server_hello(bytes(32))) + 4
    assert b"example" not in copy
    hello = read_server_hello(copy)
    assert hello is not None
    assert (hello.tls_version, hello.cipher_suite, hello.group) == (0x0304, 0x1301, 29)
    assert MAPS.key.bytes_for(b"session", TICKET, len(TICKET)) in copy
    assert MAPS.key.bytes_for(b"session", TICKET, len(TICKET)) in copied(HELLO)


def test_a_hello_retry_request_stays_one() -> None:
    hello = read_server_hello(copied(server_hello(HELLO_RETRY_RANDOM)))
    assert hello is not None
    assert hello.is_hello_retry_request
