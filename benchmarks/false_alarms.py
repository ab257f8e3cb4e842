"""How often a network that only loses, delays and reorders packets is called faulty.

    python benchmarks/false_alarms.py [--captures 240] [--both-ends] [--seed 1]

Each capture holds QUIC and TCP connections of several clients and DNS questions over both address families, with
servers that all answer. Weather goes from none to a loss of 20 % in each direction, with jitter and reordering. Every
second capture is recorded at the server, the others at the client; with ``--both-ends`` both are read together.
"""

from __future__ import annotations

import argparse
import ipaddress
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from analyzer.analysis import analyse
from benchmarks.endpoints import DnsServer, QuicServer, TcpServer, dns_client, quic_client, tcp_client
from benchmarks.network import Network, Weather
from tests.crafted import write_pcap

LOSSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
SERVERS, RESOLVER = ("192.0.2.80", "2001:db8:1::80"), ("192.0.2.53", 53)
CLIENTS = 3
SESSIONS = 16
LASTS_S = 60.0


class Case(NamedTuple):
    """A capture and what the weather was."""

    files: list[str]
    weather: Weather
    seed: int


def weather_of(number: int, generator: random.Random) -> Weather:
    """The weather of the n-th capture: all losses in turn."""
    return Weather(
        loss=LOSSES[number % len(LOSSES)],
        delay=generator.choice((0.002, 0.01, 0.03, 0.08)),
        jitter=generator.choice((0.0, 0.005, 0.03)),
        reordered=generator.choice((0.0, 0.02, 0.1)),
    )


def record(number: int, seed: int, folder: Path, *, both_ends: bool = False) -> Case:
    """Make the n-th capture."""
    generator = random.Random(seed * 100_003 + number)
    weather = weather_of(number, generator)
    network = Network(weather, generator)
    for address in SERVERS:
        QuicServer(network, (address, 443), generator.choice((300, 5_000, 60_000)))
        TcpServer(network, (address, 80), generator.choice((300, 5_000, 60_000)))
    addresses = [ipaddress.ip_address(address).packed for address in SERVERS]
    DnsServer(network, RESOLVER, {1: addresses[0], 28: addresses[1]})
    for session in range(SESSIONS):
        _begin(network, session, generator.uniform(0, LASTS_S / 3))
    network.run(LASTS_S)
    ends = {"client.pcap": network.at_client, "server.pcap": network.at_server}
    names = list(ends) if both_ends else [list(ends)[number // len(LOSSES) % 2]]
    files = [str(write_pcap(folder / f"{number}-{name}", ends[name])) for name in names]
    return Case(files, weather, seed)


def _begin(network: Network, session: int, at: float) -> None:
    """Let a client do one thing at a time."""
    generator = network.generator
    family, client = session % 2, generator.randrange(CLIENTS) + 10
    address = f"192.0.2.{client}" if family == 0 else f"2001:db8:1::{client}"
    own, isn = (address, 32_768 + 97 * session), generator.randrange(1 << 32)
    pto = generator.choice((0.2, 1.0))
    what = session // 2 % 4

    def begin() -> None:
        if what < 2:
            quic_client(network, own, (SERVERS[family], 443), first_pto=pto)
        elif what == 2:
            tcp_client(network, own, (SERVERS[family], 80), isn=isn)
        else:
            dns_client(network, (f"192.0.2.{client}", own[1]), RESOLVER, number=isn & 0xFFFF, kind=(1, 28)[family])

    network.at(at, begin)


def alarms(case: Case) -> list[dict[str, Any]]:
    """Findings of severity error or warning, all of which are false as far as the network is concerned."""
    return [found for found in analyse(case.files).document["findings"] if found["severity"] != "info"]


def measured(count: int, seed: int, *, both_ends: bool = False, verbose: bool = False) -> dict[float, Counter[str]]:
    """By loss: captures, captures with an error, captures with a warning, and patterns of either."""
    counts: dict[float, Counter[str]] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            case = record(number, seed, Path(folder), both_ends=both_ends)
            found = alarms(case)
            here = counts[case.weather.loss]
            here["captures"] += 1
            for severity in ("error", "warning"):
                here[severity] += any(each["severity"] == severity for each in found)
            here.update(f"{each['severity']} {each['pattern']}" for each in found)
            for each in found if verbose else ():
                print(number, case.weather, each["severity"], each["confidence"], each["pattern"], each["because"])
            for file in case.files:
                Path(file).unlink()
    return counts


def table(counts: dict[float, Counter[str]]) -> str:
    """The figures as a Markdown table."""
    lines = ["| loss | captures | with an error | with a warning | patterns |", "| --- | --- | --- | --- | --- |"]
    for loss, here in sorted(counts.items()):
        patterns = ", ".join(f"{name} ({n})" for name, n in sorted(here.items()) if " " in name) or "none"
        lines.append(f"| {loss:.0%} | {here['captures']} | {here['error']} | {here['warning']} | {patterns} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--captures", type=int, default=240)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--both-ends", action="store_true")
    options.add_argument("--verbose", action="store_true")
    given = options.parse_args(arguments)
    counts = measured(given.captures, given.seed, both_ends=given.both_ends, verbose=given.verbose)
    print(table(counts))
    return int(any(here["error"] for loss, here in counts.items() if loss <= 0.05))


if __name__ == "__main__":
    sys.exit(main())
