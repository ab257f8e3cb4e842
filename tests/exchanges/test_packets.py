"""The table of selected packets: which record is what, and whose."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether

from analyzer.analysis import analyse
from tests.crafted import ETHERNET, MS, START, Captured, ip, udp
from tests.events.playbook import CLIENT, SERVER, A, F, P, Play, R, S
from tests.exchanges.analysed import rows
from tests.wire.layers import MACS


def packets(folder: Path, play: Play) -> list[dict[str, Any]]:
    return rows(folder, play.captured, "packets")


def test_tcp(tmp_path: Path) -> None:
    play = Play().c(S).s(S | A).c(A).c(A | P, b"data").s(F | A).c(R)
    table = packets(tmp_path, play)
    assert [row["kind"] for row in table] == ["tcp-syn", "tcp-syn-ack", "tcp", "tcp", "tcp-fin", "tcp-rst"]
    assert [row["direction"] for row in table] == ["client", "server", "client", "client", "server", "client"]
    assert [row["record"] for row in table] == [1, 2, 3, 4, 5, 6]
    assert [row["time"] for row in table] == [START + 10 * MS * k for k in range(6)]
    assert {row["connection"] for row in table} == {"C1"}
    assert {row["family"] for row in table} == {"ipv4"}
    assert table[0]["detail"] == "SYN; 0 bytes of data"
    assert table[3]["detail"] == "ACK; 4 bytes of data"
    assert (table[3]["length"], table[3]["captured_length"]) == (44, 44)


def test_icmp_errors_belong_to_what_they_quote(tmp_path: Path) -> None:
    quoted = ip(CLIENT[0], SERVER[0], 17, udp((CLIENT[1], SERVER[1]), b"ask"))
    play = Play().ask(b"ask").say(("203.0.113.1", 0), CLIENT, 1, bytes([3, 3]) + bytes(6) + quoted)
    error = packets(tmp_path, play)[1]
    assert (error["kind"], error["connection"], error["direction"]) == ("icmp", "C1", "")
    assert error["detail"] == f"port-unreachable, quotes {CLIENT[0]}:{CLIENT[1]} -> {SERVER[0]}:{SERVER[1]}"


def test_other_icmp(tmp_path: Path) -> None:
    (echo,) = packets(tmp_path, Play().say(CLIENT, SERVER, 1, bytes([8, 0, 0, 0, 0, 1, 0, 1])))
    assert (echo["connection"], echo["detail"]) == ("", "type 8, code 0")


def test_neighbours(tmp_path: Path) -> None:
    ends = IPv6(src="2001:db8::1", dst="2001:db8::2")
    frames = [
        Ether(**MACS) / ARP(op=1, psrc="192.0.2.1", pdst="192.0.2.2", hwsrc=MACS["src"]),
        Ether(**MACS) / ARP(op=2, psrc="192.0.2.2", pdst="192.0.2.1", hwsrc=MACS["dst"]),
        Ether(**MACS) / ends / ICMPv6ND_NS(tgt="2001:db8::2"),
        Ether(**MACS) / ends / ICMPv6ND_NA(tgt="2001:db8::2"),
    ]
    captured = [Captured(bytes(raw), START + k, link_type=ETHERNET) for k, raw in enumerate(frames)]
    table = rows(tmp_path, captured, "packets")
    assert [(row["kind"], row["detail"]) for row in table] == [
        ("arp", "who has 192.0.2.2"),
        ("arp", "192.0.2.2 is here"),
        ("icmp", "neighbour solicitation"),
        ("icmp", "neighbour advertisement"),
    ]
    assert table[0]["family"] == ""


def test_flaws_and_copies(tmp_path: Path) -> None:
    play = Play(step=0.01).c(S)
    (syn,) = play.captured
    captured = [syn, syn._replace(time=syn.time + 1000), syn._replace(raw=syn.raw[:30], wire=40)]
    table = rows(tmp_path, captured, "packets")
    assert [row["detail"] for row in table][1] == "the same packet captured again"
    assert [row["flaw"] for row in table] == ["", "", "transport-cut"]
    assert (table[2]["length"], table[2]["captured_length"]) == (40, 30)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("07-retry/aioquic-ok/client.pcap", {"quic-initial", "quic-retry", "udp"}),
        ("06-version-negotiation/never-converges/client.pcap", {"quic-version-negotiation"}),
        ("02-caddy-ipv4-silent/v6only/server.pcap", {"quic-initial", "icmp", "arp"}),
    ],
)
def test_recorded_kinds(captures: Path, name: str, kinds: set[str]) -> None:
    assert kinds <= set(analyse([str(captures / name)]).packets["kind"].tolist())


def test_coalesced_packets_are_named(captures: Path) -> None:
    table = analyse([str(captures / "01-caddy-http3-ok" / "caddy-2.6.2" / "client.pcap")]).packets
    details = Counter(detail.split(";")[0] for detail in table["detail"].tolist())
    assert details["Initial + Handshake"] + details["Initial + Handshake + 1-RTT"] > 0


@pytest.mark.parametrize(
    "name", ["05-wrong-source-address/aioquic-v4/client.pcap", "15-any-interface/dnat/host-any.pcap"]
)
def test_the_side_of_a_packet_is_told_by_its_ports(captures: Path, name: str) -> None:
    """Servers listen on port 443 there: who sends to it is the client, in replies from elsewhere too."""
    analysis = analyse([str(captures / name)])
    servers = {row["connection"]: row["server_port"] for row in analysis.connections.rows()}
    sides = Counter(
        row["direction"]
        for row in analysis.packets.rows()
        if row["kind"].startswith("quic") and servers.get(row["connection"]) == 443
    )
    assert set(sides) == {"client", "server"}


def test_records_rise_within_a_capture(silent_capture: Path) -> None:
    records = analyse([str(silent_capture)]).packets["record"].tolist()
    assert records == sorted(set(records))
