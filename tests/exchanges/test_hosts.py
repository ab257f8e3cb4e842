"""Hosts: who was seen sending and receiving, and which addresses are one host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from analyzer.events.conversations import conversations
from analyzer.events.scan import scan, settle
from analyzer.exchanges.attributes import Attributes
from analyzer.exchanges.hosts import MOST_ADDRESSES, Hosts
from tests.crafted import ETHERNET, MS, START, Captured, batches_of, ip, scan_of, udp
from tests.wire.layers import MACS

GATEWAY, SERVER = "02:00:00:00:00:01", "02:00:00:00:00:80"
ROUTER_4 = "192.0.2.254"


def hosts_of(*frames: bytes | Packet, link_type: int = ETHERNET, step: int = 30 * MS) -> Hosts:
    captured = [Captured(bytes(raw), START + k * step, link_type=link_type) for k, raw in enumerate(frames)]
    found = conversations(settle(scan_of(captured)))
    return Hosts(Attributes(found.flows, found.connections))


def table(hosts: Hosts) -> dict[str, dict[str, Any]]:
    return {row["address"]: row for row in hosts.table().rows()}


def datagram(source: str, destination: str, *, ident: int = 0) -> bytes:
    raw = ip(source, destination, 17, udp((5000, 9000), b"x"), ident=ident)
    return bytes(Ether(src=GATEWAY, dst=SERVER, type=0x86DD if ":" in source else 0x0800)) + raw


def arp(address: str, link_address: str) -> Packet:
    return Ether(**MACS) / ARP(op=2, hwsrc=link_address, psrc=address, pdst="192.0.2.200")


def ndp(address: str, link_address: str) -> Packet:
    return (
        Ether(**MACS)
        / IPv6(src=address, dst="2001:db8::200")
        / ICMPv6ND_NA(tgt=address)
        / ICMPv6NDOptDstLLAddr(lladdr=link_address)
    )


def test_packets_are_counted_by_address() -> None:
    hosts = hosts_of(*(datagram("192.0.2.1", "192.0.2.2", ident=k) for k in range(20)), datagram("192.0.2.2", ROUTER_4))
    rows = table(hosts)
    assert [(rows[a]["packets_from"], rows[a]["packets_to"]) for a in ("192.0.2.1", "192.0.2.2", ROUTER_4)] == [
        (20, 0),
        (1, 20),
        (0, 1),
    ]
    assert (rows["192.0.2.1"]["first_from"], rows["192.0.2.1"]["last_from"]) == (START, START + 19 * 30 * MS)
    assert (rows[ROUTER_4]["first_from"], rows[ROUTER_4]["last_from"]) == (-1, -1)
    assert hosts.was_seen_sending("192.0.2.1")
    assert not hosts.was_seen_sending(ROUTER_4)
    assert hosts.was_seen_receiving(ROUTER_4)
    assert not hosts.was_seen_receiving("192.0.2.1")
    assert not hosts.was_seen_sending("203.0.113.1")


def test_an_address_in_several_flows() -> None:
    frames = [datagram(f"192.0.2.{k}", "192.0.2.80") for k in range(1, 9)]
    assert table(hosts_of(*frames, datagram("192.0.2.80", "192.0.2.1")))["192.0.2.80"]["packets_to"] == 8


def test_copies_are_not_counted() -> None:
    hosts = hosts_of(*[datagram("192.0.2.1", "192.0.2.2", ident=1)] * 2, step=1000)
    assert table(hosts)["192.0.2.1"]["packets_from"] == 1


def test_neighbour_discovery_is_no_traffic() -> None:
    """It proves that a host's frames are seen here, not that its IP packets come this way."""
    hosts = hosts_of(ndp("2001:db8::80", SERVER), arp("192.0.2.80", SERVER))
    rows = table(hosts)
    assert rows["2001:db8::80"]["packets_from"] == 0
    assert rows["2001:db8::80"]["neighbour_seen"]
    assert rows["192.0.2.80"]["neighbour_seen"]
    assert not hosts.was_seen_sending("2001:db8::80")


def test_one_link_address_in_both_families_is_one_host() -> None:
    hosts = hosts_of(ndp("2001:db8::80", SERVER), arp("192.0.2.80", SERVER), datagram("2001:db8::80", "2001:db8::1"))
    rows = table(hosts)
    assert rows["192.0.2.80"]["host"] == rows["2001:db8::80"]["host"] != rows["2001:db8::1"]["host"]
    assert {rows[a]["host_reason"] for a in ("192.0.2.80", "2001:db8::80")} == {"link-address"}
    assert hosts.was_seen_sending("192.0.2.80"), "the host was, over IPv6"


def test_a_gateway_that_answers_for_many_is_no_host() -> None:
    answers = [arp(f"192.0.2.{k}", GATEWAY) for k in range(1, MOST_ADDRESSES + 2)]
    rows = table(hosts_of(*answers, ndp("2001:db8::1", GATEWAY)))
    assert len({row["host"] for row in rows.values()}) == len(rows)
    assert all(row["link_address"] == "" for row in rows.values())


def test_a_link_local_address_joins_but_does_not_count() -> None:
    answers = [ndp(f"2001:db8::{k}", SERVER) for k in range(1, MOST_ADDRESSES + 1)]
    rows = table(hosts_of(*answers, ndp("fe80::80", SERVER)))
    assert len({rows[a]["host"] for a in rows if a != "2001:db8::200"}) == 1


def test_who_asks_tells_its_link_address() -> None:
    question = Ether(**MACS) / ARP(op=1, hwsrc=SERVER, psrc="192.0.2.80", pdst="192.0.2.1")
    probe = Ether(**MACS) / ARP(op=1, hwsrc=GATEWAY, psrc="0.0.0.0", pdst="192.0.2.9")
    solicitation = Ether(**MACS) / IPv6(src="2001:db8::80", dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt="2001:db8::1")
    rows = table(hosts_of(question, probe, solicitation / ICMPv6NDOptSrcLLAddr(lladdr=SERVER)))
    assert rows["192.0.2.80"]["link_address"] == rows["2001:db8::80"]["link_address"] == SERVER
    assert "0.0.0.0" not in rows
    assert "192.0.2.9" not in rows, "a question says nothing about who is asked for"


def test_hosts_are_numbered_in_the_order_of_addresses() -> None:
    rows = table(hosts_of(datagram("192.0.2.9", "192.0.2.3"), datagram("2001:db8::1", "2001:db8::2")))
    assert [(a, row["host"], row["family"]) for a, row in rows.items()] == [
        ("192.0.2.3", "H1", "ipv4"),
        ("192.0.2.9", "H2", "ipv4"),
        ("2001:db8::1", "H3", "ipv6"),
        ("2001:db8::2", "H4", "ipv6"),
    ]


def test_nothing_seen() -> None:
    assert len(hosts_of().table()) == 0


def test_recorded_hosts(captures: Path) -> None:
    """A server with both families: joined by its name and by its link address."""
    batches = batches_of(captures / "02-caddy-ipv4-silent" / "nft-output-drop" / "server.pcap")
    found = conversations(settle(scan(batches, 1, compiled=False)))
    hosts = Hosts(Attributes(found.flows, found.connections))
    rows = table(hosts)
    assert rows["192.0.2.80"]["host"] == rows["2001:db8:1::80"]["host"]
    assert rows["192.0.2.10"]["host"] == rows["2001:db8:1::10"]["host"] != rows["192.0.2.80"]["host"]
    assert rows["192.0.2.80"]["name"] == "example.com"
    totals = [sum(row[name] for row in rows.values()) for name in ("packets_from", "packets_to")]
    assert totals[0] == totals[1]
