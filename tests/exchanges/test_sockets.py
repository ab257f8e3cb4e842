"""The tables of sockets and exchanges: sums of outcomes, latencies, and since when a socket is silent."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from analyzer.analysis import analyse
from tests.crafted import MS, SECOND, START, Captured, ip
from tests.events.playbook import SERVER, SERVER_6, A, Play, R, S, Socket
from tests.exchanges.analysed import analysed, rows

WHAT = {"a": "answered", "r": "refused", "s": "silent"}


def attempts(kinds: str, *, server: Socket = SERVER, client: str = "192.0.2.10", begin: int = START) -> list[Captured]:
    """SYNs ten seconds apart from ports of their own: answered after 20 ms, reset, or silent; "." is a pause."""
    captured = []
    for k, kind in enumerate(kinds):
        play = Play((client, 40000 + k), server, step=20)
        play.now = begin + k * 10 * SECOND
        if kind in WHAT:
            play.c(S, seq=k)
        if kind == "a":
            play.s(S | A, ack=k + 1).c(A, seq=k + 1)
        elif kind == "r":
            play.s(R | A)
        captured += play.captured
    last = begin + len(kinds) * 10 * SECOND
    echo = ip(server[0], client, 58 if ":" in client else 1, bytes([0 if "." in client else 129, 0, 0, 0, 0, 1, 0, 1]))
    return [*captured, Captured(echo, last), Captured(echo[:-1] + b"\2", last + 5 * SECOND)]


def socket_of(folder: Path, kinds: str) -> dict[str, Any]:
    (row,) = rows(folder, attempts(kinds), "sockets")
    return row


@pytest.mark.parametrize("kinds", ["a", "s", "r", "aaa", "aasrs", "ssssss", "ars"])
def test_counts(tmp_path: Path, kinds: str) -> None:
    row = socket_of(tmp_path, kinds)
    assert row["attempts"] == len(kinds) == sum(row[name] for name in WHAT.values()) + row["undetermined"]
    assert {name: row[name] for name in WHAT.values()} == {name: kinds.count(kind) for kind, name in WHAT.items()}
    assert row["answered_share"] == pytest.approx(kinds.count("a") / len(kinds))
    assert (row["transport"], row["family"], row["address"], row["port"]) == ("tcp", "ipv4", *SERVER)


def test_undetermined_attempts_do_not_count_in_the_share(tmp_path: Path) -> None:
    """The last SYN comes too shortly before the end."""
    captured = attempts("as")
    late = Play(("192.0.2.10", 50000))
    late.now = captured[-1].time - SECOND
    captured = sorted([*captured, *late.c(S).captured], key=lambda one: one.time)
    (row,) = rows(tmp_path, captured, "sockets")
    assert (row["attempts"], row["undetermined"], row["answered_share"]) == (3, 1, 0.5)


def test_no_share_where_nothing_is_decided(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, Play().c(S).captured, "sockets")
    assert (row["attempts"], row["undetermined"]) == (1, 1)
    assert math.isnan(row["answered_share"])
    assert math.isnan(row["median_reply_s"])
    assert row["last_answer"] == row["onset"] == -1


@pytest.mark.parametrize(
    ("kinds", "onset"),
    [
        ("aass", 2),
        ("asas", None),
        ("ss", None),
        ("aa", None),
        ("sa", None),
        ("aasas.s", None),
        ("aasas.sss", 4),
        ("assr", 1),
    ],
)
def test_since_when_a_socket_is_silent(tmp_path: Path, kinds: str, onset: int | None) -> None:
    """From the first silent attempt that no answered one followed, if it was not the only one, nor one of many."""
    expected = -1 if onset is None else START + onset * 10 * SECOND
    assert socket_of(tmp_path, kinds)["onset"] == expected


def test_latencies(tmp_path: Path) -> None:
    row = socket_of(tmp_path, "aaaa")
    assert (row["median_reply_s"], row["p99_reply_s"]) == (pytest.approx(0.02), pytest.approx(0.02))
    assert (row["first_attempt"], row["last_answer"]) == (START, START + 30 * SECOND + 20 * MS)


def test_one_row_per_socket_and_family_in_order(tmp_path: Path) -> None:
    """Clients are counted by address; TCP and UDP of one port are two sockets."""
    parts = [
        attempts("as", server=("198.51.100.80", 80)),
        attempts("a", server=("198.51.100.80", 443), client="192.0.2.11", begin=START + SECOND),
        attempts("a", server=("198.51.100.80", 443), client="192.0.2.12", begin=START + 2 * SECOND),
        attempts("a", server=SERVER_6, client="2001:db8:a::10", begin=START + 3 * SECOND),
    ]
    captured = sorted((one for part in parts for one in part), key=lambda one: one.time)
    table = rows(tmp_path, captured, "sockets")
    assert [(row["family"], row["address"], row["port"], row["clients"], row["attempts"]) for row in table] == [
        ("ipv4", "198.51.100.80", 80, 1, 2),
        ("ipv4", "198.51.100.80", 443, 2, 2),
        ("ipv6", SERVER_6[0], 443, 1, 1),
    ]


def test_conversations_that_ask_nothing_are_no_attempts(tmp_path: Path) -> None:
    assert rows(tmp_path, Play().ask(b"ask").reply(b"answer").captured, "sockets") == []
    assert rows(tmp_path, Play().s(A).c(A).captured, "sockets") == []


def test_exchanges_are_the_requests_in_order(tmp_path: Path) -> None:
    analysis = analysed(tmp_path, attempts("asr"))
    table = [row for row in analysis.exchanges.rows() if row["kind"] == "tcp-syn"]
    assert [row["outcome"] for row in table] == ["answered", "silent", "refused"]
    assert [row["connection"] for row in table] == ["C1", "C2", "C3"]
    assert [row["request_record"] for row in table] == [1, 4, 5]
    assert table[0]["reply_record"] == 2
    assert [row["exchange"] for row in analysis.exchanges.rows()] == [
        f"E{k}" for k in range(1, len(analysis.exchanges) + 1)
    ]


@pytest.mark.parametrize(
    "name",
    [
        "01-caddy-http3-ok/caddy-2.6.2/server.pcap",
        "02-caddy-ipv4-silent/nft-output-drop/client.pcap",
        "11-tcp-cases/syn-drop-input/client.pcap",
        "12-happy-eyeballs/v6-blackhole/client.pcap",
        "15-any-interface/dnat/host-any.pcap",
        "21-asymmetric-route/asym-nginx/server-eth0.pcap",
    ],
)
def test_the_tables_agree_with_one_another(captures: Path, name: str) -> None:
    """Every attempt is in one socket; every exchange names a connection; findings and sockets count alike."""
    analysis = analyse([str(captures / name)])
    sockets = list(analysis.sockets.rows())
    for row in sockets:
        assert row["attempts"] == row["answered"] + row["refused"] + row["silent"] + row["undetermined"]
    asked = [row for row in analysis.exchanges.rows() if row["kind"] in ("quic-initial", "tcp-syn")]
    assert asked
    counted = {(row["transport"], row["family"], row["address"], row["port"]): row["attempts"] for row in sockets}
    for row in asked:
        key = row["transport"], row["family"], row["server_address"], row["server_port"]
        counted[key] -= 1
    assert all(count >= 0 for count in counted.values())
    assert {row["connection"] for row in asked} <= {row["connection"] for row in analysis.connections.rows()}
