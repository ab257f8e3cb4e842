"""Writes a pcapng file: a section header, interfaces where their first record needs them, and a comment on each record.

    section header 0x0A0D0D0A   byte-order magic:4 major:2 minor:2 section length:8 options
    interface      0x00000001   link type:2 reserved:2 snaplen:4 options
    packet         0x00000006   interface:4 time:8 (high, low) captured:4 original:4 bytes options

draft-ietf-opsawg-pcapng §4.1-4.3, little endian, times in nanoseconds. Never written: names, statistics, secrets (key
logs). A record without a time is written with time 0, since a block that holds none can hold no comment either.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import BinaryIO, NamedTuple

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D
UNKNOWN_LENGTH = 0xFFFFFFFFFFFFFFFF

# Options: of all blocks, of sections, of interfaces.
END_OF_OPTIONS, COMMENT = 0, 1
APPLICATION = 4
INTERFACE_NAME, INTERFACE_DESCRIPTION, RESOLUTION = 2, 3, 9
NANOSECONDS = b"\x09"

LONGEST_OPTION = 0xFFFF


class NewInterface(NamedTuple):
    """An interface as it is written; ``snaplen`` in bytes, 0 for unlimited."""

    link_type: int
    snaplen: int
    name: str = ""
    description: str = ""


class NewRecord(NamedTuple):
    """A record as it is written; ``time`` in ns since the epoch, -1 for none."""

    interface: NewInterface
    time: int
    original_length: int
    captured: bytes
    comment: str = ""


class PcapngWriter:
    """Writes one section to a binary file; its header is written when the writer is made."""

    def __init__(self, file: BinaryIO, *, application: str, comments: Sequence[str] = ()) -> None:
        self._file = file
        self._numbers: dict[NewInterface, int] = {}
        options = [*((COMMENT, _octets(comment)) for comment in comments), (APPLICATION, _octets(application))]
        self._block(SECTION, struct.pack("<IHHQ", BYTE_ORDER_MAGIC, 1, 0, UNKNOWN_LENGTH) + _options(options))

    def write(self, record: NewRecord) -> None:
        """Write a record, and before it its interface where that is new."""
        number = self._number(record.interface)
        time = max(record.time, 0)
        captured = record.captured
        head = struct.pack(
            "<IIIII", number, time >> 32, time & 0xFFFFFFFF, len(captured), max(record.original_length, len(captured))
        )
        comment = [(COMMENT, _octets(record.comment))] if record.comment else []
        self._block(PACKET, head + _padded(captured) + _options(comment))

    def _number(self, interface: NewInterface) -> int:
        number = self._numbers.get(interface)
        if number is None:
            number = self._numbers[interface] = len(self._numbers)
            named = [(INTERFACE_NAME, interface.name), (INTERFACE_DESCRIPTION, interface.description)]
            options = [(code, _octets(text)) for code, text in named if text]
            head = struct.pack("<HHI", interface.link_type, 0, interface.snaplen)
            self._block(INTERFACE, head + _options([*options, (RESOLUTION, NANOSECONDS)]))
        return number

    def _block(self, kind: int, body: bytes) -> None:
        length = struct.pack("<I", len(body) + 12)
        self._file.write(struct.pack("<I", kind) + length + body + length)


def _octets(text: str) -> bytes:
    """UTF-8 of at most ``LONGEST_OPTION`` bytes, cut between characters; what UTF-8 cannot hold is spelled out."""
    octets = text.encode("utf-8", "backslashreplace")
    return octets[:LONGEST_OPTION].decode("utf-8", "ignore").encode()


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    written = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options]
    return b"".join([*written, struct.pack("<HH", END_OF_OPTIONS, 0)]) if written else b""


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
