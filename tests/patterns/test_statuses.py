"""OCSP responses that tell no status: the finding, and what is none; through the whole line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.crafted import Captured
from tests.events.playbook import SERVER, Play
from tests.events.requests.asking import Asking
from tests.exchanges.analysed import analysed
from tests.wire.web.test_ocsp import request_bytes, response_bytes


def post() -> bytes:
    body = request_bytes()
    fields = b"Host: status.example.com\r\nContent-Type: application/ocsp-request\r\nContent-Length: %d" % len(body)
    return b"POST / HTTP/1.1\r\n" + fields + b"\r\n\r\n" + body


def response(body: bytes, status: int = 200) -> bytes:
    head = b"HTTP/1.1 %d any\r\nContent-Type: application/ocsp-response\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


UNAUTHORIZED, TRY_LATER = b"\x30\x03\x0a\x01\x06", b"\x30\x03\x0a\x01\x03"


def fetches(*replies: bytes) -> list[Captured]:
    """One connection for each reply."""
    captured: list[Captured] = []
    play = Play()
    for k, reply in enumerate(replies):
        play = Play(("192.0.2.10", 50660 + k), SERVER)
        play.now += k * 1_000_000_000
        captured += Asking(play).c(post()).s(reply).play.captured
    return [*captured, *Play(("192.0.2.99", 1), SERVER).wait(20_000).ask(b"later").captured]


def findings(folder: Path, *replies: bytes) -> list[dict[str, Any]]:
    document = analysed(folder, fetches(*replies)).document
    return [finding for finding in document["findings"] if finding["pattern"] == "ocsp-fetch-failed"]


def test_a_responder_that_says_no(tmp_path: Path) -> None:
    [finding] = findings(tmp_path, response(UNAUTHORIZED), response(UNAUTHORIZED))
    assert (finding["severity"], finding["confidence"], finding["counts"]["affected"]) == ("warning", "certain", 2)
    assert "about the certificate 1001 (serial number, hex) and got HTTP 200, OCSP unauthorized" in finding["because"]
    assert "does not serve this certificate" in finding["remedies"][0]


def test_an_http_error(tmp_path: Path) -> None:
    [finding] = findings(tmp_path, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    assert "got HTTP 503" in finding["because"]
    assert finding["remedies"][0].startswith("Ask by hand")


@pytest.mark.parametrize(
    "replies",
    [
        [response(response_bytes())],
        [response(TRY_LATER), response(response_bytes())],  # the next attempt told it
        [response(b"no OCSP at all")],  # unreadable is not denied
        [b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n"],
    ],
    ids=["good", "later-good", "unreadable", "redirect"],
)
def test_near_misses(tmp_path: Path, replies: list[bytes]) -> None:
    assert findings(tmp_path, *replies) == []
