"""TCP streams for a copy: hellos and alerts of TLS, heads of HTTP and DNS messages, with other names; the rest is cut.

How it works: ``learn`` is called for every segment before any is written and puts each direction of a connection
together, so that what is said twice is replaced by the same, however it is cut into segments. A SYN with a new sequence
number begins another connection. ``write`` gives the part of a segment up to the first byte that may not be shown.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.anonymize.packets.dns import edit_message
from analyzer.anonymize.packets.edit import Edit, Maps
from analyzer.anonymize.packets.hellos import edit_handshake
from analyzer.anonymize.packets.http import edit_heads, is_head
from analyzer.anonymize.packets.quic import Path, Written
from analyzer.wire.dns import PORT as DNS_PORT
from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.tls import ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, is_clear_hello, is_record

SYN, ACK = 0x02, 0x10
_SPACE = 1 << 32
#: (start, end) of bytes that may be shown, in order and without overlap.
Spans = list[tuple[int, int]]


class _Stream:
    """One direction of a connection, from the sequence number of its first byte."""

    def __init__(self, first: int, maps: Maps, *, is_dns: bool) -> None:
        self.first = first
        self.pieces = CryptoStream()
        self._maps = maps
        self._is_dns = is_dns
        self._copy = b""
        self._shown: Spans | None = None

    def written(self, offset: int, length: int) -> Written:
        """What is written of ``length`` bytes at an offset."""
        if self._shown is None:
            self._copy, self._shown = _edited(self.pieces.prefix(), self._maps, is_dns=self._is_dns)
        end = offset
        for start, behind in self._shown:
            if start <= end < behind:
                end = behind
        end = min(end, offset + length)
        return Written(self._copy[offset:end], end == offset + length)


class Segment(NamedTuple):
    """The payload of a segment to be written: its stream, where it lies in it, and its length."""

    stream: _Stream
    offset: int
    length: int


class TcpCopies:
    """All TCP segments of a copy."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._streams: dict[Path, _Stream] = {}

    def learn(self, payload: bytes, sequence: int, flags: int, path: Path) -> Segment:
        """Take the captured payload of a segment."""
        first = (sequence + 1) % _SPACE if flags & SYN else sequence
        stream = self._streams.get(path)
        if stream is None or (flags & SYN and stream.first != first):
            ports = int.from_bytes(path[0][-2:], "big"), int.from_bytes(path[1][-2:], "big")
            stream = self._streams[path] = _Stream(first, self._maps, is_dns=DNS_PORT in ports)
        offset = (first - stream.first) % _SPACE
        if offset < _SPACE // 2:
            stream.pieces.add(offset, payload)
        return Segment(stream, offset, len(payload))

    def write(self, segment: Segment) -> Written:
        """The payload that takes the segment's place."""
        return segment.stream.written(segment.offset, segment.length)


def _edited(stream: bytes, maps: Maps, *, is_dns: bool) -> tuple[bytes, Spans]:
    """The copy of a stream, and what of it may be shown; nothing of protocols that are not known here."""
    if is_record(stream) and stream:
        return _tls(stream, maps)
    if is_head(stream):
        return edit_heads(stream, maps)
    if is_dns:
        return _dns(stream, maps)
    return stream, []


def _dns(stream: bytes, maps: Maps) -> tuple[bytes, Spans]:
    """RFC 1035 §4.2.2: each message behind its length in 16 bits."""
    edit = Edit(stream, maps)
    at = 0
    while at < len(stream):
        start, end = edit.vector(at, 2)
        edit.put(start, edit_message(stream[start:end], maps))
        at = max(end, at + 1)
    return bytes(edit.copy), [(0, len(stream))]


def _tls(stream: bytes, maps: Maps) -> tuple[bytes, Spans]:
    """RFC 8446 §5.1: headers of records, hellos, change_cipher_spec and alerts in clear."""
    copy, shown = bytearray(stream), []
    fragments: Spans = []
    protected = at = 0
    while at < len(stream) and is_record(stream, at):
        kind, start = stream[at], min(at + 5, len(stream))
        length = int.from_bytes(stream[at + 3 : start], "big") if start - at == 5 else 0
        end = min(start + length, len(stream))
        shown.append((at, start))
        if kind == HANDSHAKE and (not protected or is_clear_hello(stream[start:end], length)):
            fragments.append((start, end))
        elif kind == CHANGE_CIPHER_SPEC and length == 1:
            shown.append((start, end))
            protected = 1
        elif kind == ALERT and length == 2:
            shown.append((start, end))
        at = max(end, at + 1)
    joined, count = edit_handshake(b"".join(stream[start:end] for start, end in fragments), maps)
    place = 0
    for start, end in fragments:
        copy[start:end] = joined[place : place + end - start]
        shown.append((start, min(end, start + max(0, count - place))))
        place += end - start
    return bytes(copy), sorted(span for span in shown if span[0] < span[1])
