"""The protocol of a client's first bytes: OCSP by content type and by path, and behind a PROXY header."""

from __future__ import annotations

import base64

import pytest

from analyzer.events.tcp.facts import tcp_facts
from tests.events.playbook import found_in
from tests.events.requests.asking import Asking
from tests.events.requests.test_tls import HELLO, record
from tests.wire.web.test_ocsp import request_bytes

PATH = base64.b64encode(request_bytes())
LINE = b"PROXY TCP4 203.0.113.7 192.0.2.10 40000 80\r\n"


def get(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "protocol"),
    [
        ([get(b"/")], "http"),
        ([get(b"/" + PATH)], "ocsp"),
        ([get(b"/Makefile" * 20)], "http"),
        ([b"POST / HTTP/1.1\r\nContent-Type: application/ocsp-request\r\n\r\n"], "ocsp"),
        ([record(22, HELLO)], "tls"),
        ([LINE + get(b"/")], "http"),
        ([LINE, get(b"/")], "http"),
        ([LINE, record(22, HELLO)], "tls"),
        ([b"GET"], ""),
        ([b"GET "], "http"),
        ([b"\0"], ""),
    ],
)
def test_protocols(sent: list[bytes], protocol: str) -> None:
    asking = Asking()
    for each in sent:
        asking.c(each)
    found = found_in(asking.play.captured)
    (facts,) = tcp_facts(found.flows, found.connections)
    assert facts.protocol == protocol
