"""A small workload, read back: exact counts, right checksums, and connections that are whole and nobody else's."""

from __future__ import annotations

import struct
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.conversations import ACK, RST, SYN, TCP, UDP, Conversation, read_conversations, tcp_header_bytes
from benchmarks.recipes import Recipe, crypto_frames, recipe_of, retell
from benchmarks.templates import SOURCES, read_templates
from benchmarks.traffic import Traffic, Workload
from benchmarks.workloads import FLOOD, MIX, make_workload

SMALL = Workload("small", 4_000, 40, unanswered=0.25, quic=0.6, bulk=0.6, lasts_s=2, transfer_s=(0.1, 0.5))


@pytest.fixture(scope="module")
def filename(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small workload is."""
    return tmp_path_factory.mktemp("workload") / "small.pcap"


@pytest.fixture(scope="module")
def traffic(filename: Path) -> Traffic:
    """The small workload as columns."""
    return make_workload(SMALL, filename)


@pytest.fixture(scope="module")
def conversations(traffic: Traffic, filename: Path) -> list[Conversation]:
    """The small workload read back."""
    return read_conversations(filename)


@pytest.fixture(scope="module")
def recipes(conversations: list[Conversation]) -> list[Recipe]:
    """Its QUIC connections, every Initial opened; a connection with one that does not open has no recipe."""
    made = [recipe_of(conversation) for conversation in conversations if conversation.protocol == UDP]
    assert None not in made
    return [recipe for recipe in made if recipe]


def records(filename: Path) -> list[tuple[int, bytes]]:
    """Time in microseconds and bytes of each record."""
    capture, found, at = filename.read_bytes(), [], 24
    while at < len(capture):
        seconds, micros, captured, original = struct.unpack_from("<IIII", capture, at)
        assert captured == original
        found.append((seconds * 1_000_000 + micros, capture[at + 16 : at + 16 + captured]))
        at += 16 + captured
    return found


def ones_complement(words: bytes) -> int:
    """Sum of 16-bit words, 0xFFFF where a checksum among them is right (RFC 1071)."""
    words += b"\0" * (len(words) % 2)
    total = sum(struct.unpack(f">{len(words) // 2}H", words))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_counts_are_exact_and_time_never_runs_backwards(
    filename: Path, traffic: Traffic, conversations: list[Conversation]
) -> None:
    times = [time for time, _ in records(filename)]
    assert len(times) == SMALL.packets == sum(len(conversation.packets) for conversation in conversations)
    assert times == sorted(times)
    assert len(conversations) == SMALL.connections
    assert Counter(c.protocol for c in conversations) == {UDP: 24, TCP: 16}
    assert sum(not c.answered for c in conversations) == 10
    assert {c.family for c in conversations} == {4, 6}


def test_checksums_are_right(filename: Path, traffic: Traffic) -> None:
    for _, record in records(filename):
        if record[12:14] == b"\x08\x00":
            assert ones_complement(record[14:34]) == 0xFFFF
            assert int.from_bytes(record[16:18]) == len(record) - 14
            addresses, protocol, transport = record[26:34], record[23], record[34:]
        else:
            assert int.from_bytes(record[18:20]) == len(record) - 54
            addresses, protocol, transport = record[22:54], record[20], record[54:]
        pseudo = addresses + struct.pack(">HH", protocol, len(transport))
        assert ones_complement(pseudo + transport) == 0xFFFF
        if protocol == UDP:
            assert int.from_bytes(transport[4:6]) == len(transport)
            assert transport[6:8] != b"\0\0"


def test_the_same_bytes_come_again(filename: Path, traffic: Traffic, tmp_path: Path) -> None:
    again = tmp_path / "again.pcap"
    make_workload(SMALL, again)
    assert again.read_bytes() == filename.read_bytes()


def test_no_name_is_shared_or_left_over(recipes: list[Recipe]) -> None:
    recorded = {name for t in read_templates_of_repository() if t for name in t if len(name) >= 8}
    names = [name for recipe in recipes for name in set(recipe.names) if len(name) >= 8]
    assert len(set(names)) == len(names)
    assert not recorded & set(names)


def read_templates_of_repository() -> list[list[bytes]]:
    """The names in each recorded QUIC connection."""
    root = Path(__file__).resolve().parents[2]
    return [template.recipe.names for template in read_templates(root) if template.recipe]


def test_hello_names_the_connection_that_carries_it(recipes: list[Recipe]) -> None:
    """initial_source_connection_id is the SCID of the header (RFC 9000 §7.3)."""
    randoms = set()
    for recipe in recipes:
        stream: dict[int, int] = {}
        for datagram in recipe.datagrams:
            for initial in datagram.initials:
                if datagram.from_client:
                    for at, offset, size in crypto_frames(datagram.body[: initial.end - 16], initial.payload_at):
                        stream.update(zip(range(offset, offset + size), datagram.body[at : at + size], strict=True))
        hello = bytes(stream[i] for i in range(len(stream)))
        first = recipe.datagrams[0].body
        scid_at = 7 + first[5]
        scid = first[scid_at : scid_at + first[scid_at - 1]]
        assert bytes([0x0F, len(scid)]) + scid in hello
        randoms.add(hello[6:38])
    assert len(randoms) == len(recipes)


def test_bulk_datagrams_carry_the_connection_ids_of_their_connection(recipes: list[Recipe]) -> None:
    """A handful of connection IDs: no datagram of 1-RTT brings one of its own."""
    for recipe in recipes:
        assert len(recipe.names) <= 8
        bodies = [datagram.body for datagram in recipe.datagrams]
        assert len(set(bodies)) == len(bodies)


def test_tcp_streams_have_no_gap(conversations: list[Conversation]) -> None:
    longest = 0
    for conversation in conversations:
        if conversation.protocol == TCP and conversation.answered:
            following: dict[bool, int] = {}
            for packet in conversation.packets:
                flags, sequence = packet.body[13], int.from_bytes(packet.body[4:8])
                payload = len(packet.body) - tcp_header_bytes(packet.body)
                expected = following.setdefault(packet.from_client, sequence)
                assert sequence == expected
                if flags & ACK:
                    assert int.from_bytes(packet.body[8:12]) <= following[not packet.from_client]
                if not flags & RST:
                    following[packet.from_client] = sequence + payload + bool(flags & SYN) + (flags & 1)
                longest = max(longest, payload)
    assert longest in (1428, 1448)


def test_unanswered_connections_repeat_their_request(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        if not conversation.answered:
            assert len(conversation.packets) > 1
            assert conversation.packets[-1].at_us >= 1_000_000


def test_recorded_connections_told_under_their_own_names_are_what_was_recorded(root: Path) -> None:
    told = 0
    for source in SOURCES:
        for conversation in read_conversations(root / source):
            recipe = recipe_of(conversation) if conversation.protocol == UDP else None
            if recipe:
                assert retell(recipe, recipe.names) == [packet.body for packet in conversation.packets]
                told += 1
    assert told > 40


def test_tshark_opens_every_hello(filename: Path, traffic: Traffic, recipes: list[Recipe], tshark: str) -> None:
    fields = ["-T", "fields", "-e", "udp.stream", "-e", "tls.handshake.extensions_server_name"]
    command = [tshark, "-n", "-r", filename, "-Y", "quic && tls.handshake.type == 1", *fields]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len({line.split()[0] for line in shown.splitlines() if line.split()[1:]}) == len(recipes)


def test_twice_the_length_is_twice_of_everything() -> None:
    twice = MIX.times(2)
    assert (twice.name, twice.packets, twice.connections, twice.lasts_s) == ("mix2", 3_000_000, 12_000, 240)
    assert FLOOD.times(1) == FLOOD


def test_too_few_packets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too few"):
        make_workload(Workload("none", 10, 10, 0.1, 0.6, 0.6, 1, (0.1, 0.2)), tmp_path / "none.pcap")
