"""Replies from sockets that were not asked: made packets, since clients without a SCID are rare in captures."""

from __future__ import annotations

import pytest

from analyzer.events.connection import Connection, Socket
from analyzer.wire.quic.protection import initial_keys, retry_tag
from analyzer.wire.quic.seal import InitialHeader, seal_initial
from tests.crafted import MS, START, Captured, ip, udp
from tests.events.playbook import found_in
from tests.wire.hellos import alpn, client_hello, server_name, versions

CLIENT, ASKED, OTHER = "192.0.2.10", "192.0.2.81", "192.0.2.80"
DCID, SERVER_CID, VERSION = b"\x11" * 8, b"\x22" * 8, 1
PORT = 50000


def client_initial(scid: bytes, dcid: bytes = DCID) -> bytes:
    hello = client_hello([0x1301], server_name(b"example.com"), alpn(b"h3"), versions(0x0304))
    crypto = b"\x06\x00" + (0x4000 | len(hello)).to_bytes(2, "big") + hello
    keys = initial_keys(VERSION, dcid)
    assert keys is not None
    return seal_initial(InitialHeader(VERSION, dcid, scid), crypto.ljust(1160, b"\0"), keys.client)


def server_initial(scid: bytes, dcid: bytes = DCID) -> bytes:
    keys = initial_keys(VERSION, dcid)
    assert keys is not None
    header = InitialHeader(VERSION, scid, SERVER_CID)
    return seal_initial(header, b"\x06\x00\x04\x02\0\0\0".ljust(1100, b"\0"), keys.server)


def retry(scid: bytes, dcid: bytes = DCID) -> bytes:
    head = b"\xf0\0\0\0\x01" + bytes([len(scid)]) + scid + bytes([len(SERVER_CID)]) + SERVER_CID + b"token"
    return head + retry_tag(VERSION, dcid, head)


def negotiation(scid: bytes, dcid: bytes = DCID) -> bytes:
    return b"\x80\0\0\0\0" + bytes([len(scid)]) + scid + bytes([len(dcid)]) + dcid + b"\x6b\x33\x43\xcf"


def read(*datagrams: tuple[str, str, tuple[int, int], bytes]) -> list[Connection]:
    """The connections of datagrams 10 ms apart: (source, destination, ports, payload)."""
    captured = [
        Captured(ip(source, destination, 17, udp(ports, payload)), START + 10 * MS * i)
        for i, (source, destination, ports, payload) in enumerate(datagrams)
    ]
    return list(found_in(captured).connections)


def asked(scid: bytes = b"", port: int = 443) -> tuple[str, str, tuple[int, int], bytes]:
    return CLIENT, ASKED, (PORT, port), client_initial(scid)


@pytest.mark.parametrize("scid", [b"", b"\x33", b"\x33" * 8], ids=["none", "short", "long"])
@pytest.mark.parametrize("reply", [server_initial, retry, negotiation])
@pytest.mark.parametrize(("address", "port"), [(OTHER, 443), (ASKED, 54321), (OTHER, 54321)])
def test_a_reply_from_elsewhere_is_given_to_its_attempt(scid: bytes, reply, address: str, port: int) -> None:  # type: ignore[no-untyped-def]
    [connection] = read(asked(scid), (address, CLIENT, (port, PORT), reply(scid)))
    assert connection.replied_from == Socket(4, address, port)
    assert connection.reply_row == -1
    assert len(connection.elsewhere_rows) == 1
    assert connection.paths == 2


@pytest.mark.parametrize("reply", [server_initial, retry, negotiation])
def test_what_does_not_prove_itself_stays_alone(reply) -> None:  # type: ignore[no-untyped-def]
    first, stray = read(asked(), (OTHER, CLIENT, (443, PORT), reply(b"", b"\x99" * 8)))
    assert first.replied_from is None
    assert stray.client_dcid == b""


def test_another_client_socket_is_no_owner() -> None:
    first, _ = read(asked(), (OTHER, CLIENT, (443, PORT + 1), server_initial(b"")))
    assert first.replied_from is None
    first, _ = read(asked(b"\x33" * 8), (OTHER, "192.0.2.11", (443, PORT), server_initial(b"\x33" * 8)))
    assert first.replied_from is None


def test_a_translator_may_change_the_clients_port() -> None:
    scid = b"\x33" * 8
    [connection] = read(asked(scid), (OTHER, CLIENT, (443, PORT + 1), server_initial(scid)))
    assert connection.replied_from == Socket(4, OTHER, 443)


def test_a_reply_that_came_before_the_request_is_not_its_reply() -> None:
    scid = b"\x33" * 8
    connections = read((OTHER, CLIENT, (443, PORT), server_initial(scid)), asked(scid))
    assert all(connection.replied_from is None for connection in connections)


def test_a_socket_that_answered_itself_may_be_helped() -> None:
    """A preferred address, or a second view of the same reply."""
    scid = b"\x33" * 8
    answer = (ASKED, CLIENT, (443, PORT), server_initial(scid))
    [connection] = read(asked(scid), answer, (OTHER, CLIENT, (443, PORT), server_initial(scid)))
    assert connection.reply_row == 1
    assert connection.replied_from is None


def test_translation_seen_on_both_sides_gives_each_side_its_own_reply() -> None:
    scid = b"\x33" * 8
    outer, inner = asked(scid), (CLIENT, "10.0.0.5", (PORT, 8443), client_initial(scid))
    replies = (
        ("10.0.0.5", CLIENT, (8443, PORT), server_initial(scid)),
        (ASKED, CLIENT, (443, PORT), server_initial(scid)),
    )
    connections = read(outer, inner, *replies)
    assert [connection.reply_row >= 0 for connection in connections] == [True, True]
    assert all(connection.replied_from is None for connection in connections)


def test_the_clients_own_icmp_error_corroborates() -> None:
    scid = b"\x33" * 8
    reply = ip(OTHER, CLIENT, 17, udp((443, PORT), server_initial(scid)))
    error = ip(CLIENT, OTHER, 1, b"\x03\x03\0\0\0\0\0\0" + reply[:64])
    request = ip(CLIENT, ASKED, 17, udp((PORT, 443), client_initial(scid)))
    packets = [Captured(raw, START + 10 * MS * i) for i, raw in enumerate((request, reply, error))]
    [connection] = found_in(packets).connections
    assert connection.rejected_rows == (2,)
    assert connection.icmp_rows == ()


@pytest.mark.parametrize("client", ["192.0.2.10", "203.0.113.200"])
@pytest.mark.parametrize("scid", [b"", b"\x33" * 8])
def test_whichever_end_comes_first(client: str, scid: bytes) -> None:
    """The ends of a flow stand in the order of their addresses, those of the reply's flow in one of their own."""
    asked_, replied = (PORT, 443), (443, PORT)
    for other in ("10.0.0.1", "203.0.113.250"):
        reply = (other, client, replied, server_initial(scid))
        [connection] = read((client, ASKED, asked_, client_initial(scid)), reply)
        assert connection.replied_from == Socket(4, other, 443)
