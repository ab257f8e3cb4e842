"""A second opinion: Wireshark counts the same records, SYNs and RSTs. Of QUIC: tests/test_tshark_parity.py."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from analyzer.analysis import Analysis, analyse
from tests.conftest import ROOT

CAPTURES = (
    "01-caddy-http3-ok/caddy-2.6.2/client.pcap",
    "02-caddy-ipv4-silent/nft-output-drop/server.pcap",
    "02-caddy-ipv4-silent/v6only/client.pcap",
    "05-wrong-source-address/aioquic-v4/client.pcap",
    "06-version-negotiation/reserved-then-v1/client.pcap",
    "07-retry/aioquic-ok/client.pcap",
    "11-tcp-cases/syn-drop-input/client.pcap",
    "11-tcp-cases/syn-rst/client.pcap",
    "11-tcp-cases/synack-lost-path/server.pcap",
    "12-happy-eyeballs/both-ok/client.pcap",
    "15-any-interface/dnat/host-any.pcap",
    "20-linktypes/tun-raw/client.pcap",
    "20-linktypes/tun-raw/server-any.pcap",
    "21-asymmetric-route/asym-nginx/server-eth0.pcap",
)


class Frame(NamedTuple):
    """What tshark says of one record."""

    number: int
    syn: bool
    ack: bool
    reset: bool
    icmp: bool


def frames(tshark: str, path: Path) -> Iterator[Frame]:
    fields = "frame.number tcp.flags.syn tcp.flags.ack tcp.flags.reset icmp icmpv6"
    command = [tshark, "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=f"]
    for field in fields.split():
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    for line in done.stdout.splitlines():
        number, syn, ack, reset, *icmp = line.split("\t")
        flags = (flag in ("1", "True") for flag in (syn, ack, reset))
        yield Frame(int(number), *flags, any(icmp))


@pytest.fixture(scope="module", params=CAPTURES)
def both(request: pytest.FixtureRequest, tshark: str) -> tuple[Analysis, list[Frame]]:
    """The analysis of a capture, and what tshark says of each record."""
    path = ROOT / "captures" / request.param
    return analyse([str(path)]), list(frames(tshark, path))


def records(analysis: Analysis, kind: str) -> set[int]:
    """Records of one kind; further copies of one packet are counted and not listed."""
    return {row["record"] for row in analysis.packets.rows() if row["kind"] == kind}


def test_records(both: tuple[Analysis, list[Frame]]) -> None:
    analysis, expected = both
    assert analysis.document["captures"][0]["records"] == len(expected)
    assert [frame.number for frame in expected] == list(range(1, len(expected) + 1))


@pytest.mark.parametrize("kind", ["tcp-syn", "tcp-syn-ack", "tcp-rst"])
def test_segments(kind: str, both: tuple[Analysis, list[Frame]]) -> None:
    analysis, seen = both
    of_kind = {
        "tcp-syn": lambda frame: frame.syn and not frame.ack and not frame.reset,
        "tcp-syn-ack": lambda frame: frame.syn and frame.ack and not frame.reset,
        "tcp-rst": lambda frame: frame.reset,
    }[kind]
    # A segment inside an ICMP error is quoted, and none that was sent.
    expected = {frame.number for frame in seen if of_kind(frame) and not frame.icmp}
    ours = records(analysis, kind)
    if analysis.document["captures"][0]["ledger"]["duplicates"]:
        assert ours <= expected
        assert bool(ours) == bool(expected)
    else:
        assert ours == expected
