"""ClientHello and ServerHello (RFC 8446 §4.1.2, §4.1.3; RFC 5246 §7.4.1), whole or cut.

    | type (8) | length (24) | legacy version (16) | random (32) | session ID <8> |
    ClientHello: cipher suites <16>, compression methods <8>, extensions <16>
    ServerHello: cipher suite (16), compression method (8), extensions <16>
    extension: | type (16) | length (16) | body |          <n>: a vector with a length field of n bits

A hello that is cut gives what its first bytes hold: often the name is there although the end is not. GREASE values
(RFC 8701) are kept in all lists, since their places are evidence too; ``is_grease`` tells them.

Not read here: the groups and key shares of a client; what Encrypted Client Hello hides (``has_ech`` says that it is
there, which GREASE may fake).
"""

from __future__ import annotations

import functools
import struct
from enum import IntEnum
from typing import NamedTuple

from analyzer.wire.tls import CLIENT_HELLO, SERVER_HELLO

SERVER_NAME = 0
SIGNATURE_ALGORITHMS = 13
ALPN = 16
SUPPORTED_VERSIONS = 43
KEY_SHARE = 51
QUIC_TRANSPORT_PARAMETERS = 0x39
#: Of drafts up to 32.
QUIC_TRANSPORT_PARAMETERS_DRAFT = 0xFFA5
ENCRYPTED_CLIENT_HELLO = 0xFE0D

#: RFC 8446 §4.1.3: SHA-256 of "HelloRetryRequest"; such a ServerHello is one.
HELLO_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


_READ = frozenset(
    {
        SERVER_NAME,
        SIGNATURE_ALGORITHMS,
        ALPN,
        SUPPORTED_VERSIONS,
        KEY_SHARE,
        QUIC_TRANSPORT_PARAMETERS,
        QUIC_TRANSPORT_PARAMETERS_DRAFT,
    }
)
# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each connection.
_new = tuple.__new__
_TYPE_AND_LENGTH = struct.Struct(">HH").unpack_from


class HelloFlaw(IntEnum):
    """Why a hello could not be read to its end."""

    NONE = 0
    INCOMPLETE = 1  # its last bytes are not there
    MALFORMED = 2  # all its bytes are there and their lengths contradict each other


class ClientHello(NamedTuple):
    """A ClientHello. Lists are in wire order and hold GREASE values; absent is empty (``None`` where said).

    ``length`` is that of the message with its header, ``missing`` how many of those bytes are not there.
    ``transport_parameters`` is None if the hello (as far as it is there) offers no QUIC.
    """

    length: int
    missing: int
    flaw: HelloFlaw
    legacy_version: int
    random: bytes
    session_id: bytes
    cipher_suites: tuple[int, ...]
    extensions: tuple[int, ...]
    server_name: str
    alpn: tuple[bytes, ...]
    supported_versions: tuple[int, ...]
    signature_algorithms: tuple[int, ...]
    transport_parameters: bytes | None

    @property
    def has_ech(self) -> bool:
        """An encrypted_client_hello extension is there, so the name may be that of an outer hello."""
        return ENCRYPTED_CLIENT_HELLO in self.extensions

    @property
    def tls_version(self) -> int:
        """The highest version offered, GREASE aside."""
        return max((v for v in self.supported_versions if not is_grease(v)), default=self.legacy_version)


class ServerHello(NamedTuple):
    """A ServerHello or HelloRetryRequest; ``group`` is -1 and ``alpn`` None where not visible."""

    length: int
    missing: int
    flaw: HelloFlaw
    tls_version: int
    cipher_suite: int
    group: int
    alpn: bytes | None
    extensions: tuple[int, ...]
    is_hello_retry_request: bool


def is_grease(value: int) -> bool:
    """Whether a cipher suite, extension, group or version is reserved to keep peers tolerant (RFC 8701 §2)."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def read_client_hello(stream: bytes) -> ClientHello | None:
    """The ClientHello that a handshake stream begins with; None if it begins with something else, or with less than 4
    bytes."""
    body = client_hello_bytes(stream)
    if not body:
        return None
    end = 4 + int.from_bytes(body[1:4], "big")
    missing = end - len(body)
    at, session_id = _vector(body, 38, 1)
    at, ciphers = _vector(body, at, 2)
    at, _ = _vector(body, at, 1)
    extensions, kept, whole = _extensions(body, at)
    flaw = HelloFlaw.INCOMPLETE if missing else HelloFlaw.NONE if whole else HelloFlaw.MALFORMED
    get = kept.get
    parameters = get(QUIC_TRANSPORT_PARAMETERS, get(QUIC_TRANSPORT_PARAMETERS_DRAFT))
    return _new(
        ClientHello,
        (
            end,
            missing,
            flaw,
            int.from_bytes(body[4:6], "big"),
            body[6:38],
            session_id,
            _numbers(ciphers),
            extensions,
            _server_name(get(SERVER_NAME, b"")),
            _names(get(ALPN, b"")),
            _list_of_numbers(get(SUPPORTED_VERSIONS, b""), 1),
            _list_of_numbers(get(SIGNATURE_ALGORITHMS, b""), 2),
            parameters,
        ),
    )


def client_hello_bytes(stream: bytes) -> bytes:
    """The bytes of the ClientHello that a handshake stream begins with, as far as they are there; else b""."""
    if len(stream) < 4 or stream[0] != CLIENT_HELLO:
        return b""
    return stream[: 4 + int.from_bytes(stream[1:4], "big")]


def is_whole(message: bytes) -> bool:
    """Whether a handshake message that begins here is here to its end."""
    return len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big")


#: A server name, "" for none, and application protocols.
Names = tuple[str, tuple[bytes, ...]]


def offered_names(hello: bytes) -> Names:
    """Those of a ClientHello, as ``read_client_hello`` finds them: the one thing that is asked of all."""
    at, _ = _vector(hello, 38, 1)
    at, _ = _vector(hello, at, 2)
    at, _ = _vector(hello, at, 1)
    kept: dict[int, bytes] = {}
    end = len(hello)
    at = at + 2 if at >= 0 else end
    while at + 4 <= end:
        kind, length = _TYPE_AND_LENGTH(hello, at)
        behind = at + 4 + length
        if behind > end:
            break
        if (kind == SERVER_NAME or kind == ALPN) and kind not in kept:
            kept[kind] = hello[at + 4 : behind]
            if len(kept) == 2:
                break
        at = behind
    return names_of(kept.get(SERVER_NAME, b""), kept.get(ALPN, b""))


def names_of(server_name: bytes, protocols: bytes) -> Names:
    """Server name and application protocols out of the bodies of their extensions, b"" where one is not there."""
    return _server_name(server_name), _names(protocols)


def read_server_hello(stream: bytes) -> ServerHello | None:
    """The ServerHello that a handshake stream begins with; None if it begins with something else, or is cut before
    its cipher suite."""
    body = server_hello_bytes(stream)
    if not body:
        return None
    end = 4 + int.from_bytes(body[1:4], "big")
    at, _ = _vector(body, 38, 1)
    extensions, kept, whole = _extensions(body, at + 3)
    missing = end - len(body)
    share = kept.get(KEY_SHARE, b"")
    names = _names(kept.get(ALPN, b""))
    return ServerHello(
        length=end,
        missing=missing,
        flaw=HelloFlaw.INCOMPLETE if missing else HelloFlaw.NONE if whole else HelloFlaw.MALFORMED,
        tls_version=int.from_bytes(kept.get(SUPPORTED_VERSIONS) or body[4:6], "big"),
        cipher_suite=int.from_bytes(body[at : at + 2], "big"),
        group=int.from_bytes(share[:2], "big") if len(share) >= 2 else -1,
        alpn=names[0] if names else None,
        extensions=extensions,
        is_hello_retry_request=body[6:38] == HELLO_RETRY_RANDOM,
    )


def server_hello_bytes(stream: bytes) -> bytes:
    """The bytes of the ServerHello that ``read_server_hello`` reads, as far as they are there; b"" if there is none."""
    if len(stream) < 4 or stream[0] != SERVER_HELLO:
        return b""
    body = stream[: 4 + int.from_bytes(stream[1:4], "big")]
    at, _ = _vector(body, 38, 1)
    return body if 0 <= at <= len(body) - 2 else b""


def _vector(b: bytes, at: int, size: int) -> tuple[int, bytes]:
    """Offset behind a vector with a length field of ``size`` bytes, and its content; (-1, b"") if it does not fit.

    An offset of -1 passes through, so that the readers behind a vector that is cut find nothing.
    """
    first = at + size
    if at < 0 or first > len(b):
        return -1, b""
    behind = first + int.from_bytes(b[at:first], "big")
    if behind > len(b):
        return -1, b""
    return behind, b[first:behind]


def _extensions(b: bytes, at: int) -> tuple[tuple[int, ...], dict[int, bytes], bool]:
    """Types in order, bodies of those that are read (the first of a repeated one), and whether the last ended where the
    hello does."""
    types: list[int] = []
    kept: dict[int, bytes] = {}
    end = len(b)
    if at < 0 or at > end:
        return (), kept, False
    if at == end:  # RFC 5246 §7.4.1.2: a hello without the extensions field is valid
        return (), kept, True
    length_field = int.from_bytes(b[at : at + 2], "big")
    at += 2
    whole = at + length_field == end
    while at + 4 <= end:
        kind, length = _TYPE_AND_LENGTH(b, at)
        behind = at + 4 + length
        types.append(kind)
        if behind > end:
            break
        if kind in _READ and kind not in kept:
            kept[kind] = b[at + 4 : behind]
        at = behind
    return tuple(types), kept, whole and at == end


# A capture holds many hellos of few stacks and to few names: lists and names are read, and kept, once for each.
@functools.lru_cache(maxsize=256)
def _numbers(b: bytes) -> tuple[int, ...]:
    """16-bit numbers; an odd last byte is left out."""
    count = len(b) // 2
    return struct.unpack_from(f">{count}H", b)


@functools.lru_cache(maxsize=256)
def _list_of_numbers(b: bytes, size: int) -> tuple[int, ...]:
    """The 16-bit numbers of a vector with a length field of ``size`` bytes."""
    return _numbers(_vector(b, 0, size)[1])


@functools.lru_cache(maxsize=256)
def _names(b: bytes) -> tuple[bytes, ...]:
    """The names of an ALPN extension (RFC 7301 §3.1), up to the first that does not fit."""
    _, names = _vector(b, 0, 2)
    found = []
    at = 0
    while at < len(names):
        at, name = _vector(names, at, 1)
        if at < 0:
            break
        found.append(name)
    return tuple(found)


@functools.lru_cache(maxsize=256)
def _server_name(b: bytes) -> str:
    """The host_name of a server_name extension (RFC 6066 §3); bytes that are not ASCII are written as \\x escapes."""
    _, names = _vector(b, 0, 2)
    if names[:1] != b"\0":
        return ""
    return _vector(names, 1, 2)[1].decode("ascii", "backslashreplace")
