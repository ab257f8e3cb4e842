"""A ClientHello over TCP and what came back, as far as it is in clear (RFC 8446 §4.1, RFC 5246 §7.4).

How it works
------------
The records of both directions are read from the offset at which TLS begins. A ServerHello or HelloRetryRequest answers;
an alert in clear before it refuses; other bytes than TLS refuse as well. A server that answered may still be left by an
alert of the client, or leave: those in clear are told in words, and protected ones by their shape alone. In TLS 1.2 the
type of a protected alert is in clear; in TLS 1.3 it hides in an application_data record, of which only the size can
be seen: it is told where a side's bytes end in such a record and its FIN or RST follows. A close_notify, which is no
failure, has the same size.

Of a connection whose hellos were read already all this is put off until somebody asks for it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from analyzer.events.connection import Connection, Flows
from analyzer.events.requests.request import TLS, Details, Request
from analyzer.events.requests.status import tell_response
from analyzer.events.tcp.sides import distances, segments_of
from analyzer.events.tcp.streams import Stream, streams_of
from analyzer.wire.codes import alert_name, group_name, tls_version_name
from analyzer.wire.tls import (
    ALERT,
    APPLICATION,
    CERTIFICATE,
    CERTIFICATE_STATUS,
    FATAL,
    handshake_messages,
    is_record,
    read_records,
    record_headers,
)
from analyzer.wire.tls_hello import ClientHello, HelloFlaw, is_whole, read_client_hello, read_server_hello
from analyzer.wire.web.openings import is_http_message

if TYPE_CHECKING:
    from analyzer.events.requests.opened import OpenedTls

_ALERT_BYTES = 19  # a protected alert of TLS 1.3: level, description, content type and tag (RFC 8446 §5.2)
_SHAPE = "record of an alert's size before the end"


def plain_tls_requests(flows: Flows, connections: Sequence[Connection]) -> list[Request | None]:
    """Of each connection the exchange if its hellos were both read, cut or whole, told so far; None of any other."""
    found: list[Request | None] = [None] * len(connections)
    chosen = [k for k, connection in enumerate(connections) if _has_both_hellos(connection)]
    for k, (asked, replied) in zip(chosen, _first_rows(flows, [connections[k] for k in chosen]), strict=True):
        if asked and replied >= asked[0]:
            connection = connections[k]
            request = Request(connection, TLS, _of_one_capture(flows, asked), connection.sni, reply_row=replied)
            request.is_whole = is_whole(connection.hello_bytes)
            request.read = functools.partial(_read_details, flows, connection)
            found[k] = request
    return found


def _has_both_hellos(connection: Connection) -> bool:
    c = connection
    is_opened = c.proxy is None and c.request_rows and c.syn_ack_rows
    return bool(is_opened and c.server_hello_bytes and c.hello_bytes)


def _first_rows(flows: Flows, connections: Sequence[Connection]) -> Iterator[tuple[list[int], int]]:
    """Of each connection the rows that begin with the client's first byte, and the first with the server's, or -1.

    Of those in which a row begins before it, and holds it, nothing is said.
    """
    rows, count = flows.scan.rows, len(connections)
    openings = np.array([(c.request_rows[0], c.syn_ack_rows[0]) for c in connections], np.int64).reshape(-1, 2)
    begins = rows.sequence[openings].astype(np.int64) + 1
    owner, row, side = segments_of(flows, connections)
    offset, length = distances(rows.sequence[row].astype(np.int64), begins[owner, side]), rows.payload_length[row]
    is_told = np.ones(count, np.bool_)
    is_told[owner[(offset < 0) & (offset + length > 0)]] = False
    is_first = (length > 0) & (offset == 0) & is_told[owner]
    asked, replied = is_first & (side == 0), is_first & (side == 1)
    bounds = np.searchsorted(owner[asked], np.arange(count + 1)).tolist()
    rows_asked: list[int] = row[asked].tolist()
    first_replied = np.full(count, -1)
    first_replied[owner[replied][::-1]] = row[replied][::-1]  # the first of each is written last
    for (low, high), reply in zip(itertools.pairwise(bounds), first_replied.tolist(), strict=True):
        yield rows_asked[low:high], reply


def _read_details(flows: Flows, connection: Connection) -> Details:
    request = tls_request(flows, connection, *streams_of(flows, connection))
    return request.details if request is not None else Details()


def tls_request(flows: Flows, connection: Connection, client: Stream, server: Stream) -> Request | None:
    """The exchange of a connection whose client begins with TLS; None if its first message is no ClientHello."""
    sent, came = client.behind(client.begin), server.behind(server.begin)
    hello = read_client_hello(read_records(sent).handshake)
    if hello is None:
        return None
    rows = client.rows_at(client.begin)
    request = Request(connection, TLS, _of_one_capture(flows, rows), hello.server_name)
    request.is_whole = hello.flaw is not HelloFlaw.INCOMPLETE
    request.details = details = Details(asked=_hello_words(hello))
    details.notes.append((rows[0], f"ClientHello{f' for {hello.server_name}' if hello.server_name else ''}"))
    replies = [row for row in server.rows_at(server.begin) if row > rows[0] or not connection.request_rows]
    request.came = not replies and connection.counters.server_bytes > 0
    if replies:
        request.reply_row = replies[0]
        _read_reply(request, came)
    for side, stream in (("client", client), ("server", server)):
        _read_ending(flows, request, side, stream)
    if connection.opened is not None:
        _read_opened(request, connection.opened)
    return request


def server_handshake(server: Stream) -> bytes:
    """The handshake messages of a server that are in clear, a HelloRetryRequest left out."""
    stream = read_records(server.behind(server.begin)).handshake
    hello = read_server_hello(stream)
    return stream[hello.length :] if hello is not None and hello.is_hello_retry_request else stream


def _of_one_capture(flows: Flows, rows: list[int]) -> list[int]:
    """Those in the capture of the first: in another one they are the same packets seen elsewhere."""
    capture = flows.scan.rows.capture
    return [row for row in rows if capture[row] == capture[rows[0]]]


def _hello_words(hello: ClientHello) -> str:
    """``ClientHello for www.example.com, TLS 1.3, ALPN h2,http/1.1``."""
    alpn = ",".join(name.decode("ascii", "backslashreplace") for name in hello.alpn)
    words = [
        f"ClientHello for {hello.server_name}" if hello.server_name else "ClientHello without a name",
        tls_version_name(hello.tls_version),
        f"ALPN {alpn}" if alpn else "",
    ]
    return ", ".join(filter(None, words))


def _read_reply(request: Request, came: bytes) -> None:
    """What the server's first bytes say."""
    details = request.details
    if came and not is_record(came):
        request.refusal = "not-tls"
        details.replied = "an HTTP response, not TLS" if is_http_message(came) else "bytes that are not TLS"
        details.notes.append((request.reply_row, details.replied))
        return
    records = read_records(came)
    hello = read_server_hello(records.handshake)
    if hello is None:
        fatal = [alert for alert in records.alerts if alert.level == FATAL and alert.description >= 0]
        if fatal and not records.handshake:
            request.refusal = alert_name(fatal[0].description)
        return
    words, stream = [], records.handshake
    if hello.is_hello_retry_request:
        words.append(f"HelloRetryRequest for {group_name(hello.group)}" if hello.group >= 0 else "HelloRetryRequest")
        stream = stream[hello.length :]
        hello = read_server_hello(stream)
    if hello is not None:
        words.append(f"ServerHello, {tls_version_name(hello.tls_version)}")
    details.replied = ", then ".join(words)
    details.notes.append((request.reply_row, details.replied))
    for message in handshake_messages(stream):
        if message.kind == CERTIFICATE_STATUS and not message.missing:
            _read_stapled(request, stream[message.start + 4 : message.start + 4 + message.length])


def _read_stapled(request: Request, body: bytes) -> None:
    """The OCSP response that the server sends along with its certificate (RFC 6066 §8)."""
    from analyzer.wire.web.ocsp import read_certificate_status

    response = read_certificate_status(body)
    if response is not None:
        words = f"stapled {tell_response(request.details, response)}"
        request.details.replied += f", {words}"
        request.details.notes.append((request.reply_row, words))


def _read_opened(request: Request, opened: OpenedTls) -> None:
    """What a key log opened: the stapled response of TLS 1.3, and protected alerts in words."""
    from analyzer.wire.certificates import stapled_status

    for message in handshake_messages(opened.handshake):
        if message.kind == CERTIFICATE and not message.missing:
            _read_stapled(request, stapled_status(opened.handshake, message))
    for alert in opened.alerts:
        words = f"alert {alert_name(alert.description)}"
        request.details.notes = [note for note in request.details.notes if note != (alert.row, _SHAPE)]
        request.details.notes.append((alert.row, words))
        if alert.level == FATAL and alert.description:
            request.details.replied += f", {words} of the {alert.side}"


def _read_ending(flows: Flows, request: Request, side: str, stream: Stream) -> None:
    """Alerts of one side: those in clear, protected ones by their type, and what has the shape of one at its end."""
    content, details = stream.behind(stream.begin), request.details
    headers = record_headers(content)
    for header in headers:
        if header.kind == ALERT and not header.missing:
            words = f"alert {alert_name(content[header.start + 6])}" if header.length == 2 else "protected alert"
            details.notes.append((stream.rows_at(stream.begin + header.start)[0], words))
            if header.length == 2 and content[header.start + 5] == FATAL:
                details.replied = ", ".join(filter(None, [details.replied, f"{words} of the {side}"]))
    last = headers[-1] if headers else None
    if last is None or last.kind != APPLICATION or last.missing or last.length != _ALERT_BYTES:
        return
    if _ends_at(flows, request.connection, stream, last.end):
        details.notes.append((stream.rows_at(stream.begin + last.start)[0], _SHAPE))
        is_first = all(header.kind != APPLICATION for header in headers[:-1])
        if is_first and request.connection.opened is None:
            details.replied += f", and the {side}'s only protected record has the size of an alert"


def _ends_at(flows: Flows, connection: Connection, stream: Stream, length: int) -> bool:
    """Whether a FIN or RST of the side follows right behind these bytes of its stream."""
    rows, last = flows.scan.rows, stream.rows_at(stream.begin + length - 1)[0]
    behind = int(rows.sequence[last]) + int(rows.payload_length[last])
    direction = rows.direction[last]
    closing = [r for r in (*connection.fin_rows, *connection.reset_rows) if rows.direction[r] == direction]
    return any((int(rows.sequence[r]) + int(rows.payload_length[r]) - behind) & 0xFFFFFFFF == 0 for r in closing)
