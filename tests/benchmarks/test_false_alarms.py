"""A network that only loses, delays and reorders packets, in virtual time: it is not called faulty."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from benchmarks.endpoints import TcpServer, quic_client, tcp_client
from benchmarks.false_alarms import LOSSES, alarms, record, table
from benchmarks.network import Network, Weather
from tests.crafted import write_pcap

SEED = 7


@pytest.mark.parametrize("number", range(12))
def test_weather_is_no_fault(number: int, tmp_path: Path) -> None:
    """All losses, at the client and at the server: no error, and no finding at all without loss."""
    case = record(number, SEED, tmp_path)
    found = [(each["severity"], each["pattern"]) for each in alarms(case)]
    assert not [pattern for severity, pattern in found if severity == "error"]
    assert case.weather.loss > 0 or not found


@pytest.mark.parametrize("number", [0, 3, 5])
def test_weather_is_no_fault_for_both_ends(number: int, tmp_path: Path) -> None:
    case = record(number, SEED, tmp_path, both_ends=True)
    assert not [each["pattern"] for each in alarms(case) if each["severity"] == "error"]
    assert len(analyse(case.files).connections) == len(analyse(case.files[:1]).connections)


def test_the_network_works(tmp_path: Path) -> None:
    """Every loss is made, and most connections complete in spite of it."""
    cases = [record(number, SEED, tmp_path) for number in range(6)]
    assert tuple(case.weather.loss for case in cases) == LOSSES
    for case in cases:
        rows = [row for row in analyse(case.files).connections.rows() if row["transport"] != "udp"]
        assert len(rows) >= 10
        assert sum(row["state"] in ("established", "closed") for row in rows) >= 0.9 * len(rows)


def test_a_server_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """So that silence about weather is no silence about everything."""
    network = Network(Weather(loss=0.05), random.Random(1))
    TcpServer(network, ("192.0.2.80", 80), 5_000)
    for port in range(40_000, 40_005):
        quic_client(network, ("192.0.2.10", port), ("192.0.2.80", 443), first_pto=0.2)
        tcp_client(network, ("192.0.2.10", port), ("192.0.2.80", 80), isn=port)
    network.run(30)
    document = analyse([str(write_pcap(tmp_path / "client.pcap", network.at_client))]).document
    errors = {each["pattern"] for each in document["findings"] if each["severity"] == "error"}
    assert errors == {"quic-initial-no-reply"}


def test_figures_are_a_table() -> None:
    counts = {0.05: Counter({"captures": 3, "error": 0, "warning": 1, "warning dns-no-reply": 1})}
    assert table(counts).splitlines()[-1] == "| 5% | 3 | 0 | 1 | warning dns-no-reply (1) |"
