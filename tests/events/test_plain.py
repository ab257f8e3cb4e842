"""Plain QUIC flows: what the kernels make of many at once is what the reader makes of each."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.analysis import open_captures, scan_captures
from analyzer.capture.source import open_captures as opened
from analyzer.errors import AnalyzerError
from analyzer.events.connection import UDP_PROTOCOL, Connection, Flows
from analyzer.events.quic import plain
from analyzer.events.quic.reader import quic_connections
from analyzer.events.scan import Scan, scan, settle
from analyzer.wire.quic.header import read_datagram
from analyzer.wire.quic.split import HANDSHAKE, ZERO_RTT
from analyzer.wire.quic.summary import LEAST_PACKET
from analyzer.wire.quic.versions import V1, V2
from tests.conftest import ROOT
from tests.crafted import Captured, batch_of
from tests.events.flow_plays import (
    ACK,
    DRAFT_29,
    HELLO,
    OTHER_HELLO,
    Q046,
    Q050,
    RESERVED,
    T051,
    UNKNOWN,
    Datagram,
    captured,
    crypto,
    differences,
    disturbed,
    initial,
    long_packet,
    made_play,
    plain_flows,
    recorded_plays,
    scanned,
    short,
)
from tests.events.test_fragments import in_pieces

CAPTURES = sorted((ROOT / "captures").rglob("*.pcap*"))
PUBLIC = Path(os.environ.get("HALFSHAKE_PUBLIC") or ROOT.parent / "shared" / "public")

ANSWERED = "01-caddy-http3-ok/caddy-2.6.2/client.pcap"
SILENT = "02-caddy-ipv4-silent/nft-output-drop/client.pcap"
RETRIED = "07-retry/aioquic-ok/client.pcap"
NEGOTIATED = "06-version-negotiation/reserved-then-v1/client.pcap"
EARLY = "22-zero-rtt/ok/client.pcap"
CHROMIUM = "14-h3-fallback-to-h2/chromium-ok/client.pcap"
RECORDED = (
    *(ANSWERED, SILENT, RETRIED, NEGOTIATED, EARLY, CHROMIUM),
    "05-wrong-source-address/caddy-control/server.pcap",
    "09-handshake-stall/handshake-packets-lost/client.pcap",
    "08-connection-close/alpn-caddy/client.pcap",
)

VERSIONS_HERE = {
    V1: True,
    V2: True,
    DRAFT_29: True,
    Q046: False,
    Q050: False,
    T051: False,
    RESERVED: False,
    UNKNOWN: False,
}

Play = list[Datagram]


def play_of(name: str, place: int = 0) -> Play:
    """The first datagrams of a recorded flow."""
    return list(recorded_plays((name,))[place])


def is_plain(play: Play, *, chunks: int = 1) -> bool:
    """Whether a flow is plain; fails where it is and the reader says else."""
    found, others = plain_flows(scanned(captured([play]), chunks=chunks))
    assert len(found) + len(others) == 1
    return bool(found)


def scan_of_file(path: Path) -> Scan:
    return settle(scan_captures(open_captures([str(path)])))


def test_plain_flows_of_every_capture_are_what_the_reader_makes_of_them() -> None:
    counts = [tuple(map(len, plain_flows(scan_of_file(path)))) for path in CAPTURES]
    found, others = map(sum, zip(*counts, strict=True))
    assert found > 400
    assert others > 50


@pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"no public captures in {PUBLIC}: set HALFSHAKE_PUBLIC")
def test_plain_flows_of_public_captures_are_what_the_reader_makes_of_them() -> None:
    files = sorted(path for path in PUBLIC.rglob("*") if path.is_file() and path.stat().st_size < 1 << 18)
    found = 0
    for path in [*files[::9], *(path for path in files if "quic" in path.name)]:
        try:
            captures = opened([str(path)])
        except AnalyzerError:
            continue
        whole = settle(scan(captures.batches(True), 1, compiled=True))
        found += len(plain_flows(whole)[0])
    assert found > 5


def test_the_interpreted_kernels_say_the_same() -> None:
    plays = [play for name in (ANSWERED, RETRIED, EARLY) for play in recorded_plays((name,))[3:6]]
    found, others = plain_flows(scanned(captured(plays)), compiled=False)
    assert (found, others) == plain_flows(scanned(captured(plays)))
    assert found
    assert others


@pytest.mark.parametrize("portion", [1, 2, 3, 100])
def test_flows_are_judged_in_portions(portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plays = [*recorded_plays((ANSWERED,)), *recorded_plays((RETRIED,)), *recorded_plays((SILENT,))]
    whole = scanned(captured(plays), chunks=4)
    expected = plain_flows(whole)
    monkeypatch.setattr(plain, "PORTION", portion)
    assert plain_flows(whole) == expected
    assert len(expected[0]) > 15
    assert len(expected[1]) > 5


def test_without_flows_there_is_nothing() -> None:
    flows = Flows(scanned(captured([play_of(SILENT)])))
    columns, others = plain.plain_connections(flows, [], compiled=True)
    assert (len(columns), others) == (0, [])


def test_a_connection_that_differs_anywhere_is_noticed() -> None:
    """The tests here can fail: each field that a QUIC connection fills in is compared, and its type."""
    flows = Flows(scanned(captured([play_of(ANSWERED)])))
    columns, _ = plain.plain_connections(flows, [0], compiled=True)
    (one,) = columns.objects(np.array([0]))
    (other,) = quic_connections(flows, 0)
    assert differences(one, other) == {}
    for field in dataclasses.fields(one):
        if field.compare:
            assert field.name in differences(dataclasses.replace(one, **{field.name: b"other"}), other)
    assert set(differences(dataclasses.replace(one, reply_row=float(one.reply_row)), other)) == {"reply_row"}


# What is plain, and what nearly is


def cut(one: Datagram, kept: int) -> Datagram:
    return one._replace(captured=kept)


def damaged(one: Datagram, at: int) -> Datagram:
    """The datagram with one bit changed."""
    at %= len(one.payload)
    return one._replace(payload=one.payload[:at] + bytes([one.payload[at] ^ 1]) + one.payload[at + 1 :])


def first_packet(one: Datagram) -> bytes:
    return one.payload[: read_datagram(one.payload, 0, len(one.payload), len(one.payload))[0].end]


def cids_end(one: Datagram) -> int:
    """The offset behind the connection IDs of the first packet."""
    first = read_datagram(one.payload, 0, len(one.payload), len(one.payload))[0]
    return 7 + len(first.dcid) + len(first.scid)


def last_of_first(one: Datagram) -> int:
    """The offset of the last byte of the tag of the first packet."""
    return len(first_packet(one)) - 1


LARGE = play_of(ANSWERED, 4)  # Chromium's: a hello in two datagrams, no SCID, then another CID of the server
MOVED_AT = 8
OTHER_LARGE = play_of(ANSWERED, 9)
SMALL, QUIET, EARLY_PLAY = play_of(ANSWERED), play_of(SILENT), play_of(EARLY, 1)

UNKNOWN_VERSION = b"\xc0\x5a\x5a\0\1\x08serverid\x08clientid".ljust(1200, b"\x55")

SHORTEST = SMALL[2].payload[:LEAST_PACKET]

PLAIN: dict[str, Play] = {
    "the shortest datagram of the server": [*SMALL[:6], SMALL[2]._replace(payload=SHORTEST)],
    "shorter ones of the client": [*SMALL[:6], SMALL[4]._replace(payload=SHORTEST[:-1]), *SMALL[6:]],
    "answered": SMALL,
    "silent": QUIET,
    "an Initial and no more": QUIET[:1],
    "nine repeats": [QUIET[0]] * 9,
    "a hello in two datagrams": LARGE,
    "its datagrams swapped": [LARGE[1], LARGE[0], *LARGE[2:]],
    "its datagrams, and no reply": LARGE[:2],
    "a hello in three datagrams, repeated": play_of(CHROMIUM)[:3] * 2,
    "0-RTT in the datagram of the hello": EARLY_PLAY,
    "a repeat that is damaged": [QUIET[0], damaged(QUIET[1], last_of_first(QUIET[1]))],
    "a repeat that is cut": [QUIET[0], cut(QUIET[1], 100)],
    "short headers that are cut": [*SMALL[:4], *(cut(one, 3) for one in SMALL[4:])],
    "a client that moves to another CID of the server": LARGE[: MOVED_AT + 1],
    "and sends Initials to it again": [*LARGE[: MOVED_AT + 1], LARGE[MOVED_AT]],
    "the server's Initial damaged": [SMALL[0], damaged(SMALL[1], last_of_first(SMALL[1])), *SMALL[2:]],
    "Handshake packets to a CID not seen, from the client's": [SMALL[0], *SMALL[3:4]],
    "the server's Initial cut": [SMALL[0], cut(SMALL[1], 60), *SMALL[2:]],
    "the server's Initial cut, and nothing behind it": [SMALL[0], cut(SMALL[1], 60)],
}
NEARLY: dict[str, Play] = {
    "a datagram of the server too short for a packet": [*SMALL[:6], SMALL[2]._replace(payload=SHORTEST[:-1])],
    "such a one as the first reply": [SMALL[0], SMALL[2]._replace(payload=SHORTEST[:-1]), *SMALL[1:]],
    "Retry": play_of(RETRIED),
    "a Retry alone after the Initial": play_of(RETRIED)[:2],
    "Version Negotiation": play_of(NEGOTIATED),
    "a Version Negotiation after the Initial": [SMALL[0], play_of(NEGOTIATED)[1]],
    "two connections, one after the other": SMALL + play_of(ANSWERED, 1),
    "two connections that nobody answers": QUIET[:2] + play_of(SILENT, 1)[:2],
    "another connection's Initial at the end": [*SMALL, play_of(ANSWERED, 1)[0]],
    "another connection's Initial at once": [QUIET[0], play_of(SILENT, 1)[0], *QUIET[1:]],
    "another connection's Initial without SCID": [*LARGE, OTHER_LARGE[0]],
    "another connection's reply": [SMALL[0], play_of(ANSWERED, 1)[1], *SMALL[1:]],
    "a reply to another CID": [SMALL[0], damaged(SMALL[1], 8), *SMALL[2:]],
    "a later reply to another CID": [*SMALL[:6], damaged(SMALL[6], 8), *SMALL[7:]],
    "a moved Initial that is another connection's": [*LARGE[:MOVED_AT], OTHER_LARGE[0], *LARGE[MOVED_AT + 1 :]],
    "first another connection's, then a moved one": [*LARGE[:MOVED_AT], OTHER_LARGE[0], LARGE[MOVED_AT]],
    "first a moved one, then another connection's": [*LARGE[: MOVED_AT + 1], OTHER_LARGE[0]],
    "a moved Initial that is damaged": [*LARGE[:MOVED_AT], damaged(LARGE[MOVED_AT], 500)],
    "the first Initial damaged": [damaged(SMALL[0], last_of_first(SMALL[0])), *SMALL[1:]],
    "the second Initial of a hello damaged": [LARGE[0], damaged(LARGE[1], -1), *LARGE[2:]],
    "the first of a hello in two is missing": LARGE[1:],
    "the second of a hello in two is missing": [LARGE[0], *LARGE[2:]],
    "the second of a hello in two comes behind a reply": [LARGE[0], LARGE[2], LARGE[1], *LARGE[3:]],
    "the second Initial of a hello cut": [LARGE[0], cut(LARGE[1], 300), *LARGE[2:]],
    "no Handshake packet of the client": SMALL[:2],
    "0-RTT before": [Datagram(True, EARLY_PLAY[0].payload[710:]), *EARLY_PLAY],
    "0-RTT between the first and its repeat": [EARLY_PLAY[0], Datagram(True, EARLY_PLAY[0].payload[710:])] * 2,
    "short headers first": [SMALL[4], *SMALL],
    "the server first": [SMALL[1], SMALL[0], *SMALL[2:]],
    "the server alone": [one for one in SMALL if not one.from_client],
    "begun before the capture": SMALL[3:],
    "a short header is the first reply": [SMALL[0], SMALL[2], SMALL[1], *SMALL[3:]],
    "an Initial in front of the hello": [Datagram(True, first_packet(SMALL[0]) * 2), *SMALL[1:]],
    "two Initials of the server in one datagram": [
        *(SMALL[0], Datagram(False, first_packet(SMALL[1]) + SMALL[1].payload)),
        *SMALL[2:],
    ],
    "a long header of an unknown version": [*SMALL[:4], Datagram(True, UNKNOWN_VERSION), *SMALL[4:]],
    "the server's Initial missing": [SMALL[0], *SMALL[3:]],
    "Handshake packets before the server's first": [SMALL[0], SMALL[3], SMALL[1], *SMALL[4:]],
    "an empty datagram first": [Datagram(True, b""), *SMALL],
}


def all_cut(play: Play, kept: int) -> Play:
    """A play in a capture with a snap length that leaves so many bytes of each datagram."""
    return [cut(one, kept) for one in play]


#: Flows without a ClientHello that could be read: ports tell the client.
SEALED: dict[str, Play] = {
    "answered": all_cut(SMALL, 100),
    "answered, a hello in two datagrams": all_cut(LARGE[:MOVED_AT], 30),
    "silent": all_cut(QUIET, 100),
    "one Initial": all_cut(QUIET[:1], 60),
    "cut behind the connection IDs": all_cut(QUIET, cids_end(QUIET[0])),
    "nine repeats": all_cut(QUIET[:1] * 9, 200),
    "the Initials of the client alone": [cut(one, 100) if one.from_client else one for one in SMALL],
    "the first alone, and a reply": [cut(SMALL[0], 300), *SMALL[1:]],
    "no Handshake packet of the client": all_cut(SMALL[:2], 100),
    "a client that moves to another CID of the server": [*all_cut(LARGE[:MOVED_AT], 30), LARGE[MOVED_AT]],
    "and whose Initial to it is cut": all_cut(LARGE[: MOVED_AT + 1], 30),
}
NEARLY_SEALED: dict[str, Play] = {
    "the first of two hellos": [cut(LARGE[0], 300), *LARGE[1:]],
    "a repeat that is whole": [cut(QUIET[0], 100), QUIET[1]],
    "another connection's Initial": all_cut([QUIET[0], play_of(SILENT, 1)[0]], 100),
    "Retry": all_cut(play_of(RETRIED), 200),
    "no Handshake packet of the client, and the server's Initial whole": [cut(SMALL[0], 100), SMALL[1]],
    "a moved Initial that is another connection's": [*all_cut(LARGE[:MOVED_AT], 30), OTHER_LARGE[0]],
    "a DCID that a client may not choose": [
        cut(Datagram(True, initial((b"seven-7", b"client"), crypto(0, HELLO), key=b"seven-7")), 60)
    ],
    "a length that lies": [Datagram(True, SMALL[0].payload[:300])],
    "the server alone": all_cut([one for one in SMALL if not one.from_client], 100),
}


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        (("192.0.2.10", 20000), ("198.51.100.80", 443), "port"),
        (("203.0.113.9", 20000), ("198.51.100.80", 443), "port"),
        (("192.0.2.10", 300), ("198.51.100.80", 443), "first-seen"),
        (("203.0.113.9", 20000), ("198.51.100.80", 4433), "first-seen"),
        (("192.0.2.10", 300), ("198.51.100.80", 4433), ""),
        (("203.0.113.9", 300), ("198.51.100.80", 4433), ""),
    ],
)
def test_ports_tell_the_client_of_a_sealed_flow(
    client: tuple[str, int], server: tuple[str, int], expected: str
) -> None:
    found = scanned(captured([SEALED["silent"]], ends=(client, server)))
    columns, others = plain.plain_connections(Flows(found), [0], compiled=True)
    assert [each.roles_from for each in columns.objects(np.arange(len(columns)))] == ([expected] if expected else [])
    assert (plain_flows(found) == (set(), {0})) is (not expected)
    assert bool(others) is (not expected)


def test_a_short_dcid_ties_an_initial_that_is_cut() -> None:
    """A server may choose a CID that is too short for a client's first (RFC 9000 §7.2)."""
    first = b"first--1"
    hello = Datagram(True, initial((first, b""), crypto(0, HELLO), key=first))
    greeting = Datagram(False, initial((b"", b"serv"), crypto(0, b"\x02\0\0\0"), key=first, server=True))
    moved = [cut(Datagram(True, initial((dcid, b""), ACK, key=first)), 40) for dcid in (b"next", b"far-away")]
    for play, count in (([hello, greeting, moved[0]], 1), ([hello, greeting, moved[1]], 2)):
        flows = Flows(scanned(captured([all_cut(play, 40)])))
        assert len(quic_connections(flows, 0)) == count
    assert is_plain(all_cut([hello, greeting, moved[0]], 40))
    assert not is_plain(all_cut([hello, greeting, moved[1]], 40))


def named(plain: dict[str, Play], sealed: dict[str, Play]) -> pytest.MarkDecorator:
    """A run for each play."""
    ids = [*plain, *(f"sealed: {what}" for what in sealed)]
    return pytest.mark.parametrize("play", [*plain.values(), *sealed.values()], ids=ids)


@named(PLAIN, SEALED)
def test_plain(play: Play) -> None:
    assert is_plain(play)
    is_plain(play, chunks=3)
    is_plain(play, chunks=len(play))


@named(NEARLY, NEARLY_SEALED)
def test_nearly_plain(play: Play) -> None:
    assert not is_plain(play)


def test_flows_in_several_chunks_are_plain_unless_keys_and_packet_lie_apart() -> None:
    """A datagram moved to another chunk than the DCID whose keys open it is left to the reader."""
    moved = LARGE[: MOVED_AT + 1]
    assert is_plain(SMALL, chunks=len(SMALL))
    assert is_plain(LARGE[:2], chunks=2)
    assert is_plain(moved)
    assert not is_plain(moved, chunks=len(moved))


def test_clients_without_a_scid() -> None:
    """What lies in the server's Initials could change nothing: its CID is what ties them."""
    first, server = b"first--1", b"server-1"
    hello = Datagram(True, initial((first, b""), crypto(0, HELLO), key=first))
    greeting = Datagram(False, initial((b"", server), crypto(0, b"\x02\0\0\0"), key=first, server=True))
    finished = Datagram(True, initial((server, b""), ACK, key=first) + long_packet(HANDSHAKE, (server, b"")))
    unnamed = Datagram(False, initial((b"", b""), crypto(0, b"\x02\0\0\0"), key=first, server=True))
    other = Datagram(True, initial((b"another-", b""), crypto(0, OTHER_HELLO), key=b"another-"))
    assert is_plain([hello, greeting, finished, Datagram(True, short(server)), Datagram(False, short())])
    assert is_plain([hello, greeting, finished, Datagram(True, long_packet(ZERO_RTT, (b"any cid", b"")))])
    assert not is_plain([hello, unnamed, finished])
    assert not is_plain([hello, greeting, finished, other])
    assert not is_plain([hello, other])
    assert is_plain([hello, Datagram(True, initial((b"another-", b""), ACK, key=first))])


@pytest.mark.parametrize("pieces", [2, 3, 4, 5])
def test_a_hello_in_many_datagrams(pieces: int) -> None:
    """Four of them are opened here."""
    first, step = b"first--1", -(-len(HELLO) // pieces)
    clear = [crypto(at, HELLO[at : at + step]) for at in range(0, len(HELLO), step)]
    play = [Datagram(True, initial((first, b"client-1"), each, key=first)) for each in clear]
    assert len(play) == pieces
    assert is_plain(play) is (pieces <= 4)
    assert is_plain(play[::-1]) is (pieces <= 4)
    assert not is_plain(play[1:])


def test_versions_whose_initials_have_other_keys_or_frames() -> None:
    first, cids = b"first--1", (b"first--1", b"client-1")
    for version, expected in VERSIONS_HERE.items():
        clear = crypto(0, HELLO)
        play = [Datagram(True, initial(cids, clear, key=first, version=version))] * 2
        assert is_plain(play) is expected, hex(version)


# Around the flows

#: The client is the larger of two sockets, and the smaller; each family; ports that say nothing.
ENDS = (
    (("192.0.2.10", 20000), ("198.51.100.80", 443)),
    (("203.0.113.9", 20000), ("198.51.100.80", 443)),
    (("2001:db8:a::10", 20000), ("2001:db8:b::80", 443)),
    (("2001:db8:c::10", 300), ("2001:db8:b::80", 50000)),
)


def counted(packets: list[Captured]) -> tuple[int, int]:
    """How many flows are plain, and how many are not."""
    found, others = plain_flows(scanned(packets))
    return len(found), len(others)


@pytest.mark.parametrize("ends", ENDS)
def test_either_end_may_be_the_client(ends: tuple[tuple[str, int], tuple[str, int]]) -> None:
    assert counted(captured(PLAIN.values(), ends=ends)) == (len(PLAIN), 0)
    assert counted(captured(NEARLY.values(), ends=ends)) == (0, len(NEARLY))


def test_packets_that_were_captured_twice() -> None:
    twice = [one._replace(time=one.time + k) for one in captured(PLAIN.values()) for k in range(2)]
    assert counted(twice) == (len(PLAIN), 0)


def test_a_hello_in_ip_fragments() -> None:
    """Its bytes lie in another chunk than those of what follows."""
    packets = captured([SMALL, QUIET, LARGE[:2]])
    pieces = [piece for each in in_pieces(packets, 576) for piece in each]
    assert len(pieces) == 2 * len(packets)
    assert counted(pieces) == (3, 0)


def test_records_whose_headers_are_cut() -> None:
    packets = captured([QUIET])
    for end in (10, 20, 24, 28, 29, 35):
        for place in range(3):
            cut_there = [one._replace(raw=one.raw[:end]) if i == place else one for i, one in enumerate(packets)]
            (found, _) = counted(cut_there)
            assert end < 28 or place or not found


def test_what_a_key_log_needs_changes_nothing() -> None:
    """With secrets, Handshake packets are kept too."""
    whole = settle(scan([batch_of(captured(PLAIN.values()))], 1, compiled=True, with_secrets=True))
    assert len(plain_flows(whole)[0]) == len(PLAIN)


@pytest.mark.parametrize("worth", [1, len(PLAIN) + len(NEARLY), len(PLAIN) + len(NEARLY) + 1])
def test_few_flows_and_many_have_the_same_connections(worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flows = Flows(scanned(captured([*PLAIN.values(), *NEARLY.values()])))
    chosen = list(flows.with_protocol(UDP_PROTOCOL))
    expected = [connection for flow in chosen for connection in quic_connections(flows, flow)]
    called, judge = [], plain.plain_connections
    monkeypatch.setattr(plain, "plain_connections", lambda *given, **how: called.append(given) or judge(*given, **how))
    monkeypatch.setattr(plain, "WORTH_KERNELS", worth)
    found = sorted(all_connections(flows, chosen), key=lambda connection: connection.flow)
    assert found == expected
    assert bool(called) is (worth <= len(chosen))
    assert all_connections(flows, []) == []


def all_connections(flows: Flows, chosen: list[int]) -> list[Connection]:
    objects, columns = plain.quic_connections_of(flows, chosen)
    return [*objects, *columns.objects(np.arange(len(columns)))]


# Flows by chance


@given(st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_made_flows_are_what_the_reader_makes_of_them(chance: Random) -> None:
    plain_flows(scanned(captured([made_play(chance)]), chunks=chance.choice((1, 1, 1, 2, 5))))


@given(st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=200)
def test_disturbed_recorded_flows_are_what_the_reader_makes_of_them(chance: Random, times: int) -> None:
    plays = recorded_plays(RECORDED)
    play = list(chance.choice(plays))[: chance.choice((3, 6, 24))]
    others = chance.choice(plays)
    packets = captured([disturbed(chance, play, others=others, times=times)])
    plain_flows(scanned(packets, chunks=chance.choice((1, 1, 1, 2, 5))))


@given(st.randoms(use_true_random=False), st.integers(20, 1300), st.booleans())
@settings(max_examples=300)
def test_flows_that_are_cut_are_what_the_reader_makes_of_them(chance: Random, kept: int, is_made: bool) -> None:
    plays = recorded_plays(RECORDED)
    play = made_play(chance) if is_made else disturbed(chance, list(chance.choice(plays))[:24], others=(), times=0)
    every = chance.choice((1, 1, 1, 2, 3))
    cut_there = [cut(one, kept) if i % every == 0 else one for i, one in enumerate(play)]
    plain_flows(scanned(captured([cut_there]), chunks=chance.choice((1, 1, 1, 2, 5))))


def test_enough_flows_by_chance_are_plain() -> None:
    """Many side by side in one scan, so that flows cannot take one another's bytes; and the tests above say much."""
    chance = Random(7)
    made = [made_play(chance) for _ in range(2000)]
    recorded = recorded_plays(RECORDED)
    turned = [
        disturbed(chance, chance.choice(recorded), others=chance.choice(recorded), times=chance.randrange(3))
        for _ in range(1000)
    ]
    for plays in (made, turned):
        found, others = plain_flows(scanned(captured(plays), chunks=3))
        assert len(found) > len(plays) // 8
        assert len(others) > len(plays) // 8
