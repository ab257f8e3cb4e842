"""Retransmissions, reordering, probes and holes, told from the few segments that do not follow the one before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.events.tcp.facts import sent_by_both
from analyzer.events.tcp.runs import Sent, round_trip_of
from analyzer.events.tcp.segments import JUMPS_KEPT
from tests.events.playbook import A, P, Play, R, S, found_in

CLIENT_ISN, SERVER_ISN = 0xFFFFFF00, 5000  # the client's numbers wrap
MSS = 1000


def opened() -> Play:
    """A three-way handshake of 20 ms."""
    play = Play(("192.0.2.10", 50660), ("192.0.2.80", 80)).c(S, seq=CLIENT_ISN)
    return play.s(S | A, seq=SERVER_ISN, ack=CLIENT_ISN + 1).c(A, seq=CLIENT_ISN + 1, ack=SERVER_ISN + 1)


def send(play: Play, at: int, length: int = MSS, flags: int = P | A) -> Play:
    """Data of the client, its first byte counted from 0."""
    return play.c(flags, bytes(length), seq=(CLIENT_ISN + 1 + at) & 0xFFFFFFFF, ack=SERVER_ISN + 1)


def acknowledge(play: Play, until: int) -> Play:
    return play.s(A, seq=SERVER_ISN + 1, ack=(CLIENT_ISN + 1 + until) & 0xFFFFFFFF)


def sent(play: Play) -> Sent:
    """What the client sent."""
    found = found_in(play.captured)
    [connection] = found.connections
    return sent_by_both(found.flows, connection, None)[0]


def test_data_in_order() -> None:
    play = opened()
    for k in range(20):
        acknowledge(send(play, k * MSS), (k + 1) * MSS)
    assert sent(play) == Sent()


def test_a_segment_that_comes_again() -> None:
    play = send(send(send(opened(), 0), MSS), 2 * MSS).wait(300)
    assert sent(acknowledge(send(play, 0), 3 * MSS))[:3] == (1, 0, 0)


def test_a_copy_of_the_capture_is_no_retransmission() -> None:
    play = send(send(opened(), 0), MSS)
    play.captured.append(play.captured[-2]._replace(time=play.captured[-1].time + 1000))
    assert sent(send(play, 2 * MSS)) == Sent()


def test_a_go_back_over_many_segments() -> None:
    play = opened()
    for k in [*range(15), *range(5, 20)]:
        send(play, k * MSS)
    assert sent(play)[:3] == (10, 0, 0)


@pytest.mark.parametrize(("late", "told"), [(5, (0, 1, 0)), (100, (1, 0, 0))])
def test_a_hole_that_is_filled(late: float, told: tuple[int, int, int]) -> None:
    """Sooner than one round trip after the data behind it the sender cannot know of the loss."""
    play = send(send(opened(), 0), 2 * MSS).wait(late - 10)
    assert sent(acknowledge(send(play, MSS), 3 * MSS)) == Sent(*told)


def test_keep_alives_with_a_byte_and_data_after_them() -> None:
    play = acknowledge(send(opened(), 0), MSS).wait(30_000)
    for _ in range(3):
        acknowledge(send(play, MSS - 1, 1, A), MSS).wait(30_000)
    assert sent(play)[:3] == (0, 0, 3)
    assert sent(send(play, MSS))[:3] == (0, 0, 3)


def test_a_last_byte_that_comes_again_soon_is_a_retransmission() -> None:
    play = acknowledge(send(opened(), 0), MSS).wait(5000)
    send(play, MSS, 1)
    for pause in (200, 400, 800, 1600):
        send(play.wait(pause), MSS, 1)
    assert sent(play)[:3] == (4, 0, 0)


def test_a_probe_of_a_closed_window() -> None:
    play = send(opened(), 0)
    closed = play.s(A, seq=SERVER_ISN + 1, ack=(CLIENT_ISN + 1 + MSS) & 0xFFFFFFFF)
    raw = bytearray(closed.captured[-1].raw)
    raw[34:36] = bytes(2)  # the window
    closed.captured[-1] = closed.captured[-1]._replace(raw=bytes(raw))
    assert sent(send(closed.wait(300), MSS - 1, 1, A))[:3] == (0, 0, 1)


def test_what_was_acknowledged_and_never_came_by() -> None:
    play = send(send(opened(), 0), 3 * MSS)
    assert sent(play).unseen == 0  # nobody has said that it arrived
    assert sent(acknowledge(play, MSS)).unseen == 0
    told = sent(acknowledge(play, 4 * MSS))
    assert (told.unseen, told.unseen_rows) == (2 * MSS, (4,))
    assert sent(send(play.wait(500), MSS, 2 * MSS)).unseen == 0  # it came after all


def test_what_is_missing_at_the_end_or_the_beginning_is_no_hole() -> None:
    assert sent(acknowledge(send(opened(), 0), 9 * MSS)).unseen == 0
    assert sent(acknowledge(send(opened(), 5 * MSS), 6 * MSS)).unseen == 0


def test_a_reset_with_words_is_no_data() -> None:
    play = send(opened(), 0).c(R, b"go away", seq=(CLIENT_ISN + 1 + 9 * MSS) & 0xFFFFFFFF)
    assert sent(acknowledge(play, 9 * MSS)) == Sent()


def test_more_jumps_than_are_kept_tell_nothing() -> None:
    play = opened()
    for k in range(JUMPS_KEPT + 8):
        send(send(play, k * MSS), k * MSS)
    assert sent(play) == Sent()


def test_the_next_connection_on_the_same_sockets_has_its_own_data() -> None:
    play = send(send(opened(), 0).wait(300), 0)
    play.c(R, seq=(CLIENT_ISN + 1 + MSS) & 0xFFFFFFFF).wait(2000)
    play.c(S, seq=77).s(S | A, seq=88, ack=78).c(A, seq=78, ack=89).c(P | A, bytes(MSS), seq=78, ack=89)
    found = found_in(play.captured)
    first, second = found.connections
    assert sent_by_both(found.flows, first, second)[0].retransmitted == 1
    assert sent_by_both(found.flows, second, None)[0] == Sent()


def test_the_round_trip_of_a_handshake() -> None:
    def round_trip(play: Play) -> int:
        found = found_in(play.captured)
        return round_trip_of(found.flows, found.connections[0])

    assert round_trip(opened()) == 20_000_000
    assert round_trip(Play().c(S, seq=1).c(S, seq=1).s(S | A, seq=9, ack=2).c(A, seq=2, ack=10)) == -1
    assert round_trip(Play().c(S, seq=1).s(R | A, ack=2)) == -1
    assert round_trip(Play().c(S, seq=1).c(A, seq=2, ack=10)) == 10_000_000  # only the client is seen
    assert round_trip(Play(step=0).c(S, seq=1).s(S | A, seq=9, ack=2).c(A, seq=2, ack=10)) == -1


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4)), min_size=1, max_size=14))
def test_every_byte_is_new_again_or_missing(segments: list[tuple[int, int]]) -> None:
    """Against a set of the bytes that came by; here all is acknowledged."""
    play, seen, again = opened(), set[int](), 0
    first = min(at for at, _ in segments)
    for at, length in segments:
        held = set(range(at, at + length))
        again += held <= seen
        seen |= held
        send(play, at * MSS, length * MSS)
    told = sent(acknowledge(play, (max(seen) + 1) * MSS))
    missing = set(range(first, max(seen))) - seen
    assert told.unseen == len(missing) * MSS
    assert told.retransmitted + told.reordered >= again or len(segments) > JUMPS_KEPT
