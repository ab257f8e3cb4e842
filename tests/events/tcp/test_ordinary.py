"""Ordinary connections by columns: the same facts as one by one, and what makes a connection another one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.events.playbook import A, F, P, Play, R, S, found_in, ordinary_places, recorded
from tests.events.tcp.test_facts import CLIENT_ISN, HTTP, SERVER_ISN, opened, reply, send

HELLO = bytes.fromhex("16030100050100000100")
ALERT = bytes.fromhex("15030300020228")

ORDINARY = {
    "answered": reply(send(opened()), b"HTTP/1.1 200 OK\r\n\r\n", acked=1 + len(HTTP)),
    "less than announced": reply(send(opened()), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", acked=1 + len(HTTP)),
    "not acknowledged": reply(send(opened()), acked=1),
    "opened alone": opened(),
    "proved": reply(send(opened()), acked=1 + len(HTTP), at=2903, flags=F | A),
    "in two segments": send(send(opened(), HELLO[:7]), HELLO[7:], at=8),
    "alert": reply(send(opened(), HELLO), ALERT, acked=1 + len(HELLO), flags=P | A),
    "alert of the client": send(send(opened(), HELLO), ALERT, at=1 + len(HELLO)),
    "alerts of both": send(reply(send(opened(), HELLO), ALERT, acked=1, flags=P | A), ALERT, at=1 + len(HELLO)),
    "taken and not seen": send(opened()).c(A, seq=20, ack=SERVER_ISN + 3),
    "a FIN behind one byte": reply(send(opened()), acked=1, at=2, flags=F | A),
    "reset from nearer": reply(send(opened()), acked=1).hops(250).s(R, seq=SERVER_ISN + 1),
    "reset from farther": reply(send(opened()), acked=1).hops(50).s(R, seq=SERVER_ISN + 1),
    "reset": reply(send(opened()), acked=0, flags=R | A),
    "fast open": Play().c(S, HTTP, seq=CLIENT_ISN).s(S | A, seq=SERVER_ISN, ack=(CLIENT_ISN + 1 + len(HTTP)) % 2**32),
    "data before the beginning": send(opened(), b"early", at=-9),
    "the server speaks first": send(reply(opened(), b"220 ready\r\n", acked=1)),
}

OTHER = {
    "silent": Play().c(S, seq=1),
    "SYN again": Play().c(S, seq=1).wait(1000).c(S, seq=1).s(S | A, seq=7).c(A, seq=2, ack=8),
    "SYN/ACK again": opened().wait(1000).s(S | A, seq=SERVER_ISN, ack=CLIENT_ISN + 1),
    "data again": send(send(opened()).wait(1500)),
    "a hole": reply(send(opened(), b"tail", at=1401), acked=1),
    "challenged": Play().c(S, seq=100).s(A, seq=7, ack=900).c(R, seq=900).s(S | A, seq=5, ack=101).c(A, seq=101, ack=6),
    "challenged by less": Play().c(S, seq=900).s(A, seq=7, ack=90).c(R, seq=90).s(S | A, seq=5, ack=901),
    "SYN/ACK late": Play()
    .c(S, seq=9)
    .s(A, seq=7, ack=10)
    .c(A, seq=10, ack=8)
    .c(P | A, HTTP, seq=10, ack=8)
    .wait(600)
    .s(S | A, seq=7, ack=10),
    "behind a proxy": send(opened(), b"PROXY TCP4 203.0.113.7 192.0.2.10 40000 80\r\n" + HTTP),
    "in the midst": send(Play()),
    "another follows": reply(send(opened()), acked=0, flags=R | A).c(S, seq=77),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_connections(name: str) -> None:
    assert ordinary_places(found_in(ORDINARY[name].captured)) == [0]


@pytest.mark.parametrize("name", OTHER)
def test_what_is_left_to_be_read_alone(name: str) -> None:
    assert ordinary_places(found_in(OTHER[name].captured)) == []


def test_a_window_of_zero_is_not_ordinary() -> None:
    found = recorded(ROOT / "captures/11-tcp-cases/zero-window/client.pcap")
    rows = found.flows.scan.rows
    closed = {*np.flatnonzero((rows.window == 0) & (rows.tcp_flags & (S | R) == 0)).tolist()}
    assert closed
    assert all(closed.isdisjoint(found.connections[place].rows) for place in ordinary_places(found))


def test_recorded_connections() -> None:
    every = sorted((ROOT / "captures").rglob("*.pcap*"))
    assert sum(len(ordinary_places(recorded(path))) for path in every) > 50


_SEGMENTS = st.tuples(
    st.booleans(),
    st.sampled_from([A, P | A, F | A, R, R | A, S, S | A]),
    st.sampled_from([b"", HTTP, HELLO, ALERT, b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n", bytes(1400)]),
    st.sampled_from([0, 1, 8, 11, 36, 1401, 2903, -5]),
    st.sampled_from([0, 1, 2, 8, 11, 37, 1401, 2904, -5]),
    st.sampled_from([0, 10, 700, 1500]),
)


@settings(max_examples=300, deadline=None)
@given(st.booleans(), st.lists(_SEGMENTS, max_size=8))
def test_any_segments_in_any_order(is_opened: bool, segments: list[tuple[bool, int, bytes, int, int, int]]) -> None:
    play = opened() if is_opened else Play(("192.0.2.10", 50660), ("192.0.2.80", 80))
    for is_client, flags, payload, at, acked, wait in segments:
        own, other = (CLIENT_ISN, SERVER_ISN) if is_client else (SERVER_ISN, CLIENT_ISN)
        say = play.c if is_client else play.s
        say(flags, payload, seq=(own + at) & 0xFFFFFFFF, ack=(other + acked) & 0xFFFFFFFF).wait(wait)
    found_in(play.captured)


def test_nothing_is_nothing() -> None:
    assert ordinary_places(found_in([])) == []
    assert ordinary_places(found_in(Play().ask(b"hello").captured)) == []
