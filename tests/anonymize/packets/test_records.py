"""Whole records: link headers, IP, TCP, ICMP, ARP, Neighbour Discovery, tunnels, DHCP; and what is dropped or cut."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.anonymize.copies import safe_copies
from analyzer.anonymize.key import Key
from analyzer.anonymize.packets.edit import Maps
from analyzer.capture.writer import NewInterface, NewRecord
from analyzer.wire.checksums import ones_sum, transport_checksum_wrong
from tests.anonymize.packets.test_hellos import HELLO
from tests.anonymize.packets.test_http import REQUEST
from tests.crafted import ip, tcp, udp

MAPS = Maps(Key(bytes(range(32))))
ETHERNET, RAW, COOKED = 1, 101, 113
A, B, A6, B6 = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
MAC_A, MAC_B = bytes.fromhex("001122334455"), bytes.fromhex("00aabbccddee")


def copies(*records: bytes, link_type: int = RAW) -> list[NewRecord]:
    interface = NewInterface(link_type, 65535, "eth0", "uplink of alice")
    originals = [NewRecord(interface, n, len(each), each, f"record {n}") for n, each in enumerate(records)]
    made, counts = safe_copies(originals, MAPS)
    assert counts.written + counts.dropped.total() == len(records)
    assert counts.cut == sum(len(each.captured) < each.original_length for each in made)
    assert all(each.interface == NewInterface(link_type, 65535) for each in made)
    return made


def copy(record: bytes, link_type: int = RAW) -> bytes:
    [made] = copies(record, link_type=link_type)
    return made.captured


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def mapped(address: str) -> bytes:
    return MAPS.addresses.packed(packed(address))


@pytest.mark.parametrize(("a", "b", "at"), [(A, B, 12), (A6, B6, 8)])
def test_addresses_of_both_families(a: str, b: str, at: int) -> None:
    record = ip(a, b, 6, tcp((50000, 443), 0x10, seq=7))
    made = copy(record)
    assert len(made) == len(record)
    assert made[at : at + 2 * len(packed(a))] == mapped(a) + mapped(b)
    assert not transport_checksum_wrong(made)
    assert made[-20:-4] == record[-20:-4]  # ports, numbers, flags, window


def test_the_checksum_of_an_ipv4_header_follows() -> None:
    record = bytearray(ip(A, B, 17, udp((1000, 9999))))
    record[10:12] = (0xFFFF - ones_sum(bytes(record[:20]))).to_bytes(2, "big")
    assert ones_sum(copy(bytes(record))[:20]) == 0xFFFF


def test_options_of_ip_and_tcp_that_may_hold_addresses_become_padding() -> None:
    route = b"\x07\x0b\x04" + packed(A) + packed(B) + b"\0"
    plain, multipath = tcp((1, 2), 0x02), b"\x1e\x06" + packed(A)
    inner = ip(A, B, 6, plain[:12] + b"\x80" + plain[13:] + multipath + b"\x01\x01\x02\x04\x05\xb4")
    record = b"\x48" + inner[1:2] + (len(inner) + 12).to_bytes(2, "big") + inner[4:20] + route + inner[20:]
    made = copy(record)
    assert len(made) == len(record)
    assert packed(A) not in made
    assert made[20:32] == b"\x01" * 12
    assert made[-12:] == b"\x01" * 8 + b"\x02\x04\x05\xb4"  # the maximum segment size stays


@pytest.mark.parametrize("units", [0, 1, 31, 32, 33, 255])
def test_options_of_ipv6_become_padding_of_their_length(units: int) -> None:
    options = bytes([17, units]) + b"\xc9\x10" + packed(A6)[:4] + packed(A6) * (units // 2) + bytes(8 * (units % 2))
    record = ip(A6, B6, 60, options + udp((5, 6)))
    made = copy(record)
    assert len(made) == len(record)
    assert packed(A6) not in made
    at, end = 42, 40 + len(options)
    while at < end:
        assert made[at] == 1
        at += 2 + made[at + 1]
    assert at == end
    assert made[end : end + 4] == struct.pack(">HH", 5, 6)


def test_ethernet_arp_and_groups() -> None:
    arp = b"\x00\x01\x08\x00\x06\x04\x00\x01" + MAC_A + packed(A) + bytes(6) + packed(B)
    made = copy(b"\xff" * 6 + MAC_A + b"\x08\x06" + arp + b"padding!", ETHERNET)
    mac = MAPS.addresses.link(MAC_A)
    assert made == b"\xff" * 6 + mac + b"\x08\x06" + arp[:8] + mac + mapped(A) + bytes(6) + mapped(B) + bytes(8)


def test_neighbour_discovery_and_its_ethernet_group() -> None:
    group = "ff02::1:ff00:2"
    body = bytes([135, 0, 0, 0]) + bytes(4) + packed(B6) + b"\x01\x01" + MAC_A + b"\x1f\x01secret"
    pseudo = packed(A6) + packed(group) + struct.pack(">II", len(body), 58)
    body = body[:2] + (0xFFFF - ones_sum(pseudo + body)).to_bytes(2, "big") + body[4:]
    made = copy(b"\x33\x33\xff\x00\x00\x02" + MAC_A + b"\x86\xdd" + ip(A6, group, 58, body), ETHERNET)
    assert made[:6] == b"\x33\x33" + mapped(group)[-4:]
    message = made[54:]
    assert message[8:24] == mapped(B6)
    assert message[24:32] == b"\x01\x01" + MAPS.addresses.link(MAC_A)
    assert message[32:] == b"\x1f\x01" + bytes(6)
    assert ones_sum(made[22:54] + struct.pack(">II", len(message), 58) + message) == 0xFFFF


def test_cooked_headers_lose_their_link_address() -> None:
    header = b"\x00\x00\x00\x01\x00\x06" + MAC_A + b"\0\0" + b"\x08\x00"
    made = copy(header + ip(A, B, 17, udp((5, 6))), COOKED)
    assert made[:16] == header[:6] + MAPS.addresses.link(MAC_A) + b"\0\0\x08\x00"


@pytest.mark.parametrize(("a", "b", "protocol", "error"), [(A, B, 1, b"\x03\x03"), (A6, B6, 58, b"\x01\x04")])
def test_an_icmp_error_quotes_the_mapped_request(a: str, b: str, protocol: int, error: bytes) -> None:
    request = ip(a, b, 17, udp((50000, 443), b"www.example.com" * 9))
    made = copy(ip(b, a, protocol, error + bytes(6) + request))
    size = len(request) - 143
    assert len(made) == 2 * size + 8 + 8
    quoted = made[size + 8 :]
    assert mapped(a) + mapped(b) in quoted
    assert quoted[size : size + 4] == struct.pack(">HH", 50000, 443)
    assert b"example" not in made


def test_echoes_lose_their_payload_and_redirects_name_the_mapped_gateway() -> None:
    assert copy(ip(A, B, 1, b"\x08\x00\0\0\x12\x34\0\1alice"))[20:28][4:] == b"\x12\x34\0\1"
    redirect = copy(ip(A, B, 1, b"\x05\x01\0\0" + packed(B) + ip(A, B, 6, tcp((1, 2), 2))))
    assert redirect[24:28] == mapped(B)


INNER = ip(A, B, 17, udp((7, 8)))
FRAME = MAC_A + MAC_B + b"\x08\0" + INNER


@pytest.mark.parametrize(
    ("outer", "inner_at"),
    [
        (ip(A, B, 4, INNER), 20),
        (ip(A, B, 47, b"\0\0\x08\0" + INNER), 24),
        (ip(A, B, 17, udp((5000, 4789), b"\x08\0\0\0\0\0\1\0" + FRAME)), 50),
        (ip(A, B, 17, udp((5000, 6081), b"\1\0\x65\x58\0\0\1\0" + packed(A) + FRAME)), 54),
    ],
)
def test_what_tunnels_carry_is_mapped_too(outer: bytes, inner_at: int) -> None:
    made = copy(outer)
    assert len(made) == len(outer)
    assert made[inner_at + 12 : inner_at + 20] == mapped(A) + mapped(B)
    assert not any(secret in made for secret in (packed(A), packed(B), MAC_A, MAC_B))
    assert not transport_checksum_wrong(made)


def test_segments_are_edited_as_one_stream_however_they_are_cut() -> None:
    record = b"\x16\x03\x01" + len(HELLO).to_bytes(2, "big") + HELLO
    segments = [tcp((50000, 443), 0x02, seq=99)]
    segments += [tcp((50000, 443), 0x10, record[at : at + 300], seq=100 + at) for at in range(0, len(record), 300)]
    segments.append(tcp((50000, 443), 0x10, record[250:700], seq=350))
    made = copies(*(ip(A, B, 6, segment) for segment in segments))
    assert all(len(each.captured) == each.original_length for each in made)
    stream = b"".join(each.captured[40:] for each in made[1:-1])
    assert b"example" not in stream
    assert MAPS.names.name(b"www.example.com") in stream
    assert made[-1].captured[40:] == stream[250:700]
    assert not any(transport_checksum_wrong(each.captured) for each in made)


def test_behind_hellos_and_heads_segments_are_cut() -> None:
    certificate = b"\x16\x03\x03\0\x20\x0b\0\0\x1cCN=www.example.com".ljust(37, b"!")
    alert = b"\x15\x03\x03\0\2\2\x28"
    flow = [
        (0, alert),
        (7, certificate),
        (44, b"\x17\x03\x03\0\x08secrets!"),
    ]
    made = copies(*(ip(A, B, 6, tcp((443, 50000), 0x10, payload, seq=at)) for at, payload in flow))
    assert [each.captured[40:] for each in made] == [alert, certificate[:9], b"\x17\x03\x03\0\x08"]
    head, body = copies(
        *(
            ip(A, B, 6, tcp((50000, 80), 0x10, payload, seq=at))
            for at, payload in [(0, REQUEST), (len(REQUEST), b"alice")]
        )
    )
    assert len(head.captured) == head.original_length
    assert body.captured[40:] == b""
    assert body.original_length == 45
    [ssh] = copies(ip(A, B, 6, tcp((50000, 22), 0x10, b"SSH-2.0-alice")))
    assert ssh.captured[40:] == b""


def test_another_connection_on_the_same_ports_is_another_stream() -> None:
    first, second = b"GET /alice HTTP/1.1\r\n\r\n", b"GET /bobby HTTP/1.1\r\n\r\n"
    made = copies(
        *(
            ip(A, B, 6, tcp((50000, 80), flags, payload, seq=at))
            for at, flags, payload in [(9, 2, b""), (10, 0x10, first), (900, 2, b""), (901, 0x10, second)]
        )
    )
    assert made[1].captured[40:] != made[3].captured[40:]
    assert all(made[n].captured[40:].endswith(b" HTTP/1.1\r\n\r\n") for n in (1, 3))


def test_dhcp() -> None:
    message = (
        b"\x01\x01\x06\0\1\2\3\4\0\0\0\0"
        + bytes(4)
        + packed(A)
        + bytes(8)
        + MAC_A
        + bytes(10)
        + b"alice".ljust(192, b"\0")
    )
    message += (
        b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x0c\x05alice" + b"\x32\x04" + packed(B) + b"\x3d\x07\x01" + MAC_A
    )
    message += b"\x3c\x06vendor" + b"\xff"
    made = copy(ip("0.0.0.0", "255.255.255.255", 17, udp((68, 67), message)))
    assert made[12:20] == bytes(4) + b"\xff" * 4
    for private in (b"alice", packed(A), packed(B), MAC_A, b"vendor"):
        assert private not in made
    for kept in (b"\x35\x01\x01", mapped(B), MAPS.addresses.link(MAC_A), MAPS.names.name(b"alice")):
        assert kept in made


def test_what_cannot_be_made_safe_is_dropped_and_counted() -> None:
    interface = NewInterface(127, 65535)
    lldp = MAC_A + MAC_B + b"\x88\xcc" + b"name of the switch"
    originals = [NewRecord(interface, 0, 20, bytes(20)), NewRecord(NewInterface(1, 0), 0, len(lldp), lldp)]
    made, counts = safe_copies(originals, MAPS)
    assert made == []
    assert dict(counts.dropped) == {
        "link type LINKTYPE_IEEE802_11_RADIOTAP (127)": 1,
        "no IP or ARP packet": 1,
    }


@pytest.mark.parametrize("payload", [b"snmp community alice", b"NTP", b"M-SEARCH * HTTP/1.1 alice"])
def test_unknown_datagrams_end_at_once(payload: bytes) -> None:
    made = copy(ip(A, B, 17, udp((40000, 161), payload)))
    assert len(made) <= 28 + max(8, len(payload))
    assert payload[1:] not in made


@given(st.sampled_from([ETHERNET, RAW, COOKED, 276, 0, 9]), st.binary(max_size=120), st.booleans())
def test_no_record_raises_or_grows(link_type: int, octets: bytes, with_ip: bool) -> None:
    if with_ip and link_type == RAW:
        octets = ip(A6, B6, 17, octets)
    for made in copies(octets, link_type=link_type):
        assert len(made.captured) <= len(octets)


@given(st.integers(0, 1400), st.sampled_from([A, A6]))
def test_every_prefix_of_a_packet_is_safe(length: int, source: str) -> None:
    record = ip(source, B if source == A else B6, 6, tcp((50000, 80), 0x18, REQUEST))[:length]
    for made in copies(record):
        assert not any(private in made.captured for private in (packed(A), packed(A6), b"alice", b"example"))
