"""History strings: one letter per step, upper case from the client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.events.connection import Connection
from analyzer.events.conversations import Conversations
from analyzer.exchanges import history as told_by
from analyzer.exchanges.attributes import Attributes
from analyzer.exchanges.history import MOST_LETTERS, histories_of, plain_histories
from tests.crafted import MS, batches_of, captured_of, ip, joined, udp
from tests.events.playbook import CLIENT, SERVER, A, F, P, Play, R, S, found_in
from tests.events.test_quic import ANSWERED, ELSEWHERE, RETRY, SILENT, moved, packets_of, recorded

UNREACHABLE = bytes([3, 3]) + bytes(6) + ip(CLIENT[0], SERVER[0], 17, udp((CLIENT[1], SERVER[1]), b"ask"))


@pytest.fixture(autouse=True)
def by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few connections there are."""
    monkeypatch.setattr(told_by, "_FEW", 0)


def histories_in(found: Conversations, is_wanted: Callable[[Connection], bool] = lambda _: True) -> list[str]:
    # Which those are says a second look: to look at a connection makes it an object.
    told = histories_of(Attributes(found.flows, found.connections), np.arange(len(found.connections)))
    assert told == plain_histories(found.flows, found.connections)
    return [history for history, c in zip(told, found.connections, strict=True) if is_wanted(c)]


def histories(play: Play) -> list[str]:
    return histories_in(found_in(play.captured), lambda c: c.transport != "udp" or c.server.port != 0)


@pytest.mark.parametrize(
    ("play", "history"),
    [
        (Play().c(S).s(S | A).c(A), "SaA"),
        (Play().c(S).c(S).c(S), "SQQ"),
        (Play().c(S).s(R | A), "Sx"),
        (Play().c(S).s(S | A).c(S).s(S | A), "SaQa"),
        (Play().c(S).s(S | A).c(A | P, b"get").s(A | P, b"ok").c(F | A).s(F | A).c(A), "SaDdFfA"),
        (Play().c(S).s(S | A).c(F | A | P, b"last").s(R), "SaDFx"),
        (Play().s(S | A).c(A), "aA"),
        (Play().c(A | P, b"x").s(A), "Da"),
    ],
)
def test_tcp(play: Play, history: str) -> None:
    assert histories(play) == [history]


@pytest.mark.parametrize(
    ("play", "history"),
    [
        (Play().ask(b"ask").reply(b"answer"), "Oo"),
        (Play().ask(b"ask").ask(b"ask"), "OQ"),
        (Play().ask(b"ask").say(SERVER, CLIENT, 1, UNREACHABLE), "OU"),
    ],
)
def test_other_udp(play: Play, history: str) -> None:
    assert histories(play) == [history]


def test_a_closed_window() -> None:
    play = Play().c(S).s(S | A).c(A)
    segment = ip(SERVER[0], CLIENT[0], 6, bytes.fromhex("01bbc5e4 00000001 00000001 5010 0000 0000 0000"), ident=9)
    play.captured.append(play.captured[-1]._replace(raw=segment, time=play.now))
    assert histories(play) == ["SaAw"]


@pytest.mark.parametrize(
    ("count", "letters"), [(1, "D"), (9, "D"), (10, "DD"), (99, "DD"), (100, "DDD"), (1500, "DDDD")]
)
def test_bulk_grows_by_the_logarithm(count: int, letters: str) -> None:
    """Packets that were only counted are told as well."""
    play = Play(step=1).c(S).s(S | A)
    for k in range(count):
        play.c(A | P, b"bulk", seq=1 + 4 * k)
    assert histories(play) == [f"Sa{letters}"]


def test_each_side_of_bulk() -> None:
    play = Play(step=1).c(S).s(S | A).c(A)
    for k in range(50):
        play.c(A | P, b"bulk", seq=4 * k).s(A, seq=1, ack=4 * k)
    (history,) = histories(play)
    assert history.startswith("SaADa")
    assert set(history[5:]) <= set("Dad"), "what was only counted is written as data"


def test_the_second_connection_of_a_four_tuple_begins_anew() -> None:
    play = Play().c(S, seq=1).s(S | A, seq=5, ack=2).c(A, seq=2)
    for k in range(30):
        play.c(A | P, b"bulk", seq=2 + 4 * k)
    play.c(S, seq=9000).s(S | A, seq=800, ack=9001).c(A, seq=9001)
    assert histories(play) == ["SaADD", "SaA"]


def test_a_long_history_is_ended() -> None:
    play = Play(step=1500)
    for _ in range(200):
        play.c(S, seq=7)
    (history,) = histories(play)
    assert len(history) == MOST_LETTERS
    assert history == "S" + "Q" * (MOST_LETTERS - 2) + "+"


def of_capture(name: str) -> list[str]:
    found = found_in(recorded(name))
    return histories_in(found, lambda c: c.transport == "quic")


def test_recorded_quic() -> None:
    assert of_capture(SILENT)[:5] == ["IQQQQ"] * 3 + ["IQQ", "IIQQ"]
    one, two = "IihoIHOhoO", "IIiIiIihoIHOhoOo"  # hellos in one datagram and in two, each with its acknowledgments
    assert [history[: len(one)] for history in of_capture(ANSWERED)][:5] == [one, one, one, one, two[: len(one)]]
    assert all(history.startswith(("IrIihoIHO", "IIrrIIiiIihoIHO")) for history in of_capture(RETRY))


def test_a_reply_from_elsewhere_is_the_servers() -> None:
    astray = [history for history in of_capture(ELSEWHERE) if "Q" in history]
    assert len(astray) == 4
    assert all("ih" in history.lower() and history[0] == "I" and "i" in history for history in astray)


def test_a_reply_from_elsewhere_is_the_servers_wherever_its_address_lies() -> None:
    """Addresses order the ends of a flow: here the client is b of the one and a of the other."""
    swapped = [
        one._replace(raw=one.raw.replace(bytes([192, 0, 2, 81]), bytes([192, 0, 2, 5]))) for one in recorded(ELSEWHERE)
    ]
    found = found_in(swapped)
    astray = histories_in(found, lambda c: c.server.address == "192.0.2.5")
    assert astray == [h for h in of_capture(ELSEWHERE) if "Q" in h]


def test_another_path_is_told_once() -> None:
    """Its packets are counted in the connection's counters, and are no bulk besides."""
    packets = packets_of(ANSWERED, 0)
    late = [packets[10], packets[9]._replace(time=packets[10].time + MS), *packets[11:]]
    told = []
    for part in (late, moved(late, 51000)):
        found = found_in([*packets[:9], *part])
        told.append(histories_in(found))
    assert len(told[0]) == 1
    assert told[0] == told[1]


def test_recorded_hellos_over_tcp(captures: Path) -> None:
    batch = joined(batches_of(captures / "12-happy-eyeballs" / "both-ok" / "client.pcap"))
    found = found_in(captured_of(batch))
    https = histories_in(found, lambda c: c.transport == "tcp" and c.hello is not None)
    assert https
    for history in https:
        assert history.startswith("SaAT")
        assert (history.count("T"), history.count("t")) == (1, 1)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from((S, S | A, A, F | A, R, A | P))), min_size=1, max_size=30))
def test_both_sides_of_any_play_are_told(events: list[tuple[bool, int]]) -> None:
    play = Play(step=30)
    for of_client, flags in events:
        (play.c if of_client else play.s)(flags, b"x" if flags & P else b"")
    found = found_in(play.captured)
    for c, history in zip(found.connections, histories_in(found), strict=True):
        assert set(history) <= set("SAQDTFXUWsaqdtfxuw")
        assert any(map(str.isupper, history)) == (c.counters.client_packets > 0)
        assert any(map(str.islower, history)) == (c.counters.server_packets > 0)


@pytest.mark.parametrize("pattern", ["0[1-9]-*/*/*.pcap", "1*/*/*.pcap", "2*/*/*.pcap"])
def test_histories_by_columns_are_those_by_rows(captures: Path, pattern: str) -> None:
    paths = sorted(captures.glob(pattern))
    assert paths
    for path in paths:
        found = found_in(captured_of(joined(batches_of(path))))
        histories_in(found)
