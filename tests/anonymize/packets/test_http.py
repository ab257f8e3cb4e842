"""HTTP heads with other hosts, paths and values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.anonymize.key import Key
from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.packets.http import edit_heads, is_head

MAPS = Maps(Key(bytes(range(32))))
REQUEST = (
    b"POST /users/alice?id=4711 HTTP/1.1\r\nHost: ocsp.example.com:8080\r\nUser-Agent: AcmeAgent/1\r\n"
    b"Cookie: session=alice\r\nX-Acme-Tenant: blue\r\nContent-Type: application/ocsp-request\r\n"
    b"Accept: application/vnd.acme+json\r\nContent-Length: 5\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 404 Not Found\r\nServer: acme\r\nDate: Sat, 21 Nov 2026 23:05:24 GMT\r\nVary: x-acme-tenant\r\n"
    b'Alt-Svc: h3=":443"; ma=86400\r\nConnection: keep-alive, close\r\nCache-Control: max-age=60, public\r\n\r\n'
)


def shown(stream: bytes) -> bytes:
    copy, spans = edit_heads(stream, MAPS)
    assert len(copy) == len(stream)
    return b"".join(copy[start:end] for start, end in spans)


def test_a_request() -> None:
    copy = shown(REQUEST + b"alice" + REQUEST)
    assert len(copy) == 2 * len(REQUEST)
    assert copy[: len(REQUEST)] == copy[len(REQUEST) :]
    for private in (b"alice", b"4711", b"example", b"Acme", b"acme", b"blue"):
        assert private not in copy
    host = MAPS.names.name(b"ocsp.example.com")
    for kept in (b"POST /", b" HTTP/1.1\r\n", b"Host: " + host + b":8080", b"application/ocsp-request", b"Length: 5"):
        assert kept in copy


def test_a_response() -> None:
    copy = shown(RESPONSE + b"<html>alice")
    assert b"acme" not in copy
    assert b"alice" not in copy
    for kept in (b"HTTP/1.1 404 Not Found\r\n", b"23:05:24 GMT", b'Alt-Svc: h3=":443"; ma=86400', b"keep-alive, close"):
        assert kept in copy


def test_every_prefix_is_safe() -> None:
    for length in range(len(REQUEST)):
        copy = shown(REQUEST[:length])
        assert not any(private in copy for private in (b"alice", b"example", b"Acme", b"blue")), length


@given(st.sampled_from([b"GET ", b"HTTP/1.1 ", b"POST / HTTP/1.1\r\n"]), st.binary(max_size=120))
def test_no_bytes_raise_or_go_round_for_ever(begin: bytes, rest: bytes) -> None:
    assert is_head(begin + b"          ")
    shown(begin + rest)


def test_an_absolute_target_is_a_host_and_a_path() -> None:
    copy = shown(b"GET http://www.example.com:8080/a HTTP/1.1\r\n\r\n")
    assert copy.startswith(b"GET http://" + MAPS.names.name(b"www.example.com") + b":8080/")
