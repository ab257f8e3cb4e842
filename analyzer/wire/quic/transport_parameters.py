"""QUIC transport parameters (RFC 9000 §18; version_information: RFC 9368 §3).

    | ID (varint) | length (varint) | value |    any number of times, in any order, each at most once

Not read here: whether a value is allowed.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.wire.quic.header import read_varint

MAX_IDLE_TIMEOUT = 0x01
STATELESS_RESET_TOKEN = 0x02
INITIAL_SCID = 0x0F
VERSION_INFORMATION = 0x11


class TransportParameters(NamedTuple):
    """``values`` by ID in wire order, the first of a repeated one; ``is_whole``: every length fits."""

    values: dict[int, bytes]
    is_whole: bool

    def integer(self, number: int) -> int:
        """The value of a parameter that is one varint; -1 if it is absent or something else."""
        body = self.values.get(number, b"")
        value, behind = read_varint(body, 0)
        return value if behind == len(body) else -1

    def versions(self) -> tuple[int, tuple[int, ...]]:
        """The chosen version and the available ones (RFC 9368 §3); (-1, ()) without version_information."""
        body = self.values.get(VERSION_INFORMATION) or self.values.get(0xFF73DB) or b""
        numbers = [int.from_bytes(body[i : i + 4], "big") for i in range(0, len(body) - 3, 4)]
        return (numbers[0], tuple(numbers[1:])) if numbers else (-1, ())


def read_transport_parameters(b: bytes) -> TransportParameters:
    """The body of a quic_transport_parameters extension, up to the first parameter that does not fit."""
    values: dict[int, bytes] = {}
    at = 0
    while at < len(b):
        number, behind = read_varint(b, at)
        length, behind = read_varint(b, behind)
        if number < 0 or length < 0 or behind + length > len(b):
            return TransportParameters(values, False)
        at = behind + length
        values.setdefault(number, b[behind:at])
    return TransportParameters(values, True)
