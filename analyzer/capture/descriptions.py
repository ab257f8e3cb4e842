"""The pcapng blocks that describe: sections, interfaces, names, statistics, secrets, and options.

Each is read from the bytes between its two block lengths (draft-ietf-opsawg-pcapng §4). What is too short or
contradicts itself is left out; nothing here raises. Text is kept without control characters.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

from analyzer.capture.records import CaptureFacts, Interface, clean_text

INTERFACE_DESCRIPTION = 1
NAME_RESOLUTION = 4
INTERFACE_STATISTICS = 5
DECRYPTION_SECRETS = 10

#: Bytes of the byte-order magic 0x1A2B3C4D -> byte order as struct writes it.
BYTE_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}

# Limit: what one file may say about itself is kept up to these numbers.
INTERFACES_LIMIT = 65_536
NAMES_LIMIT = 100_000
COMMENTS_LIMIT = 1_000
SECRETS_BYTES_LIMIT = 64 << 20
TEXT_LIMIT = 16 << 20  # characters of all names, descriptions and comments

_COMMENT = 1
_TLS_KEY_LOG = 0x544C534B
_END_OF_NAMES, _IPV4_NAMES, _IPV6_NAMES = 0, 1, 2
#: An offset that moves times by more seconds than this (30,000 years) is nonsense and clipped.
_OFFSET_LIMIT = 10**12


class Descriptions:
    """Fills the facts of a pcapng file, block by block."""

    def __init__(self, facts: CaptureFacts) -> None:
        self.facts = facts
        self.order = "<"
        self.first_interface = 0  # of the section, counted over the whole file
        self._names = 0
        self._secret_bytes = 0
        self._characters = 0

    def section(self, order: str, body: bytes) -> None:
        """A Section Header Block: what follows is in its byte order and counts interfaces anew."""
        facts = self.facts
        name = "little" if order == "<" else "big"
        facts.byte_order = name if facts.byte_order in ("", name) else "mixed"
        self.order = order
        self.first_interface = len(facts.interfaces)
        for code, value in options(body[16:], order):
            if code == _COMMENT:
                self.comment(self._text(value))
            elif code == 2:
                facts.hardware = facts.hardware or self._text(value)
            elif code == 3:
                facts.os = facts.os or self._text(value)
            elif code == 4:
                facts.application = facts.application or self._text(value)

    def other(self, kind: int, body: bytes) -> None:
        """Any other block that describes."""
        if kind == INTERFACE_DESCRIPTION:
            self._interface(body)
        elif kind == NAME_RESOLUTION:
            self._name_records(body)
        elif kind == INTERFACE_STATISTICS:
            self._statistics(body)
        elif kind == DECRYPTION_SECRETS:
            self._secrets(body)

    def comment(self, text: str) -> None:
        """Keep a comment, up to the limit."""
        if len(self.facts.comments) < COMMENTS_LIMIT:
            self.facts.comments.append(text)
        else:
            self._warn(f"more than {COMMENTS_LIMIT:,} comments: the rest was left out")

    def record_comments(self, number: int, option_bytes: bytes) -> None:
        """Keep the comments among the options of a record."""
        for code, value in options(option_bytes, self.order):
            if code == _COMMENT:
                self.comment(f"record {number}: {self._text(value)}")

    def _interface(self, body: bytes) -> None:
        facts = self.facts
        # A block without link type and snaplen still takes a number, or all later numbers would be wrong.
        link_type, _, snaplen = struct.unpack(self.order + "HHI", body[:8].ljust(8, b"\x00"))
        interface = Interface(link_type, snaplen)
        for code, value in options(body[8:], self.order):
            if code == _COMMENT:
                self.comment(f"interface {len(facts.interfaces)}: {self._text(value)}")
            elif code == 2:
                interface.name = self._text(value)
            elif code == 3:
                interface.description = self._text(value)
            elif code == 9 and value:
                interface.ticks_per_second = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif code == 11 and value[:1] == b"\x00":  # 0: the filter as text; others are compiled
                interface.filter = self._text(value[1:])
            elif code == 12:
                interface.os = self._text(value)
            elif code == 14 and len(value) >= 8:
                seconds: int = struct.unpack(self.order + "q", value[:8])[0]
                interface.offset_seconds = max(-_OFFSET_LIMIT, min(seconds, _OFFSET_LIMIT))
            elif code == 15:
                interface.hardware = self._text(value)
        facts.interfaces.append(interface)
        first = len(facts.interfaces) == 1
        facts.snaplen = snaplen if first else max(facts.snaplen, snaplen) if snaplen and facts.snaplen else 0

    def _name_records(self, body: bytes) -> None:
        at = 0
        while at + 4 <= len(body):
            kind, length = struct.unpack_from(self.order + "HH", body, at)
            value = body[at + 4 : at + 4 + length]
            at += 4 + length + (-length & 3)
            size = {_IPV4_NAMES: 4, _IPV6_NAMES: 16}.get(kind, 0)
            if kind == _END_OF_NAMES:
                return
            if not size or len(value) <= size:
                continue
            address = str(ipaddress.ip_address(value[:size]))
            for name in value[size:].split(b"\x00"):
                self._name(address, self._text(name))

    def _name(self, address: str, name: str) -> None:
        known = self.facts.names.get(address, [])
        if not name or name in known[:16]:
            return
        if self._names >= NAMES_LIMIT or len(known) >= 16:
            self._warn(f"more than {NAMES_LIMIT:,} names, or 16 of one address: the rest was left out")
            return
        self._names += 1
        self.facts.names.setdefault(address, []).append(name)

    def _statistics(self, body: bytes) -> None:
        if len(body) < 12:
            return
        index = self.first_interface + int(struct.unpack_from(self.order + "I", body)[0])
        if index >= len(self.facts.interfaces):
            return
        interface = self.facts.interfaces[index]
        counts = {code: _count(value, self.order) for code, value in options(body[12:], self.order)}
        interface.received = counts.get(4, interface.received)
        if 5 in counts or 7 in counts:
            interface.dropped = max(counts.get(5, 0), 0) + max(counts.get(7, 0), 0)

    def _secrets(self, body: bytes) -> None:
        if len(body) < 8:
            return
        kind, length = struct.unpack_from(self.order + "II", body)
        if kind != _TLS_KEY_LOG:
            return
        secret = body[8 : 8 + length]
        if self._secret_bytes + len(secret) > SECRETS_BYTES_LIMIT:
            self._warn(f"more than {SECRETS_BYTES_LIMIT:,} bytes of key logs: the rest was left out")
            return
        self._secret_bytes += len(secret)
        self.facts.secrets.append(secret)

    def _text(self, value: bytes) -> str:
        if self._characters > TEXT_LIMIT:
            self._warn(f"more than {TEXT_LIMIT:,} characters of names and comments: the rest was left out")
            return ""
        text = clean_text(value[:4096].rstrip(b"\x00").decode("utf-8", "replace"))
        self._characters += len(text)
        return text

    def _warn(self, text: str) -> None:
        sentence = f"{self.facts.name}: {text}"
        if sentence not in self.facts.warnings:
            self.facts.warnings.append(sentence)


def options(body: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Code and value of each option up to the end mark; one that is cut ends them."""
    at = 0
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        if code == 0 or at + 4 + length > len(body):
            return
        yield code, body[at + 4 : at + 4 + length]
        at += 4 + length + (-length & 3)


def _count(value: bytes, order: str) -> int:
    """A packet counter of 64 bits; -1 for another length."""
    return int(struct.unpack(order + "Q", value)[0]) if len(value) == 8 else -1
