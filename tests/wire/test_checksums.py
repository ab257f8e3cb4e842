"""Checksums against those that scapy computes and those that hosts sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.packet import Raw
from scapy.utils import checksum

from analyzer.wire import packets as pk
from analyzer.wire.checksums import (
    ones_sum,
    transport_checksum_partial,
    transport_checksum_wrong,
    transport_checksums_wrong,
)
from tests.crafted import batches_of, captured_of
from tests.wire.layers import V4, V6
from tests.wire.test_packets import columns

GOOD = {
    "udp4": bytes(IP(**V4) / UDP(sport=1, dport=443) / Raw(b"abcde")),
    "udp6": bytes(IPv6(**V6) / UDP(sport=1, dport=443) / Raw(b"abcdef")),
    "udp_long4": bytes(IP(**V4) / UDP(sport=1, dport=443) / Raw(bytes(range(41)))),
    "udp_long6": bytes(IPv6(**V6) / UDP(sport=1, dport=443) / Raw(bytes(range(41)))),
    "tcp4": bytes(IP(**V4, options=b"\x01" * 4) / TCP(sport=1, dport=443, options=[("MSS", 1400)]) / Raw(b"abc")),
    "tcp6": bytes(IPv6(**V6) / TCP(sport=1, dport=443, flags="S")),
}


@given(st.binary(max_size=300))
def test_the_sum_is_scapys(raw: bytes) -> None:
    assert ~ones_sum(raw) & 0xFFFF == checksum(raw)


@pytest.mark.parametrize("name", GOOD)
def test_a_right_checksum_and_every_changed_byte(name: str) -> None:
    raw = GOOD[name]
    assert not transport_checksum_wrong(raw)
    start = 40 if name.endswith("6") else (raw[0] & 15) * 4
    lengths = range(start + 4, start + 6) if name.startswith("udp") else range(0)
    for at in set(range(start, len(raw))) - set(lengths):
        changed = raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :]
        assert transport_checksum_wrong(changed), at


def with_checksum(name: str, value: int) -> bytes:
    raw = GOOD[name]
    at = (40 if name.endswith("6") else (raw[0] & 15) * 4) + (6 if name.startswith("udp") else 16)
    return raw[:at] + value.to_bytes(2, "big") + raw[at + 2 :]


def with_partial_checksum(name: str) -> bytes:
    """The sum of the pseudo-header, that an interface would have completed."""
    raw = GOOD[name]
    start = 40 if name.endswith("6") else (raw[0] & 15) * 4
    addresses = raw[8:40] if name.endswith("6") else raw[12:20]
    protocol = 17 if name.startswith("udp") else 6
    pseudo = addresses + protocol.to_bytes(4, "big") + (len(raw) - start).to_bytes(4, "big")
    return with_checksum(name, ones_sum(pseudo))


def test_none_over_ipv4_is_allowed_and_over_ipv6_it_is_not() -> None:
    """RFC 768; RFC 8200 §8.1."""
    assert not transport_checksum_wrong(with_checksum("udp4", 0))
    assert transport_checksum_wrong(with_checksum("udp6", 0))
    assert transport_checksum_wrong(with_checksum("tcp4", 0))


@pytest.mark.parametrize("name", GOOD)
def test_a_partial_checksum_is_not_wrong(name: str) -> None:
    partial = with_partial_checksum(name)
    assert (transport_checksum_wrong(partial), transport_checksum_partial(partial)) == (False, True)
    assert not transport_checksum_partial(GOOD[name])
    assert not any(transport_checksum_partial(partial[:end]) for end in range(len(partial)))


def test_bytes_behind_the_datagram_do_not_count() -> None:
    """The UDP length bounds what is summed up, also where IP goes on, and the padding of a frame never counts."""
    raw = GOOD["udp4"]
    assert not transport_checksum_wrong(raw + b"\xee" * 13)
    longer = raw[:2] + (len(raw) + 4).to_bytes(2, "big") + raw[4:] + b"rest"
    assert not transport_checksum_wrong(longer)


def test_it_is_not_told_of_cut_packets_fragments_and_extension_headers() -> None:
    raw = with_checksum("udp4", 0x1234)
    assert transport_checksum_wrong(raw)
    assert not any(transport_checksum_wrong(raw[:end]) for end in range(len(raw)))
    for flags in (b"\x20\x00", b"\x00\x09"):
        assert not transport_checksum_wrong(raw[:6] + flags + raw[8:])
    extended = bytes(IPv6(**V6) / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2, chksum=0x1234))
    assert not transport_checksum_wrong(extended)


@given(st.binary(max_size=80))
def test_rubbish_never_raises(raw: bytes) -> None:
    assert not (transport_checksum_wrong(raw) and transport_checksum_partial(raw))


def test_recorded_packets_are_right_or_partial(captures: Path) -> None:
    checked = 0
    for name in ("01-caddy-http3-ok/caddy-2.6.2/client.pcap", "02-caddy-ipv4-silent/nft-output-drop/server.pcap"):
        for batch in batches_of(captures / name):
            for one in captured_of(batch):
                row = columns(one.raw, one.link_type)
                if row["kind"] in (pk.UDP, pk.TCP):
                    assert not transport_checksum_wrong(one.raw[row["ip_offset"] :])
                    checked += 1
    assert checked > 200


SPECIAL = [raw for name in GOOD for raw in (with_checksum(name, 0), with_partial_checksum(name))]
LIKE_GOOD = st.sampled_from([*GOOD.values(), *SPECIAL]).flatmap(
    lambda raw: st.builds(
        lambda at, byte, more: raw[:at] + bytes([byte]) + raw[at + 1 :] + more,
        st.integers(0, len(raw) - 1),
        st.integers(0, 255),
        st.sampled_from((b"", b"", b"\0", bytes(20), bytes(range(60)))),
    )
)


@given(st.lists(LIKE_GOOD, min_size=1, max_size=4), st.integers(1, 12))
def test_many_are_told_as_each_alone(packets: list[bytes], times: int) -> None:
    packets = packets * times
    chunks = [b"xyz" + b"".join(packets[0::2]), b"".join(packets[1::2])]
    starts = [3, 0]
    places = []
    for number, raw in enumerate(packets):
        places.append((number % 2, starts[number % 2], len(raw)))
        starts[number % 2] += len(raw)
    expected = [transport_checksum_wrong(raw) for raw in packets]
    assert transport_checksums_wrong(chunks, *np.array(places, np.int64).T).tolist() == expected


@pytest.mark.parametrize("family", ["udp4", "udp6"])
@pytest.mark.parametrize("change", [0, 1])
def test_many_whole_datagrams(family: str, change: int) -> None:
    """Right, wrong and partial ones of one length, odd and even."""
    for size in (60, 61, 1200, 1201):
        header = IP(**V4) if family == "udp4" else IPv6(**V6)
        raw = bytearray(bytes(header / UDP(sport=1, dport=443) / Raw((bytes(range(256)) * 5)[:size])))
        raw[-1] ^= change
        packets = [bytes(raw)] * 9
        places = np.array([(0, number * len(raw), len(raw)) for number in range(9)], np.int64)
        assert transport_checksums_wrong([b"".join(packets)], *places.T).tolist() == [bool(change)] * 9
