"""Flows: keys, counters and which packets are selected."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from analyzer.events import flows as fl
from analyzer.events.connection import Flows
from analyzer.events.scan import Scan, settle
from analyzer.kernels import KERNEL_MODULES
from tests.crafted import ETHERNET, MS, SECOND, START, Captured, ip, scan_of, tcp, udp
from tests.wire.layers import MACS, V6

A_END, B_END = ("192.0.2.10", 50660), ("198.51.100.80", 443)


def datagram(payload: bytes = b"x", *, back: bool = False, ident: int = 0) -> bytes:
    (a, a_port), (b, b_port) = (B_END, A_END) if back else (A_END, B_END)
    return ip(a, b, 17, udp((a_port, b_port), payload), ident=ident)


def segment(flags: int, payload: bytes = b"", *, back: bool = False, seq: int = 0, ident: int = 0) -> bytes:
    (a, a_port), (b, b_port) = (B_END, A_END) if back else (A_END, B_END)
    return ip(a, b, 6, tcp((a_port, b_port), flags, payload, seq=seq), ident=ident)


def spaced(raws: list[bytes], step: int = 30 * MS, *, begin: int = START) -> list[Captured]:
    return [Captured(raw, begin + k * step) for k, raw in enumerate(raws)]


def records_of(scan: Scan) -> list[int]:
    return settle(scan).rows.record.tolist()


def test_this_module_is_a_kernel_module() -> None:
    assert fl.__name__ in KERNEL_MODULES


def test_both_directions_are_one_flow() -> None:
    scan = scan_of(spaced([datagram(b"one"), datagram(b"three", back=True), datagram(b"four")]))
    assert scan.table.size[0] == 1
    (a, b) = Flows(scan).ends(0)
    assert (a[1:], b[1:]) == (A_END, B_END)
    state = scan.table.state
    assert state[:, fl.RECORDS].tolist() == [2, 1]
    assert state[:, fl.BYTES].tolist() == [7, 5]
    assert state[:, fl.FIRST_TIME].tolist() == [START, START + 30 * MS]
    assert state[:, fl.LAST_TIME].tolist() == [START + 60 * MS, START + 30 * MS]


@pytest.mark.parametrize(
    "other",
    [
        ip("192.0.2.11", "198.51.100.80", 17, udp((50660, 443), b"x")),
        ip("192.0.2.10", "198.51.100.80", 17, udp((50661, 443), b"x")),
        ip("192.0.2.10", "198.51.100.80", 17, udp((443, 50660), b"x")),
        ip("192.0.2.10", "198.51.100.80", 6, tcp((50660, 443), 16)),
        ip("::c000:20a", "::c633:6450", 17, udp((50660, 443), b"x")),  # the same words, the other family
    ],
)
def test_what_makes_another_flow(other: bytes) -> None:
    assert scan_of(spaced([datagram(), other])).table.size[0] == 2


def test_one_address_talking_to_itself() -> None:
    """Loopback: the ports tell the ends apart."""
    raws = [ip("127.0.0.1", "127.0.0.1", 17, udp(ports, b"x")) for ports in ((443, 9), (9, 443))]
    scan = scan_of(spaced(raws))
    assert scan.table.state[:, fl.RECORDS].tolist() == [1, 1]


def test_packets_without_a_readable_protocol_share_a_flow() -> None:
    cut = ip("2001:db8::1", "2001:db8::2", 60, b"")  # an extension header that is not there
    assert scan_of(spaced([cut] * 5)).table.size[0] == 1


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=60))
def test_flows_are_those_of_a_dictionary(packets: list[tuple[int, int, bool]]) -> None:
    """Equal, flow for flow, to counting in a dictionary."""
    raws, counts = [], Counter[tuple[frozenset[tuple[int, int]], bool, tuple[int, int]]]()
    for client, port, back in packets:
        ends = (client, 1000 + port), (9, 443)
        sender, receiver = ends[::-1] if back else ends
        raws.append(ip(f"10.0.0.{sender[0]}", f"10.0.0.{receiver[0]}", 17, udp((sender[1], receiver[1]), b"")))
        counts[frozenset(ends), False, sender] += 1
    scan = scan_of(spaced(raws))
    assert scan.table.size[0] == len({key[0] for key in counts})
    assert sorted(scan.table.state[:, fl.RECORDS][scan.table.state[:, fl.RECORDS] > 0].tolist()) == sorted(
        counts.values()
    )


def test_the_table_grows_and_keeps_its_counters() -> None:
    """5,000 flows, twice: the table begins with room for 1,024."""
    clients = [f"10.{k >> 16 & 255}.{k >> 8 & 255}.{k & 255}" for k in range(5000)]
    once = [ip(client, "192.0.2.80", 17, udp((5000, 443), b"abc")) for client in clients]
    scan = scan_of(spaced(once + once[::-1]))
    assert scan.table.size[0] == 5000
    assert (scan.table.state[::2, fl.RECORDS] == 2).all()
    assert (scan.table.state[::2, fl.BYTES] == 6).all()
    flows = Flows(scan)
    assert [flows.ends(k)[0].address for k in range(0, 5000, 499)] == clients[::499]


@pytest.mark.parametrize("flags", [1, 2, 4, 17, 18, 20])
def test_segments_that_are_always_selected(flags: int) -> None:
    bulk = [segment(16, b"bulk", seq=4 * k) for k in range(30)]
    assert 31 in records_of(scan_of(spaced([*bulk, segment(flags, seq=99), *bulk])))


@pytest.mark.parametrize(
    ("packet", "selected"),
    [(ICMPv6DestUnreach(code=4), True), (ICMPv6ND_NS(tgt="2001:db8::1"), True), (ICMPv6EchoRequest(), False)],
)
def test_icmp_errors_and_neighbour_discovery_are_always_selected(packet: Packet, selected: bool) -> None:
    echoes = [bytes(IPv6(**V6) / ICMPv6EchoRequest(seq=k)) for k in range(10)]
    assert (11 in records_of(scan_of(spaced([*echoes, bytes(IPv6(**V6) / packet)])))) is selected


def test_arp_is_selected_with_its_bytes_and_has_no_flow() -> None:
    raw = bytes(Ether(**MACS) / ARP(pdst="192.0.2.1"))
    scan = settle(scan_of([Captured(raw, START, link_type=ETHERNET)]))
    assert (scan.rows.flow.tolist(), scan.row_bytes(0)) == ([-1], raw[14:42])


def test_dns_is_always_selected() -> None:
    raws = [ip("192.0.2.10", "192.0.2.53", 17, udp((40000, 53), b"q%02d" % k)) for k in range(20)]
    assert records_of(scan_of(spaced(raws))) == list(range(1, 21))


def test_the_first_packets_and_the_first_payloads_are_selected() -> None:
    acks = [segment(16, seq=k, ident=k + 1) for k in range(10)]
    bulk = [segment(16, b"bulk", seq=100 + 4 * k, ident=50 + k) for k in range(20)]
    selected = records_of(scan_of(spaced(acks + bulk)))
    assert selected == [*range(1, fl.HEAD + 1), *range(11, 11 + fl.HEAD_PAYLOADS)]


def test_each_direction_has_a_head_of_its_own() -> None:
    raws = [segment(16, b"bulk", seq=4 * k, back=k >= 20) for k in range(40)]
    selected = records_of(scan_of(spaced(raws)))
    assert selected == [*range(1, 1 + fl.HEAD_PAYLOADS), *range(21, 21 + fl.HEAD_PAYLOADS)]


def test_the_head_begins_again_behind_a_syn() -> None:
    """On a port that is used again, the next handshake and hello are read as the first were."""
    bulk = [segment(16, b"bulk", seq=5002 + 4 * k) for k in range(60)]
    again = [segment(2, seq=5000), segment(18, seq=7, back=True), segment(16, seq=5001), segment(24, b"h", seq=5001)]
    selected = records_of(scan_of(spaced([*bulk[30:], *again, *bulk[:30]])))
    assert selected[fl.HEAD_PAYLOADS :] == [31, 32, 33, 34, 35, 36]  # of the client: four packets behind the SYN/ACK


def test_the_first_packet_after_a_silence_is_selected() -> None:
    early = spaced([segment(16, b"x", seq=k) for k in range(20)])
    late = spaced([segment(16, b"x", seq=100 + k) for k in range(5)], begin=START + 5 * SECOND)
    scan = settle(scan_of(early + late))
    assert scan.rows.record.tolist()[-1] == 21
    assert scan.rows.gap[-1] == 5 * SECOND - 19 * 30 * MS
    assert scan.rows.gap[0] == -1


def test_segments_that_do_not_follow_the_one_before_are_selected() -> None:
    order = [*range(12), 11, 12, 20, 21, 13, 22]
    captured = spaced([segment(16, b"bulk", seq=4 * k, ident=n + 1) for n, k in enumerate(order)])
    selected = settle(scan_of(captured))
    assert selected.rows.record.tolist()[fl.HEAD_PAYLOADS :] == [13, 15, 17, 18]
    assert [(jump >> 32, jump & 0xFFFFFFFF) for jump in selected.rows.jump.tolist()[fl.HEAD_PAYLOADS :]] == [
        (1, 48), (2, 52), (3, 88), (4, 56),
    ]  # fmt: skip


def test_payloads_are_kept_whole_up_to_a_limit() -> None:
    large = bytes(range(256)) * 100
    scan = settle(scan_of(spaced([segment(24, large)])))
    assert scan.row_bytes(0)[40:] == large[: fl.PAYLOAD_KEPT]
    assert scan.rows.payload_length[0] == len(large)


def test_only_the_headers_of_what_is_counted_are_kept() -> None:
    captured = spaced([datagram(bytes([k]) * 500, ident=k + 1) for k in range(8)])
    captured.append(Captured(datagram(bytes(500), ident=99), START + 9 * SECOND))
    scan = settle(scan_of(captured))
    assert scan.rows.record.tolist() == [*range(1, fl.HEAD_PAYLOADS + 1), 9]
    assert scan.rows.kept.tolist() == [528] * fl.HEAD_PAYLOADS + [28 + fl.HEADER_KEPT]


def test_packets_cut_by_the_snaplen_keep_what_there_is() -> None:
    raw = datagram(b"x" * 1000)
    for end in range(20, len(raw), 7):
        scan = settle(scan_of([Captured(raw[:end], START, len(raw))]))
        assert scan.row_bytes(0) == raw[:end]


def test_running_counters_of_each_row() -> None:
    raws = [datagram(b"abc", ident=1), datagram(b"", back=True, ident=2), datagram(b"de", ident=3)]
    rows = settle(scan_of(spaced(raws))).rows
    assert rows.ordinal.tolist() == [1, 1, 2]
    assert rows.payload_ordinal.tolist() == [1, 0, 2]
    assert rows.bytes_so_far.tolist() == [3, 0, 5]
    assert rows.other_records.tolist() == [0, 1, 1]
    assert rows.other_bytes.tolist() == [0, 3, 0]


def test_types_hold_the_values() -> None:
    """Every column of the kernel's matrix fits the narrow type that it is stored in."""
    raw = ip("192.0.2.1", "192.0.2.2", 6, tcp((1, 65535), 0x1F, b"", seq=2**32 - 1, ack=2**32 - 1, window=65535))
    rows = scan_of([Captured(raw, 2**62, 2**32 - 1)]).rows
    assert rows.original_length[0] == 2**31 - 1
    assert (rows.sequence[0], rows.acknowledgment[0], rows.window[0]) == (2**32 - 1, 2**32 - 1, 65535)
    assert rows.time[0] == 2**62
    assert np.dtype(np.uint32) == rows.digest.dtype
