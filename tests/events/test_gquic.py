"""gQUIC connections: who asks whom for which name in which version, and what came back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.analysis import Analysis, analyse
from analyzer.events.gquic import LEAST_CHLO
from analyzer.wire.quic.frames import Crypto, FrameFlaw, OtherFrame, Padding
from analyzer.wire.quic.gquic import initial_frames, read_gquic_frames
from analyzer.wire.quic.protection import initial_keys
from analyzer.wire.quic.seal import InitialHeader, seal_initial
from tests.crafted import MS, SECOND, START, Captured, ip, udp, write_pcap

CLIENT, SERVER = "192.0.2.10", "192.0.2.80"
CID = bytes.fromhex("0102030405060708")
Q050 = 0x51303530


def chlo(name: bytes = b"www.example.org") -> bytes:
    tags = {b"PAD\0": b"-" * LEAST_CHLO, b"SNI\0": name, b"VER\0": b"Q043", b"ALPN": b"h1q"}
    entries, values = b"", b""
    for tag, value in tags.items():
        values += value
        entries += tag + len(values).to_bytes(4, "little")
    return b"CHLO" + len(tags).to_bytes(2, "little") + bytes(2) + entries + values


def first_packet(version: bytes = b"Q043", cid: bytes = CID, number: int = 1) -> bytes:
    """Flags (version, CID, packet number of one byte), hash of 12 bytes, STREAM frame of stream 1."""
    hello = chlo()
    stream = b"\xa0\x01" + len(hello).to_bytes(2, "big") + hello
    return (b"\x09" + cid + version + bytes([number]) + bytes(12) + stream).ljust(1350, b"\0")


REPLY = b"\x08" + CID + b"\x01" + bytes(200)  # CID, packet number; its content is not read
GOING_ON = b"\x08" + CID + b"\x02" + bytes(60)
PUBLIC_RESET = b"\x0a" + CID + b"PRST\x02\0\0\0" + bytes(30)
VERSIONS = b"\x09" + CID + b"Q046Q050"


def analysed(path: Path, steps: Sequence[tuple[int, bool, bytes]]) -> Analysis:
    """A capture of (ms, whether the client sends, payload), and of other packets both ways for ten seconds."""
    captured = []
    for ms, is_client, payload in steps:
        ends, ports = ((CLIENT, SERVER), (50000, 443)) if is_client else ((SERVER, CLIENT), (443, 50000))
        captured.append(Captured(ip(*ends, 17, udp(ports, payload), ident=len(captured) + 1), START + ms * MS))
    for second in range(11):
        echo = bytes([8 * (1 - second % 2), 0, 0, 0]) + second.to_bytes(4, "big")
        ends = (SERVER, CLIENT) if second % 2 else (CLIENT, SERVER)
        captured.append(Captured(ip(*ends, 1, echo, ident=500 + second), START + second * SECOND))
    return analyse([str(write_pcap(path / "gquic.pcap", sorted(captured, key=lambda one: one.time)))])


def row_of(analysis: Analysis, *names: str) -> list[tuple[object, ...]]:
    return list(zip(*(analysis.connections[name].tolist() for name in names), strict=True))


def alarms(analysis: Analysis) -> set[str]:
    return {f["pattern"] for f in analysis.document["findings"] if f["severity"] != "info"}


WHO = ("transport", "client_address", "server_port", "quic_version", "sni", "alpn", "client_dcid", "roles_from")


@pytest.mark.parametrize("version", [b"Q039", b"Q043"])
def test_an_answered_connection(tmp_path: Path, version: bytes) -> None:
    steps = [(0, True, first_packet(version)), (30, False, REPLY), (40, True, GOING_ON), (60, False, REPLY + b"!")]
    analysis = analysed(tmp_path, steps)
    number = f"0x{version.hex()}"
    assert row_of(analysis, *WHO) == [("quic", CLIENT, 443, number, "www.example.org", "h1q", CID.hex(), "initial")]
    assert row_of(analysis, "outcome", "state", "client_packets", "server_packets") == [
        ("answered", "established", 2, 2)
    ]
    assert alarms(analysis) == set()


def test_silence_and_refusals(tmp_path: Path) -> None:
    asked = [(ms, True, first_packet(number=n)) for n, ms in enumerate((0, 300, 900), start=1)]
    silent = analysed(tmp_path, asked)
    assert row_of(silent, "outcome", "sni", "repeats") == [("silent", "www.example.org", 2)]
    assert alarms(silent) <= {"quic-initial-no-reply", "quic-version-mismatch"}
    reset = analysed(tmp_path, [*asked[:1], (30, False, PUBLIC_RESET)])
    assert row_of(reset, "outcome", "close_reason") == [("refused", "public reset")]
    listed = analysed(tmp_path, [*asked[:1], (30, False, VERSIONS)])
    assert row_of(listed, "outcome", "outcome_reason") == [("refused", "version-negotiation")]
    goes_on = [*asked[:1], (30, False, VERSIONS), (40, True, first_packet(b"Q039", number=2)), (70, False, REPLY)]
    assert row_of(analysed(tmp_path, goes_on), "outcome", "quic_version") == [("answered", "0x51303433")]


def test_two_connections_of_one_socket(tmp_path: Path) -> None:
    steps = [
        (0, True, first_packet()),
        (30, False, REPLY),
        (900, True, first_packet(cid=CID[::-1])),
        (930, False, REPLY),
    ]
    rows = row_of(analysed(tmp_path, steps), "client_dcid", "server_packets")
    assert rows == [(CID.hex(), 1), (CID[::-1].hex(), 1)]


def test_q046_says_its_name_in_clear(tmp_path: Path) -> None:
    payload = b"\xc3Q046\x50" + CID + b"\0\0\0\x01" + bytes(12) + b"\xa0\x01\0\xff" + chlo() + bytes(200)
    rows = row_of(analysed(tmp_path, [(0, True, payload)]), "quic_version", "sni", "client_dcid", "outcome")
    assert rows == [("0x51303436", "www.example.org", CID.hex(), "silent")]


def test_q050_opens_with_its_initial_keys(tmp_path: Path) -> None:
    keys = initial_keys(Q050, CID)
    assert keys is not None
    hello = chlo()
    clear = b"\x08\0" + (0x4000 | len(hello)).to_bytes(2, "big") + hello + bytes(80)
    asked = seal_initial(InitialHeader(Q050, CID, b""), clear, keys.client)
    reply = seal_initial(InitialHeader(Q050, b"", CID), b"\x40\x01\0\0\x01\0\x08\0\x08REJ\0\x01\0\0\0", keys.server)
    silent = analysed(tmp_path, [(0, True, asked + bytes(60)), (400, True, asked + bytes(60))])
    assert row_of(silent, "quic_version", "sni", "outcome") == [("0x51303530", "www.example.org", "silent")]
    answered = analysed(tmp_path, [(0, True, asked + bytes(60)), (30, False, reply)])
    assert row_of(answered, "sni", "outcome") == [("www.example.org", "answered")]
    assert "quic-initial-acked-only" not in alarms(answered)


@pytest.mark.parametrize(
    "payload",
    [
        first_packet()[: LEAST_CHLO - 1],  # too small for a CHLO
        b"\x08" + first_packet()[1:],  # no version flag
        b"\x09" + CID + b"QABC" + bytes(1200),
        bytes(1300),
    ],
)
def test_what_is_no_gquic(tmp_path: Path, payload: bytes) -> None:
    assert row_of(analysed(tmp_path, [(0, True, payload), (30, False, REPLY)]), "transport") == [("udp",)]


def test_an_ack_frame_is_passed() -> None:
    crypto = b"\x08\0\x03abc"
    for ack in (
        b"\x40\x01\0\0\x01\0",  # one block, no timestamps
        b"\x40\x01\0\0\x01\1" + bytes(5),  # one timestamp
        b"\x40\x01\0\0\x01\3" + bytes(11),
        b"\x6a"
        + bytes(4)
        + b"\0\0"
        + b"\2"
        + bytes(4)
        + 2 * (b"\1" + bytes(4))
        + b"\0",  # 4-byte fields, two more blocks
    ):
        found = read_gquic_frames(ack + crypto + b"\0\0")
        assert found == ([OtherFrame(ack[0], len(ack)), Crypto(0, b"abc"), Padding(2)], FrameFlaw.NONE, len(ack) + 8)
        for n in range(1, len(ack)):
            assert read_gquic_frames(ack[:n]).flaw == FrameFlaw.CUT


def test_frames_of_each_version() -> None:
    assert initial_frames(Q050, b"\x08\0\1a").frames == [Crypto(0, b"a")]
    assert initial_frames(1, b"\x06\0\1a").frames == [Crypto(0, b"a")]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=30), st.integers(0, 1300)), max_size=6))
def test_anything_may_follow(tmp_path_factory: pytest.TempPathFactory, tails: list[tuple[bool, bytes, int]]) -> None:
    steps = [
        (n * 10, is_client, bytes([tail[0] & 0x7F]) + tail[1:] + bytes(size))  # a long header is no matter of this room
        for n, (is_client, tail, size) in enumerate(tails, start=1)
    ]
    analysis = analysed(tmp_path_factory.mktemp("any"), [(0, True, first_packet()), *steps])
    assert analysis.connections["sni"].tolist()[0] == "www.example.org"
