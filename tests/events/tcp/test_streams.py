"""The kept bytes of one direction in order: overlaps, repeats, holes, cut records, SYNs with data, wrapped numbers."""

from __future__ import annotations

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from analyzer.events.conversations import conversations
from analyzer.events.scan import settle
from analyzer.events.tcp.streams import Stream, first_bytes
from analyzer.wire.tls import read_records
from analyzer.wire.tls_hello import read_client_hello, read_server_hello
from analyzer.wire.web.openings import opening_of
from tests.crafted import Captured, scan_of
from tests.events.playbook import A, P, Play, S, found_in
from tests.wire import hellos

SENT = bytes(range(64, 124)) * 20


def opened(isn: int = 100) -> Play:
    return Play().c(S, seq=isn).s(S | A, seq=900, ack=(isn + 1) & 0xFFFFFFFF)


def stream(play: Play, direction: int = 0) -> Stream:
    found = found_in(play.captured)
    (connection,) = found.connections
    return Stream(found.flows, connection, connection.client_direction ^ direction)


@pytest.mark.parametrize("isn", [100, 0xFFFFFFFF, 0xFFFFFFF0, 0x7FFFFFF0])
def test_segments_in_order(isn: int) -> None:
    play = opened(isn)
    for at in range(0, 300, 100):
        play.c(A | P, SENT[at : at + 100], seq=(isn + 1 + at) & 0xFFFFFFFF)
    made = stream(play)
    assert [(run.begin, run.content) for run in made.runs] == [(0, SENT[:300])]
    assert [made.rows_at(at) for at in (0, 99, 100, 299, 300)] == [[2], [2], [3], [4], []]
    assert (made.behind(250), made.behind(10, 5), made.behind(300)) == (SENT[250:300], SENT[10:15], b"")


def test_a_hole_parts_two_runs() -> None:
    play = opened().c(A | P, SENT[:10], seq=101).c(A | P, SENT[30:40], seq=131)
    made = stream(play)
    assert [(run.begin, run.end) for run in made.runs] == [(0, 10), (30, 40)]
    assert (made.behind(10), made.behind(35)) == (b"", SENT[35:40])


def test_a_keep_alive_probe_and_a_repeat_of_what_was_not_seen() -> None:
    play = opened().c(A, b"\0", seq=100).c(A | P, b"unseen" + SENT[:10], seq=95).c(A | P, SENT[:20], seq=101)
    made = stream(play)
    assert [(run.begin, run.content) for run in made.runs] == [(0, SENT[:20])]
    assert made.rows_at(0) == [3, 4]


def test_data_in_the_syn() -> None:
    made = stream(Play().c(S, SENT[:10], seq=100).s(S | A, seq=900, ack=111).c(A | P, SENT[10:20], seq=111))
    assert [(run.begin, run.content) for run in made.runs] == [(0, SENT[:20])]
    assert made.rows_at(0) == [0]


def test_a_cut_record_leaves_a_hole() -> None:
    play = opened().c(A | P, SENT[:100], seq=101).c(A | P, SENT[100:200], seq=201)
    first = play.captured[2]
    play.captured[2] = Captured(first.raw[:80], first.time, wire=len(first.raw))
    made = stream(play)
    assert [(run.begin, run.end) for run in made.runs] == [(0, 40), (100, 200)]
    assert made.rows_at(70) == [2]


def test_without_a_syn_the_first_segment_is_the_beginning() -> None:
    made = stream(Play().c(A | P, SENT[:10], seq=5000).c(A | P, SENT[10:20], seq=5010))
    assert made.behind(0) == SENT[:20]


def test_bulk_is_not_there() -> None:
    play = opened()
    for at in range(0, 1200, 60):
        play.c(A | P, SENT[at : at + 60], seq=101 + at)
    made = stream(play)
    assert made.behind(0) == SENT[:360]
    assert made.runs[-1].end == 360


@given(st.lists(st.tuples(st.integers(0, 250), st.integers(1, 80)), min_size=1, max_size=6))
def test_bytes_are_where_they_were(pieces: list[tuple[int, int]]) -> None:
    play = opened()
    for at, length in pieces:
        play.c(A | P, SENT[at : at + length], seq=101 + at)
    found = conversations(settle(scan_of(play.captured)))
    connection = found.connections[0]
    made = Stream(found.flows, connection, connection.client_direction)
    there = {byte for at, length in pieces for byte in range(at, at + length)}
    assert {byte for run in made.runs for byte in range(run.begin, run.end)} == there
    assert all(run.content == SENT[run.begin : run.end] for run in made.runs)
    assert all(made.rows_at(byte) for byte in there)
    assert made.behind(0) == first_bytes(found.flows, connection, connection.client_direction)


CUTS = st.lists(st.tuples(st.sampled_from([0, 60, 100, 150]), st.integers(40, 250)), max_size=6)


@example([(0, 100), (100, 200)], [(0, 200)], b"", True)
@example([(100, 200), (0, 100)], [(0, 20), (20, 200)], b"", True)
@given(CUTS, CUTS, st.sampled_from([b"", b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n"]), st.booleans())
def test_hellos_are_those_of_the_first_bytes(
    asked: list[tuple[int, int]], answered: list[tuple[int, int]], before: bytes, in_one: bool
) -> None:
    """However the segments lie, overlap and contradict each other, and whether the SYN was seen."""
    hello = hellos.client_hello([0x1301], hellos.server_name(b"example.com" * 9))
    records = [hello] if in_one else [hello[:70], hello[70:]]
    sent = before + b"".join(b"\x16\3\3" + hellos.vector(2, part) for part in records) + bytes(60)
    answer = b"\2" + hellos.vector(3, b"\3\3" + bytes(range(32)) + b"\0\x13\1\0")
    came = b"\x16\3\3" + hellos.vector(2, answer) + b"\x17\3\3\0\x50" + bytes(300)
    play = opened() if in_one else Play()
    for k, (at, length) in enumerate(asked):
        play.c(A | P, bytes(k * (k > 3)) + sent[at + k * (k > 3) : at + length], seq=101 + at)
    for at, length in answered:
        play.s(A | P, came[at : at + length], seq=901 + at)
    found = conversations(settle(scan_of(play.captured)))
    for connection in found.connections:
        stream = first_bytes(found.flows, connection, connection.client_direction)
        opening, proxy = opening_of(stream)
        assert (connection.opening, connection.proxy) == (opening, proxy)
        if opening != "tls":
            assert connection.hello is None
            continue
        assert proxy is not None or connection.hello is not None or asked[0] != (0, 100)
        begun = stream[proxy.length :] if proxy else stream
        assert connection.hello == read_client_hello(read_records(begun).handshake)
        if connection.hello is not None:
            reply = first_bytes(found.flows, connection, 1 - connection.client_direction)
            assert connection.server_hello == read_server_hello(read_records(reply).handshake)
        event("both hellos" if connection.server_hello is not None else "one hello")
