"""What the first bytes of a TCP direction are: PROXY header, TLS, HTTP/1, HTTP/2 with its preface, or none of these."""

from __future__ import annotations

from analyzer.wire.tls import HANDSHAKE, is_record
from analyzer.wire.web.proxy import ProxyHeader, is_proxy, read_proxy

TLS, HTTP = "tls", "http"

_PREFACE = b"PRI * HTTP/2.0"
_METHODS = (
    *(b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT "),
    _PREFACE,
)


def opening_of(stream: bytes) -> tuple[str, ProxyHeader | None]:
    """The protocol of a client's first bytes ("" for others), and the PROXY header before it."""
    header = read_proxy(stream) if is_proxy(stream) else None
    if header is not None:
        stream = stream[header.length :] if header.length else b""
    if stream[:1] == bytes((HANDSHAKE,)) and is_record(stream):
        return TLS, header
    return HTTP if is_http_message(stream) else "", header


def is_http_request(stream: bytes) -> bool:
    """Whether bytes begin like a request with one of the usual methods, or like the preface of HTTP/2."""
    return stream.startswith(_METHODS)


def is_http_message(stream: bytes) -> bool:
    """Whether bytes begin like such a request, or like a response."""
    return is_http_request(stream) or stream.startswith(b"HTTP/1.")
