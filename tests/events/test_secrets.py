"""What a key log adds to recorded connections, and that it adds nothing where it does not fit."""

from __future__ import annotations

import functools
from pathlib import Path
from unittest import mock

import pytest

from analyzer.analysis import analyse
from analyzer.capture.source import open_captures
from analyzer.errors import UsageError
from analyzer.events.connection import Connection
from analyzer.events.connections import Connections
from analyzer.events.conversations import conversations
from analyzer.events.scan import scan, settle
from analyzer.events.secrets import open_with_secrets
from analyzer.wire.keylog import read_keylog
from tests.crafted import ETHERNET, SECOND, Captured, batch_of, batches_of, captured_of, ip, udp

CASE = Path(__file__).parents[2] / "captures/01-caddy-http3-ok/caddy-2.6.2"


@functools.cache
def opened(keys: str) -> tuple[Connection, ...]:
    captures = open_captures([str(CASE / "client.pcap")])
    found = conversations(settle(scan(captures.batches(False), 1, compiled=False, with_secrets=True)))
    open_with_secrets(found.flows, found.connections, read_keylog((CASE / keys).read_bytes()))
    return tuple(connection for connection in found.connections if connection.transport == "quic")


def test_names_what_the_server_chose_and_showed() -> None:
    connections = opened("client.keys")
    assert connections
    for connection in connections:
        assert connection.chosen_alpn == "h3"
        assert "example.com" in connection.certificates[0].names
        assert not any(certificate.flaw for certificate in connection.certificates)


def test_reads_the_close_of_a_1_rtt_packet() -> None:
    closed = [c for c in opened("client.keys") if c.close_side]
    assert closed
    assert {c.close_side for c in closed} == {"client"}
    assert {(c.close_code, c.close_reason.split(":")[0]) for c in closed} == {(0, "0x0"), (0x100, "H3_NO_ERROR")}


def test_a_key_log_changes_no_outcome() -> None:
    without = analyse([str(CASE / "client.pcap")])
    with_keys = analyse([str(CASE / "client.pcap")], keylog=CASE / "client.keys")
    assert without.sockets["answered"].tolist() == with_keys.sockets["answered"].tolist()
    assert without.connections["outcome"].tolist() == with_keys.connections["outcome"].tolist()


def test_secrets_of_others_open_nothing(tmp_path: Path) -> None:
    strangers = tmp_path / "strange.keys"
    text = (CASE / "client.keys").read_text().split("\n")
    words = [line.split() for line in text if line and not line.startswith("#")]
    strangers.write_text("".join(f"{label} {random} {'00' * (len(secret) // 2)}\n" for label, random, secret in words))
    analysis = analyse([str(CASE / "client.pcap")], keylog=strangers)
    assert set(analysis.connections["close_side"]) == {""}


def test_a_key_log_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the key log"):
        analyse([str(CASE / "client.pcap")], keylog=tmp_path / "missing.keys")


def test_packets_of_a_client_alone_are_opened_with_its_version() -> None:
    """Where no long header of the server was seen, only the client's say which version the short ones have."""
    folder = CASE.parents[1] / "21-asymmetric-route" / "asym-caddy284"
    captures = open_captures([str(folder / "server-eth0.pcap")])
    found = conversations(settle(scan(captures.batches(False), 1, compiled=False, with_secrets=True)))
    assert -1 in {connection.server_version for connection in found.connections}
    open_with_secrets(found.flows, found.connections, read_keylog((folder / "client.keys").read_bytes()))
    assert found.connections


@functools.cache
def recorded() -> tuple[Captured, ...]:
    """The packets of the client's capture of one connection, and what it was."""
    return tuple(one for batch in batches_of(CASE / "client.pcap") for one in captured_of(batch))


def with_datagrams(connection: Connection, *sent: tuple[bool, int, bytes]) -> tuple[list[Connection], list[Connection]]:
    """(without, with the key log) the connections after further datagrams: by the client, port, payload."""
    last, added = recorded()[-1].time, []
    for number, (by_client, port, payload) in enumerate(sent, start=1):
        client, server = connection.client._replace(port=port), connection.server
        source, target = (client, server) if by_client else (server, client)
        raw = ip(source.address, target.address, 17, udp((source.port, target.port), payload), ident=number)
        ether_type = b"\x08\x00" if connection.client.family == 4 else b"\x86\xdd"
        added.append(Captured(bytes(12) + ether_type + raw, last + number * 2 * SECOND, link_type=ETHERNET))
    batch = batch_of([*recorded(), *added])
    answers = []
    for keys in (b"", (CASE / "client.keys").read_bytes()):
        found = conversations(settle(scan([batch], 1, compiled=False, with_secrets=True)))
        connections = open_with_secrets(found.flows, found.connections, read_keylog(keys))
        answers.append([c for c in connections if (c.client.address, c.server) == (client.address, server)])
    return answers[0], answers[1]


def test_a_single_reset_is_proved_by_the_token_that_was_issued() -> None:
    connection = opened("client.keys")[0]
    assert connection.reset_tokens
    port = connection.client.port
    answers = [(False, port, b"\x55" + bytes(range(30)) + token) for token in (connection.reset_tokens[0], bytes(16))]
    without, opened_ = with_datagrams(connection, answers[0])
    (plain,), (known,) = ([c for c in found if c.client.port == port] for found in (without, opened_))
    assert plain.story is None or not plain.story.resets.by_token
    assert known.story is not None
    assert (known.story.resets.side, known.story.resets.by_token) == ("server", True)
    assert known.story.resets.proved
    _, other = with_datagrams(connection, answers[1])
    assert not any(c.story is not None and c.story.resets.by_token for c in other)


def test_a_connection_id_that_was_issued_under_protection_joins_a_new_path() -> None:
    captures = open_captures([str(CASE / "client.pcap")])
    found = conversations(settle(scan(captures.batches(False), 1, compiled=False, with_secrets=True)))
    log, issued = read_keylog((CASE / "client.keys").read_bytes()), list[tuple[Connection, bytes]]()

    def remember(flows: object, connections: Connections, more: dict[tuple[object, bytes], Connection]) -> object:
        issued.extend((connection, cid) for (_, cid), connection in more.items())
        return connections

    with mock.patch("analyzer.events.secrets.join_paths", remember):
        open_with_secrets(found.flows, found.connections, log)
    connection, cid = issued[0]
    assert cid != connection.server_scid
    sent = [(True, 61111, b"\x41" + cid + bytes(40 + k)) for k in range(2)]
    without, opened_ = with_datagrams(connection, *sent)
    assert [c.client.port for c in without if c.transport == "udp"] == [61111]
    assert not [c for c in opened_ if c.transport == "udp"]
    (moved,) = [c for c in opened_ if c.client.port == connection.client.port]
    assert (moved.paths, [path.client.port for path in moved.other_paths]) == (2, [61111])
    assert moved.story is not None
    assert moved.story.silent_path is not None
