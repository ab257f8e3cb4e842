"""TLS as an observer sees it in a byte stream: records, alerts in clear, handshake messages (RFC 8446 §4, §5.1, §6).

    record     | type (8) | legacy version (16) | length (16) | fragment |
               type: change_cipher_spec 20, alert 21, handshake 22, application_data 23
    handshake  | type (8) | length (24) | body |      may span records; a QUIC crypto stream carries it bare

Not read here: what is protected, and the content of messages (``tls_hello``).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION = 23
HEARTBEAT = 24

CLIENT_HELLO = 1
SERVER_HELLO = 2
ENCRYPTED_EXTENSIONS = 8
CERTIFICATE = 11
CERTIFICATE_STATUS = 22

RECORD_HEADER = 5  # bytes

_HANDSHAKE_BYTE = bytes((HANDSHAKE,))

#: Level of an alert (RFC 8446 §6).
FATAL = 2

#: RFC 5246 §6.2.3: a protected record is at most 2^14 + 2048 bytes long (RFC 8446 §5.2 allows less).
MAX_FRAGMENT = (1 << 14) + 2048


class RecordFlaw(IntEnum):
    """Why the reading of records stopped."""

    NONE = 0
    NOT_TLS = 1  # the bytes at ``read`` begin no TLS record


class Alert(NamedTuple):
    """An alert in clear (RFC 8446 §6); level and description are -1 if it is protected."""

    level: int
    description: int


class Records(NamedTuple):
    """What a stream of TLS records shows.

    ``handshake`` joins the fragments of handshake records that are in clear, the last of them perhaps cut.
    ``application_bytes`` counts protected bytes; ``missing`` is how many bytes the last record still lacks
    (0 at a record's end, -1 if even its length is not there); ``read`` the offset behind the last whole record.
    """

    handshake: bytes
    alerts: tuple[Alert, ...]
    has_change_cipher_spec: bool
    application_bytes: int
    read: int
    missing: int
    flaw: RecordFlaw


class RecordHeader(NamedTuple):
    """One record: b[start:start + 5] is its header, ``length`` that of its fragment, ``missing`` what lacks of it."""

    kind: int
    start: int
    length: int
    missing: int

    @property
    def end(self) -> int:
        return self.start + 5 + self.length


class Message(NamedTuple):
    """One handshake message: b[start:start + 4] is its header, ``length`` that of its body, ``missing`` what lacks."""

    kind: int
    start: int
    length: int
    missing: int


def is_record(b: bytes, at: int = 0) -> bool:
    """Whether a TLS record header can begin at ``at``, as far as its five bytes are there."""
    head = b[at : at + 5]
    if not head or not CHANGE_CIPHER_SPEC <= head[0] <= HEARTBEAT:
        return False
    if len(head) > 1 and head[1] != 3:
        return False
    if len(head) > 2 and head[2] > 4:
        return False
    return len(head) < 5 or int.from_bytes(head[3:5], "big") <= MAX_FRAGMENT


def read_records(stream: bytes) -> Records:
    """Read the TLS records of one direction of a TCP connection, from its first byte on."""
    handshake: list[bytes] = []
    alerts: list[Alert] = []
    has_change_cipher_spec = False
    application = at = missing = 0
    flaw = RecordFlaw.NONE
    while at < len(stream):
        if not is_record(stream, at):
            flaw = RecordFlaw.NOT_TLS
            break
        kind, length = stream[at], int.from_bytes(stream[at + 3 : at + 5], "big")
        fragment = stream[at + 5 : at + 5 + length]
        missing = length - len(fragment) if len(stream) - at >= 5 else -1
        if kind == HANDSHAKE and (not has_change_cipher_spec or is_clear_hello(fragment, length)):
            handshake.append(fragment)
        elif kind in (APPLICATION, HANDSHAKE):
            application += len(fragment)
        elif kind == CHANGE_CIPHER_SPEC:
            has_change_cipher_spec = True
        if missing:
            break
        if kind == ALERT:
            alerts.append(Alert(*fragment) if length == 2 else Alert(-1, -1))
        at += 5 + length
    return Records(b"".join(handshake), tuple(alerts), has_change_cipher_spec, application, at, missing, flaw)


def whole_message(stream: bytes) -> bytes:
    """The fragment of a stream's first record, if that is of handshake and the first message is whole in it; or b""."""
    if stream[:1] == _HANDSHAKE_BYTE and is_record(stream):
        fragment = stream[5 : 5 + int.from_bytes(stream[3:5], "big")]
        if len(fragment) >= 4 + int.from_bytes(fragment[1:4], "big"):
            return fragment
    return b""


def record_headers(stream: bytes) -> list[RecordHeader]:
    """The records of a stream, up to the first whose header is not there whole or is none."""
    headers = []
    at = 0
    while at + 5 <= len(stream) and is_record(stream, at):
        length = int.from_bytes(stream[at + 3 : at + 5], "big")
        headers.append(RecordHeader(stream[at], at, length, max(0, at + 5 + length - len(stream))))
        at += 5 + length
    return headers


def is_clear_hello(fragment: bytes, length: int) -> bool:
    """Whether a handshake record behind change_cipher_spec is a hello in clear, as after a HelloRetryRequest.

    RFC 8446 §D.4: in compatibility mode change_cipher_spec protects nothing; in TLS 1.2 all behind it is protected.
    """
    if len(fragment) < 4 or fragment[0] not in (CLIENT_HELLO, SERVER_HELLO):
        return False
    return int.from_bytes(fragment[1:4], "big") == length - 4


def handshake_messages(stream: bytes) -> list[Message]:
    """The handshake messages of a stream; the last one may be cut, and a header of fewer than 4 bytes is left out."""
    messages = []
    at = 0
    while at + 4 <= len(stream):
        length = int.from_bytes(stream[at + 1 : at + 4], "big")
        messages.append(Message(stream[at], at, length, max(0, at + 4 + length - len(stream))))
        at += 4 + length
    return messages
