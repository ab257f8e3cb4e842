"""The version registry."""

from __future__ import annotations

import pytest

from analyzer.wire.quic.split import HANDSHAKE, INITIAL, RETRY, ZERO_RTT
from analyzer.wire.quic.versions import version_of


@pytest.mark.parametrize(
    ("number", "name", "salt"),
    [
        (0x00000001, "1", "38762cf7"),
        (0x6B3343CF, "2", "0dede3de"),
        (0xFF000022, "draft-34", "38762cf7"),
        (0xFF000021, "draft-33", "38762cf7"),
        (0xFF000020, "draft-32", "afbfec28"),
        (0xFF00001D, "draft-29", "afbfec28"),
        (0xFF00001C, "draft-28", "c3eef712"),
        (0xFF000017, "draft-23", "c3eef712"),
        (0xFF000016, "draft-22", "7fbcdb0e"),
        (0xFF000015, "0xff000015", ""),
        (0xFACEB002, "mvfst 0xfaceb002", "c3eef712"),
        (0x51303530, "Q050", "504574ef"),
        (0x51303436, "Q046", ""),
        (0x51303433, "Q043", ""),
        (0x51303A3A, "0x51303a3a", ""),
        (0x1A2A3A4A, "reserved 0x1a2a3a4a", ""),
        (0, "Version Negotiation", ""),
    ],
)
def test_names_and_salts(number: int, name: str, salt: str) -> None:
    version = version_of(number)
    assert (version.number, version.name, version.salt.hex()[:8]) == (number, name, salt)
    assert len(version.salt) in (0, 20)
    assert len(version.retry_key) in (0, 16)
    assert len(version.retry_nonce) in (0, 12)


def test_packet_types() -> None:
    assert version_of(1).packet_types == (INITIAL, ZERO_RTT, HANDSHAKE, RETRY)
    v2 = version_of(0x6B3343CF)
    # RFC 9369 §3.2: Initial 0b01, 0-RTT 0b10, Handshake 0b11, Retry 0b00
    assert [v2.packet_types.index(kind) for kind in (INITIAL, ZERO_RTT, HANDSHAKE, RETRY)] == [1, 2, 3, 0]


def test_what_is_known_and_what_is_reserved() -> None:
    assert [(version_of(n).is_known, version_of(n).is_reserved) for n in (1, 0, 0x0A0A0A0A, 0xFAFAFAFA, 7)] == [
        (True, False),
        (True, False),
        (False, True),
        (False, True),
        (False, False),
    ]
