"""Hellos: the RFC's, made ones, every prefix, lengths that lie, anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.tls_hello import (
    HELLO_RETRY_RANDOM,
    ClientHello,
    HelloFlaw,
    is_grease,
    is_whole,
    read_client_hello,
    read_server_hello,
    server_hello_bytes,
)
from tests.wire import hellos
from tests.wire.quic import vectors

RFC_CLIENT_HELLO = vectors.CLIENT_FRAMES[4:]
RFC_SERVER_HELLO = vectors.SERVER_PAYLOAD[9:]


def read(message: bytes) -> ClientHello:
    hello = read_client_hello(message)
    assert hello is not None
    return hello


def test_the_client_hello_of_rfc_9001() -> None:
    hello = read(RFC_CLIENT_HELLO + b"more")
    assert (hello.length, hello.missing, hello.flaw) == (241, 0, HelloFlaw.NONE)
    assert (hello.server_name, hello.alpn) == ("example.com", (b"alpn",))
    assert (hello.legacy_version, hello.supported_versions, hello.tls_version) == (0x0303, (0x0304,), 0x0304)
    assert hello.cipher_suites == (0x1301, 0x1302)
    assert hello.extensions == (0, 0xFF01, 10, 16, 5, 51, 43, 13, 45, 28, 57)
    assert not hello.has_ech
    assert hello.transport_parameters is not None
    assert len(hello.transport_parameters) == 50


def test_the_server_hello_of_rfc_9001() -> None:
    hello = read_server_hello(RFC_SERVER_HELLO)
    assert hello is not None
    assert (hello.length, hello.missing, hello.flaw) == (90, 0, HelloFlaw.NONE)
    assert (hello.tls_version, hello.cipher_suite, hello.group) == (0x0304, 0x1301, 29)
    assert (hello.alpn, hello.extensions, hello.is_hello_retry_request) == (None, (51, 43), False)


def test_every_prefix_of_a_client_hello_gives_what_is_there() -> None:
    whole = read(RFC_CLIENT_HELLO)
    name_end = RFC_CLIENT_HELLO.index(b"example.com") + len(b"example.com")
    for n in range(len(RFC_CLIENT_HELLO)):
        hello = read_client_hello(RFC_CLIENT_HELLO[:n])
        if n < 4:
            assert hello is None
            continue
        assert hello is not None
        assert (hello.length, hello.missing, hello.flaw) == (241, 241 - n, HelloFlaw.INCOMPLETE)
        assert hello.server_name == ("example.com" if n >= name_end else "")
        assert hello.extensions == whole.extensions[: len(hello.extensions)]
        assert hello.legacy_version == (0x0303 if n >= 6 else int.from_bytes(RFC_CLIENT_HELLO[4:n], "big"))
        for mine, full in zip(hello[4:], whole[4:], strict=True):
            assert not mine or full[: len(mine)] == mine


def test_every_prefix_of_a_server_hello_is_none_or_incomplete() -> None:
    for n in range(len(RFC_SERVER_HELLO)):
        hello = read_server_hello(RFC_SERVER_HELLO[:n])
        assert (hello is None) == (n < 41)
        if hello is not None:
            assert (hello.cipher_suite, hello.missing, hello.flaw) == (0x1301, 90 - n, HelloFlaw.INCOMPLETE)


def test_a_hello_retry_request() -> None:
    body = b"\x03\x03" + HELLO_RETRY_RANDOM + b"\0\x13\x01\0"
    body += hellos.vector(2, hellos.extension(51, b"\0\x17") + hellos.extension(43, b"\x03\x04"))
    hello = read_server_hello(b"\x02" + hellos.vector(3, body))
    assert hello is not None
    assert (hello.is_hello_retry_request, hello.group, hello.tls_version) == (True, 23, 0x0304)


def test_a_server_hello_of_tls_1_2() -> None:
    body = b"\x03\x03" + bytes(32) + b"\0\xc0\x2f\0" + hellos.vector(2, hellos.alpn(b"h2"))
    hello = read_server_hello(b"\x02" + hellos.vector(3, body))
    assert hello is not None
    assert (hello.tls_version, hello.cipher_suite, hello.alpn, hello.group) == (0x0303, 0xC02F, b"h2", -1)


def test_a_browser_like_hello() -> None:
    message = hellos.client_hello(
        [0x3A3A, 0x1301],
        hellos.extension(0xDADA, b""),
        hellos.server_name(b"api.example.com"),
        hellos.alpn(b"h2", b"http/1.1"),
        hellos.versions(0x5A5A, 0x0304, 0x0303),
        hellos.groups(0x2A2A, 0x11EC, 29),
        hellos.key_shares((0x2A2A, 1), (0x11EC, 1216), (29, 32)),
        hellos.extension(0xFE0D, b"\0\0\x01"),
        hellos.extension(42, b""),
    )
    hello = read(message)
    assert (hello.flaw, hello.tls_version, hello.has_ech) == (HelloFlaw.NONE, 0x0304, True)
    assert (hello.server_name, hello.alpn) == ("api.example.com", (b"h2", b"http/1.1"))
    assert [is_grease(value) for value in hello.cipher_suites] == [True, False]


def test_a_hello_without_extensions() -> None:
    hello = read(hellos.client_hello([0x002F], legacy=0x0301))
    assert (hello.flaw, hello.tls_version, hello.extensions) == (HelloFlaw.NONE, 0x0301, ())


def test_hostile_names_stay_text() -> None:
    name = b"\xff\x1b[31m\0evil"
    hello = read(hellos.client_hello([1], hellos.server_name(name), hellos.server_name(b"second")))
    assert hello.server_name == "\\xff\x1b[31m\0evil"
    assert read(hellos.client_hello([1], hellos.extension(0, b"\0\x05\x01\0\x02ab"))).server_name == ""


@pytest.mark.parametrize(
    "message",
    [
        hellos.client_hello([1], hellos.server_name(b"a"))[:-1] + b"",
        b"\x01\0\0\0",
        b"\x01\0\0\x02\x03\x03",
        b"\x01" + hellos.vector(3, hellos.client_hello([1], hellos.server_name(b"a"))[4:] + b"\0"),
        b"\x01" + hellos.vector(3, bytes(34) + b"\xff" + bytes(40)),
    ],
)
def test_lengths_that_contradict_each_other(message: bytes) -> None:
    assert read(message).flaw is not HelloFlaw.NONE


def test_what_begins_with_something_else() -> None:
    assert read_client_hello(RFC_SERVER_HELLO) is None
    assert read_server_hello(RFC_CLIENT_HELLO) is None
    assert read_client_hello(b"") is None
    assert read_server_hello(b"") is None


@given(st.binary(max_size=300))
def test_any_body(body: bytes) -> None:
    for kind, reader in ((b"\x01", read_client_hello), (b"\x02", read_server_hello)):
        reader(kind + body)
        reader(kind + hellos.vector(3, body))


@given(st.integers(0, 240), st.integers(0, 255), st.integers(0, 240))
def test_a_damaged_hello(at: int, value: int, keep: int) -> None:
    damaged = bytearray(RFC_CLIENT_HELLO)
    damaged[at] = value
    read_client_hello(bytes(damaged))
    read_client_hello(bytes(damaged[:keep]))


numbers = st.lists(st.integers(0, 0xFFFF), max_size=20).map(tuple)


@given(numbers, numbers, st.lists(st.binary(min_size=1, max_size=9), max_size=4), st.binary(max_size=32))
def test_what_is_written_is_read(
    ciphers: tuple[int, ...], versions: tuple[int, ...], names: list[bytes], session: bytes
) -> None:
    extensions = (hellos.versions(*versions), hellos.alpn(*names), hellos.signatures(*ciphers))
    hello = read(hellos.client_hello(ciphers, *extensions, session=session))
    assert hello.flaw is HelloFlaw.NONE
    assert (hello.cipher_suites, hello.supported_versions, hello.signature_algorithms) == (ciphers, versions, ciphers)
    assert (hello.alpn, hello.session_id) == (tuple(names), session)


@pytest.mark.parametrize("stated", [-1, 1, 4])
def test_a_length_of_all_extensions_that_is_not_theirs(stated: int) -> None:
    whole = hellos.client_hello([1], hellos.server_name(b"a"))
    length = len(hellos.server_name(b"a"))
    start = len(whole) - length - 2
    hello = read(whole[:start] + (length + stated).to_bytes(2, "big") + whole[start + 2 :])
    assert (hello.flaw, hello.server_name) == (HelloFlaw.MALFORMED, "a")
    assert (read(whole).flaw, hello.random) == (HelloFlaw.NONE, bytes(range(32)))


@given(st.sampled_from([RFC_CLIENT_HELLO, RFC_SERVER_HELLO]), st.integers(0, 300), st.binary(max_size=8))
def test_what_is_kept_of_a_server_hello_is_what_can_be_read(message: bytes, end: int, more: bytes) -> None:
    stream = message[:end] + more
    kept = server_hello_bytes(stream)
    assert (read_server_hello(stream) is None) == (not kept)
    assert stream.startswith(kept)
    assert read_server_hello(kept) == read_server_hello(stream)


def test_a_message_is_whole_with_its_last_byte() -> None:
    for end in range(len(RFC_CLIENT_HELLO)):
        assert not is_whole(RFC_CLIENT_HELLO[:end])
    assert is_whole(RFC_CLIENT_HELLO)
    assert is_whole(RFC_CLIENT_HELLO + b"more")
