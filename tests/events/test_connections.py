"""All connections of a scan: what columns say of them is what their objects say, whoever was looked at before."""

from __future__ import annotations

import threading
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.events.connection import UDP_PROTOCOL, Connection, Flows
from analyzer.events.connections import Connections
from analyzer.events.quic.plain import plain_connections, quic_connections_of
from analyzer.events.quic.plain_columns import PlainConnections
from analyzer.events.quic.reader import quic_connections
from tests.events.flow_plays import captured, recorded_plays, scanned

INTEGERS = (
    *("flow", "client_direction", "first_repeat", "reply_row", "went_on_row", "largest_request", "client_kinds"),
    *("server_kinds", "version", "server_version", "last_time", "close_code", "misquoted", "unfit", "paths"),
)
FLAGS = (
    *("client_went_on", "server_crypto", "hello_complete", "version_known", "hello_cut", "negotiated", "retry"),
    *("handshake_acked", "strange_reply"),
)
WORDS = ("transport", "roles_from", "close_side", "close_reason", "reset_by", "opening")
LISTS = ("rows", "request_rows", "icmp_rows", "reset_rows", "elsewhere_rows", "rejected_rows", "syn_ack_rows")

#: Plain flows and others, in turns.
PLAYS = [
    play
    for name in (
        "01-caddy-http3-ok/caddy-2.6.2/client.pcap",
        "07-retry/aioquic-ok/client.pcap",
        "02-caddy-ipv4-silent/nft-output-drop/client.pcap",
        "08-connection-close/alpn-caddy/client.pcap",
    )
    for play in recorded_plays((name,))[:5]
]


def everything() -> tuple[Connections, list[Connection]]:
    """Connections with columns, and the same as objects only."""
    flows = Flows(scanned(captured(PLAYS), chunks=3))
    chosen = list(flows.with_protocol(UDP_PROTOCOL))
    columns, others = plain_connections(flows, chosen, compiled=True)
    objects = [connection for flow in others for connection in quic_connections(flows, flow)]
    plain = [connection for flow in chosen for connection in quic_connections(flows, flow)]
    return Connections.of(objects, columns), sorted(plain, key=lambda connection: connection.rows[0])


def check(found: Connections, expected: list[Connection]) -> None:
    """Every attribute that is asked of all connections."""
    assert len(found) == len(expected)
    for name in INTEGERS:
        assert found.integers(name).tolist() == [getattr(c, name) for c in expected], name
    for name in FLAGS:
        assert found.flags(name).tolist() == [getattr(c, name) for c in expected], name
    for name in WORDS:
        words = found.words(name)
        assert words.texts().tolist() == [getattr(c, name) for c in expected], name
        assert list(words.words) == list(dict.fromkeys(words.texts().tolist())), name
    for name in LISTS:
        lists = found.lists(name)
        each = [lists.flat[a:b].tolist() for a, b in zip(lists.bounds[:-1], lists.bounds[1:], strict=True)]
        assert each == [list(getattr(c, name)) for c in expected], name
    assert found.some("replied_from").tolist() == [c.replied_from is not None for c in expected]
    assert found.first_rows().tolist() == [c.rows[0] for c in expected]
    assert found.counters().tolist() == [list(c.counters) for c in expected]
    assert found.client_dcids(np.arange(len(found))) == [c.client_dcid for c in expected]
    names = found.server_names()
    assert names.texts().tolist() == [c.sni for c in expected]
    assert list(names.words) == list(dict.fromkeys(names.texts().tolist()))


def test_columns_say_what_objects_say() -> None:
    found, expected = everything()
    assert 3 < len(found.split().places) < len(found) - 3
    check(found, expected)
    assert list(found) == expected
    assert not len(found.split().places)
    check(found, expected)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_whoever_was_looked_at(chance: Random) -> None:
    """Objects that were made stay, with what was added to them; the others are told from columns."""
    found, expected = everything()
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(found))
        one = found[place] if chance.random() < 0.5 else found[place - len(found)]
        assert one == expected[place]
        assert found[place] is one
        for each in (one, expected[place]):
            each.close_reason, each.unfit, each.icmp_rows = f"reason {place}", place + 1, (7, 8)
    check(found, expected)
    left_out = {place for place in range(len(found)) if chance.random() < 0.3}
    stay = [each for place, each in enumerate(expected) if place not in left_out]
    check(found.without(left_out), stay)
    assert found.without(set()) is found


def test_some_at_once() -> None:
    found, expected = everything()
    places = np.array([5, 2, 5, 0])
    taken = found.take(places)
    assert taken == [expected[place] for place in places]
    assert taken[0] is taken[2] is found[5]
    assert found[1:3] == expected[1:3]
    assert found.take(np.zeros(0, np.int64)) == []
    with pytest.raises(IndexError):
        found[len(found)]


def test_two_threads_make_one_object() -> None:
    for _ in range(20):
        found, _ = everything()
        seen: list[list[Connection]] = []
        threads = [threading.Thread(target=lambda: seen.append(list(found))) for _ in range(3)]  # noqa: B023
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(a is b for each in seen for a, b in zip(each, seen[0], strict=True))


def test_columns_are_read_while_another_thread_looks_at_connections() -> None:
    found, expected = everything()
    versions, rows = [c.version for c in expected], [c.rows for c in expected]
    reading = threading.Event()

    def look() -> None:
        reading.wait()
        for place in range(len(found)):
            found[place]

    thread = threading.Thread(target=look)
    thread.start()
    reading.set()
    while thread.is_alive():
        assert found.integers("version").tolist() == versions
        lists = found.lists("rows")
        assert np.split(lists.flat, lists.bounds[1:-1])[-1].tolist() == rows[-1]
        assert lists.flat.tolist() == [row for each in rows for row in each]
    thread.join()


def test_none_at_all() -> None:
    flows = Flows(scanned(captured(PLAYS[:1])))
    objects, columns = quic_connections_of(flows, [])
    check(Connections.of(objects, columns), [])


def test_what_columns_do_not_hold_is_not_guessed() -> None:
    columns = PlainConnections(Flows(scanned(captured(PLAYS[:1]))))
    for name in ("client", "rows", "hello_bytes", "client_dcid", "sni", "counters"):
        with pytest.raises(KeyError):
            columns.values(name)
