"""TCP connections told apart by an observer: one play for each thing that hosts do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.events.conversations import conversations
from analyzer.events.scan import scan, settle
from tests.crafted import batches_of
from tests.events.playbook import CLIENT, SERVER, A, F, P, Play, R, S

HELLO = bytes.fromhex("16030100")  # the begin of a TLS record that never comes


def opened(play: Play | None = None, *, isn: int = 100, server_isn: int = 900) -> Play:
    """A three-way handshake."""
    play = play or Play()
    after, server_after = (isn + 1) & 0xFFFFFFFF, (server_isn + 1) & 0xFFFFFFFF
    return play.c(S, seq=isn).s(S | A, seq=server_isn, ack=after).c(A, seq=after, ack=server_after)


def test_a_handshake() -> None:
    connection = opened().only()
    assert (connection.client[1:], connection.server[1:], connection.roles_from) == (CLIENT, SERVER, "syn")
    assert (connection.request_rows, connection.reply_row, connection.syn_ack_rows) == ([0], 1, (1,))
    assert connection.handshake_acked
    assert not connection.client_went_on
    assert tuple(connection.counters) == (2, 1, 0, 0)


def test_a_server_with_the_smaller_address_and_port() -> None:
    """Who is a and who is b of the flow says nothing about client and server."""
    play = Play(("198.51.100.99", 50660), ("192.0.2.1", 443))
    connection = opened(play).c(A | P, b"get", seq=101).s(A | P, b"response", seq=901).only()
    assert (connection.client[1:], connection.server[1:]) == (("198.51.100.99", 50660), ("192.0.2.1", 443))
    assert tuple(connection.counters) == (3, 2, 3, 8)


def test_a_client_on_a_well_known_port() -> None:
    connection = opened(Play(("192.0.2.10", 22), ("198.51.100.80", 50000))).only()
    assert (connection.client.port, connection.roles_from) == (22, "syn")


def test_syn_repeats_belong_to_the_attempt() -> None:
    connection = Play(step=1000).c(S, seq=7).c(S, seq=7).c(S, seq=7).only()
    assert (connection.request_rows, connection.reply_row, connection.client_went_on) == ([0, 1, 2], -1, False)


def test_a_late_syn_ack_answers_all_repeats() -> None:
    connection = Play(step=1000).c(S, seq=7).c(S, seq=7).s(S | A, seq=1, ack=8).c(A, seq=8).only()
    assert (connection.request_rows, connection.reply_row, connection.handshake_acked) == ([0, 1], 2, True)


def test_syn_acks_that_get_lost() -> None:
    play = Play(step=1000).c(S, seq=7).s(S | A, seq=1, ack=8).c(S, seq=7).s(S | A, seq=1, ack=8).s(S | A, seq=1, ack=8)
    connection = play.only()
    assert (connection.request_rows, connection.syn_ack_rows, connection.handshake_acked) == ([0, 2], (1, 3, 4), False)


def test_a_new_initial_sequence_number_is_another_connection() -> None:
    """The client took the same port again."""
    play = opened(Play(), isn=100, server_isn=900).c(A | P, b"one", seq=101).c(F | A, seq=104).s(F | A, seq=901)
    play = opened(play.wait(5000), isn=5000, server_isn=7000).s(A | P, b"three", seq=7001)
    first, second = play.played()
    assert (first.rows, second.rows) == ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9])
    assert (first.close_side, second.close_side) == ("client", "")
    assert tuple(first.counters) == (4, 2, 3, 0)
    assert tuple(second.counters) == (2, 2, 0, 5)
    assert first.last_time < second.last_time


def test_a_port_taken_again_without_an_end() -> None:
    play = Play(step=1000).c(S, seq=1).c(S, seq=1).wait(60_000).c(S, seq=2).s(S | A, seq=3, ack=3)
    first, second = play.played()
    assert (first.request_rows, first.reply_row) == ([0, 1], -1)
    assert (second.request_rows, second.reply_row) == ([2], 3)


def test_the_roles_may_change_on_one_pair_of_sockets() -> None:
    play = opened().s(R, seq=901).s(S, seq=5).c(S | A, seq=6, ack=6)
    first, second = play.played()
    assert (first.client[1:], second.client[1:]) == (CLIENT, SERVER)
    assert second.reply_row == 5


def test_both_open_at_once() -> None:
    """RFC 9293 §3.5, figure 8: one connection, of which who was first is the client."""
    play = Play().c(S, seq=100).s(S, seq=900).c(S | A, seq=100, ack=901).s(S | A, seq=900, ack=101)
    connection = play.c(A | P, b"data", seq=101).only()
    assert (connection.client[1:], connection.request_rows, connection.reply_row) == (CLIENT, [0], 3)
    assert connection.syn_ack_rows == (3,)
    assert connection.handshake_acked


def test_a_syn_ack_without_its_syn() -> None:
    connection = Play().s(S | A, seq=900, ack=101).s(S | A, seq=900, ack=101).c(A, seq=101).only()
    assert (connection.client[1:], connection.roles_from, connection.request_rows) == (CLIENT, "syn", [])
    assert (connection.syn_ack_rows, connection.reply_row, connection.handshake_acked) == ((0, 1), 0, True)
    assert not connection.is_attempt


def test_syn_acks_of_two_connections_without_their_syns() -> None:
    play = Play().s(S | A, seq=900, ack=101).c(A, seq=101).s(S | A, seq=5000, ack=777).c(A, seq=777)
    assert [c.syn_ack_rows for c in play.played()] == [(0,), (2,)]


def test_a_second_syn_ack_after_the_end_whose_syn_is_missing() -> None:
    play = opened().c(F | A, seq=101).s(F | A, seq=901).s(S | A, seq=5000, ack=777)
    first, second = play.played()
    assert (first.syn_ack_rows, second.syn_ack_rows, second.request_rows) == ((1,), (5,), [])


def test_a_syn_recorded_behind_its_syn_ack() -> None:
    """Queues of one interface are recorded in any order."""
    connection = Play(step=0.01).s(S | A, seq=900, ack=101).c(S, seq=100).c(A, seq=101, ack=901).only()
    assert (connection.request_rows, connection.reply_row, connection.handshake_acked) == ([1], 0, True)


@pytest.mark.parametrize("flags", [R, R | A])
def test_a_closed_port(flags: int) -> None:
    connection = Play().c(S, seq=100).s(flags, ack=101).only()
    assert (connection.reset_by, connection.reply_row, connection.reset_rows) == ("server", -1, (1,))


def test_a_client_that_asks_again_after_a_reset() -> None:
    """Windows sends the same SYN three times to a closed port."""
    connection = Play(step=500).c(S, seq=100).s(R | A).c(S, seq=100).s(R | A).only()
    assert (connection.request_rows, connection.reset_rows, connection.reset_by) == ([0, 2], (1, 3), "server")


def test_a_client_that_resets_the_reply() -> None:
    connection = Play().c(S, seq=100).s(S | A, seq=900, ack=101).c(R, seq=101).only()
    assert (connection.reset_by, connection.handshake_acked, connection.reply_row) == ("client", False, 1)


def test_a_reset_in_the_middle() -> None:
    connection = opened().c(A | P, HELLO, seq=101).s(R, seq=901).only()
    assert (connection.reset_by, connection.reply_row, connection.handshake_acked) == ("server", 1, True)


def test_the_first_reset_counts() -> None:
    assert opened().c(R | A, seq=101).s(R, seq=901).only().reset_by == "client"


def test_a_syn_with_a_reset_is_no_syn() -> None:
    connection = Play().c(S, seq=1).c(S | R, seq=1).only()
    assert (connection.request_rows, connection.reset_by) == ([0], "client")


def test_only_the_client_is_seen() -> None:
    """What it sends beyond its SYN is proof of a reply."""
    connection = Play().c(S, seq=100).c(A, seq=101, ack=901).c(A | P, b"get", seq=101).only()
    assert (connection.reply_row, connection.client_went_on, connection.handshake_acked) == (-1, True, False)


def test_begun_before_the_capture() -> None:
    connection = Play().s(A | P, b"data", seq=5).c(A, seq=1, ack=9).only()
    assert (connection.client[1:], connection.roles_from, connection.is_attempt) == (CLIENT, "port", False)
    assert connection.reply_row == 0


def test_begun_before_the_capture_between_high_ports() -> None:
    play = Play(("192.0.2.10", 40000), ("198.51.100.80", 8443))
    connection = play.s(A | P, b"data", seq=5).c(A, seq=1, ack=9).only()
    assert (connection.client.port, connection.roles_from) == (8443, "first-seen")


def test_a_syn_tells_better_than_who_was_seen_first() -> None:
    """The server's last acknowledgments of an old connection come before the SYN of the next."""
    play = Play(("192.0.2.10", 40000), ("198.51.100.80", 8443)).s(A, seq=5).wait(2000)
    old, new = opened(play).played()
    assert (old.roles_from, old.rows) == ("first-seen", [0])
    assert (new.roles_from, new.client.port, new.reply_row) == ("syn", 40000, 2)


def test_who_closes_first() -> None:
    assert opened().s(F | A, seq=901).c(F | A, seq=101).only().close_side == "server"


def test_data_in_the_syn() -> None:
    """TCP Fast Open (RFC 7413)."""
    connection = Play().c(S, b"early", seq=100).s(S | A, seq=900, ack=106).only()
    assert (connection.request_rows, connection.reply_row, connection.counters.client_bytes) == ([0], 1, 5)


def test_sequence_numbers_wrap() -> None:
    play = opened(isn=0xFFFFFFFF, server_isn=0xFFFFFFFF).c(A | P, b"get", seq=0).s(A | P, b"ok", seq=0)
    assert tuple(play.only().counters) == (3, 2, 3, 2)


EVENTS = st.tuples(st.booleans(), st.sampled_from((S, S | A, A, F | A, R, R | A, A | P, 0, 63)), st.integers(0, 2))


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=14))
def test_any_play_is_told_whole(events: list[tuple[bool, int, int]]) -> None:
    """Each row belongs to one connection, in order, and the counters of the connections add up to the packets."""
    play = Play(step=30)
    for of_client, flags, seq in events:
        (play.c if of_client else play.s)(flags, b"x" if flags & P else b"", seq=seq, ack=seq)
    connections = play.played()
    rows = [row for c in connections for row in c.rows]
    assert rows == list(range(len(rows)))
    total = [sum(c.counters[:2]) for c in connections]
    assert sum(total) == len(events)
    assert all(count >= len(c.rows) for count, c in zip(total, connections, strict=True))
    for c in connections:
        assert {*c.request_rows, *c.syn_ack_rows, *c.reset_rows, *c.fin_rows} <= set(c.rows)


def test_recorded_hellos(captures: Path) -> None:
    """HTTPS of curl (12, both-ok): server names and both hellos from TCP streams."""
    path = captures / "12-happy-eyeballs" / "both-ok" / "client.pcap"
    found = conversations(settle(scan(batches_of(path), 1, compiled=False)))
    https = [c for c in found.connections if c.transport == "tcp" and c.server.port == 443 and c.hello is not None]
    assert https
    assert all(c.sni and c.server_hello is not None and c.handshake_acked for c in https)
