"""What the first and the last bytes of both sides of a TCP connection say: protocol, ClientHello, alerts, lengths."""

from __future__ import annotations

from analyzer.events.connection import Connection, Flows
from analyzer.events.requests.status import is_status_target
from analyzer.events.tcp.sides import Side
from analyzer.wire.dns import PORT as DNS_PORT
from analyzer.wire.tls import ALERT, FATAL, is_record, read_records
from analyzer.wire.web.openings import is_http_request

CLIENT, SERVER = "client", "server"
ALERT_BYTES = 7  # a TLS record with one alert
_ALERT = bytes((ALERT,))
_LENGTH = b"\ncontent-length:"


class Words:
    """The words of one connection; ``rows`` are those that tell of an alert, ``owed`` is that of ``owed_of``."""

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
        self.protocol = protocol_of(sent, connection) if first.begin == 1 else ""
        if self.protocol == "tls":
            self.hello_segments = len({s.begin for s in client.data if s.begin < hello_end(sent)})
            self._find_alert(flows, SERVER, server)
            self._find_alert(flows, CLIENT, client)
        elif self.protocol in ("http", "ocsp") and server.data:
            came, is_all = flows.payload(server.data[0].row), client.end == first.end
            self.owed = owed_of(sent, came, is_all=is_all, server_end=server.end)

    def _find_alert(self, flows: Flows, name: str, side: Side) -> None:
        """An alert of a side: after it nothing more is sent, so it is in the last bytes."""
        last = max(side.data, key=lambda segment: segment.end, default=None)
        if last is None or last.end < side.end or self.rows:
            return
        description = alert_of(flows.payload(last.row)[-ALERT_BYTES:])
        if description >= 0:
            self.alert, self.rows = (name, description), [last.row]


def hello_end(sent: bytes) -> int:
    """The number behind the first TLS record of a client whose first bytes are these."""
    return 1 + 5 + int.from_bytes(sent[3:5], "big")


def alert_of(tail: bytes) -> int:
    """The description of the alert in clear that the last ``ALERT_BYTES`` of a side are; -1: none, or close_notify."""
    alerts = read_records(tail).alerts if tail[:1] == _ALERT and is_record(tail) else ()
    return alerts[0].description if alerts and alerts[0].level == FATAL and alerts[0].description > 0 else -1


def protocol_of(sent: bytes, connection: Connection) -> str:
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


def owed_of(sent: bytes, came: bytes, *, is_all: bool, server_end: int) -> int:
    """How many bytes of the body that a server announced it did not send (RFC 9112 §6.2), 0 where it announced none.

    ``sent`` are the client's first bytes and ``is_all`` says whether it sent no more; where there were several requests
    it cannot be known: -1. ``came`` are the server's first bytes.
    """
    if sent.startswith((b"HEAD ", b"CONNECT ")):
        return 0
    if not is_all and not sent.startswith(b"POST "):
        return -1
    head, found, _ = came.partition(b"\r\n\r\n")
    if not found or not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200", b"HTTP/1.1 206")):
        return 0
    lower = head.lower()
    at = lower.find(_LENGTH)
    announced = lower[at + len(_LENGTH) :].split(b"\r\n", 1)[0].strip() if at >= 0 else b""
    if not announced.isdigit() or len(announced) > 15:
        return 0
    return max(len(head) + 4 + int(announced) - (server_end - 1), 0)
