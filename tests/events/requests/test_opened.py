"""What a key log opens of TLS 1.3 over TCP: certificates, ALPN, alerts, stapled OCSP; and that it opens no more."""

from __future__ import annotations

import functools
from pathlib import Path

from analyzer.analysis import analyse
from analyzer.capture.source import open_captures
from analyzer.events.connection import Connection
from analyzer.events.conversations import conversations
from analyzer.events.requests.opened import open_tls
from analyzer.events.requests.reader import Requests
from analyzer.events.requests.request import Request
from analyzer.events.scan import scan, settle
from analyzer.events.secrets import open_with_secrets
from analyzer.wire import keylog
from analyzer.wire.keylog import read_keylog
from tests.conftest import ROOT
from tests.events.playbook import A, F, found_in
from tests.events.requests.asking import Asking
from tests.events.requests.test_tls import HELLO, TLS_1_3, handshake, record, server_hello
from tests.wire import hellos
from tests.wire.web.test_ocsp import Encoding, certificate, response_bytes
from tests.wire.web.test_protected import seal, secret_of

CASE = ROOT / "captures/12-happy-eyeballs/both-ok"
SUITE = 0x1301
SECRETS = {
    keylog.SERVER_HANDSHAKE: secret_of(SUITE),
    keylog.SERVER_TRAFFIC: bytes(reversed(secret_of(SUITE))),
    keylog.CLIENT_HANDSHAKE: secret_of(SUITE)[16:] * 2,
}


@functools.cache
def opened(keys: Path) -> tuple[Connection, ...]:
    captures = open_captures([str(CASE / "client.pcap")])
    found = conversations(settle(scan(captures.batches(False), 1, compiled=False, with_secrets=True)))
    open_with_secrets(found.flows, found.connections, read_keylog(keys.read_bytes()))
    return tuple(c for c in found.connections if c.transport == "tcp" and c.opened is not None)


def test_recorded_connections() -> None:
    connections = opened(CASE / "client.keys")
    assert len(connections) == 4
    for connection in connections:
        assert "example.com" in connection.certificates[0].names
        assert connection.opened is not None
        assert connection.opened.handshake[0] == 8  # EncryptedExtensions come first
    assert {connection.chosen_alpn for connection in connections} == {"", "h2"}
    alerts = [alert for connection in connections for alert in connection.opened.alerts]  # type: ignore[union-attr]
    assert {(alert.level, alert.description) for alert in alerts} == {(1, 0)}


def test_a_key_log_changes_no_outcome() -> None:
    without = analyse([str(CASE / "client.pcap")])
    with_keys = analyse([str(CASE / "client.pcap")], keylog=CASE / "client.keys")
    assert without.exchanges["outcome"].tolist() == with_keys.exchanges["outcome"].tolist()
    words = "\n".join(with_keys.packets["detail"])
    assert "alert close_notify" in words
    assert "alert close_notify" not in "\n".join(without.packets["detail"])


def made(*server: bytes, client: bytes = b"") -> Request:
    """A connection with these protected records, opened."""
    asking = Asking().c(record(22, HELLO)).s(record(22, server_hello(TLS_1_3)))
    for each in server:
        asking.s(each)
    asking.c(client).c(b"", flags=A | F)
    found = found_in(asking.play.captured)
    (connection,) = found.connections
    open_tls(found.flows, connection, SECRETS)
    (request,) = Requests(found.flows, found.connections).found
    return request


def flight(extension: bytes) -> bytes:
    der = certificate()[0].public_bytes(Encoding.DER)
    entry = hellos.vector(3, der) + hellos.vector(2, extension)
    encrypted = handshake(8, hellos.vector(2, hellos.alpn(b"h2")))
    return encrypted + handshake(11, b"\0" + hellos.vector(3, entry)) + handshake(20, bytes(32))


def test_a_stapled_response_and_an_alert_of_the_client() -> None:
    status = b"\x01" + hellos.vector(3, response_bytes())
    whole = flight(hellos.extension(18, b"other") + hellos.extension(5, status))
    records = [
        seal(SUITE, SECRETS[keylog.SERVER_HANDSHAKE], n, 22, part) for n, part in enumerate((whole[:700], whole[700:]))
    ]
    tickets = seal(SUITE, SECRETS[keylog.SERVER_TRAFFIC], 0, 22, handshake(4, bytes(20)))
    alert = seal(SUITE, SECRETS[keylog.CLIENT_HANDSHAKE], 0, 21, b"\x02\x2a")
    request = made(*records, tickets, client=record(20, b"\x01") + alert)
    assert request.details.replied == (
        "ServerHello, TLS 1.3, stapled OCSP good until 2026-01-08T00:00:00Z, alert bad_certificate of the client"
    )
    assert request.details.notes[-1] == (8, "alert bad_certificate")
    assert not any("size" in words for _, words in request.details.notes)
    assert (request.connection.chosen_alpn, request.connection.certificates[0].size > 0) == ("h2", True)


def test_what_does_not_fit_opens_nothing() -> None:
    request = made(seal(SUITE, bytes(32), 0, 22, flight(b"")))
    assert request.connection.opened is not None
    assert (request.connection.opened.handshake, request.connection.opened.alerts) == (b"", ())
    assert request.details.replied == "ServerHello, TLS 1.3"


def test_a_certificate_without_a_stapled_response() -> None:
    for extension in (b"", hellos.extension(18, b"x"), hellos.extension(5, b"")):
        request = made(seal(SUITE, SECRETS[keylog.SERVER_HANDSHAKE], 0, 22, flight(extension)))
        assert (request.details.replied, request.details.ocsp_status) == ("ServerHello, TLS 1.3", "")
