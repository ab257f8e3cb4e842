"""What a key log adds to recorded connections, and that it adds nothing where it does not fit."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from analyzer.capture.source import open_captures
from analyzer.errors import UsageError
from analyzer.events.connection import Connection
from analyzer.events.conversations import conversations
from analyzer.events.scan import scan, settle
from analyzer.events.secrets import open_with_secrets
from analyzer.wire.keylog import read_keylog

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
    assert {(c.close_side, c.close_space) for c in closed} == {("client", "1-rtt")}
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
