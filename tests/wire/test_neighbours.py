"""ARP and Neighbour Discovery against scapy, and as recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
)
from scapy.layers.l2 import ARP
from scapy.packet import Packet

from analyzer.wire import packets as pk
from analyzer.wire.addresses import address_of
from analyzer.wire.neighbours import ADVERTISEMENT, SOLICITATION, Neighbour, read_arp, read_ndp
from tests.crafted import batches_of, captured_of
from tests.wire.test_packets import columns

MAC, OTHER = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
HOST, TARGET = "2001:db8::1", "2001:db8::2"


def test_arp_question_and_answer() -> None:
    ends = {"hwsrc": MAC, "psrc": "192.0.2.1", "hwdst": OTHER, "pdst": "192.0.2.2"}
    assert read_arp(bytes(ARP(op=1, **ends))) == Neighbour(True, "192.0.2.1", MAC, "192.0.2.2")
    assert read_arp(bytes(ARP(op=2, **ends))) == Neighbour(False, "192.0.2.1", MAC, "192.0.2.2")


def test_a_probe_tells_no_address() -> None:
    probe = ARP(op=1, hwsrc=MAC, psrc="0.0.0.0", pdst="192.0.2.2")
    assert read_arp(bytes(probe)) == Neighbour(True, "", MAC, "192.0.2.2")


@pytest.mark.parametrize(
    "packet",
    [ARP(op=3), ARP(op=0x0101), ARP(hwtype=6), ARP(ptype=0x86DD), ARP(hwlen=8), ARP(plen=16)],
)
def test_other_arp_is_not_read(packet: Packet) -> None:
    assert read_arp(bytes(packet)) is None


def test_every_prefix_of_arp() -> None:
    raw = bytes(ARP(op=1, hwsrc=MAC, psrc="192.0.2.1", pdst="192.0.2.2"))
    assert all(read_arp(raw[:end]) is None for end in range(28))
    assert read_arp(raw + bytes(18)) == read_arp(raw)


def test_solicitation_and_advertisement() -> None:
    question = bytes(ICMPv6ND_NS(tgt=TARGET) / ICMPv6NDOptSrcLLAddr(lladdr=MAC))
    answer = bytes(ICMPv6ND_NA(tgt=TARGET) / ICMPv6NDOptMTU() / ICMPv6NDOptDstLLAddr(lladdr=OTHER))
    assert read_ndp(SOLICITATION, HOST, question) == Neighbour(True, HOST, MAC, TARGET)
    assert read_ndp(ADVERTISEMENT, TARGET, answer) == Neighbour(False, TARGET, OTHER, TARGET)
    assert read_ndp(133, HOST, bytes(ICMPv6ND_RS())) is None


def test_duplicate_address_detection_tells_no_address() -> None:
    assert read_ndp(SOLICITATION, "::", bytes(ICMPv6ND_NS(tgt=TARGET))) == Neighbour(True, "", "", TARGET)


def test_the_other_link_address_option_is_not_the_owners() -> None:
    question = bytes(ICMPv6ND_NS(tgt=TARGET) / ICMPv6NDOptDstLLAddr(lladdr=OTHER))
    assert read_ndp(SOLICITATION, HOST, question) == Neighbour(True, HOST, "", TARGET)


def test_every_prefix_of_an_advertisement() -> None:
    raw = bytes(ICMPv6ND_NA(tgt=TARGET) / ICMPv6NDOptDstLLAddr(lladdr=OTHER))
    for end in range(len(raw) + 1):
        read = read_ndp(ADVERTISEMENT, TARGET, raw[:end])
        if end < 24:
            assert read is None
        else:
            assert read == Neighbour(False, TARGET, OTHER if end == len(raw) else "", TARGET)


@given(st.binary(max_size=80), st.sampled_from((SOLICITATION, ADVERTISEMENT)))
def test_rubbish_never_raises(raw: bytes, icmp_type: int) -> None:
    read_arp(raw)
    neighbour = read_ndp(icmp_type, HOST, raw)
    assert neighbour is None or neighbour.target


def test_recorded_neighbours(captures: Path) -> None:
    """Questions and answers of two Linux hosts, ARP and NDP, agree about who is where."""
    (batch,) = batches_of(captures / "02-caddy-ipv4-silent" / "nft-output-drop" / "server.pcap")
    known: dict[str, set[str]] = {}
    for one in captured_of(batch):
        row = columns(one.raw, one.link_type)
        neighbour = None
        if row["kind"] == pk.ARP:
            neighbour = read_arp(one.raw[row["ip_offset"] :])
        elif row["kind"] == pk.ICMP and row["icmp_type"] >> 8 in (SOLICITATION, ADVERTISEMENT):
            source = one.raw[row["ip_offset"] + 8 : row["ip_offset"] + 24]
            message = one.raw[row["transport_offset"] :]
            neighbour = read_ndp(row["icmp_type"] >> 8, address_of(source), message)
        if neighbour is not None and neighbour.link_address:
            known.setdefault(neighbour.address, set()).add(neighbour.link_address)
    assert {"192.0.2.80", "2001:db8:1::80"} <= set(known)
    assert all(len(link_addresses) == 1 for link_addresses in known.values())
    assert known["192.0.2.80"] == known["2001:db8:1::80"]
