"""Many of one kind: flows whose keys were chosen to collide, connections that share two sockets, errors about one."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from analyzer.events import flows as fl
from analyzer.events import fragments
from analyzer.events.flows import KEY_WORDS, insert_keys, new_flow_table
from analyzer.events.scan import Scan, settle
from analyzer.kernels import runner
from analyzer.wire import bytes as wire_bytes
from analyzer.wire.bytes import hash_of_words, hash_secret
from analyzer.wire.packets import TCP
from analyzer.wire.quic.protection import initial_keys
from analyzer.wire.quic.seal import InitialHeader, seal_initial
from tests.crafted import MS, START, Captured, ip, scan_of, tcp, udp
from tests.events.playbook import CLIENT, SERVER, Play, found_in
from tests.events.story.plays import crypto


def colliding(count: int) -> np.ndarray:
    """Keys that differ in the top bit of a word, and in what undoes that in the next word of a multiply-and-shift."""
    keys = np.zeros((count, KEY_WORDS), np.uint32)
    for number in range(count):
        for bit in range(9):
            if number >> bit & 1:
                keys[number, bit] ^= 0x80000000
                keys[number, bit + 1] ^= 0x80010000
    return keys


@pytest.mark.parametrize("compiled", [False, True])
def test_keys_made_to_collide_do_not(compiled: bool) -> None:
    keys = colliding(512)
    table = new_flow_table(1024)
    mapping = np.empty(512, np.int64)
    runner(insert_keys, compiled)(keys.reshape(-1), 512, table, mapping)
    assert mapping.tolist() == list(range(512))
    taken = np.flatnonzero(table.slots >= 0)
    runs = np.diff(np.flatnonzero(np.diff(taken, prepend=-2, append=len(table.slots) + 2) > 1))
    assert runs.max() < 64, "the keys lie side by side"


def test_the_hash_is_a_sum_by_the_secret() -> None:
    secret = hash_secret(2).tolist()
    words = [0x12345678, 0x9ABCDEF0]
    plain = secret[0] + 0x5678 * secret[1] + 0x1234 * secret[2] + 0xDEF0 * secret[3] + 0x9ABC * secret[4]
    assert hash_of_words([*words, *secret], 2) == plain % 2**47 >> 15


def test_no_result_depends_on_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [Captured(ip(f"10.0.{n}.1", "192.0.2.80", 6, tcp((n + 1024, 443), 2, seq=n))) for n in range(200)]

    def scanned() -> Scan:
        wire_bytes.hash_secret.cache_clear()
        return settle(scan_of(sent))

    first = scanned()
    monkeypatch.setattr(wire_bytes.os, "urandom", lambda count: bytes(count))
    second = scanned()
    wire_bytes.hash_secret.cache_clear()
    assert first.table.keys.tolist() == second.table.keys.tolist()
    assert all(np.array_equal(a, b) for a, b in zip(first.rows, second.rows, strict=True))


def sealed(number: int, frames: bytes, *, from_server: bool = False) -> bytes:
    """An Initial of the n-th connection between the two sockets."""
    dcid, client, server = (b"%s%06d" % (name, number) for name in (b"dd", b"cc", b"ss"))
    keys = initial_keys(1, dcid)
    assert keys is not None
    names = (client, server) if from_server else (dcid, client)
    return seal_initial(InitialHeader(1, *names), frames.ljust(40, b"\0"), keys.server if from_server else keys.client)


def test_connections_of_one_pair_of_sockets_are_told_apart_however_many() -> None:
    """All Initials first, then all replies, then a Handshake packet of each client to its server's CID."""
    many = 3 * 32
    play = Play()
    for number in range(many):
        play.ask(sealed(number, b"\x01"))
    for number in range(many):
        play.reply(sealed(number, crypto(b"\x02\0\0\0"), from_server=True))
    for number in range(many):
        play.ask(b"\xe0\0\0\0\1\x08ss%06d\x08cc%06d\x40\x28" % (number, number) + bytes(40))
    connections = play.played()
    assert len(connections) == many
    for number, connection in enumerate(connections):
        assert connection.client_dcid == b"dd%06d" % number
        assert connection.server_scid == b"ss%06d" % number
        assert (connection.rows, connection.client_went_on) == ([number, many + number, 2 * many + number], True)


def test_icmp_errors_go_to_the_latest_connection_of_the_sockets() -> None:
    sent: list[Captured] = []
    for number in range(40):
        syn = ip(CLIENT[0], SERVER[0], 6, tcp((CLIENT[1], 443), 2, seq=number * 100_000), ident=2 * number + 1)
        quoting = struct.pack(">BBHI", 3, 1, 0, 0) + syn
        error = ip(SERVER[0], CLIENT[0], 1, quoting, ident=2 * number + 2)
        sent += [Captured(syn, START + 2000 * number * MS), Captured(error, START + (2000 * number + 10) * MS)]
    connections = found_in(sent).connections
    assert [connection.icmp_rows for connection in connections] == [(2 * n + 1,) for n in range(40)]


def test_many_errors_about_one_connection() -> None:
    asked = ip(CLIENT[0], SERVER[0], 17, udp((CLIENT[1], 9999), b"x" * 40))
    quoting = struct.pack(">BBHI", 3, 3, 0, 0) + asked
    errors = [Captured(ip(SERVER[0], CLIENT[0], 1, quoting, ident=n + 1), START + n * MS * 30) for n in range(300)]
    (connection,) = (c for c in found_in([Captured(asked, START), *errors]).connections if c.transport == "udp")
    assert len(connection.icmp_rows) == 300


def test_bytes_of_later_fragments_are_counted_from_their_segment_on() -> None:
    """Equal to counting them segment by segment, for both directions."""
    sent: list[Captured] = []
    for number in range(12):
        ends = (CLIENT, SERVER) if number % 3 else (SERVER, CLIENT)
        segment = tcp((ends[0][1], ends[1][1]), 24, bytes([number]) * (580 + 8 * number), seq=1000 * number)
        for at, more in ((slice(0, 304), 0x2000), (slice(304, None), 304 // 8)):
            raw = ip(ends[0][0], ends[1][0], 6, segment[at], ident=number + 1, fragment=more)
            sent.append(Captured(raw, START + len(sent) * MS))
    whole, _ = fragments.reassemble(settle(scan_of(sent)))
    of_segments = [row for row in range(len(whole.rows.time)) if whole.rows.kind[row] == TCP]
    seen = {0: 0, 1: 0}
    for row in of_segments:
        direction = int(whole.rows.direction[row])
        seen[direction] += int(whole.rows.payload_length[row])
        assert int(whole.rows.bytes_so_far[row]) == seen[direction]
        assert int(whole.rows.other_bytes[row]) == seen[1 - direction]
    assert sum(seen.values()) == sum(580 + 8 * number for number in range(12))
    flow = int(whole.rows.flow[of_segments[0]])
    assert sorted(whole.table.state[2 * flow : 2 * flow + 2, fl.BYTES].tolist()) == sorted(seen.values())
