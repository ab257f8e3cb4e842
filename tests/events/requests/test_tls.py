"""ClientHellos over TCP and what came back: hellos, alerts in clear and by shape, other protocols, stapled OCSP."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.events.conversations import conversations
from analyzer.events.requests.reader import Requests
from analyzer.events.scan import scan, settle
from analyzer.wire.tls_hello import HELLO_RETRY_RANDOM
from tests.conftest import ROOT
from tests.crafted import batches_of
from tests.events.playbook import A, F, P, Play, S, found_in, recorded
from tests.events.requests.asking import Asking, plain_places, read, told
from tests.wire import hellos
from tests.wire.web.test_ocsp import response_bytes

CAPTURES = sorted((ROOT / "captures").rglob("*.pcap*"))
NAME = b"www.example.com"
HELLO = hellos.client_hello(
    [0x1301, 0xC02F], hellos.server_name(NAME), hellos.versions(0x0304), hellos.alpn(b"h2", b"http/1.1")
)
WORDS = "ClientHello for www.example.com, TLS 1.3, ALPN h2,http/1.1"


def record(kind: int, fragment: bytes) -> bytes:
    return bytes([kind, 3, 3]) + hellos.vector(2, fragment)


def handshake(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + hellos.vector(3, body)


def server_hello(*extensions: bytes, random: bytes = bytes(32)) -> bytes:
    return handshake(2, b"\x03\x03" + random + b"\0\x13\x01\0" + hellos.vector(2, b"".join(extensions)))


TLS_1_3 = hellos.extension(43, b"\x03\x04")
RETRY = server_hello(TLS_1_3, hellos.extension(51, b"\0\x17"), random=HELLO_RETRY_RANDOM)


def test_a_server_hello_answers() -> None:
    request = (
        Asking()
        .c(record(22, HELLO))
        .s(record(22, server_hello(TLS_1_3)) + record(20, b"\x01") + record(23, bytes(900)))
        .only()
    )
    assert told(request) == ("tls-client-hello", "www.example.com", WORDS, "ServerHello, TLS 1.3", [3], 4)
    assert request.details.notes == [(3, "ClientHello for www.example.com"), (4, "ServerHello, TLS 1.3")]
    assert request.refusal == ""


@pytest.mark.parametrize("kept", [40, 100, 130, 400])
def test_hellos_that_are_cut(kept: int) -> None:
    """What was captured of both tells that one answers the other, and whether the first is whole."""
    large = hellos.client_hello([0x1301] * 90, hellos.server_name(NAME), hellos.versions(0x0304))
    asking = Asking().c(record(22, large)).s(record(22, server_hello(TLS_1_3)) + record(23, bytes(900)))
    cut = [one._replace(raw=one.raw[: 40 + kept], wire=len(one.raw)) for one in asking.play.captured]
    found = found_in(cut)
    assert plain_places(found) == ([0] if kept > 40 else [])
    (request,) = read(found)
    assert (request.is_whole, request.rows, request.reply_row) == (kept == 400, [3], 4)


def test_what_is_injected_behind_the_true_segment_changes_nothing() -> None:
    asking = Asking().c(record(22, HELLO)).s(record(22, server_hello(TLS_1_3)))
    for injected in (b"HTTP/1.1 302 Found\r\n\r\n", record(21, b"\x02\x70")):
        asking.play.s(A | P, injected, seq=901, ack=101 + len(HELLO) + 5)
        found = found_in(asking.play.captured)
        assert plain_places(found) == [0]
        (request,) = read(found)
        assert (request.refusal, request.reply_row) == ("", 4)
        assert request.details.replied == "ServerHello, TLS 1.3"


def test_recorded_hellos_told_together() -> None:
    paths = [path for path in CAPTURES if path.stat().st_size < 1 << 20]
    assert sum(len(plain_places(recorded(path))) for path in paths) > 50


def test_a_hello_retry_request() -> None:
    asking = (
        Asking()
        .c(record(22, HELLO))
        .s(record(22, RETRY) + record(20, b"\x01"))
        .c(record(20, b"\x01") + record(22, HELLO))
    )
    assert asking.only().details.replied == "HelloRetryRequest for secp256r1"
    request = asking.s(record(22, server_hello(TLS_1_3))).only()
    assert request.details.replied == "HelloRetryRequest for secp256r1, then ServerHello, TLS 1.3"
    assert (request.rows, request.reply_row) == ([3], 4)


@pytest.mark.parametrize(
    ("level", "code", "refusal"), [(2, 112, "unrecognized_name"), (2, 40, "handshake_failure"), (1, 112, "")]
)
def test_an_alert_instead_of_a_hello(level: int, code: int, refusal: str) -> None:
    request = Asking().c(record(22, HELLO)).s(record(21, bytes([level, code]))).only()
    assert (request.refusal, request.reply_row) == (refusal, 4)
    if refusal:
        assert request.details.replied == f"alert {refusal} of the server"


def test_a_warning_before_the_hello_refuses_nothing() -> None:
    request = Asking().c(record(22, HELLO)).s(record(21, b"\x01\x70") + record(22, server_hello())).only()
    assert (request.refusal, request.details.replied) == ("", "ServerHello, TLS 1.2")
    assert (4, "alert unrecognized_name") in request.details.notes


def test_an_alert_of_the_client_behind_the_hello() -> None:
    request = Asking().c(record(22, HELLO)).s(record(22, server_hello())).c(record(21, b"\x02\x30")).only()
    assert (request.refusal, request.details.replied) == ("", "ServerHello, TLS 1.2, alert unknown_ca of the client")
    assert request.details.notes[-1] == (5, "alert unknown_ca")


def test_protected_alerts_are_told_by_their_type() -> None:
    asking = Asking().c(record(22, HELLO)).s(record(22, server_hello()) + record(20, b"\x01")).c(record(20, b"\x01"))
    request = asking.c(record(21, bytes(26))).only()
    assert request.details.notes[-1] == (6, "protected alert")
    assert request.details.replied == "ServerHello, TLS 1.2"


def test_what_has_the_shape_of_an_alert() -> None:
    def asking(*records: bytes) -> Asking:
        begun = Asking().c(record(22, HELLO)).s(record(22, server_hello(TLS_1_3)) + record(23, bytes(900)))
        for each in records:
            begun.c(each)
        return begun

    alert, finished = record(23, bytes(19)), record(23, bytes(53))
    left = asking(record(20, b"\x01") + alert).c(b"", flags=A | F).only()
    assert left.details.replied.endswith(", and the client's only protected record has the size of an alert")
    assert left.details.notes[-1] == (5, "record of an alert's size before the end")
    closed = asking(finished, alert).c(b"", flags=A | F).only()
    assert closed.details.replied == "ServerHello, TLS 1.3"
    assert closed.details.notes[-1] == (6, "record of an alert's size before the end")
    for going_on in (
        asking(alert),
        asking(alert, finished).c(b"", flags=A | F),
        asking(alert).unseen(9).c(b"", flags=A),
    ):
        assert going_on.only().details.replied == "ServerHello, TLS 1.3"


@pytest.mark.parametrize(
    ("came", "words"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP response, not TLS"), (b"220 ready\r\n", "bytes that are not TLS")],
)
def test_a_server_that_speaks_no_tls(came: bytes, words: str) -> None:
    request = Asking().c(record(22, HELLO)).s(came).only()
    assert (request.refusal, request.reply_row, request.details.replied) == ("not-tls", 4, words)


def test_no_reply_and_half_a_hello() -> None:
    request = Asking().c(record(22, HELLO)).only()
    assert (request.reply_row, request.is_whole, request.came, request.details.replied) == (-1, True, False, "")
    assert not Asking().c(record(22, HELLO)[:60]).only().is_whole


def test_a_hello_in_the_syn() -> None:
    """TCP Fast Open (RFC 7413)."""
    whole = record(22, HELLO)
    asking = Asking.__new__(Asking)
    asking.play = Play().c(S, whole[:80], seq=100).s(S | A, seq=900, ack=181).c(A | P, whole[80:], seq=181, ack=901)
    asking.play.s(A | P, record(22, server_hello(TLS_1_3)), seq=901, ack=101 + len(whole))
    request = asking.only()
    assert told(request)[1:] == ("www.example.com", WORDS, "ServerHello, TLS 1.3", [0], 3)
    assert request.connection.sni == "www.example.com"


def test_repeats_of_the_hello() -> None:
    asking = Asking()
    whole = record(22, HELLO)
    for _ in range(3):
        asking.play.c(A | P, whole, seq=101, ack=901)
    assert asking.only().rows == [3, 4, 5]


def test_a_stapled_response() -> None:
    der = response_bytes()
    flight = (
        server_hello() + handshake(11, bytes(40)) + handshake(22, b"\x01" + hellos.vector(3, der)) + handshake(14, b"")
    )
    whole = record(22, flight)
    request = Asking().c(record(22, HELLO)).s(whole[:300]).s(whole[300:]).only()
    assert request.details.replied == "ServerHello, TLS 1.2, stapled OCSP good until 2026-01-08T00:00:00Z"
    assert (request.details.ocsp_status, request.details.ocsp_serial) == ("good", "1001")
    cut = Asking().c(record(22, HELLO)).s(whole[:300]).only()
    assert (cut.details.ocsp_status, cut.details.replied) == ("", "ServerHello, TLS 1.2")


def test_a_proxy_header_before_the_hello() -> None:
    line = b"PROXY TCP6 2001:db8::7 2001:db8::80 40000 443\r\n"
    request = Asking().c(line + record(22, HELLO)).s(record(22, server_hello(TLS_1_3))).only()
    assert told(request)[1:4] == ("www.example.com", WORDS, "ServerHello, TLS 1.3")
    assert request.connection.hello is not None
    assert request.connection.proxy is not None
    assert request.connection.proxy.source == "2001:db8::7"


def test_the_responders_that_certificates_name_make_ocsp_of_http() -> None:
    from tests.wire.web.test_ocsp import Encoding, certificate

    der = certificate()[0].public_bytes(Encoding.DER)
    flight = record(22, server_hello() + handshake(11, hellos.vector(3, hellos.vector(3, der))))
    asking = Asking().c(record(22, HELLO)).s(flight)
    other = Asking(type(asking.play)(("192.0.2.10", 50661), ("198.51.100.81", 80)))
    other.play.now = asking.play.now
    other = Asking(other.play).c(b"POST /status HTTP/1.1\r\nHost: OCSP.example.com\r\nContent-Length: 0\r\n\r\n")
    asking.play.captured += other.play.captured
    kinds = {request.name: request.kind for request in asking.found()}
    assert kinds == {"www.example.com": "tls-client-hello", "ocsp.example.com": "ocsp"}


def test_captured_handshakes() -> None:
    """TLS alerts of a recorded case: the replies in clear, by record."""
    capture = Path(__file__).parents[3] / "captures/11-tcp-cases/tls-alerts/client.pcap"
    settled = settle(scan(batches_of(capture), 1, compiled=False))
    found = conversations(settled)
    record_of = settled.rows.record
    requests = Requests(found.flows, found.connections).found
    assert [(int(record_of[r.rows[0]]), int(record_of[r.reply_row]), r.refusal) for r in requests] == [
        (11, 13, "protocol_version"),
        (21, 23, "handshake_failure"),
        (31, 35, ""),
        (45, 49, ""),
        (59, 61, "no_application_protocol"),
        (69, 71, "internal_error"),
        (79, 83, ""),
    ]
    assert requests[2].details.replied == "ServerHello, TLS 1.2, alert unknown_ca of the client"


FLIGHT = record(22, server_hello(TLS_1_3)) + record(20, b"\x01") + record(23, bytes(50)) + record(21, b"\x02\x28")


def test_every_prefix_of_the_reply() -> None:
    for n in range(1, len(FLIGHT)):
        request = Asking().c(record(22, HELLO)).s(FLIGHT[:n]).only()
        assert (request.refusal, request.reply_row) == ("", 4)
        assert request.details.replied in ("", "ServerHello, TLS 1.2", "ServerHello, TLS 1.3")


@given(st.integers(0, len(FLIGHT)), st.binary(max_size=30), st.integers(0, 9), st.booleans())
def test_damaged_talk_never_raises(at: int, some: bytes, lost: int, is_client: bool) -> None:
    asking = Asking().c(record(22, HELLO))
    damaged = FLIGHT[:at] + some + FLIGHT[at + lost :]
    (asking.c if is_client else asking.s)(damaged).s(b"", flags=A | F)
    (request,) = asking.found()
    assert request.details.asked == WORDS
