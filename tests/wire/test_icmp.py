"""ICMP errors: their names, and the packet that they quote, written by scapy and recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Packet, Raw

from analyzer.wire import packets as pk
from analyzer.wire.addresses import address_of
from analyzer.wire.icmp import ERRORS, REFUSALS, Quoted, error_name, read_quoted
from tests.crafted import batches_of, captured_of
from tests.wire.layers import V4, V6
from tests.wire.test_packets import columns

_UDP = UDP(sport=50660, dport=443) / Raw(b"x" * 1200)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (ICMP(type=3, code=0), "network-unreachable"),
        (ICMP(type=3, code=1), "host-unreachable"),
        (ICMP(type=3, code=3), "port-unreachable"),
        (ICMP(type=3, code=4), "packet-too-big"),
        (ICMP(type=3, code=13), "admin-prohibited"),
        (ICMP(type=3, code=200), "unreachable"),
        (ICMP(type=11, code=1), "time-exceeded"),
        (ICMP(type=12), "parameter-problem"),
        (ICMP(type=8), ""),
        (ICMP(type=0), ""),
        (ICMPv6DestUnreach(code=0), "no-route"),
        (ICMPv6DestUnreach(code=1), "admin-prohibited"),
        (ICMPv6DestUnreach(code=3), "address-unreachable"),
        (ICMPv6DestUnreach(code=4), "port-unreachable"),
        (ICMPv6DestUnreach(code=6), "no-route"),
        (ICMPv6DestUnreach(code=99), "unreachable"),
        (ICMPv6PacketTooBig(), "packet-too-big"),
        (ICMPv6TimeExceeded(), "time-exceeded"),
        (ICMPv6ParamProblem(code=1), "parameter-problem"),
    ],
)
def test_names(message: Packet, name: str) -> None:
    family = 4 if isinstance(message, ICMP) else 6
    assert error_name(family, message.type << 8 | message.code) == name
    assert error_name(10 - family, message.type << 8 | message.code) != name or not name


def test_no_icmp_has_no_name() -> None:
    assert error_name(4, -1) == error_name(6, -1) == error_name(0, 0x0303) == ""


def test_refusals_are_errors() -> None:
    assert set(ERRORS.values()) > REFUSALS
    assert not REFUSALS & {"packet-too-big", "time-exceeded", "parameter-problem"}


QUOTED = {
    "udp4": (IP(**V4) / _UDP, 28),
    "udp4-options": (IP(**V4, options=b"\x01" * 8) / _UDP, 36),
    "tcp4": (IP(**V4) / TCP(sport=50660, dport=443), 28),
    "first-fragment": (IP(**V4, flags="MF") / _UDP, 28),
    "udp6": (IPv6(**V6) / _UDP, 48),
    "tcp6": (IPv6(**V6) / TCP(sport=50660, dport=443), 48),
    "extensions": (IPv6(**V6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / _UDP, 64),
    "first-fragment6": (IPv6(**V6) / IPv6ExtHdrFragment(id=4, m=1) / _UDP, 56),
}


@pytest.mark.parametrize("name", QUOTED)
def test_every_prefix_of_a_quoted_packet(name: str) -> None:
    """The quoted packet is read from four bytes of its transport header on."""
    packet, needed = QUOTED[name]
    raw = bytes(packet)
    family, ends = (6, V6) if IPv6 in packet else (4, V4)
    protocol = 17 if UDP in packet else 6
    for end in range(min(len(raw), 120)):
        quoted = read_quoted(raw[:end])
        if end < needed - 4:
            assert quoted is None, end
        else:
            assert quoted is not None, end
            assert (quoted.family, quoted.protocol, quoted.source_port, quoted.destination_port) == (
                family,
                protocol,
                50660,
                443,
            )
            assert (address_of(quoted.source), address_of(quoted.destination)) == (ends["src"], ends["dst"])


@pytest.mark.parametrize(
    "packet",
    [
        IP(**V4, frag=100) / _UDP,
        IPv6(**V6) / IPv6ExtHdrFragment(offset=100, m=1) / _UDP,
        IP(**V4) / ICMP(),
        IP(**V4, proto=47) / Raw(bytes(40)),
    ],
)
def test_what_quotes_no_ports(packet: Packet) -> None:
    assert read_quoted(bytes(packet)) is None


def test_in_words() -> None:
    assert str(Quoted(4, 17, bytes([192, 0, 2, 1]), 5, bytes([192, 0, 2, 2]), 443)) == "192.0.2.1:5 -> 192.0.2.2:443"


@given(st.binary(max_size=80))
def test_rubbish_never_raises(raw: bytes) -> None:
    quoted = read_quoted(raw)
    assert quoted is None or len(quoted.source) in (4, 16)


def test_recorded_errors_quote_the_requests(captures: Path) -> None:
    """A Linux host without an IPv4 listener refuses Initials, and a client that is gone the server's last words."""
    (batch,) = batches_of(captures / "02-caddy-ipv4-silent" / "v6only" / "server.pcap")
    errors = []
    for number, one in enumerate(captured_of(batch), 1):
        row = columns(one.raw, one.link_type, wire=one.wire)
        if row["kind"] == pk.ICMP and error_name(row["family"], row["icmp_type"]):
            quoted = read_quoted(one.raw[row["payload_offset"] :])
            assert quoted is not None
            errors.append((number, error_name(row["family"], row["icmp_type"]), str(quoted).split(" -> ")[1]))
    assert len(errors) > 3
    assert {error[1:] for error in errors} == {
        ("port-unreachable", "192.0.2.80:443"),
        ("port-unreachable", "[2001:db8:1::10]:35244"),
    }
