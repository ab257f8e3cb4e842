"""Handshake messages in clear with other names: what a crypto stream or the records of TLS carry.

    message      | type (8) | length (24) | body |
    ClientHello  | version (16) | random (256) | session ID <8> | cipher suites <16> | compression <8> | extensions <16>

Kept are lists of what is supported, key shares, versions and GREASE. Replaced: the server name by another of its
length, randoms, session IDs, tickets, PSK identities and binders, cookies, what Encrypted Client Hello hides,
application protocols that are not registered, and the body of every extension that is not known here. Lengths never
change, so the copy is read as the original was. Behind the hellos nothing is kept but the type and the length of the
next message.
"""

from __future__ import annotations

from collections.abc import Callable

from analyzer.anonymize.packets.edit import Edit, Maps
from analyzer.anonymize.phrases import alpn
from analyzer.wire.quic.header import read_varint
from analyzer.wire.tls import CLIENT_HELLO, SERVER_HELLO
from analyzer.wire.tls_hello import (
    ALPN,
    ENCRYPTED_CLIENT_HELLO,
    HELLO_RETRY_RANDOM,
    QUIC_TRANSPORT_PARAMETERS,
    QUIC_TRANSPORT_PARAMETERS_DRAFT,
    SERVER_NAME,
    is_grease,
)

#: Extensions whose body tells what software supports, and nothing of who uses it (IANA, TLS ExtensionType Values; 40 is
#: key_share in drafts).
_KEPT = frozenset({1, 10, 11, 13, 15, 19, 20, 22, 23, 24, 27, 28, 34, 40, 42, 43, 45, 49, 50, 51})
#: Extensions that may stay where their body is the usual one: no responder named, no timestamps, zeros, at most a byte.
_USUAL = {5: b"\x01\0\0\0\0", 18: b"", 13172: b""}
_PADDING = 21
#: Transport parameters of RFC 9000 §18.2 and others that hold numbers: not tokens, not addresses.
_KEPT_PARAMETERS = frozenset(
    {
        *(0x00, 0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0E, 0x0F, 0x10, 0x11),
        *(0x20, 0x2AB2, 0x3127, 0x3128, 0x4752, 0x6AB2, 0xFF73DB, 0xFF04DE1B, 0xFF03DE1A, 0x17F7586D2CB571),
    }
)
_USER_AGENT = 0x3129
_RANDOM = 32


def edit_handshake(stream: bytes, maps: Maps) -> tuple[bytes, int]:
    """A copy of handshake messages, and how many of its bytes may be shown: those up to the end of the hellos, and the
    header of the message behind them."""
    edit = Edit(stream, maps)
    at = 0
    while at < len(stream):
        kind, length = stream[at], edit.number(at + 1, 3)
        edit.keep(at, at + 4)
        if kind not in (CLIENT_HELLO, SERVER_HELLO):
            return bytes(edit.copy), min(at + 4, len(stream))
        end = min(at + 4 + max(length, 0), len(stream))
        part = Edit(stream[at:end], maps)
        part.keep(0, 4)
        (_client_hello if kind == CLIENT_HELLO else _server_hello)(part)
        edit.put(at, bytes(part.copy))
        at = end
    return bytes(edit.copy), len(stream)


def _client_hello(edit: Edit) -> None:
    edit.keep(4, 6)
    edit.replace(6, 6 + _RANDOM, b"random")
    start, end = edit.vector(38, 1)
    edit.replace(start, end, b"session")
    for size in (2, 1):
        start, end = edit.vector(end, size)
        edit.keep(start, end)
    _extensions(edit, end)


def _server_hello(edit: Edit) -> None:
    edit.keep(4, 6)
    if edit.b[6 : 6 + _RANDOM] == HELLO_RETRY_RANDOM[: len(edit.b) - 6]:
        edit.keep(6, 6 + _RANDOM)
    else:
        edit.replace(6, 6 + _RANDOM, b"random")
    start, end = edit.vector(38, 1)
    edit.replace(start, end, b"session")
    edit.keep(end, end + 3)
    _extensions(edit, end + 3)


def _extensions(edit: Edit, at: int) -> None:
    at, _ = edit.vector(at, 2)
    while at + 4 <= len(edit.b):
        kind, length = edit.number(at, 2), edit.number(at + 2, 2)
        edit.keep(at, at + 4)
        start, end = at + 4, min(at + 4 + length, len(edit.b))
        if kind in _EDITED:
            body = Edit(edit.b[start:end], edit.maps)
            _EDITED[kind](body)
            edit.put(start, bytes(body.copy))
        elif _is_usual(kind, edit.b[start:end]):
            edit.keep(start, end)
        else:
            edit.replace(start, end, b"ticket")
        at = end
    edit.keep(at, len(edit.b))  # fewer than the four bytes that an extension begins with


def _is_usual(kind: int, body: bytes) -> bool:
    if kind == _PADDING:
        return not any(body)
    return kind in _KEPT or _USUAL.get(kind) == body or (is_grease(kind) and len(body) <= 1) or not body


def _server_name(edit: Edit) -> None:
    """RFC 6066 §3: a list of (type, name); the only type is host_name, 0."""
    at, end = edit.vector(0, 2)
    while at < end:
        edit.keep(at, at + 1)
        start, behind = edit.vector(at + 1, 2)
        edit.put(start, edit.maps.names.name(edit.b[start:behind]))
        at = max(behind, at + 1)


def _alpn(edit: Edit) -> None:
    at, end = edit.vector(0, 2)
    while at < end:
        start, behind = edit.vector(at, 1)
        edit.put(start, alpn(edit.b[start:behind], edit.maps.names))
        at = max(behind, at + 1)


def _pre_shared_key(edit: Edit) -> None:
    """RFC 8446 §4.2.11: identities (identity <16>, obfuscated age (32)) <16>, binders (<8>) <16>; a server's is 16
    bits."""
    if len(edit.b) == 2:
        edit.keep(0, 2)
        return
    at, end = edit.vector(0, 2)
    while at < end:
        start, behind = edit.vector(at, 2)
        edit.replace(start, behind, b"ticket")
        edit.replace(behind, behind + 4, b"age")
        at = max(behind + 4, at + 1)
    at, end = edit.vector(end, 2)
    while at < end:
        start, behind = edit.vector(at, 1)
        edit.replace(start, behind, b"binder")
        at = max(behind, at + 1)


def _encrypted_client_hello(edit: Edit) -> None:
    """RFC 9849 §5: type (8); of an outer hello: cipher suite (32), config id (8), enc <16>, payload <16>."""
    edit.keep(0, 1)
    if edit.b[:1] != b"\0":
        return
    edit.keep(1, 5)
    edit.replace(5, 6, b"ech")
    end = 6
    for _ in range(2):
        start, end = edit.vector(end, 2)
        edit.replace(start, end, b"ech")


def _cookie(edit: Edit) -> None:
    start, end = edit.vector(0, 2)
    edit.replace(start, end, b"ticket")


def _renegotiation(edit: Edit) -> None:
    """RFC 5746 §3.2: verify_data of the handshake before, empty in a first one."""
    start, end = edit.vector(0, 1)
    edit.replace(start, end, b"ticket")


def _transport_parameters(edit: Edit) -> None:
    at = 0
    while at < len(edit.b):
        number, behind = read_varint(edit.b, at)
        length, start = read_varint(edit.b, behind)
        if number < 0 or length < 0:
            return
        edit.keep(at, start)
        end = min(start + length, len(edit.b))
        if number in _KEPT_PARAMETERS:
            edit.keep(start, end)
        elif number == _USER_AGENT:
            edit.put(start, edit.maps.names.scrambled(edit.b[start:end]))
        else:
            edit.replace(start, end, b"parameter")
        at = end


_EDITED: dict[int, Callable[[Edit], None]] = {
    SERVER_NAME: _server_name,
    ALPN: _alpn,
    17513: _alpn,  # application settings: the protocols that have them
    17613: _alpn,
    41: _pre_shared_key,
    44: _cookie,
    QUIC_TRANSPORT_PARAMETERS: _transport_parameters,
    QUIC_TRANSPORT_PARAMETERS_DRAFT: _transport_parameters,
    ENCRYPTED_CLIENT_HELLO: _encrypted_client_hello,
    0xFF01: _renegotiation,
}
