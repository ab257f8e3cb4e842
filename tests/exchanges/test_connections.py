"""The table of connections: its columns, from plays and from recorded captures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from analyzer.analysis import analyse
from analyzer.exchanges.connections import MOST_RECORDS
from analyzer.exchanges.schemas import CONNECTIONS
from tests.crafted import MS, SECOND, START, Captured, ip, udp
from tests.events.playbook import CLIENT, CLIENT_6, SERVER, SERVER_6, A, F, P, Play, R, S
from tests.exchanges.analysed import rows

UNREACHABLE = bytes([3, 3]) + bytes(6) + ip(CLIENT[0], SERVER[0], 17, udp((CLIENT[1], SERVER[1]), b"ask"))


def row_of(folder: Path, play: Play) -> dict[str, Any]:
    (row,) = rows(folder, play.captured)
    return row


def test_every_column_has_a_value_for_every_connection(silent_capture: Path) -> None:
    table = analyse([str(silent_capture)]).connections
    names = [column.name for column in CONNECTIONS]
    assert all(list(row) == names for row in table.rows())
    assert {len(table[name]) for name in names} == {len(table)}


def test_a_complete_connection(tmp_path: Path) -> None:
    play = Play().c(S, seq=1).s(S | A, seq=9, ack=2).c(A, seq=2).c(A | P, b"question", seq=2)
    row = row_of(tmp_path, play.s(A | P, b"answer", seq=10).c(F | A, seq=10).s(F | A, seq=16).c(A, seq=11))
    expected = {
        "connection": "C1",
        "capture": 0,
        "transport": "tcp",
        "family": "ipv4",
        "client_address": CLIENT[0],
        "client_port": CLIENT[1],
        "server_address": SERVER[0],
        "server_port": SERVER[1],
        "roles_from": "syn",
        "first_record": 1,
        "first_time": START,
        "client_packets": 5,
        "server_packets": 3,
        "client_bytes": 8,
        "server_bytes": 6,
        "history": "SaADdFfA",
        "state": "closed",
        "outcome": "answered",
        "outcome_reason": "",
        "close_side": "client",
        "reply_record": 2,
        "replied_from": "",
        "sni": "",
        "client_dcid": "",
        "quic_version": "",
    }
    assert {name: row[name] for name in expected} == expected
    assert (row["reply_latency_s"], row["duration_s"]) == (pytest.approx(0.01), pytest.approx(0.07))


def test_over_ipv6(tmp_path: Path) -> None:
    row = row_of(tmp_path, Play(CLIENT_6, SERVER_6).c(S).s(S | A))
    assert (row["family"], row["client_address"], row["state"]) == ("ipv6", CLIENT_6[0], "handshaking")


@pytest.mark.parametrize(
    ("play", "state", "outcome", "reason"),
    [
        (Play().c(S).s(S | A).c(A), "established", "answered", ""),
        (Play().c(S).s(S | A), "handshaking", "answered", ""),
        (Play().c(S).s(S | A).c(A).s(R), "reset", "answered", ""),
        (Play().c(S).s(R | A), "refused", "refused", "reset"),
        (Play().c(S), "attempted", "undetermined", "one-way"),
        (Play().s(A | P, b"x").c(A), "established", "answered", ""),
        (Play().ask(b"ask").reply(b"answer"), "established", "answered", ""),
        (Play().ask(b"ask"), "attempted", "undetermined", "capture-began"),
        (Play().ask(b"ask").say(SERVER, CLIENT, 1, UNREACHABLE), "refused", "refused", "port-unreachable"),
    ],
)
def test_states_and_outcomes(tmp_path: Path, play: Play, state: str, outcome: str, reason: str) -> None:
    row = row_of(tmp_path, play)
    assert (row["state"], row["outcome"], row["outcome_reason"]) == (state, outcome, reason)


def heard(play: Play) -> Play:
    """The play in a capture that shows the server's other packets, and goes on for five seconds."""
    play.say(SERVER, CLIENT, 1, bytes([0, 0, 0, 0, 0, 1, 0, 1]))
    play.wait(5000)
    return play.say(SERVER, CLIENT, 1, bytes([0, 0, 0, 0, 0, 1, 0, 2]))


def test_silence_where_it_can_be_seen(tmp_path: Path) -> None:
    row = row_of(tmp_path, heard(Play(step=1000).c(S, seq=1).c(S, seq=1)))
    assert (row["state"], row["outcome"], row["reply_record"], row["repeats"]) == ("silent", "silent", -1, 1)
    assert math.isnan(row["reply_latency_s"])
    assert row["request_records"] == ((0, 1), (0, 2))
    assert (row["request_time"], row["last_request_time"]) == (START, START + SECOND)


def test_who_refused(tmp_path: Path) -> None:
    router = ("203.0.113.1", 0)
    row = row_of(tmp_path, Play().ask(b"ask").say(router, CLIENT, 1, UNREACHABLE))
    assert (row["refused_by"], row["icmp"], row["evidence_records"]) == (router[0], "port-unreachable", ((0, 2),))
    assert row_of(tmp_path, Play().c(S).s(R | A))["refused_by"] == SERVER[0]


def test_connections_are_numbered_by_their_first_records(tmp_path: Path) -> None:
    plays = [Play(("192.0.2.10", port)).c(S).s(S | A) for port in (5003, 5001, 5002)]
    captured = [
        one._replace(time=START + 10 * MS * k + k // 3 * MS)
        for k, one in enumerate([*(play.captured[0] for play in plays), *(play.captured[1] for play in plays)])
    ]
    table = rows(tmp_path, captured)
    assert [(row["connection"], row["client_port"], row["first_record"]) for row in table] == [
        ("C1", 5003, 1),
        ("C2", 5001, 2),
        ("C3", 5002, 3),
    ]


def test_requests_are_told_in_their_own_order(tmp_path: Path) -> None:
    """A reply may be recorded before its request: the columns of an exchange stay together all the same."""
    late, other = (Play(("192.0.2.10", port)).s(S | A, ack=8).c(S, seq=7) for port in (5001, 5002))
    captured = [late.captured[0], other.captured[1], late.captured[1]]
    captured = [one._replace(time=START + MS * k) for k, one in enumerate(captured)]
    assert [row["client_port"] for row in rows(tmp_path, captured)] == [5001, 5002]
    asked = rows(tmp_path, captured, "exchanges")
    told = [(row["exchange"], row["client_port"], row["request_record"], row["request_time"]) for row in asked]
    assert told == [("E1", 5002, 2, START + MS), ("E2", 5001, 3, START + 2 * MS)]


def test_lists_of_records_are_capped(tmp_path: Path) -> None:
    play = Play(step=100)
    for _ in range(MOST_RECORDS + 50):
        play.c(S, seq=1)
    row = row_of(tmp_path, play)
    assert len(row["request_records"]) == MOST_RECORDS
    assert row["repeats"] == MOST_RECORDS + 49


def test_records_and_times_are_where_the_capture_has_them(silent_capture: Path) -> None:
    analysis = analyse([str(silent_capture)])
    times = dict(zip(analysis.packets["record"].tolist(), analysis.packets["time"].tolist(), strict=True))
    for row in analysis.connections.rows():
        assert times[row["first_record"]] == row["first_time"]
        if row["reply_record"] >= 0 and row["request_time"] >= 0:
            waited = (times[row["reply_record"]] - row["request_time"]) / SECOND
            assert row["reply_latency_s"] == pytest.approx(waited)


def test_recorded_quic_columns(captures: Path) -> None:
    case = captures / "01-caddy-http3-ok" / "caddy-2.6.2"
    for row in analyse([str(case / "client.pcap")]).connections.rows():
        if row["transport"] == "quic":
            assert (row["quic_version"], row["quic_version_negotiated"]) == ("0x00000001", "0x00000001")
            assert (row["alpn"], row["tls_version"], row["outcome"]) == ("h3", "TLS 1.3", "answered")
            assert row["ja4"].startswith("q13d")
            assert len(row["client_dcid"]) >= 16
            assert row["history"].startswith("I")
            assert row["server_scid"]


def test_both_ends_agree_where_nothing_was_lost(captures: Path) -> None:
    """The same connections, by DCID, in the captures of client and server."""
    case = captures / "01-caddy-http3-ok" / "caddy-2.6.2"
    ends = [
        {
            row["client_dcid"]: (row["client_port"], row["sni"], row["outcome"], row["ja4"], row["client_bytes"])
            for row in analyse([str(case / name)]).connections.rows()
            if row["transport"] == "quic"
        }
        for name in ("client.pcap", "server.pcap")
    ]
    assert ends[0] == ends[1]
    assert len(ends[0]) == 10


@pytest.mark.parametrize("end", ["client", "server"])
def test_recorded_outcomes(captures: Path, end: str) -> None:
    """The clients saw every request over IPv4 time out and every one over IPv6 answered (``truth.json``)."""
    case = captures / "02-caddy-ipv4-silent" / "nft-output-drop"
    outcomes = {
        (row["family"], row["outcome"])
        for row in analyse([str(case / f"{end}.pcap")]).connections.rows()
        if row["transport"] == "quic"
    }
    assert outcomes == {("ipv4", "silent"), ("ipv6", "answered")}


def test_an_empty_capture_has_no_connections(tmp_path: Path) -> None:
    assert rows(tmp_path, []) == []
    assert rows(tmp_path, [Captured(b"\0" * 60, START)]) == []
