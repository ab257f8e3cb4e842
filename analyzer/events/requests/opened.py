"""The TLS 1.3 handshake over TCP opened with the secrets of a key log: certificates, ALPN, stapled OCSP, alerts.

How it works
------------
The protected records of each direction are opened in order, with the key of its first phase as long as that fits, then
with that of the next: early data, handshake, application data. Reading ends with the first record that no key opens: a
hole, or what was not kept. So of application data little is opened, and nothing of it is kept but alerts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from analyzer.events.connection import Connection, Flows
from analyzer.events.tcp.streams import Stream, streams_of
from analyzer.wire import keylog
from analyzer.wire.certificates import read_certificates, read_encrypted_extensions
from analyzer.wire.tls import (
    ALERT,
    APPLICATION,
    CERTIFICATE,
    ENCRYPTED_EXTENSIONS,
    HANDSHAKE,
    handshake_messages,
    record_headers,
)
from analyzer.wire.web.protected import Clear, RecordKey, key_of_secret

_PHASES = (
    (keylog.CLIENT_EARLY, keylog.CLIENT_HANDSHAKE, keylog.CLIENT_TRAFFIC),
    (keylog.SERVER_HANDSHAKE, keylog.SERVER_TRAFFIC),
)


class OpenedAlert(NamedTuple):
    """An alert that was protected: who sent it in which row, level and description (RFC 8446 §6)."""

    side: str
    row: int
    level: int
    description: int


class OpenedTls(NamedTuple):
    """The server's protected handshake messages, and the alerts of both sides."""

    handshake: bytes
    alerts: tuple[OpenedAlert, ...]


def open_tls(flows: Flows, connection: Connection, secrets: Mapping[str, bytes]) -> None:
    """Open what the secrets open of a connection whose hellos were read."""
    if connection.server_hello is None:
        return
    suite, handshake, alerts = connection.server_hello.cipher_suite, b"", list[OpenedAlert]()
    for side, (stream, labels) in enumerate(zip(streams_of(flows, connection), _PHASES, strict=True)):
        keys = [key for label in labels if (key := key_of_secret(suite, secrets.get(label, b""))) is not None]
        for row, clear in _opened(stream, keys):
            if clear.kind == HANDSHAKE and side:
                handshake += clear.content
            elif clear.kind == ALERT and len(clear.content) == 2:
                alerts.append(OpenedAlert("server" if side else "client", row, *clear.content))
    connection.opened = OpenedTls(handshake, tuple(alerts))
    note_handshake(connection, handshake)


def note_handshake(connection: Connection, handshake: bytes) -> bytes:
    """Note what a server's protected messages say: ALPN and certificates; returns its transport parameters."""
    parameters = b""
    for message in handshake_messages(handshake):
        if message.kind == ENCRYPTED_EXTENSIONS:
            extensions = read_encrypted_extensions(handshake, message)
            connection.chosen_alpn = (extensions.alpn or b"").decode("utf-8", "backslashreplace")
            parameters = extensions.transport_parameters or b""
        elif message.kind == CERTIFICATE:
            connection.certificates = read_certificates(handshake, message)
    return parameters


def _opened(stream: Stream, keys: list[RecordKey]) -> list[tuple[int, Clear]]:
    """The records of a stream that the keys of its phases open, each with its first row."""
    content, opened, phase = stream.behind(stream.begin), list[tuple[int, Clear]](), 0
    for header in record_headers(content):
        if header.kind != APPLICATION or header.missing:
            continue
        clear = None
        while phase < len(keys) and (clear := keys[phase].open(content[header.start : header.end])) is None:
            phase += 1
        if clear is None:
            break
        opened.append((stream.rows_at(stream.begin + header.start)[0], clear))
    return opened
