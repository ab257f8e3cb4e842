"""Packet columns: every link layer and tunnel, written by scapy; damage, prefixes and lying lengths."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from analyzer.wire import packets as pk
from tests.crafted import Captured, batch_of
from tests.wire.layers import INNERS, LINKS, MACS, TUNNELS, V4, V6, Inner, family_of

COLUMNS = [
    "kind flaw family protocol source_0 source_1 source_2 source_3 destination_0 destination_1 destination_2",
    "destination_3 source_port destination_port ip_offset transport_offset payload_offset payload_length",
    "payload_captured tcp_flags sequence acknowledgment window icmp_type ip_id ttl fragment tunnels digest",
]
FIELDS = " ".join(COLUMNS).split()


def decode(captured: Sequence[Captured], *, between: bytes = b"") -> np.ndarray[Any, np.dtype[np.int64]]:
    """The packet matrix of some records, interpreted; offsets count from the start of each record."""
    batch = batch_of(captured, between=between)
    out = pk.new_packets(len(captured))
    out[:] = 77  # every column must be written
    assert pk.decode_packets(batch.buffer.data, batch.records, out) == len(captured)  # type: ignore[arg-type]
    for column in (pk.IP_OFFSET, pk.TRANSPORT_OFFSET, pk.PAYLOAD_OFFSET):
        reached = out[:, column] >= 0
        out[reached, column] -= batch.records.offset[reached]
    return out


def columns(raw: bytes, link_type: int = 101, *, wire: int = -1) -> dict[str, int]:
    """The columns of one record."""
    return dict(zip(FIELDS, decode([Captured(raw, wire=wire, link_type=link_type)])[0].tolist(), strict=True))


def address(row: dict[str, int], side: str) -> str:
    words = [row[f"{side}_{k}"] for k in range(4)]
    if row["family"] == 4:
        assert words[:3] == [0, 0, 0]
        return str(ipaddress.IPv4Address(words[3]))
    return str(ipaddress.IPv6Address(sum(word << 96 - 32 * k for k, word in enumerate(words))))


def check(row: dict[str, int], raw: bytes, inner: Inner, *, tunnels: int = 0) -> None:
    """A row says what scapy wrote."""
    top, kinds = inner.packet, {"udp": pk.UDP, "tcp": pk.TCP, "icmp": pk.ICMP}
    assert (row["kind"], row["flaw"], row["family"]) == (kinds[inner.transport], pk.NO_FLAW, inner.family)
    assert (address(row, "source"), address(row, "destination")) == (top.src, top.dst)
    assert row["tunnels"] == tunnels
    assert row["ttl"] == (top.ttl if inner.family == 4 else top.hlim)
    at = row["ip_offset"]
    assert raw[at : at + len(inner.raw)] == inner.raw
    assert row["payload_offset"] - at == inner.header_bytes
    assert row["payload_length"] == row["payload_captured"] == len(inner.payload)
    assert raw[row["payload_offset"] :][: len(inner.payload)] == inner.payload
    assert row["digest"] != 0
    if inner.transport == "icmp":
        assert row["icmp_type"] >> 8 == (8 if inner.family == 4 else 128)
        return
    transport = top.getlayer(UDP) or top.getlayer(TCP)
    assert (row["source_port"], row["destination_port"]) == (transport.sport, transport.dport)
    assert row["icmp_type"] == -1
    if inner.transport == "tcp":
        assert (row["sequence"], row["acknowledgment"]) == (transport.seq, transport.ack)
        assert (row["tcp_flags"], row["window"]) == (int(transport.flags), transport.window)


def test_the_columns_are_these() -> None:
    assert [getattr(pk, name.upper()) for name in FIELDS] == list(range(pk.PACKET_COLUMNS))


@pytest.mark.parametrize("name", INNERS)
@pytest.mark.parametrize("link", LINKS)
def test_every_link_layer(link: str, name: str) -> None:
    link_type, wrap = LINKS[link]
    inner = INNERS[name]
    raw = wrap(inner.raw, inner.family)
    check(columns(raw, link_type), raw, inner)


@pytest.mark.parametrize("link_type", [228, 229])
def test_raw_link_types_of_one_family(link_type: int) -> None:
    inner = INNERS["udp4" if link_type == 228 else "udp6"]
    check(columns(inner.raw, link_type), inner.raw, inner)


@pytest.mark.parametrize("name", INNERS)
@pytest.mark.parametrize("tunnel", TUNNELS)
def test_every_tunnel(tunnel: str, name: str) -> None:
    inner = INNERS[name]
    raw = TUNNELS[tunnel](inner.raw, inner.family)
    check(columns(raw), raw, inner, tunnels=1)


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_tunnels_in_tunnels_up_to_a_limit(tunnel: str) -> None:
    inner = INNERS["tcp6"]
    raw = inner.raw
    for depth in range(1, pk.MAX_TUNNELS + 1):
        raw = TUNNELS[tunnel](raw, family_of(raw))
        check(columns(raw), raw, inner, tunnels=depth)
    row = columns(TUNNELS[tunnel](raw, family_of(raw)))
    assert (row["kind"], row["flaw"]) == (pk.OTHER_IP, pk.TOO_NESTED)


def test_a_tunnel_carries_arp() -> None:
    raw = bytes(Ether(**MACS) / ARP(pdst="192.0.2.1"))
    tunnel = TUNNELS["vxlan"](b"", 4)[:-14] + raw
    tunnel = bytes(IP(tunnel).__class__(tunnel[:2] + len(tunnel).to_bytes(2, "big") + tunnel[4:]))
    row = columns(tunnel)
    assert (row["kind"], row["flaw"], tunnel[row["ip_offset"] :][:28]) == (pk.ARP, pk.NO_FLAW, raw[14:])


@pytest.mark.parametrize("port", [4789, 8472, 6081])
def test_a_port_alone_makes_no_tunnel(port: int) -> None:
    row = columns(bytes(IP(**V4) / UDP(sport=1000, dport=port) / Raw(b"\xff" * 60)))
    assert (row["kind"], row["tunnels"], row["payload_length"]) == (pk.UDP, 0, 60)


def test_pptp_is_no_tunnel_that_is_read() -> None:
    row = columns(bytes(IP(**V4, proto=47) / Raw(bytes.fromhex("3001880b") + bytes(40))))
    assert (row["kind"], row["protocol"], row["tunnels"]) == (pk.OTHER_IP, 47, 0)


def test_arp() -> None:
    raw = bytes(Ether(**MACS) / ARP(pdst="192.0.2.1"))
    row = columns(raw, 1)
    assert (row["kind"], row["flaw"], row["ip_offset"]) == (pk.ARP, pk.NO_FLAW, 14)
    assert columns(raw[:-1], 1)["flaw"] == pk.IP_CUT


@pytest.mark.parametrize("link_type", [1, 101, 0, 108, 9, 113, 276])
def test_what_is_not_ip(link_type: int) -> None:
    row = columns(b"\x00" * 60, link_type)
    assert (row["kind"], row["flaw"], row["family"]) == (pk.NOT_IP, pk.NO_FLAW, 0)


@pytest.mark.parametrize("link_type", [2, 105, 127, 147, 195, 249, 65535])
def test_a_link_type_that_is_not_read(link_type: int) -> None:
    row = columns(INNERS["udp4"].raw, link_type)
    assert (row["kind"], row["flaw"]) == (pk.UNREAD_LINK, pk.NO_FLAW)


def test_fragments_of_ipv4() -> None:
    whole = IP(**V4, id=0x1234) / UDP(sport=7, dport=443) / Raw(b"x" * 3000)
    first, middle, last = (columns(bytes(piece)) for piece in fragment(whole, 1480))
    assert (first["kind"], first["fragment"], first["source_port"]) == (pk.UDP, 1, 7)
    assert (first["payload_length"], first["payload_captured"]) == (3000, 1472)  # the UDP length field counts all
    for later, size in ((middle, 1480), (last, 48)):
        assert (later["kind"], later["fragment"], later["flaw"]) == (pk.LATER_FRAGMENT, 2, pk.NO_FLAW)
        assert (later["payload_length"], later["payload_captured"]) == (size, size)
        assert (later["source_port"], later["protocol"], later["ip_id"]) == (0, 17, 0x1234)


def test_fragments_of_ipv6() -> None:
    header = IPv6(**V6) / IPv6ExtHdrDestOpt()
    datagram = bytes(UDP(sport=7, dport=443, len=208, chksum=1) / Raw(b"x" * 200))
    first = columns(bytes(header / IPv6ExtHdrFragment(id=0xABCDEF01, m=1, nh=17) / Raw(datagram[:104])))
    assert (first["kind"], first["fragment"], first["ip_id"]) == (pk.UDP, 1, 0xABCDEF01)
    assert (first["payload_length"], first["payload_captured"]) == (200, 96)
    last = columns(bytes(header / IPv6ExtHdrFragment(id=0xABCDEF01, offset=13, nh=17) / Raw(datagram[104:])))
    assert (last["kind"], last["fragment"], last["payload_length"]) == (pk.LATER_FRAGMENT, 2, 104)


@pytest.mark.parametrize("name", ["tcp4", "tcp6"])
def test_segmentation_offload_leaves_the_length_0(name: str) -> None:
    raw = bytearray(INNERS[name].raw)
    at = 2 if name == "tcp4" else 4
    raw[at : at + 2] = b"\0\0"
    row = columns(bytes(raw), wire=70_000)
    assert (row["kind"], row["flaw"]) == (pk.TCP, pk.NO_FLAW)
    assert row["payload_length"] == 70_000 - INNERS[name].header_bytes
    assert row["payload_captured"] == len(INNERS[name].payload)


def test_a_record_cannot_claim_more_than_is_counted() -> None:
    row = columns(changed(INNERS["tcp4"].raw, 2, 0), wire=2**32 - 1)
    assert row["payload_length"] == pk.MOST_BYTES - INNERS["tcp4"].header_bytes


def changed(raw: bytes, at: int, value: int, size: int = 2) -> bytes:
    return raw[:at] + value.to_bytes(size, "big") + raw[at + size :]


@pytest.mark.parametrize(
    ("raw", "flaw", "length"),
    [
        (changed(INNERS["udp4"].raw, 2, 5000), pk.IP_INVALID, 40),  # more than the record ever had
        (changed(INNERS["udp4"].raw, 2, 19), pk.IP_INVALID, 0),  # less than its own header
        (changed(INNERS["udp4"].raw, 2, 38), pk.NO_FLAW, 10),  # IP ends before UDP says
        (changed(INNERS["udp4"].raw, 24, 18), pk.NO_FLAW, 10),  # UDP ends before IP does
        (changed(INNERS["udp4"].raw, 24, 9999), pk.NO_FLAW, 40),
        (changed(INNERS["udp4"].raw, 24, 0), pk.NO_FLAW, 40),
        (changed(INNERS["udp4"].raw, 24, 7), pk.TRANSPORT_INVALID, 40),
        (changed(INNERS["udp6"].raw, 4, 5000), pk.IP_INVALID, 40),
        (changed(INNERS["udp6"].raw, 4, 18), pk.NO_FLAW, 10),
        (changed(INNERS["tcp4"].raw, 32, 0x4018), pk.TRANSPORT_INVALID, 40),  # data offset 4 words
        (changed(INNERS["tcp4"].raw, 32, 0xF018), pk.NO_FLAW, 0),  # 60 bytes: the data are options
    ],
)
def test_lying_lengths(raw: bytes, flaw: int, length: int) -> None:
    row = columns(raw)
    if flaw != pk.IP_INVALID or length:
        assert row["payload_length"] == length
    assert row["flaw"] in (flaw, pk.TRANSPORT_CUT if flaw == pk.IP_INVALID else flaw)


def test_a_tcp_header_cut_by_the_snapshot_length_still_says_what_it_is() -> None:
    whole = bytes(
        IPv6(src="2001:db8::1", dst="2001:db8::2")
        / TCP(sport=40000, dport=443, flags="PA", seq=7, ack=9)
        / Raw(b"x" * 100)
    )
    row = columns(whole[:54], wire=len(whole))  # tcpdump -s 68: Ethernet, IPv6 and 14 bytes of TCP
    assert (row["kind"], row["flaw"]) == (pk.TCP, pk.TRANSPORT_CUT)
    assert (row["tcp_flags"], row["sequence"], row["acknowledgment"]) == (0x18, 7, 9)
    assert (row["payload_length"], row["payload_captured"], row["window"]) == (100, 0, -1)
    row = columns(whole[:53], wire=len(whole))
    assert (row["destination_port"], row["tcp_flags"], row["window"]) == (443, 0, -1)


@pytest.mark.parametrize("raw", [changed(INNERS["udp4"].raw, 0, 0x44, 1), changed(INNERS["udp4"].raw, 0, 0x55, 1)])
def test_headers_that_are_none(raw: bytes) -> None:
    row = columns(bytes(Ether(**MACS, type=0x0800)) + raw, 1)
    assert (row["kind"], row["flaw"], row["family"]) == (pk.NOT_IP, pk.IP_INVALID, 0)


def test_too_many_extension_headers() -> None:
    packet = IPv6(**V6)
    for _ in range(pk.MAX_EXTENSION_HEADERS + 1):
        packet /= IPv6ExtHdrDestOpt()
    row = columns(bytes(packet / UDP()))
    assert (row["kind"], row["flaw"], row["family"]) == (pk.OTHER_IP, pk.TOO_NESTED, 6)


def test_a_quoted_packet_is_not_the_packet() -> None:
    row = columns(bytes(IP(src="203.0.113.9", dst="192.0.2.10") / ICMP(type=3, code=3) / INNERS["udp4"].packet))
    assert (row["kind"], row["icmp_type"], row["source_port"]) == (pk.ICMP, 0x0303, 0)
    assert (address(row, "source"), row["payload_length"]) == ("203.0.113.9", len(INNERS["udp4"].raw))


def test_the_digest_is_of_what_does_not_change_on_the_way() -> None:
    packet = INNERS["udp4"].packet
    on_the_way = packet.copy()
    on_the_way.ttl, on_the_way[UDP].chksum = 3, 0x1111
    assert columns(bytes(on_the_way))["digest"] == columns(bytes(packet))["digest"]
    for other in (IP(**V4, id=1) / packet[UDP], IP(**V4, id=0xBEEF) / UDP(sport=50661, dport=443) / packet[Raw]):
        assert columns(bytes(other))["digest"] != columns(bytes(packet))["digest"]


def samples() -> Iterator[tuple[int, bytes]]:
    """(link type, record) of every link layer and tunnel, each once, over different inner packets."""
    inners = list(INNERS.values())
    for k, (link_type, wrap) in enumerate(LINKS.values()):
        inner = inners[k % len(inners)]
        yield link_type, wrap(inner.raw, inner.family)
    for k, tunnel in enumerate(TUNNELS.values()):
        inner = inners[(5 * k + 1) % len(inners)]
        yield 101, tunnel(inner.raw, inner.family)


SAMPLES = list(samples())


def check_bounds(row: dict[str, int], size: int) -> None:
    """What a row points to lies in its record, and no number is out of its range."""
    assert row["flaw"] < len(pk.FLAW_NAMES)
    assert (row["family"] in (4, 6)) == (row["kind"] >= pk.UDP) or row["kind"] == pk.ARP
    assert -1 <= row["ip_offset"] < max(size, 1)
    assert -1 <= row["transport_offset"] <= size
    assert 0 <= row["payload_captured"] <= row["payload_length"]
    if row["payload_captured"]:
        assert 0 <= row["payload_offset"] <= size - row["payload_captured"]
    assert 0 <= row["source_port"] <= 0xFFFF
    assert 0 <= row["digest"] <= 0xFFFFFFFF
    assert -1 <= row["protocol"] <= 255


@pytest.mark.parametrize("sample", range(len(SAMPLES)))
def test_every_prefix_of_a_packet(sample: int) -> None:
    """A record cut by the snaplen: nothing raises, and what can be read is as in the whole packet."""
    link_type, raw = SAMPLES[sample]
    cut = [Captured(raw[:end], wire=len(raw), link_type=link_type) for end in range(len(raw) + 1)]
    alone = [decode([one])[0].tolist() for one in cut]  # a read behind the record is an IndexError
    rows = [dict(zip(FIELDS, row, strict=True)) for row in alone]
    whole = rows[-1]
    for end, row in enumerate(rows):
        check_bounds(row, end)
        # A tunnel whose inner headers are cut off is the outer packet.
        if row["flaw"] == pk.NO_FLAW and row["kind"] >= pk.UDP and row["tunnels"] == whole["tunnels"]:
            assert [row[f] for f in FIELDS if f not in ("payload_captured", "digest")] == [
                whole[f] for f in FIELDS if f not in ("payload_captured", "digest")
            ]
    for between in (b"\x00" * 64, b"\xff" * 64, bytes(range(64, 128))):
        assert decode(cut, between=between).tolist() == alone


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_packets_never_raise_and_stay_in_bounds(data: st.DataObject) -> None:
    link_type, raw = data.draw(st.sampled_from(SAMPLES))
    damaged = bytearray(raw)
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        damaged[at] = data.draw(st.sampled_from((0, 1, 4, 6, 17, 41, 43, 44, 47, 51, 60, 0x45, 0x4F, 0x60, 0x7F, 0xFF)))
    del damaged[data.draw(st.integers(0, len(raw))) :]
    one = Captured(bytes(damaged), wire=len(damaged) + data.draw(st.sampled_from((0, 0, 1, 1500))), link_type=link_type)
    alone = decode([one])
    check_bounds(dict(zip(FIELDS, alone[0].tolist(), strict=True)), len(damaged))
    for between in (b"\x00" * 64, b"\xff" * 64):
        assert decode([one], between=between).tolist() == alone.tolist()


@settings(max_examples=200)
@given(raw=st.binary(max_size=120), link_type=st.sampled_from((0, 1, 9, 12, 50, 101, 108, 113, 228, 276)))
def test_rubbish_never_raises(raw: bytes, link_type: int) -> None:
    check_bounds(columns(raw, link_type), len(raw))
