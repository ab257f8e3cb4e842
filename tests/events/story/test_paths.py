"""Further paths of a connection, who fell silent, and resets."""

from __future__ import annotations

import pytest

from tests.events.playbook import CLIENT, SERVER, Play
from tests.events.story.plays import CLIENT_CID, completed, reset, short, story_of

NEW = (CLIENT[0], 50999)
TOKEN = bytes(range(100, 116))


def moved(play: Play) -> Play:
    """The play goes on from another port of the client."""
    play.client = NEW
    return play


def test_the_server_s_connection_id_ties_a_new_path_to_its_connection() -> None:
    play = moved(completed())
    for seed in range(4):
        play.ask(short(seed=seed)).wait(500)
    connection = play.only()
    assert connection.paths == 2
    assert connection.counters.client_packets == 9
    story = story_of(connection)
    assert story.silent_path is not None
    assert (story.silent_path.client.port, story.path_packets) == (NEW[1], 4)


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 6, 7, 8, 9, 20])
def test_a_connection_id_of_any_length(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of four bytes or more do not meet by chance; one that differs in its last byte is another."""
    cid = bytes(range(0x81, 0x81 + length))
    monkeypatch.setattr("tests.events.story.plays.SERVER_CID", cid)
    for other in (cid, cid[:-1] + b"\0") if length else (cid,):
        play = moved(completed()).ask(short(seed=5, cid=other + bytes(20)))
        assert len(play.played()) == (1 if other == cid and length >= 4 else 2)


def test_a_path_that_is_answered_is_not_silent() -> None:
    play = moved(completed()).ask(short(seed=5)).reply(short(from_server=True, seed=6))
    assert story_of(play.only()).silent_path is None


@pytest.mark.parametrize("cid", [b"strange!", CLIENT_CID])
def test_another_connection_id_is_another_conversation(cid: bytes) -> None:
    play = moved(completed()).ask(short(seed=5, cid=cid))
    assert [c.transport for c in play.played()] == ["quic", "udp"]


def test_another_server_socket_is_another_conversation() -> None:
    play = completed()
    play.server = (SERVER[0], 444)
    assert len(moved(play).ask(short(seed=5)).played()) == 2


def test_who_fell_silent_and_since_when() -> None:
    play = completed()
    last = play.now - 2 * 10_000_000  # the server's last
    play.wait(200)
    first = play.now
    for seed in range(5):
        play.ask(short(seed=("probe", seed))).wait(400)
    ending = story_of(play.only()).ending
    assert (ending.silent, ending.since, ending.packets) == ("server", last, 6)
    assert ending.first == last + 10_000_000 < first  # the client's acknowledgment needs no answer, but has none


def test_few_packets_or_a_short_time_are_no_silence() -> None:
    play = completed().wait(200).ask(short(seed=8)).wait(2000)
    assert play.only().story is None
    play = completed()
    for seed in range(8):
        play.ask(short(seed=("burst", seed)))
    assert play.only().story is None


def test_resets_end_in_one_token() -> None:
    play = completed()
    for seed in range(4):
        play.wait(300).ask(short(seed=("probe", seed))).reply(reset(TOKEN, 43 + 31 * seed, seed))
    resets = story_of(play.only()).resets
    assert (resets.side, resets.repeats, len(resets.rows), resets.proved) == ("server", 4, 4, True)
    assert not resets.on_new_path


def talked() -> Play:
    """A connection on which the server sent some 1-RTT packets, and then there was a pause."""
    play = completed().reply(short(from_server=True, seed="more")).ask(short(seed="ack"))
    return play.wait(5000).ask(short(seed="late"))


def test_a_single_reset_fits_in_its_place() -> None:
    resets = story_of(talked().reply(reset(TOKEN, 41)).only()).resets
    assert (resets.side, resets.repeats, resets.proved, resets.by_token) == ("server", 1, False, False)


def test_what_nearly_fits_as_a_single_reset() -> None:
    """The client's connection ID; too large; too small; without a pause; not the last; no other to compare with."""
    replied = talked().reply(reset(TOKEN, 41))
    for play in (
        talked().reply(short(41, from_server=True, seed="own")),
        talked().reply(reset(TOKEN, 90)),
        talked().reply(b"\x4f" + bytes(19)),
        completed().reply(short(from_server=True, seed="more")).ask(short(seed="ack")).reply(reset(TOKEN, 41)),
        replied.ask(short(seed="on")).reply(short(from_server=True, seed="own")),
        completed().wait(5000).ask(short(seed="late")).reply(reset(TOKEN, 41)).ask(short(seed="x")),
    ):
        connection = play.only()
        assert connection.story is None or connection.story.resets.repeats == 0


def test_resets_on_a_new_path() -> None:
    play = moved(completed())
    for seed in range(3):
        play.wait(300).ask(short(seed=("probe", seed))).reply(reset(TOKEN, 80, seed))
    story = story_of(play.only())
    assert story.resets.on_new_path
    assert story.silent_path is None  # resets are a reply of a kind


def test_one_packet_seen_twice_is_no_reset() -> None:
    play = completed()
    for _ in range(3):
        play.wait(300).ask(short(seed="same")).reply(short(from_server=True, seed="other"))
    connection = play.only()
    assert connection.story is None or connection.story.resets.repeats == 0


def test_equal_ends_under_the_connection_s_own_id_are_no_resets() -> None:
    play = completed()
    for seed in range(3):
        body = short(60, from_server=True, seed=seed)[:-16] + TOKEN
        play.wait(300).ask(short(seed=("probe", seed))).reply(body)
    connection = play.only()
    assert connection.story is None or connection.story.resets.repeats == 0
