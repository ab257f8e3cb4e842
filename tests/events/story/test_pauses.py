from __future__ import annotations

import pytest

from tests.events.playbook import Play
from tests.events.story.plays import HELLO, SERVER_HELLO, ack, crypto, handshake, initial, short, story_of


def at_limit(datagrams: int = 2) -> Play:
    """The server's flight up to the limit: an Initial and so many Handshake datagrams."""
    play = Play().ask(initial(crypto(HELLO))).reply(initial(ack(0) + crypto(SERVER_HELLO), from_server=True))
    for seed in range(datagrams):
        play.reply(handshake(from_server=True, seed=seed))
    return play


def test_a_pause_at_three_times_the_client_s_bytes() -> None:
    play = at_limit().wait(990).ask(initial(ack(0), 1)).reply(handshake(from_server=True, seed=9))
    play.ask(handshake(90)).ask(short(seed=1)).reply(short(from_server=True, seed=2))
    stall = story_of(play.only()).stall
    assert stall.pause == 1_000_000_000
    assert (stall.client_bytes, stall.server_bytes, stall.fed) == (1200, 3600, 1)


@pytest.mark.parametrize("datagrams", [0, 1])
def test_below_the_limit_a_pause_is_none(datagrams: int) -> None:
    play = at_limit(datagrams).wait(990).ask(handshake(90)).ask(short(seed=1)).reply(short(from_server=True, seed=2))
    assert story_of(play.only()).stall.time == -1


def test_after_the_client_s_first_handshake_packet_there_is_no_limit() -> None:
    play = at_limit(1).wait(300).ask(handshake(1200)).reply(handshake(from_server=True, seed=5))
    for seed in range(6, 9):
        play.reply(handshake(from_server=True, seed=seed))
    play.wait(2000).ask(handshake(90, seed=1)).ask(short(seed=1)).reply(short(from_server=True, seed=2))
    assert story_of(play.only()).stall.time == -1


def test_silence_of_both_at_the_limit() -> None:
    play = Play().ask(initial(crypto(HELLO))).reply(initial(ack(0) + crypto(SERVER_HELLO), from_server=True))
    play.ask(initial(ack(0), 1))
    for seed in range(5):
        play.reply(handshake(from_server=True, seed=seed))
    stall = story_of(play.only()).stall
    assert stall.pause == -1
    assert stall.client_spoke
    assert stall.server_bytes == 3 * stall.client_bytes


def test_a_client_that_feeds_the_server_in_vain_is_counted() -> None:
    play = at_limit()
    for number in range(1, 4):
        play.wait(400).ask(initial(b"\x01", number))
        for seed in range(3):
            play.reply(handshake(from_server=True, seed=10 * number + seed))
    assert story_of(play.only()).stall.fed == 3


def test_a_token_lifts_the_limit() -> None:
    play = Play().ask(initial(crypto(HELLO), token=b"token"))
    play.reply(initial(ack(0) + crypto(SERVER_HELLO), from_server=True))
    for seed in range(2):
        play.reply(handshake(from_server=True, seed=seed))
    assert story_of(play.wait(900).ask(initial(ack(0), 1)).only()).stall.time == -1
