"""HTTP/1 messages as an observer reads them: one head at a time, with ``h11``, and as much body as is there.

    request   | method SP target SP HTTP/1.x CRLF | field: value CRLF ... | CRLF | body |        RFC 9112 §3
    response  | HTTP/1.x SP status SP reason CRLF | field: value CRLF ... | CRLF | body |        RFC 9112 §4

A head that breaks the rules, or whose end is not there, still gives its first line and the fields that can be told.
Where a body ends follows from the head and, for a response, from the method that it answers (RFC 9112 §6.3): ``h11``
decides.

Not read here: HTTP/2, beyond recognising its preface (RFC 9113 §3.4); HTTP/0.9; trailers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

import h11

#: A head is read up to so many bytes; servers take 8 KiB to 64 KiB.
MOST_HEAD = 64 << 10
#: Bytes of a body that are kept; enough for what is opened here, which are OCSP messages.
MOST_BODY = 64 << 10

_END = re.compile(rb"\n\r?\n")
_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]*) ([^\r\n]*?)(?: HTTP/(\d\.\d))?\r?(?:\n|\Z)")
_STATUS_LINE = re.compile(rb"HTTP/(\d\.\d) (\d{3})(?:[ \r\n]|\Z)")
_FIELD = re.compile(rb"^(host|content-type|alt-svc):[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_FIELDS = ("host", "content-type", "content-length", "alt-svc", "upgrade")
_MOST_FIELD = 1024  # characters of a field's value, and of a target, that are kept


class HttpFlaw(IntEnum):
    """Why a head could not be read whole."""

    NONE = 0
    INCOMPLETE = 1  # its end is not there
    MALFORMED = 2  # h11 refuses it
    TOO_LONG = 3  # it does not end within ``MOST_HEAD``


class HttpMessage(NamedTuple):
    """A request, or a response with its ``status`` (-1 where it could not be read).

    ``head`` is the length of the head (0: its end is not there) and ``end`` that of the whole message: -1 where it is
    not there or not known; ``announced`` is what the end must be by Content-Length, -1 where that does not say.
    ``fields`` holds those of ``_FIELDS`` that are there, by name in lower case.
    """

    method: str
    target: str
    version: str
    status: int
    fields: Mapping[str, str]
    head: int
    end: int
    announced: int
    body: bytes
    flaw: HttpFlaw

    @property
    def is_interim(self) -> bool:
        """A 1xx response that another one follows (RFC 9110 §15.2); 101 is final: the protocol changes."""
        return 100 <= self.status < 200 and self.status != 101


def read_request(stream: bytes) -> HttpMessage | None:
    """The request that a stream begins with; None if it begins with no request line."""
    line = _REQUEST_LINE.match(stream[:MOST_HEAD])
    if line is None:
        return None
    method, target, version = (_text(part or b"") for part in line.groups())
    message = HttpMessage(method, target[:_MOST_FIELD], version, -1, {}, 0, -1, -1, b"", HttpFlaw.NONE)
    return _read(stream, message, h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD))


def read_response(stream: bytes, method: str) -> HttpMessage | None:
    """The response to a request with ``method`` that a stream begins with; None if it begins with no status line."""
    line = _STATUS_LINE.match(stream)
    if line is None:
        return None
    message = HttpMessage("", "", line[1].decode("ascii"), int(line[2]), {}, 0, -1, -1, b"", HttpFlaw.NONE)
    return _read(stream, message, _asking(method))


def _asking(method: str) -> h11.Connection:
    """A client that sent such a request, and would let the protocol change."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
    fields = [("Host", "any"), ("Connection", "upgrade"), ("Upgrade", "any")]
    try:
        connection.send(h11.Request(method=method, target="/", headers=fields))
    except h11.LocalProtocolError:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
        connection.send(h11.Request(method="GET", target="/", headers=fields))
    connection.send(h11.EndOfMessage())
    return connection


def _read(stream: bytes, message: HttpMessage, connection: h11.Connection) -> HttpMessage:
    """The message with what its head and body say."""
    found = _END.search(stream, 0, MOST_HEAD)
    if found is None:
        flaw = HttpFlaw.TOO_LONG if len(stream) >= MOST_HEAD else HttpFlaw.INCOMPLETE
        whole_lines = stream[: stream.rfind(b"\n", 0, MOST_HEAD) + 1]
        return message._replace(flaw=flaw, fields=_fields(_FIELD.findall(whole_lines)))
    head = found.end()
    try:
        connection.receive_data(stream[:head])
        event = connection.next_event()
    except h11.RemoteProtocolError:
        event = h11.NEED_DATA
    if not isinstance(event, h11.Request | h11.Response | h11.InformationalResponse):
        return message._replace(head=head, flaw=HttpFlaw.MALFORMED, fields=_fields(_FIELD.findall(stream[:head])))
    message = message._replace(head=head, fields=_fields(event.headers))
    if isinstance(event, h11.InformationalResponse):
        return message._replace(end=head, announced=head)
    body, left = _body(connection, stream[head : head + MOST_BODY + MOST_HEAD])
    if left >= 0:
        end = min(len(stream), head + MOST_BODY + MOST_HEAD) - left
        return message._replace(end=end, announced=end, body=body)
    length = message.fields.get("content-length", "")
    return message._replace(announced=head + int(length) if _is_length(length) else -1, body=body)


def _body(connection: h11.Connection, rest: bytes) -> tuple[bytes, int]:
    """The body as far as it is in ``rest``, and how many bytes follow it; -1 where it does not end there."""
    pieces: list[bytes] = []
    try:
        if rest:
            connection.receive_data(rest)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                return b"".join(pieces)[:MOST_BODY], len(connection.trailing_data[0])
            else:  # more is needed, or the connection was closed
                return b"".join(pieces)[:MOST_BODY], -1
    except h11.RemoteProtocolError:
        return b"".join(pieces)[:MOST_BODY], -1


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


def _fields(lines: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The wanted fields; lines of one name are joined as RFC 9110 §5.3 says."""
    found: dict[str, str] = {}
    for name, value in lines:
        key = _text(name).lower()
        if key in _FIELDS:
            found[key] = (f"{found[key]}, {_text(value)}" if key in found else _text(value))[:_MOST_FIELD]
    return found


def _text(part: bytes) -> str:
    return part.decode("ascii", "backslashreplace")
