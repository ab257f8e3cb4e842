"""Stretches of silence after answers, and what only looks like one.

Measured over 400 seeds each (120 attempts, one every 0.2 s), findings of severity error or warning:

    loss of 20 % of requests and 20 % of replies; 35 % each way        0 of 800
    a dead socket in a group of 2, of 4                                3 of 800
    one client of five filtered from a time on                         1 of 400
    a restart of 5 s under 5 % loss                                    0 of 400 (told as information)
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from analyzer.patterns import socket_went_silent
from analyzer.patterns.finding import Finding
from tests.patterns.made_attempts import (
    ADVISED,
    Clients,
    attempts,
    bad_clients,
    both,
    dead_member,
    healthy,
    loss,
    outages,
    seen,
)
from tests.patterns.tables import SECOND, T0, V4, V6, Row, capture, connection, found, tcp, view

ID = "socket-went-silent"
SEEDS = 40
Made = Callable[[random.Random], list[Row]]


def first(rows: list[Row]) -> Finding | None:
    return next(socket_went_silent.find(seen(rows)), None)


def silent(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    return connection(server, at, **({"outcome": "silent", "repeats": 4} | columns))


def stops(*, good: int = 12, bad: int = 6, **columns: object) -> list[Row]:
    """Answered once a second, then silent at every 5 s."""
    rows = [connection(at=i) for i in range(1, good + 1)]
    return rows + [silent(at=good + 5 * i, **columns) for i in range(1, bad + 1)]


NEAR_MISSES: dict[str, Made] = {
    "healthy": lambda g: attempts(healthy, g, Clients()),
    "loss": lambda g: attempts(loss(g, 0.2), g, Clients()),
    "heavy loss": lambda g: attempts(loss(g, 0.35), g, Clients(schedule=ADVISED)),
    "dead socket of two": lambda g: attempts(dead_member(g, of=2), g, Clients()),
    "dead socket of four": lambda g: attempts(dead_member(g, of=4, since=10), g, Clients()),
    "one client filtered": lambda g: attempts(bad_clients("192.0.2.10", since=9), g, Clients(addresses=5)),
    "restart": lambda g: attempts(both(outages((10, 15)), loss(g, 0.05)), g, Clients()),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_misses_over_many_seeds(name: str) -> None:
    findings = [first(NEAR_MISSES[name](random.Random(seed))) for seed in range(SEEDS)]
    assert [seed for seed, finding in enumerate(findings) if finding and finding.severity != "info"] == []


def test_onset_lies_within_its_bounds() -> None:
    for seed in range(SEEDS):
        generator = random.Random(seed)
        finding = first(attempts(both(outages((14, 1e9)), loss(generator, 0.05)), generator, Clients(attempts=300)))
        assert finding is not None
        assert (finding.severity, finding.confidence) == ("error", "possible")  # nobody else was asked
        good, bad = finding.onset_bounds or (0, 0)
        assert good <= T0 + 14 * SECOND <= bad + SECOND  # a try before it may have been lost
        assert bad == finding.onset
        assert bad - good < 4 * SECOND


def test_says_when_and_what_lived_on() -> None:
    rows = [*stops(), tcp(V4, 20), tcp(V4, 30), connection(V6, 25), connection(V6, 31)]
    [finding] = found(ID, view(*rows))
    assert (finding.severity, finding.confidence, finding.server) == ("error", "likely", (V4, 443))
    assert finding.because == (
        "QUIC over IPv4 to 192.0.2.80:443: 6 attempts in a row heard nothing, the first, record 1701, 5.0 s after the "
        "last answer, and none was answered after; meanwhile the same host answered 2 of 2 attempts over TCP and IPv4 "
        "and 2 of 2 attempts over QUIC and IPv6."
    )
    assert finding.onset_bounds == (T0 + 12_020_000_000, T0 + 17 * SECOND)
    assert len(found("quic-initial-no-reply", view(*rows))) == 1
    assert finding.sums_up


def test_the_other_family_may_be_silent_too() -> None:
    rows = [*stops(), silent(V6, 20), silent(V6, 30), connection(V6, 2)]
    finding = next(f for f in found(ID, view(*rows)) if f.family == "ipv4")
    assert "meanwhile the same host answered 0 of 2 attempts over QUIC and IPv6" in finding.because


def test_recovery_after_long_is_a_warning_and_within_a_restart_information() -> None:
    long = [*stops(bad=8), *(connection(at=60 + i) for i in range(5))]
    [finding] = found(ID, view(*long, lasts=90))
    assert finding.severity == "warning"
    assert "answers came back after 43.0 s" in finding.because
    assert finding.title.endswith("for a while")
    [finding] = found(ID, view(*stops(bad=4), *(connection(at=36 + i) for i in range(5))))
    assert finding.severity == "info"


def test_several_episodes_are_told_in_order() -> None:
    rows = [connection(at=i) for i in range(1, 25)] + [silent(at=25 + i) for i in range(5)]
    rows += [connection(at=60 + i) for i in range(25)] + [silent(at=90 + i) for i in range(6)]
    [finding] = found(ID, view(*rows, lasts=140))
    assert "5 attempts in a row heard nothing" in finding.because
    assert "answers came back after 35.0 s and 6 attempts in a row" in finding.because
    assert finding.onset == T0 + 90 * SECOND
    assert finding.counts["affected"] == 11


def test_tcp_sockets_too() -> None:
    rows = [tcp(V4, i) for i in range(1, 13)] + [tcp(V4, 15 + i, outcome="silent", repeats=3) for i in range(6)]
    [finding] = found(ID, view(*rows))
    assert finding.transport == "tcp"
    assert finding.title == "TCP over IPv4 to 192.0.2.80:443: answered, then silent"


def test_whose_network_went_away() -> None:
    """Seen at the server, or by several clients: not the client's. Every other host silent too: its own."""
    at_server = found(ID, view(*stops(), captures=[capture(vantage="server")]))
    several = found(ID, view(*stops(), connection(at=2, client_address="192.0.2.11"), *(
        silent(at=40 + i, client_address="192.0.2.11") for i in range(3))))  # fmt: skip
    assert [f.confidence for f in at_server + several] == ["likely", "likely"]
    elsewhere = {"server_address": "198.51.100.7", "sni": "other.example"}
    hosts = [
        {"address": V4, "host": "H1", "family": "ipv4", "packets_from": 9, "packets_to": 9},
        {"address": "198.51.100.7", "host": "H3", "family": "ipv4", "packets_from": 9, "packets_to": 9},
    ]
    [finding] = [f for f in found(ID, view(*stops(), silent(at=30, **elsewhere), hosts=hosts)) if f.server == (V4, 443)]
    assert finding.severity == "info"
    assert any("own network may have gone away" in limit for limit in finding.limitations)


@pytest.mark.parametrize(
    "rows",
    [
        stops(good=0),
        stops(bad=2),
        stops(good=3, bad=3),
        stops(repeats=0, bad=3),
        stops(outcome="undetermined", outcome_reason="capture-ended"),
        stops(outcome="refused", icmp="port-unreachable", refused_by=V4),
        stops(client_address="192.0.2.66"),
        stops(sni="blocked.example"),
        [*stops(bad=4), connection(at=18), connection(at=23), connection(at=28)],
    ],
)
def test_near_misses_typed_by_hand(rows: list[Row]) -> None:
    assert not found(ID, view(*rows))


def test_a_capture_that_ends_soon_shows_no_silence() -> None:
    rows = [connection(at=i) for i in range(1, 13)] + [silent(at=13 + i / 10) for i in range(6)]
    assert not found(ID, view(*rows, lasts=15.9))
    assert found(ID, view(*rows, lasts=17))
