"""What the first and the last bytes of both sides of a TCP connection say: protocol, ClientHello, alerts, lengths."""

from __future__ import annotations

from analyzer.events.connection import Connection, Flows
from analyzer.events.requests.status import is_status_target
from analyzer.events.tcp.sides import Side
from analyzer.wire.dns import PORT as DNS_PORT
from analyzer.wire.tls import ALERT, FATAL, is_record, read_records
from analyzer.wire.web.openings import is_http_request

CLIENT, SERVER = "client", "server"
_ALERT_BYTES = 7  # a TLS record with one alert
_LENGTH = b"\ncontent-length:"


class Words:
    """The words of one connection; ``rows`` are those that tell of an alert.

    ``owed`` is how many bytes of the body that the server announced did not come (RFC 9112 §6.2), 0 where nothing was
    announced, and -1 where it cannot be known, since there were several requests.
    """

    def __init__(self, flows: Flows, connection: Connection, client: Side, server: Side) -> None:
        self.rows: list[int] = []
        self.alert = ("", -1)
        self.protocol, self.hello_segments, self.owed = "", 0, 0
        if not client.data or (server.data and server.data[0].time < client.data[0].time):
            return
        first = min(client.data, key=lambda segment: segment.begin)
        sent = flows.payload(first.row)
        if connection.proxy is not None:  # what comes behind its header may lie in another segment
            self.protocol = connection.opening
            return
        self.protocol = _protocol(sent, connection) if first.begin == 1 else ""
        if self.protocol == "tls":
            hello = 1 + 5 + int.from_bytes(sent[3:5], "big")
            self.hello_segments = len({s.begin for s in client.data if 1 <= s.begin < hello})
            self._find_alert(flows, SERVER, server)
            self._find_alert(flows, CLIENT, client)
        elif self.protocol in ("http", "ocsp") and server.data and not sent.startswith((b"HEAD ", b"CONNECT ")):
            is_only = client.end == first.end or sent.startswith(b"POST ")
            self.owed = _owed(flows.payload(server.data[0].row), server) if is_only else -1

    def _find_alert(self, flows: Flows, name: str, side: Side) -> None:
        """An alert in clear that is no close_notify: after it a side sends nothing more, so it is in its last bytes."""
        last = max(side.data, key=lambda segment: segment.end, default=None)
        if last is None or last.end < side.end or self.rows:
            return
        tail = flows.payload(last.row)[-_ALERT_BYTES:]
        alerts = read_records(tail).alerts if tail[:1] == bytes((ALERT,)) and is_record(tail) else ()
        if alerts and alerts[0].level == FATAL and alerts[0].description > 0:
            self.alert, self.rows = (name, alerts[0].description), [last.row]


def _protocol(sent: bytes, connection: Connection) -> str:
    """What a client's first bytes are."""
    if is_http_request(sent):
        is_status = b"application/ocsp-request" in sent.lower() or is_status_target(_target(sent))
        return "ocsp" if is_status else "http"
    if sent and is_record(sent):
        return "tls"
    return "dns" if connection.server.port == DNS_PORT else ""


def _target(sent: bytes) -> str:
    """The target of a GET, "" of other requests."""
    method, target, *_ = [*sent[:4096].split(b"\r\n", 1)[0].split(b" "), b""]
    return target.decode("ascii", "backslashreplace") if method == b"GET" else ""


def _owed(came: bytes, server: Side) -> int:
    """How many announced bytes of a body the server did not send."""
    head, found, _ = came.partition(b"\r\n\r\n")
    if not found or not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200", b"HTTP/1.1 206")):
        return 0
    lower = head.lower()
    at = lower.find(_LENGTH)
    announced = lower[at + len(_LENGTH) :].split(b"\r\n", 1)[0].strip() if at >= 0 else b""
    if not announced.isdigit() or len(announced) > 15:
        return 0
    return max(len(head) + 4 + int(announced) - (server.end - 1), 0)
