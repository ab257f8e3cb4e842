"""HTTP/1.1 heads with other names, paths and values (RFC 9112 §2).

Kept are methods, versions, status codes, the names of common fields, and the values of fields that say how a message is
framed or what kind of thing it is. Everything else is scrambled: letters by letters, digits by digits.
"""

from __future__ import annotations

import re

from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.phrases import alt_svc, phrase

_METHODS = b"GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE"
_REQUEST = re.compile(rb"(%b) ([^ \r\n]*)( HTTP/1\.[01])?(\r?\n|$)" % _METHODS)
_STATUS = re.compile(rb"(HTTP/1\.[01] [0-9]{3})( ?)([^\r\n]*)(\r?\n|$)")
_BEGINS = re.compile(rb"(%b) |HTTP/1\.[01] " % _METHODS)
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(:[ \t]*)([^\r\n]*)(\r?\n|$)")
_END = re.compile(rb"\r?\n")
_URL = re.compile(rb"(https?://)?([^/:?#]*)(:[0-9]+)?(.*)", re.DOTALL)
_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)

#: Fields whose values are numbers, dates or words of the protocol.
_KEPT = frozenset(
    b"""
    accept accept-encoding accept-ranges age allow cache-control connection content-encoding content-length
    content-type date expect expires keep-alive last-modified pragma retry-after te trailer transfer-encoding upgrade
    upgrade-insecure-requests vary
    """.split()
)
#: Fields whose names stay and whose values do not.
_NAMED = frozenset(
    b"""
    accept-language alt-svc authorization content-disposition content-language content-location cookie etag forwarded
    from host if-match if-modified-since if-none-match link location origin proxy-authorization referer server
    set-cookie strict-transport-security user-agent via www-authenticate x-forwarded-for x-forwarded-host
    x-forwarded-proto x-real-ip x-request-id
    """.split()
)
_DATE = re.compile(rb"[A-Za-z]{3}, [0-9]{2} [A-Za-z]{3} [0-9]{4} [0-9:]{8} GMT")
_NUMBER = re.compile(rb"-?[0-9]{1,19}|[01]\.[0-9]{1,3}")
_PART = re.compile(rb"[^\s,;=]+")
#: What the values of _KEPT are made of, beside the names of fields.
_WORDS = frozenset(
    b"""
    * */* 100-continue application/dns-message application/grpc application/javascript application/json
    application/ocsp-request application/ocsp-response application/octet-stream application/pdf application/pkix-cert
    application/pkix-crl application/signed-exchange application/x-www-form-urlencoded application/xhtml+xml
    application/xml audio/* br bytes charset chunked close compress deflate font/woff2 gzip h2 h2c http/1.1 identity
    image/* image/apng image/avif image/gif image/jpeg image/png image/svg+xml image/webp immutable max max-age
    max-stale min-fresh multipart/form-data must-revalidate must-understand no-cache no-store no-transform none
    only-if-cached private proxy-revalidate public q s-maxage stale-if-error stale-while-revalidate text/css
    text/event-stream text/html text/javascript text/plain text/xml timeout trailers us-ascii utf-8 v b3 video/*
    websocket zstd get head post put delete options patch connect trace
    """.split()
)


def is_head(b: bytes) -> bool:
    """Whether the bytes begin as an HTTP request or response does."""
    return _BEGINS.match(b) is not None


def edit_heads(stream: bytes, maps: Maps) -> tuple[bytes, list[tuple[int, int]]]:
    """A copy of one direction of a connection, and the spans of it that may be shown: the heads."""
    copy = bytearray(stream)
    shown: list[tuple[int, int]] = []
    at = 0
    while at < len(stream) and is_head(stream[at : at + 16]):
        end = _edit_head(stream, at, copy, maps)
        if end == at:
            break
        shown.append((at, end))
        length = _LENGTH.search(stream[at:end])
        at = end + (int(length[1]) if length else 0)
    return bytes(copy), shown


def _edit_head(stream: bytes, at: int, copy: bytearray, maps: Maps) -> int:
    """Edit the head at ``at``; returns the offset behind it, or behind what can be read of it."""
    if request := _REQUEST.match(stream, at):
        copy[request.start(2) : request.end(2)] = _url(request[2], maps)
        at = request.end()
    elif status := _STATUS.match(stream, at):
        copy[status.start(3) : status.end(3)] = phrase(status[3], maps.names)
        at = status.end()
    else:
        return at
    while at < len(stream):
        if end := _END.match(stream, at):
            return end.end()
        field = _FIELD.match(stream, at)
        if field is None:
            return at
        copy[field.start(1) : field.end(1)] = _name(field[1], maps)
        copy[field.start(3) : field.end(3)] = _value(field[1].lower(), field[3], maps)
        at = field.end()
    return at


def _name(name: bytes, maps: Maps) -> bytes:
    return name if name.lower() in _KEPT or name.lower() in _NAMED else maps.names.scrambled(name)


def _value(name: bytes, value: bytes, maps: Maps) -> bytes:
    if name in _KEPT and _is_safe(value):
        return value
    if name in (b"host", b"location", b"origin", b"referer"):
        return _url(value, maps)
    return alt_svc(value, maps.names) if name == b"alt-svc" else maps.names.scrambled(value)


def _is_safe(value: bytes) -> bool:
    """Whether a value is a date, or made of numbers and words that every HTTP stack writes."""
    if _DATE.fullmatch(value.rstrip()):
        return True
    known = (_WORDS, _KEPT, _NAMED)
    return all(
        _NUMBER.fullmatch(part) or any(part.lower() in words for words in known) for part in _PART.findall(value)
    )


def _url(url: bytes, maps: Maps) -> bytes:
    """A URL, or the part of one: the host is replaced as a name, the port stays."""
    if url == b"*":
        return url
    scheme, host, port, rest = (part or b"" for part in _URL.fullmatch(url).groups())  # type: ignore[union-attr]
    return scheme + maps.names.name(host) + port + maps.names.scrambled(rest)
