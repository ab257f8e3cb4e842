"""HTTP requests and their responses as an observer pairs them: pipelined, interim, through holes, in tunnels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.events.requests.http import MOST_MESSAGES
from tests.events.playbook import A, F, P, Play, R
from tests.events.requests.asking import Asking, told
from tests.wire import hellos

HOST = b"Host: www.example.com\r\n"


def get(target: str = "/", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n"


def response(status: int = 200, body: bytes = b"", *fields: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d any" % status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_a_request_and_its_response() -> None:
    alternative = b'Alt-Svc: h3=":443"; ma=86400'
    request = Asking().c(get("/a")).s(response(404, b"none", alternative)).only()
    assert told(request) == ("http", "www.example.com", "GET /a", "HTTP 404", [3], 4)
    assert (request.details.status, request.details.alt_svc) == (404, 'h3=":443"; ma=86400')
    assert request.details.notes == [
        (3, "GET /a, Host www.example.com"),
        (4, 'HTTP 404, Alt-Svc h3=":443"; ma=86400'),
    ]


def test_keep_alive_and_pipelining() -> None:
    asking = Asking().c(get("/1")).s(response(201)).c(get("/2") + get("/3")).s(response(202, b"body") + response(203))
    found = asking.found()
    assert [(r.details.asked, r.details.status, r.rows, r.reply_row) for r in found] == [
        ("GET /1", 201, [3], 4),
        ("GET /2", 202, [5], 6),
        ("GET /3", 203, [5], 6),
    ]


def test_heads_in_several_segments() -> None:
    head, back = get("/a?" + "b" * 2000), response(200, b"c" * 500)
    asking = Asking()
    for at in range(0, len(head), 700):
        asking.c(head[at : at + 700])
    request = asking.s(back[:9]).s(back[9:]).only()
    assert (request.rows, request.reply_row, request.details.status) == ([3], 6, 200)


def test_segments_out_of_order_and_repeated() -> None:
    head = get("/abc")
    play = Asking().play
    play.c(A | P, head[20:], seq=121, ack=901).c(A | P, head[:25], seq=101, ack=901).c(
        A | P, head[:20], seq=101, ack=901
    )
    play.s(A | P, response(), seq=901, ack=101 + len(head))
    asking = Asking()
    asking.play = play
    request = asking.only()
    assert told(request)[2:] == ("GET /abc", "HTTP 200", [4, 5], 6)


def test_interim_responses() -> None:
    post = b"POST /up HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    asking = Asking().c(post).s(b"HTTP/1.1 100 Continue\r\n\r\n").c(b"body")
    alone = asking.only()
    assert (alone.reply_row, alone.details.status, alone.details.replied) == (4, 100, "HTTP 100 and no final response")
    request = asking.s(response(200)).only()
    assert (request.reply_row, request.details.status, request.details.replied) == (6, 200, "HTTP 100, then 200")


def test_a_response_to_head_has_no_body() -> None:
    asking = (
        Asking().c(get("/", "HEAD")).s(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n").c(get("/2")).s(response(404))
    )
    assert [r.details.status for r in asking.found()] == [200, 404]


def test_connect_opens_a_tunnel() -> None:
    hello = hellos.client_hello([0x1301], hellos.server_name(b"inside.example.com"))
    record = b"\x16\x03\x01" + hellos.vector(2, hello)
    connect = b"CONNECT inside.example.com:443 HTTP/1.1\r\nHost: inside.example.com:443\r\n\r\n"
    asking = (
        Asking().c(connect).s(b"HTTP/1.1 200 Connection established\r\n\r\n").c(record).s(b"\x15\x03\x03\0\x02\x02\x28")
    )
    tunnel, inside = asking.found()
    assert told(tunnel)[:4] == ("http", "inside.example.com", "CONNECT inside.example.com:443", "HTTP 200")
    assert (inside.kind, inside.name, inside.rows, inside.reply_row) == (
        "tls-client-hello",
        "inside.example.com",
        [5],
        6,
    )
    assert inside.refusal == "handshake_failure"
    refused = Asking().c(connect).s(response(403)).c(get("/"))
    assert [r.details.asked for r in refused.found()] == ["CONNECT inside.example.com:443", "GET /"]


def test_a_protocol_that_changes_ends_the_reading() -> None:
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    asking = Asking().c(get("/chat")).s(upgrade).s(b"HTTP/1.1 500 no response\r\n\r\n")
    request = asking.only()
    assert request.details.status == 101


def test_the_preface_of_http2() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    request = Asking().c(preface + bytes(9)).s(b"\0\0\0\x04\0\0\0\0\0").only()
    assert told(request) == ("http", "", "HTTP/2 preface", "HTTP/2 SETTINGS", [3], 4)
    assert Asking().c(preface).only().is_whole


@pytest.mark.parametrize(
    ("first", "words"),
    [(b"\x15\x03\x03\0\x02\x02\x28", "a TLS record"), (b"SSH-2.0-OpenSSH\r\n", "bytes without a status line")],
)
def test_a_server_that_speaks_something_else(first: bytes, words: str) -> None:
    request = Asking().c(get()).s(first).only()
    assert (request.reply_row, request.details.replied, request.details.status) == (4, words, -1)


def test_a_request_without_a_response() -> None:
    request = Asking().c(get()).only()
    assert (request.reply_row, request.came, request.is_whole, request.details.replied) == (-1, False, True, "")


def test_requests_that_are_not_whole() -> None:
    half = Asking().c(get()[:-2]).only()
    assert (half.is_whole, half.details.asked) == (False, "GET /")
    body = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3000\r\n\r\n"
    asking = Asking().c(body + b"a" * 1000)
    assert not asking.only().is_whole
    for _ in range(8):  # more than are kept: their bytes are counted
        asking.c(b"a" * 250)
    assert asking.only().is_whole


def test_a_response_in_a_hole_is_not_given_to_the_request_before() -> None:
    asking = Asking().c(get("/1"))
    asking.unseen(100).play.s(
        A | P, b"x" * 40, seq=asking.came, ack=asking.sent
    )  # of the first response, its head unseen
    asking.came += 40
    asking.c(get("/2")).s(response(404))
    first, second = asking.found()
    assert (second.details.status, second.reply_row) == (404, 6)
    assert first.details.status == -1


def test_a_later_request_whose_answer_was_not_kept() -> None:
    asking = Asking().c(get("/1")).s(response(200))
    asking.c(get("/2")).s(b"tail of what is no head")
    _, second = asking.found()
    assert (second.reply_row, second.came) == (-1, True)


def test_requests_far_into_a_connection() -> None:
    asking = Asking(Play(step=1))
    for k in range(40):
        asking.c(get(f"/{k}")).s(response(200, b"x" * 300, b"ETag: %d" % k))
        for _ in range(3):
            asking.s(b"")
    found = asking.found()
    assert [(r.details.asked, r.details.status) for r in found] == [(f"GET /{k}", 200) for k in range(40)]


def test_a_connection_that_began_before_the_capture() -> None:
    play = Play().s(A | P, b"end of a body", seq=880, ack=101).c(A | P, get("/late"), seq=101, ack=893)
    asking = Asking.__new__(Asking)
    asking.play = play.s(A | P, response(204), seq=893, ack=200)
    request = asking.only()
    assert (request.details.asked, request.details.status, request.rows, request.reply_row) == (
        "GET /late",
        204,
        [1],
        2,
    )


def test_a_flood_of_small_requests_is_read_as_far_as_the_limit() -> None:
    many = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 300
    found = Asking().c(many[:4000]).c(many[4000:]).found()
    assert len(found) == MOST_MESSAGES
    assert {r.name for r in found} == {"x"}


@pytest.mark.parametrize("flags", [A | F, A | R])
def test_the_end_of_a_connection_is_no_response(flags: int) -> None:
    assert Asking().c(get()).s(b"", flags=flags).only().reply_row == -1


def test_proxy_headers_are_passed_over() -> None:
    line = b"PROXY TCP4 203.0.113.7 192.0.2.10 40000 80\r\n"
    for asking in (Asking().c(line + get("/p")), Asking().c(line).c(get("/p"))):
        request = asking.s(response()).only()
        assert (request.details.asked, request.details.status) == ("GET /p", 200)
        assert request.connection.proxy is not None
        assert (request.connection.proxy.source, request.connection.proxy.source_port) == ("203.0.113.7", 40000)
        assert request.details.notes[0] == (3, "PROXY header, client 203.0.113.7 port 40000")
    unknown = Asking().c(b"PROXY UNKNOWN\r\n" + get("/1")).s(response()).c(get("/2")).found()
    assert [request.details.notes[0][1].split(",")[0] for request in unknown] == ["PROXY header", "GET /2"]


WHOLE = get("/1") + b"POST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello" + get("/3", "HEAD")
BACK = response(200, b"first") + b"HTTP/1.1 100 Continue\r\n\r\n" + response(201) + response(204)


@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=4), st.lists(st.integers(1, len(BACK) - 1), max_size=4))
def test_segmentation_does_not_matter(cuts: list[int], cuts_back: list[int]) -> None:
    asking = Asking()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(WHOLE)], strict=True):
        asking.c(WHOLE[begin:end])
    for begin, end in zip([0, *sorted(cuts_back)], [*sorted(cuts_back), len(BACK)], strict=True):
        asking.s(BACK[begin:end])
    assert [(r.details.asked, r.details.status) for r in asking.found()] == [
        ("GET /1", 200),
        ("POST /2", 201),
        ("HEAD /3", 204),
    ]


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.sampled_from([get(), response(), b"\r\n", b"HTTP/1.1 2", b"GET"]) | st.binary(max_size=60)
        ),
        max_size=8,
    )
)
def test_any_talk(said: list[tuple[bool, bytes]]) -> None:
    asking = Asking().c(get("/first"))
    for is_client, payload in said:
        asking.c(payload) if is_client else asking.s(payload)
    first, *_ = asking.found()
    assert first.details.asked == "GET /first"
