"""Which connections get a story, and what it says of handshakes."""

from __future__ import annotations

import pytest

from analyzer.wire.quic.split import HANDSHAKE, INITIAL
from analyzer.wire.quic.summary import SHORT_BIT
from tests.events.playbook import Play
from tests.events.story.plays import (
    HELLO,
    SERVER_HELLO,
    ack,
    close,
    completed,
    crypto,
    handshake,
    initial,
    short,
    story_of,
)


def test_a_connection_that_completes_has_no_story() -> None:
    connection = completed().only()
    assert connection.story is None
    assert connection.client_kinds == 1 << INITIAL | 1 << HANDSHAKE | SHORT_BIT


def test_a_complete_hello_that_nobody_answers_has_no_story() -> None:
    assert Play().ask(initial(crypto(HELLO))).wait(1000).ask(initial(crypto(HELLO), 1)).only().story is None


def test_a_slow_handshake_has_one() -> None:
    play = Play().ask(initial(crypto(HELLO))).wait(300)
    play.reply(initial(ack(0) + crypto(SERVER_HELLO), from_server=True)).reply(handshake(from_server=True))
    play.ask(handshake(90)).ask(short(seed=1)).reply(short(from_server=True, seed=2))
    assert story_of(play.only()).completed


def test_acknowledged_and_nothing_else() -> None:
    play = Play().ask(initial(crypto(HELLO[:40]))).ask(initial(crypto(HELLO[40:], 40), 1))
    play.reply(initial(ack(1), from_server=True, size=60)).wait(1000).ask(initial(b"\x01", 2))
    story = story_of(play.only())
    assert story.initials.acked_whole
    assert not story.initials.server_crypto
    assert not story.initials.unread
    assert story.client_after == 1


def test_an_acknowledgment_of_a_part_is_none_of_the_whole() -> None:
    play = Play().ask(initial(crypto(HELLO[:40]))).ask(initial(crypto(HELLO[40:], 40), 1))
    play.reply(initial(ack(0), from_server=True, size=60))
    assert not story_of(play.only()).initials.acked_whole


@pytest.mark.parametrize(
    ("pieces", "missing"),
    [
        ([(0, 40), (49, 80)], [(40, 49), (80, len(HELLO))]),
        ([(0, 40)], [(40, len(HELLO))]),
        ([(40, len(HELLO))], [(0, 40)]),
    ],
)
def test_holes_of_the_hello(pieces: list[tuple[int, int]], missing: list[tuple[int, int]]) -> None:
    play = Play()
    for number, (low, high) in enumerate(pieces):
        play.ask(initial(crypto(HELLO[low:high], low), number))
    story = story_of(play.only())
    assert story.real_client
    assert story.initials.missing() == missing


def test_a_close_of_the_server_and_one_of_the_client() -> None:
    refused = Play().ask(initial(crypto(HELLO))).reply(initial(close(0x178, b"no"), from_server=True, size=60)).only()
    assert (refused.close_side, refused.close_code) == ("server", 0x178)
    assert refused.close_reason == "CRYPTO_ERROR no_application_protocol: no"
    play = Play().ask(initial(crypto(HELLO))).reply(initial(ack(0) + crypto(SERVER_HELLO), from_server=True))
    left = play.ask(initial(close(0x12E), 1)).only()
    assert (left.close_side, left.close_code) == ("client", 0x12E)


def test_a_close_under_protection_has_a_shape() -> None:
    play = Play().ask(initial(crypto(HELLO))).reply(initial(ack(0) + crypto(SERVER_HELLO), from_server=True))
    play.reply(handshake(from_server=True)).ask(handshake(70))
    assert story_of(play.only()).close_shape
    again = play.wait(300).reply(handshake(from_server=True, seed=1))  # the server still waits
    assert not story_of(again.only()).close_shape


def test_the_client_s_1_rtt_packets_need_an_answer_to_complete_the_handshake() -> None:
    play = Play().ask(initial(crypto(HELLO)))
    play.reply(initial(ack(0) + crypto(SERVER_HELLO), from_server=True)).reply(short(from_server=True))
    play.ask(handshake(90)).ask(short(seed=1))
    for seed in range(4):
        play.wait(500).ask(short(seed=10 + seed))
    story = story_of(play.only())
    assert not story.completed
    assert story.ending.silent == "server"


def test_a_part_that_was_sent_again_may_be_acknowledged_in_its_second_packet() -> None:
    play = Play().ask(initial(crypto(HELLO[:40]))).ask(initial(crypto(HELLO[40:], 40), 1))
    play.ask(initial(crypto(HELLO[40:], 40), 2)).reply(initial(ack(0), from_server=True, size=60))
    assert not story_of(play.only()).initials.acked_whole
    play.reply(initial(ack(2, 2), 1, from_server=True, size=60)).ask(initial(crypto(HELLO[40:], 40), 3))
    assert story_of(play.only()).initials.acked_whole
