"""A direction that the capture cannot show: no silence is said of replies that would not be seen."""

from __future__ import annotations

from pathlib import Path

from analyzer.analysis import analyse
from tests.crafted import SECOND, START, Captured, ip, tcp, udp, write_pcap

CLIENT, RESOLVER, OTHER, WEB = "192.0.2.10", "192.0.2.1", "192.0.2.44", "198.51.100.7"
QUESTION = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x07example\x03com\0\0\1\0\1"


def outcome_of_the_question(folder: Path, *others: bytes) -> list[str]:
    """Of a question of CLIENT to RESOLVER, which is seen talking to OTHER, in a capture of some seconds."""
    packets = [
        ip(CLIENT, RESOLVER, 17, udp((40000, 53), QUESTION)),
        ip(RESOLVER, OTHER, 1, b"\x00\0\0\0\0\1\0\1"),
        *others,
        *(ip(OTHER, RESOLVER, 1, b"\x08\0\0\0\0\1\0" + bytes([n])) for n in range(2, 8)),
    ]
    captured = [Captured(raw, START + n * SECOND) for n, raw in enumerate(packets)]
    exchanges = analyse([str(write_pcap(folder / "one.pcap", captured))]).exchanges
    return [
        o for o, kind in zip(exchanges["outcome"].tolist(), exchanges["kind"].tolist(), strict=True) if kind == "dns"
    ]


def acknowledgment(number: int) -> bytes:
    return ip(CLIENT, WEB, 6, tcp((50000, 443), 16, seq=1, ack=number), ident=number)


def test_a_client_that_acknowledges_what_is_not_seen(tmp_path: Path) -> None:
    assert outcome_of_the_question(tmp_path) == ["silent"]
    assert outcome_of_the_question(tmp_path, acknowledgment(1000), acknowledgment(2000)) == ["undetermined"]


def test_what_proves_nothing(tmp_path: Path) -> None:
    assert outcome_of_the_question(tmp_path, acknowledgment(1000), acknowledgment(1000)) == ["silent"]
    heard = ip(WEB, CLIENT, 6, tcp((443, 50000), 16, b"data", seq=1000, ack=1))
    assert outcome_of_the_question(tmp_path, acknowledgment(1000), heard, acknowledgment(1004)) == ["silent"]
