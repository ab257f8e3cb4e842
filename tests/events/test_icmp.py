"""ICMP errors tied to the connections whose packets they quote."""

from __future__ import annotations

import pytest

from analyzer.events.connection import Connection
from analyzer.wire.addresses import address_of
from tests.crafted import ip, tcp, udp
from tests.events.playbook import CLIENT, CLIENT_6, SERVER, SERVER_6, A, Play, S, Socket, found_in

ROUTER, ROUTER_6 = ("203.0.113.1", 0), ("2001:db8:f::1", 0)
PORT_UNREACHABLE, UNREACHABLE_6 = bytes([3, 3]), bytes([1, 4])


def quoting(packet: bytes, error: bytes = PORT_UNREACHABLE) -> bytes:
    return error + bytes(6) + packet


def request(client: Socket = CLIENT, server: Socket = SERVER, payload: bytes = b"ask") -> bytes:
    return ip(client[0], server[0], 17, udp((client[1], server[1]), payload))


def of_server(connections: list[Connection], server: Socket) -> Connection:
    (connection,) = [c for c in connections if c.server[1:] == server]
    return connection


@pytest.mark.parametrize("router", [ROUTER, SERVER])
def test_an_error_by_the_server_or_on_the_way(router: Socket) -> None:
    play = Play().ask(b"ask").ask(b"ask").say(router, CLIENT, 1, quoting(request()))
    connection = of_server(play.played(), SERVER)
    assert (connection.request_rows, connection.icmp_rows, connection.reply_row) == ([0, 1], (2,), -1)


def test_over_ipv6() -> None:
    play = Play(CLIENT_6, SERVER_6).ask(b"ask")
    play.say(ROUTER_6, CLIENT_6, 58, quoting(request(CLIENT_6, SERVER_6), UNREACHABLE_6))
    assert of_server(play.played(), SERVER_6).icmp_rows == (1,)


def test_it_quotes_a_syn() -> None:
    syn = ip(CLIENT[0], SERVER[0], 6, tcp((CLIENT[1], SERVER[1]), S, seq=1))
    play = Play().c(S, seq=1).say(ROUTER, CLIENT, 1, quoting(syn[:28]))
    assert of_server(play.played(), SERVER).icmp_rows == (1,)


def test_the_transport_must_be_the_same() -> None:
    play = Play().c(S, seq=1).say(ROUTER, CLIENT, 1, quoting(request()))
    assert of_server(play.played(), SERVER).icmp_rows == ()


def test_it_belongs_to_the_latest_connection_that_had_begun() -> None:
    syn = ip(CLIENT[0], SERVER[0], 6, tcp((CLIENT[1], SERVER[1]), S, seq=2))
    play = Play().c(S, seq=1).c(S, seq=2).say(ROUTER, CLIENT, 1, quoting(syn)).c(S, seq=3)
    assert [c.icmp_rows for c in play.played()] == [(), (2,), ()]


def test_it_comes_after_what_it_quotes() -> None:
    play = Play().say(ROUTER, CLIENT, 1, quoting(request())).ask(b"ask")
    assert of_server(play.played(), SERVER).icmp_rows == ()


def test_what_it_quotes_of_others_is_nobodys() -> None:
    play = Play().ask(b"ask").say(ROUTER, CLIENT, 1, quoting(request(("192.0.2.99", 50660))))
    play.say(ROUTER, CLIENT, 1, quoting(request(SERVER, CLIENT)))  # a packet of the server
    play.say(ROUTER, CLIENT, 1, quoting(request()[:22]))  # without its ports
    play.say(ROUTER, CLIENT, 1, bytes([8, 0]) + bytes(6) + request())  # an echo that carries a packet
    assert of_server(play.played(), SERVER).icmp_rows == ()


def test_a_copy_of_an_error_is_not_another() -> None:
    play = Play(step=0.01).ask(b"ask").say(ROUTER, CLIENT, 1, quoting(request()))
    play.captured.append(play.captured[-1]._replace(time=play.now))
    assert of_server(play.played(), SERVER).icmp_rows == (1,)


def test_errors_make_no_connection() -> None:
    play = Play().say(ROUTER, CLIENT, 1, quoting(request()))
    assert play.played() == []


def test_every_prefix_of_an_error() -> None:
    error = Play().say(ROUTER, CLIENT, 1, quoting(request())).captured[0]
    for end in range(len(error.raw) + 1):
        cut = error._replace(raw=error.raw[:end], wire=len(error.raw))
        connections = found_in([*Play().ask(b"ask").captured, cut._replace(time=cut.time + 1)]).connections
        tied = of_server(connections, SERVER).icmp_rows
        assert tied == ((1,) if end >= 20 + 8 + 24 else ()), end


def test_ends_are_told_by_their_own_family() -> None:
    """The IPv4 socket and the IPv6 socket with the same words as its address are two."""
    mapped = str(address_of(bytes(12) + bytes([192, 0, 2, 10])))
    assert mapped == "::c000:20a"
    play = Play().ask(b"ask")
    play.say(ROUTER_6, CLIENT_6, 58, quoting(request((mapped, 50660), ("::c633:6450", 443)), UNREACHABLE_6))
    assert of_server(play.played(), SERVER).icmp_rows == ()


def test_a_handshake_goes_on_beside_an_error() -> None:
    syn = ip(CLIENT[0], SERVER[0], 6, tcp((CLIENT[1], SERVER[1]), S, seq=1))
    play = Play().c(S, seq=1).say(ROUTER, CLIENT, 1, quoting(syn)).s(S | A, seq=5, ack=2)
    connection = of_server(play.played(), SERVER)
    assert (connection.icmp_rows, connection.reply_row) == ((1,), 2)


@pytest.mark.parametrize("client", [CLIENT, ("203.0.113.10", 50660), ("192.0.2.10", 443), ("192.0.2.10", 1)])
def test_whichever_end_comes_first(client: Socket) -> None:
    """The ends of a flow stand in the order of their addresses and ports: the error names them as they were asked."""
    play = Play(client).ask(b"ask").say(ROUTER, client, 1, quoting(request(client)))
    (connection,) = (c for c in play.played() if c.server[1:] == SERVER or c.client[1:] == SERVER)
    assert connection.icmp_rows == ((1,) if connection.server[1:] == SERVER else ())
