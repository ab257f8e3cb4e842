"""QUIC connections told apart in recorded packets: whole, mixed, cut, reordered, one-way, on shared sockets."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.events.connection import Connection
from analyzer.events.conversations import Conversations
from analyzer.events.quic.attempt import server_hello_of
from tests.conftest import ROOT
from tests.crafted import MS, START, Captured, batches_of, captured_of, ip, joined, udp
from tests.events.playbook import found_in

ANSWERED = "01-caddy-http3-ok/caddy-2.6.2/client.pcap"
SILENT = "02-caddy-ipv4-silent/nft-output-drop/client.pcap"
RETRY = "07-retry/aioquic-ok/client.pcap"
ELSEWHERE = "05-wrong-source-address/aioquic-v4/client.pcap"
ALL = (
    ANSWERED,
    SILENT,
    RETRY,
    ELSEWHERE,
    "06-version-negotiation/never-converges/client.pcap",
    "06-version-negotiation/reserved-then-v1/client.pcap",
    "21-asymmetric-route/asym-nginx/server-eth0.pcap",
)


@functools.cache
def recorded(name: str) -> tuple[Captured, ...]:
    """All records of a capture."""
    return tuple(captured_of(joined(batches_of(ROOT / "captures" / name))))


@functools.cache
def found(name: str) -> Conversations:
    return found_in(recorded(name))


def quic(conversations: Conversations) -> list[Connection]:
    return [c for c in conversations.connections if c.transport == "quic"]


def records(name: str, connection: Connection) -> list[int]:
    """The indices in the capture of a connection's selected rows."""
    return [int(found(name).flows.scan.rows.record[row]) - 1 for row in connection.rows]


def packets_of(name: str, place: int) -> list[Captured]:
    """All records of the QUIC connection at this place, IPv4 over Ethernet."""
    connection = quic(found(name))[place]
    ports = {connection.client.port.to_bytes(2, "big"), connection.server.port.to_bytes(2, "big")}
    return [one for one in recorded(name) if one.raw[23] == 17 and {one.raw[34:36], one.raw[36:38]} == ports]


def is_client(one: Captured) -> bool:
    return one.raw[36:38] == (443).to_bytes(2, "big")


def moved(packets: Sequence[Captured], port: int, *, begin: int = -1) -> list[Captured]:
    """The same packets of IPv4 over Ethernet from another client port, beginning at another time."""
    out = []
    shift = begin - packets[0].time if begin >= 0 else 0
    for one in packets:
        at = 34 if is_client(one) else 36
        raw = one.raw[:at] + port.to_bytes(2, "big") + one.raw[at + 2 :]
        out.append(one._replace(raw=raw, time=one.time + shift))
    return out


def told(connection: Connection) -> dict[str, object]:
    """What is known of a connection, whatever rows and flow it has."""
    names = (
        "version server_version client_dcid client_scid server_scid sni hello_complete retry negotiated server_crypto "
        "close_side close_code client_went_on roles_from counters first_repeat replied_from"
    )
    return {name: getattr(connection, name) for name in names.split()} | {
        "requests": len(connection.request_rows),
        "answered": connection.reply_row >= 0,
    }


def test_answered_connections() -> None:
    connections = quic(found(ANSWERED))
    assert len(connections) == 10
    for c in connections:
        assert (c.roles_from, c.version, c.server_version, c.hello_complete) == ("initial", 1, 1, True)
        assert c.reply_row == c.request_rows[-1] + 1
        assert c.client_went_on
        assert c.server_crypto
        assert server_hello_of(found(ANSWERED).flows, c) is not None
        assert c.server.port == 443
    assert {c.sni for c in connections} == {"example.com", "www.example.com", "api.example.com"}


def test_a_hello_in_two_datagrams_is_one_request() -> None:
    """Chromium's, with a key share of 1,216 bytes."""
    (large, *_) = [c for c in quic(found(ANSWERED)) if len(c.request_rows) == 2]
    assert (large.first_repeat, large.hello_complete) == (2, True)


def test_silent_connections() -> None:
    silent = [c for c in quic(found(SILENT)) if c.reply_row < 0]
    assert [len(c.request_rows) - c.first_repeat for c in silent] == [4, 4, 4, 2, 2]
    assert all(c.client.family == 4 and c.hello_complete and not c.client_went_on for c in silent)


@pytest.mark.parametrize("order", ["after", "mixed"])
def test_connections_that_share_one_four_tuple(order: str) -> None:
    """A client may use one socket for all: connection IDs tell, not the 4-tuple."""
    alone = [quic(found(ANSWERED))[k] for k in range(3)]
    parts = [moved(packets_of(ANSWERED, k), 50000, begin=START + k * 2 * MS) for k in range(3)]
    if order == "after":
        packets = [one for k, part in enumerate(parts) for one in moved(part, 50000, begin=START + k * 10_000 * MS)]
    else:
        packets = sorted((one for part in parts for one in part), key=lambda one: one.time)
    connections = quic(found_in(packets))
    assert [c.client_dcid for c in connections] == [c.client_dcid for c in alone]
    for c, before in zip(connections, alone, strict=True):
        same, expected = told(c), told(before)
        for name in ("counters", "client_went_on") if order == "mixed" else ():
            same.pop(name)  # of short headers nobody can tell whose they are
            expected.pop(name)
        assert same == expected
    assert sum(sum(c.counters[:2]) for c in connections) == len(packets)


def test_connections_that_nobody_answers_on_one_four_tuple() -> None:
    """Each has its own DCID; their repeats are not one another's."""
    packets = [one for k in range(3) for one in moved(packets_of(SILENT, k), 50000)]
    connections = quic(found_in(sorted(packets, key=lambda one: one.time)))
    assert [len(c.request_rows) for c in connections] == [5, 5, 5]
    assert all(c.reply_row < 0 for c in connections)


def test_retry() -> None:
    connections = quic(found(RETRY))
    assert len(connections) == 7
    for c in connections:
        assert (c.retry, c.hello_complete, c.client_went_on) == (True, True, True)
        assert c.request_rows[0] < c.reply_row
        assert c.server_scid != c.client_dcid


def test_a_client_that_got_two_retries_took_the_first() -> None:
    """One came for each of Chromium's two Initials; the keys of all that follows come from the first (§17.2.5.2)."""
    for c in quic(found(RETRY)):
        assert c.server_crypto
        assert server_hello_of(found(RETRY).flows, c) is not None


def test_a_forged_retry_changes_nothing() -> None:
    packets = packets_of(RETRY, 0)
    (place,) = [k for k, one in enumerate(packets) if not is_client(one) and one.raw[42] >> 4 == 0xF]
    forged = packets[place]._replace(raw=packets[place].raw[:-1] + bytes([packets[place].raw[-1] ^ 1]))
    (connection,) = quic(found_in([packets[0], forged]))
    assert not connection.retry
    assert connection.reply_row >= 0


def test_versions_that_never_meet() -> None:
    connections = quic(found("06-version-negotiation/never-converges/client.pcap"))
    assert [c.negotiated for c in connections] == [True] * 7
    assert {c.version for c in connections} == {0x1A2A3A4A, 0xFF00001D}
    assert not any(c.client_went_on or c.server_crypto for c in connections)


def test_versions_that_meet() -> None:
    """The client goes on in version 1; it stays one attempt, known by the first DCID."""
    name = "06-version-negotiation/reserved-then-v1/client.pcap"
    connections = quic(found(name))
    assert [(c.version, c.negotiated, c.hello_complete, c.sni) for c in connections] == [
        (1, False, True, "example.com")
    ] * 4
    for c in connections:
        first = recorded(name)[records(name, c)[0]].raw
        start = 42 if c.client.family == 4 else 62
        assert first[start + 1 : start + 5] != bytes.fromhex("00000001")
        assert first[start + 6 : start + 14] == c.client_dcid


def test_replies_from_elsewhere_belong_to_the_attempt() -> None:
    astray = [c for c in quic(found(ELSEWHERE)) if c.server.address == "192.0.2.81"]
    assert len(astray) == 4
    for c in astray:
        assert c.replied_from is not None
        assert (c.reply_row, c.replied_from.address) == (-1, "192.0.2.80")
        assert c.elsewhere_rows
    assert not [c for c in quic(found(ELSEWHERE)) if not c.client_dcid], "no stray is left over"


LARGE = 4  # the place of Chromium's connection over IPv4 in ANSWERED


def test_a_hello_whose_datagrams_are_swapped() -> None:
    packets = packets_of(ANSWERED, LARGE)
    swapped = [packets[1]._replace(time=packets[0].time), packets[0]._replace(time=packets[1].time), *packets[2:]]
    (whole,), (connection,) = quic(found_in(packets)), quic(found_in(swapped))
    assert told(connection) == told(whole)
    assert connection.hello_complete
    assert connection.sni == "example.com"


@pytest.mark.parametrize("missing", [0, 1])
def test_half_a_hello(missing: int) -> None:
    packets = packets_of(ANSWERED, LARGE)
    (connection,) = quic(found_in([packets[1 - missing]]))
    assert (connection.hello_complete, len(connection.request_rows), connection.roles_from) == (False, 1, "initial")


@pytest.mark.parametrize("snaplen", [96, 128, 200, 300])
def test_records_cut_by_the_snaplen(snaplen: int) -> None:
    """Who asked whom stays known; that the hello is not whole is laid to the cut."""
    packets = [one._replace(raw=one.raw[:snaplen], wire=len(one.raw)) for one in packets_of(ANSWERED, 0)]
    (connection,) = quic(found_in(packets))
    (whole,) = quic(found_in(packets_of(ANSWERED, 0)))
    assert (connection.client, connection.client_dcid) == (whole.client, whole.client_dcid)
    assert (connection.hello_complete, connection.hello_cut) == (False, True)
    assert connection.reply_row >= 0
    assert tuple(connection.counters) == tuple(whole.counters)


def test_every_snaplen_is_survived() -> None:
    packets = packets_of(ANSWERED, 0)[:6]
    for snaplen in (*range(120), *range(120, len(packets[0].raw) + 1, 25)):
        cut = [one._replace(raw=one.raw[:snaplen], wire=len(one.raw)) for one in packets]
        assert len(quic(found_in(cut))) <= 1


def test_only_the_clients_packets() -> None:
    """It went on as it could only after a reply."""
    packets = [one for one in packets_of(ANSWERED, 0) if is_client(one)]
    (connection,) = quic(found_in(packets))
    assert (connection.reply_row, connection.client_went_on, connection.hello_complete) == (-1, True, True)


def test_only_the_servers_packets() -> None:
    packets = [one for one in packets_of(ANSWERED, 0) if not is_client(one)]
    (connection,) = quic(found_in(packets))
    (whole,) = quic(found_in(packets_of(ANSWERED, 0)))
    assert (connection.roles_from, connection.is_attempt, connection.client) == ("port", False, whole.client)
    assert (connection.client_dcid, connection.client_scid) == (b"", whole.client_scid)
    assert connection.server_scid == whole.server_scid


def test_begun_before_the_capture() -> None:
    packets = packets_of(ANSWERED, 0)
    connections = quic(found_in(packets[2:]))
    assert len(connections) == 1
    assert not connections[0].is_attempt


@pytest.mark.parametrize("name", ALL)
def test_every_packet_captured_twice(name: str) -> None:
    """The copies count for nothing."""
    twice = [copy for one in recorded(name) for copy in (one, one._replace(time=one.time + 5_000))]
    assert [told(c) for c in quic(found_in(twice))] == [told(c) for c in quic(found(name))]


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=12)
@given(data=st.data())
def test_any_part_of_a_capture_can_be_read(name: str, data: st.DataObject) -> None:
    """Packets missing or in another order: nothing raises, and no packet belongs to two connections."""
    packets = [one for one in recorded(name) if data.draw(st.booleans())]
    packets = data.draw(st.permutations(packets)) if data.draw(st.booleans()) else packets
    owned: set[int] = set()
    for c in found_in(packets).connections:
        rows = {*c.rows, *c.elsewhere_rows}
        assert not owned & rows
        owned |= rows
        assert {*c.request_rows} <= {*c.rows}
        assert c.reply_row < 0 or c.reply_row in c.rows
        assert min(c.counters) >= 0


def test_long_headers_of_no_version_that_is_known() -> None:
    """Seen from the client's first datagram on, whatever is in it."""
    payload = bytes.fromhex("c0 0a0a0a0a 08 1111111111111111 08 2222222222222222").ljust(1200, b"\x5a")
    raw = ip("192.0.2.10", "192.0.2.80", 17, udp((50000, 443), payload))
    (connection,) = quic(found_in([Captured(raw, START)]))
    assert (connection.version, connection.version_known, connection.client_dcid) == (0x0A0A0A0A, False, b"\x11" * 8)


def test_udp_without_long_headers_is_no_quic() -> None:
    raw = ip("192.0.2.10", "192.0.2.80", 17, udp((50000, 443), b"\x40" + bytes(40)))
    (connection,) = found_in([Captured(raw, START)]).connections
    assert connection.transport == "udp"


def test_a_client_that_changes_its_port() -> None:
    """Its short headers carry the server's connection ID: the new 4-tuple is another path of the same connection."""
    packets = packets_of(ANSWERED, 0)
    late = [packets[10], packets[9]._replace(time=packets[10].time + MS), *packets[11:]]
    (whole,) = quic(found_in([*packets[:9], *late]))
    connections = found_in([*packets[:9], *moved(late, 51000)]).connections
    assert len(connections) == 1
    assert (connections[0].paths, whole.paths) == (2, 1)
    assert connections[0].counters == whole.counters
    assert connections[0].last_time == whole.last_time
