"""A ClientHello over TCP and what came back, as far as it is in clear (RFC 8446 §4.1, RFC 5246 §7.4).

How it works
------------
The records of both directions are read from the offset at which TLS begins. A ServerHello or HelloRetryRequest answers;
an alert in clear before it refuses; other bytes than TLS refuse as well. A server that answered may still be left by an
alert of the client, or leave: those in clear are told in words, and protected ones by their shape alone. In TLS 1.2 the
type of a protected alert is in clear; in TLS 1.3 it hides in an application_data record, of which only the size can
be seen: it is told where a side's bytes end in such a record and its FIN or RST follows. A close_notify, which is no
failure, has the same size.
"""

from __future__ import annotations

from analyzer.events.connection import Connection, Flows
from analyzer.events.requests.request import TLS, Request
from analyzer.events.requests.status import tell_response
from analyzer.events.tcp.streams import Stream
from analyzer.wire.codes import alert_name, group_name, tls_version_name
from analyzer.wire.tls import (
    ALERT,
    APPLICATION,
    handshake_messages,
    is_record,
    read_records,
    record_headers,
)
from analyzer.wire.tls_hello import ClientHello, HelloFlaw, read_client_hello, read_server_hello
from analyzer.wire.web.openings import is_http_message

_CERTIFICATE_STATUS = 22
_ALERT_BYTES = 19  # a protected alert of TLS 1.3: level, description, content type and tag (RFC 8446 §5.2)
_FATAL = 2


def tls_request(flows: Flows, connection: Connection, client: Stream, server: Stream) -> tuple[Request, bytes] | None:
    """The exchange of a connection whose client begins with a TLS record, and the server's handshake in clear.

    None where the client's first message is no ClientHello.
    """
    sent, came = client.behind(client.begin), server.behind(server.begin)
    hello = read_client_hello(read_records(sent).handshake)
    if hello is None:
        return None
    rows = client.rows_at(client.begin)
    capture = flows.scan.rows.capture
    request = Request(
        connection,
        TLS,
        [row for row in rows if capture[row] == capture[rows[0]]],
        asked=_hello_words(hello),
        name=hello.server_name,
        is_whole=hello.flaw is not HelloFlaw.INCOMPLETE,
    )
    request.notes.append((rows[0], f"ClientHello{f' for {hello.server_name}' if hello.server_name else ''}"))
    replies = [row for row in server.rows_at(server.begin) if row > rows[0] or not connection.request_rows]
    request.came = not replies and connection.counters.server_bytes > 0
    handshake = b""
    if replies:
        request.reply_row = replies[0]
        handshake = _read_reply(request, came)
    for side, stream in (("client", client), ("server", server)):
        _read_ending(flows, request, side, stream)
    return request, handshake


def _hello_words(hello: ClientHello) -> str:
    """``ClientHello for www.example.com, TLS 1.3, ALPN h2,http/1.1``."""
    alpn = ",".join(name.decode("ascii", "backslashreplace") for name in hello.alpn)
    words = [
        f"ClientHello for {hello.server_name}" if hello.server_name else "ClientHello without a name",
        tls_version_name(hello.tls_version),
        f"ALPN {alpn}" if alpn else "",
    ]
    return ", ".join(filter(None, words))


def _read_reply(request: Request, came: bytes) -> bytes:
    """What the server's first bytes say; returns its handshake messages in clear."""
    if came and not is_record(came):
        request.refusal = "not-tls"
        request.replied = "an HTTP response, not TLS" if is_http_message(came) else "bytes that are not TLS"
        request.notes.append((request.reply_row, request.replied))
        return b""
    records = read_records(came)
    hello = read_server_hello(records.handshake)
    if hello is None:
        fatal = [alert for alert in records.alerts if alert.level == _FATAL and alert.description >= 0]
        if fatal and not records.handshake:
            request.refusal = alert_name(fatal[0].description)
        return b""
    words, stream = [], records.handshake
    if hello.is_hello_retry_request:
        words.append(f"HelloRetryRequest for {group_name(hello.group)}" if hello.group >= 0 else "HelloRetryRequest")
        stream = stream[hello.length :]
        hello = read_server_hello(stream)
    if hello is not None:
        words.append(f"ServerHello, {tls_version_name(hello.tls_version)}")
    request.replied = ", then ".join(words)
    request.notes.append((request.reply_row, request.replied))
    for message in handshake_messages(stream):
        if message.kind == _CERTIFICATE_STATUS and not message.missing:
            _read_stapled(request, stream[message.start + 4 : message.start + 4 + message.length])
    return stream


def _read_stapled(request: Request, body: bytes) -> None:
    """The OCSP response that the server sends along with its certificate (RFC 6066 §8)."""
    from analyzer.wire.web.ocsp import read_certificate_status

    response = read_certificate_status(body)
    if response is not None:
        words = f"stapled {tell_response(request, response)}"
        request.replied += f", {words}"
        request.notes.append((request.reply_row, words))


def _read_ending(flows: Flows, request: Request, side: str, stream: Stream) -> None:
    """Alerts of one side: those in clear, protected ones by their type, and what has the shape of one at its end."""
    content = stream.behind(stream.begin)
    headers = record_headers(content)
    for header in headers:
        if header.kind == ALERT and not header.missing:
            words = f"alert {alert_name(content[header.start + 6])}" if header.length == 2 else "protected alert"
            row = stream.rows_at(stream.begin + header.start)[0]
            request.notes.append((row, words))
            if header.length == 2 and content[header.start + 5] == _FATAL:
                request.replied = ", ".join(filter(None, [request.replied, f"{words} of the {side}"]))
    last = headers[-1] if headers else None
    if last is None or last.kind != APPLICATION or last.missing or last.length != _ALERT_BYTES:
        return
    if _ends_at(flows, request.connection, stream, last.end):
        request.notes.append((stream.rows_at(stream.begin + last.start)[0], "record of an alert's size before the end"))
        if all(header.kind != APPLICATION for header in headers[:-1]):
            request.replied += f", and the {side}'s only protected record has the size of an alert"


def _ends_at(flows: Flows, connection: Connection, stream: Stream, length: int) -> bool:
    """Whether a FIN or RST of the side follows right behind these bytes of its stream."""
    rows, last = flows.scan.rows, stream.rows_at(stream.begin + length - 1)[0]
    behind = int(rows.sequence[last]) + int(rows.payload_length[last])
    direction = rows.direction[last]
    closing = [r for r in (*connection.fin_rows, *connection.reset_rows) if rows.direction[r] == direction]
    return any((int(rows.sequence[r]) + int(rows.payload_length[r]) - behind) & 0xFFFFFFFF == 0 for r in closing)
