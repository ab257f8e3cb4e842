"""HTTP/1 heads and where messages end: every prefix, bodies of all kinds, heads that break rules, heads without end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.web.http1 import MOST_HEAD, HttpFlaw, HttpMessage, read_request, read_response

GET = b"GET /a?b=c HTTP/1.1\r\nHost: www.example.com\r\nAccept: */*\r\n\r\n"
POST = (
    b"POST / HTTP/1.1\r\nhost: ocsp.example.com\r\nContent-Type: application/ocsp-request\r\n"
    b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nAlt-Svc: h3=":443"; ma=2592000\r\n\r\nabc'
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def request(stream: bytes) -> HttpMessage:
    read = read_request(stream)
    assert read is not None
    return read


def response(stream: bytes, method: str = "GET") -> HttpMessage:
    read = read_response(stream, method)
    assert read is not None
    return read


def test_a_request_and_what_follows_it() -> None:
    read = request(GET + POST)
    assert (read.method, read.target, read.version, read.flaw) == ("GET", "/a?b=c", "1.1", HttpFlaw.NONE)
    assert read.fields == {"host": "www.example.com"}
    assert (read.head, read.end, read.announced, read.body) == (len(GET), len(GET), len(GET), b"")
    read = request(POST + GET)
    assert (read.end, read.body) == (len(POST), b"hello")
    assert read.fields["content-type"] == "application/ocsp-request"


def test_a_response_and_what_follows_it() -> None:
    read = response(OK + OK)
    assert (read.status, read.version, read.end, read.body, read.flaw) == (200, "1.1", len(OK), b"abc", HttpFlaw.NONE)
    assert read.fields["alt-svc"] == 'h3=":443"; ma=2592000'


@pytest.mark.parametrize(
    ("whole", "method", "behind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HEAD", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b"HTTP/1.1"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", b"HTTP"),
        (b"HTTP/1.1 200 Connection established\r\n\r\n", "CONNECT", b"\x16\x03\x01"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "GET", b"abc"),
        (b"HTTP/1.1 200 OK\nContent-Length: 1\n\na", "GET", b"b"),
        (b"HTTP/1.0 503\r\nContent-Length: 0\r\n\r\n", "GET", b""),
    ],
)
def test_where_responses_end(whole: bytes, method: str, behind: bytes) -> None:
    read = response(whole + behind, method)
    assert (read.end, read.flaw) == (len(whole), HttpFlaw.NONE)


def test_a_body_until_the_connection_closes_has_no_end() -> None:
    read = response(b"HTTP/1.1 200 OK\r\n\r\nuntil it closes")
    assert (read.end, read.announced, read.body) == (-1, -1, b"until it closes")


def test_interim_responses_are_read_apart() -> None:
    read = response(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "POST")
    assert (read.status, read.is_interim, read.end) == (100, True, len(b"HTTP/1.1 100 Continue\r\n\r\n"))
    assert not response(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").is_interim


def test_a_body_that_is_not_all_there_says_how_long_it_is() -> None:
    read = response(OK[:-2])
    assert (read.end, read.announced, read.body) == (-1, len(OK), b"a")
    assert (request(POST[:-3]).end, request(POST[:-3]).announced) == (-1, -1)


@pytest.mark.parametrize("whole", [GET, POST, OK])
def test_every_prefix(whole: bytes) -> None:
    for n in range(len(whole)):
        read = read_response(whole[:n], "GET") if whole is OK else read_request(whole[:n])
        if read is None:
            assert n <= len(b"HTTP/1.1 200")
            continue
        is_headed = b"\r\n\r\n" in whole[:n]
        assert read.flaw == (HttpFlaw.NONE if is_headed else HttpFlaw.INCOMPLETE)
        assert (read.head > 0, read.end) == (is_headed, -1)


@pytest.mark.parametrize(
    ("stream", "target"),
    [
        (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "/a b"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbroken line\r\n\r\n", "/"),
        (b"GET /\xff\x00 HTTP/1.1\r\n\r\n", "/\\xff\x00"),
        (b"GET /\r\n\r\n", "/"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "/"),
    ],
)
def test_heads_that_break_the_rules_keep_their_first_line(stream: bytes, target: str) -> None:
    read = request(stream)
    assert (read.method, read.target, read.flaw, read.end) == ("GET", target, HttpFlaw.MALFORMED, -1)


def test_fields_of_heads_that_are_cut_or_break_the_rules() -> None:
    broken = request(b"GET / HTTP/1.1\r\nHOST:  www.example.com \r\nbroken line\r\n\r\n")
    assert (broken.flaw, broken.fields) == (HttpFlaw.MALFORMED, {"host": "www.example.com"})
    cut = request(b"GET / HTTP/1.1\r\nHost: www.example.com\r\nContent-Type: te")
    assert (cut.flaw, cut.fields) == (HttpFlaw.INCOMPLETE, {"host": "www.example.com"})


def test_a_response_that_breaks_the_rules_keeps_its_status() -> None:
    assert response(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n")[3:4] == (200,)
    assert response(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n").flaw is HttpFlaw.MALFORMED
    assert response(b"HTTP/1.1 600 Odd\r\n\r\n").status == 600


def test_a_head_without_end_is_given_up() -> None:
    endless = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MOST_HEAD // 6)
    assert request(endless).flaw is HttpFlaw.TOO_LONG
    assert request(endless[:100]).flaw is HttpFlaw.INCOMPLETE
    assert len(request(b"GET /" + b"a" * 70_000).target) <= 1024


def test_the_preface_of_http2() -> None:
    read = request(PREFACE)
    assert (read.method, read.target, read.version) == ("PRI", "*", "2.0")


def test_an_unknown_method_has_a_response() -> None:
    assert response(OK, "no such\nmethod").end == len(OK)


@given(st.sampled_from([GET, POST, OK, PREFACE]), st.data())
def test_damaged_messages_never_raise_and_never_end_behind_the_bytes(whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole)))
    stream = whole[:at] + data.draw(st.binary(max_size=30)) + whole[at + data.draw(st.integers(0, 5)) :]
    for read in (read_request(stream), read_response(stream, data.draw(st.sampled_from(["GET", "HEAD", "CONNECT"])))):
        assert read is None or (read.end <= len(stream) and read.head <= len(stream))


@given(st.binary(max_size=200))
def test_any_bytes(stream: bytes) -> None:
    for read in (read_request(stream), read_response(stream, "GET"), read_response(b"HTTP/1.1 200 " + stream, "GET")):
        assert read is None or read.end <= len(stream) + 13
