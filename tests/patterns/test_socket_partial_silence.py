"""A dead socket of a group, and what only looks like one: made from many seeds.

Measured (120 attempts, one every 0.2 s, unless a world says otherwise), how many of the seeds fire:

    loss of 20 % of requests and 20 % of replies, five ways to repeat        0 of 1,000
    loss of 35 % each way, 300 attempts                                      0 of 400
    one client of five filtered, from the start or from a time on            0 of 400
    one client of five behind a path that loses 60 %; two of fifty, 80 %     0 of 400
    rate limiter: token bucket for all, two ways to repeat                   1 of 800
    rate limiter: token bucket per client                                    0 of 400
    rate limiter: windows of 1 s and 10 s                                    0 of 600
    one restart of 5 s; three restarts under 10 % loss                       0 of 400
    a server down 15 times in 10 min, one attempt every 5 s                  0 of 600

A dead member of a group is found: 1 of 4 in 400 of 400 (290 of 400 with 20 attempts after the onset), with 5 % of tries
lost in 400 of 400, with 10 % in 191 of 200, with 20 % in 201 of 400; 1 of 8 in 400 of 400; by clients with one attempt
each in 393 of 400; by clients that send a request twice and give up in none.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from analyzer.patterns import socket_partial_silence
from analyzer.patterns.finding import Finding
from tests.patterns.made_attempts import (
    ADVISED,
    Clients,
    attempts,
    bad_clients,
    both,
    dead_member,
    fixed_window,
    healthy,
    in_order,
    loss,
    lossy_clients,
    outages,
    seen,
    token_bucket,
)
from tests.patterns.tables import T0, V4, Row, alike, connection, found, view

ID = "socket-partial-silence"
SEEDS = 60
Made = Callable[[random.Random], list[Row]]


def first(rows: list[Row]) -> Finding | None:
    return next(socket_partial_silence.find(seen(rows)), None)


NEAR_MISSES: dict[str, Made] = {
    "healthy": lambda g: attempts(healthy, g, Clients()),
    "loss": lambda g: attempts(loss(g, 0.2), g, Clients()),
    "loss, few tries": lambda g: attempts(loss(g, 0.2), g, Clients(schedule=(0, 0.2), closes=True)),
    "loss, several clients": lambda g: attempts(loss(g, 0.2), g, Clients(schedule=ADVISED, addresses=5)),
    "one client filtered": lambda g: attempts(bad_clients("192.0.2.10", since=9), g, Clients(addresses=5)),
    "one client's path": lambda g: attempts(lossy_clients(g, 0.6, "192.0.2.10"), g, Clients(addresses=5)),
    "single attempts, some filtered": lambda g: attempts(
        bad_clients(*(f"192.0.2.{i}" for i in range(10, 14))), g, Clients(addresses=200)
    ),
    "bucket per client": lambda g: in_order(token_bucket(0.6, 3, per_client=True), g, Clients(addresses=5)),
    "window": lambda g: in_order(fixed_window(g.randrange(2, 5), 1.0), g, Clients(schedule=ADVISED)),
    "restart": lambda g: attempts(both(outages((10, 15)), loss(g, 0.05)), g, Clients()),
    "restarts": lambda g: attempts(both(outages((4, 8), (10, 14), (16, 20)), loss(g, 0.1)), g, Clients()),
    "short outages, slow client": lambda g: attempts(
        outages(*((t, t + g.uniform(2, 6)) for t in range(5, 600, 40))), g, Clients(every=5)
    ),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_misses_over_many_seeds(name: str) -> None:
    fired = [seed for seed in range(SEEDS) if first(NEAR_MISSES[name](random.Random(seed)))]
    assert fired == []


def test_a_saturated_rate_limiter_fires_rarely() -> None:
    fired = sum(
        first(in_order(token_bucket(random.Random(seed).uniform(2, 5), 5), random.Random(seed), Clients())) is not None
        for seed in range(100)
    )
    assert fired <= 1


@pytest.mark.parametrize("of", [2, 4, 8])
def test_a_dead_member_is_found_with_its_share_and_its_onset(of: int) -> None:
    sizes = onsets = missed = 0
    for seed in range(SEEDS):
        generator = random.Random(seed)
        finding = first(attempts(dead_member(generator, of=of, since=10), generator, Clients(attempts=200)))
        if finding is None:
            missed += 1
            continue
        assert finding.severity == "error"
        good, bad = finding.onset_bounds or (0, 0)
        assert finding.onset == bad
        onsets += good <= T0 + 10_000_000_000 <= bad
        fits = re.search(r"1 dead socket in a group of (\d+)(?: to (\d+))?", finding.because)
        sizes += fits is not None and int(fits[1]) <= of <= int(fits[2] or fits[1])
    assert missed <= 1  # the tests of order refuse one of a thousand
    assert sizes >= 0.9 * SEEDS  # a 95 % interval
    assert onsets >= 0.9 * SEEDS  # a 95 % bound


def test_a_silence_that_ends_says_so() -> None:
    generator = random.Random(1)
    finding = first(attempts(dead_member(generator, of=4, since=8, until=24), generator, Clients(attempts=250)))
    assert finding is not None
    assert "and ended within the capture" in finding.because


def test_a_silence_from_the_start_has_no_onset() -> None:
    generator = random.Random(2)
    finding = first(attempts(dead_member(generator, of=4), generator, Clients()))
    assert finding is not None
    assert finding.onset == -1
    assert "may have begun before the capture" in finding.because


def scattered(**silent: object) -> list[Row]:
    """30 attempts, a third of them silent for 3 s."""
    fate = {"outcome": "silent", "repeats": 4} | silent
    return [connection(at=1 + i * 0.43, **(fate if i % 10 in (2, 3, 7) else {})) for i in range(30)]


def test_says_what_it_rules_out_and_what_to_do() -> None:
    seen_view = view(*scattered())
    [finding] = found(ID, seen_view)
    assert (finding.server, finding.family, finding.transport) == ((V4, 443), "ipv4", "udp")
    assert "9 of 28 QUIC attempts to 192.0.2.80:443 over IPv4 heard nothing, sent up to 5 times each" in finding.because
    assert "32 % (95 % interval 18 to 51 %), which fits 1 dead socket in a group of 2 to 5" in finding.because
    assert all(alike(finding).values())
    assert any("load balancer" in limit for limit in finding.limitations)
    assert "ss -ulnpe" in finding.remedies[0]
    [part] = found("quic-initial-no-reply", seen_view)
    assert finding.sums_up == (part.id,)


@pytest.mark.parametrize(
    "silent",
    [
        {"sni": "blocked.example"},
        {"quic_version": "0x6b3343cf"},
        {"largest_request": 1400},
        {"hello_complete": False},
        {"replied_from": "192.0.2.81:443"},
        {"outcome": "undetermined", "outcome_reason": "capture-ended"},
        {"transport": "tcp"},
        {"repeats": 0},
        {"client_address": "192.0.2.66"},
    ],
    ids=str,
)
def test_near_misses_typed_by_hand(silent: Row) -> None:
    assert not found(ID, view(*scattered(**silent)))


def test_a_few_silent_among_thousands_are_no_group() -> None:
    rows = [connection(at=1 + i * 0.01) for i in range(4000)]
    rows += [connection(at=1.005 + i * 9.1, outcome="silent", repeats=4) for i in range(4)]
    assert not found(ID, view(*rows))
