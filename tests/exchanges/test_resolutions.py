"""What clients asked about names and then tried, in recorded captures and in plays."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.analysis import analyse
from tests.conftest import ROOT

CAPTURES = ROOT / "captures"


def rows(case: str, table: str = "resolutions") -> list[dict[str, Any]]:
    return list(getattr(analyse([str(CAPTURES / case)]), table).rows())


@pytest.mark.parametrize("end", ["haproxy-side", "server-side"])
def test_one_family_asked_and_nothing_tried(end: str) -> None:
    episodes = rows(f"03-haproxy-ocsp-ipv6/noroute-default/{end}.pcap")
    assert len(episodes) == 4
    for episode in episodes:
        assert (episode["client_address"], episode["name"]) == ("192.0.2.10", "ocsp.example.com")
        assert (episode["asked_a"], episode["asked_aaaa"], episode["answered_aaaa"]) == (False, True, True)
        assert (episode["addresses"], episode["tried"], episode["outcome"]) == ("2001:db8:1::80", "", "not-tried")


def test_a_connection_that_is_used_again_is_a_try() -> None:
    episodes = rows("03-haproxy-ocsp-ipv6/noroute-prefer4/haproxy-side.pcap")
    assert {(e["tried"], e["outcome"]) for e in episodes} == {("192.0.2.80", "answered")}
    assert len({e["connections"] for e in episodes}) == 1
    assert [e["first_tried_family"] for e in episodes] == ["ipv4", "", "", ""]


def test_the_failing_family_alone() -> None:
    episodes = rows("03-haproxy-ocsp-ipv6/blackhole-default/haproxy-side.pcap")
    assert [e["outcome"] for e in episodes] == ["silent", "silent", "undetermined"]
    assert {e["first_tried_family"] for e in episodes} == {"ipv6"}


def test_happy_eyeballs_and_a_slow_fallback() -> None:
    episodes = rows("12-happy-eyeballs/v6-blackhole/client.pcap")
    delays = [e["second_family_delay_s"] for e in episodes]
    assert [round(delay, 2) for delay in delays[:5]] == [0.18, 0.2, 0.25, 0.25, 5.0]  # as truth.json has the clients
    assert delays[5] != delays[5]  # the last client never turned to IPv4
    assert [e["tried"] for e in episodes] == ["2001:db8:1::80,192.0.2.80"] * 5 + ["2001:db8:1::80"]
    assert [e["first_family_unanswered"] for e in episodes] == [True] * 5 + [False]


def test_a_family_that_is_not_needed_is_not_tried() -> None:
    episodes = rows("12-happy-eyeballs/both-ok/client.pcap")
    assert {(e["asked_a"], e["asked_aaaa"], e["outcome"]) for e in episodes} == {(True, True, "answered")}


def test_retries_are_one_question() -> None:
    case = "13-dns-aaaa-timeout/drop-aaaa/client.pcap"
    questions = [row for row in rows(case, "exchanges") if row["kind"] == "dns"]
    aaaa = [row for row in questions if row["question_type"] == "AAAA"]
    assert [(row["outcome"], row["repeats"]) for row in aaaa] == [("silent", 2)] * 3
    assert {row["outcome"] for row in questions if row["question_type"] == "A"} == {"answered"}
    assert [(e["answered_a"], e["answered_aaaa"]) for e in rows(case)] == [(True, False)] * 4


def test_neighbours_are_requests_too() -> None:
    case = "21-asymmetric-route/asym-caddy284/server-eth0.pcap"
    asked = [row for row in rows(case, "exchanges") if row["kind"] in ("arp", "ndp")]
    silent = [row for row in asked if row["outcome"] == "silent"]
    assert [(row["client_address"], row["server_address"]) for row in silent] == [("198.51.100.80", "192.0.2.10")]
    assert {row["outcome"] for row in asked if row not in silent} == {"answered"}


def test_exchanges_are_numbered_in_order_of_their_records() -> None:
    exchanges = rows("13-dns-aaaa-timeout/drop-aaaa/client.pcap", "exchanges")
    assert [row["exchange"] for row in exchanges] == [f"E{i}" for i in range(1, len(exchanges) + 1)]
    records = [row["request_record"] for row in exchanges]
    assert records == sorted(records)


def test_questions_count_as_attempts_on_the_resolver() -> None:
    [resolver] = [row for row in rows("13-dns-aaaa-timeout/drop-aaaa/client.pcap", "sockets") if row["port"] == 53]
    counts = {name: resolver[name] for name in ("attempts", "answered", "silent")}
    assert counts == {"attempts": 7, "answered": 4, "silent": 3}


def test_without_questions_there_is_no_resolution() -> None:
    assert rows("01-caddy-http3-ok/caddy-2.6.2/client.pcap") == []
