"""IP fragments: captures cut into them by scapy read like the whole ones; overlaps and holes are said, not guessed."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.analysis import Analysis, analyse
from analyzer.events import flows as fl
from analyzer.events.fragments import CONTRADICTORY, CUT, MISSING, MOST_PIECES, read_fragment, reassemble
from analyzer.events.scan import merge, scan, settle
from analyzer.wire.packets import LATER_FRAGMENT
from tests.conftest import ROOT
from tests.crafted import (
    ETHERNET,
    MS,
    RAW_IP,
    SECOND,
    START,
    Captured,
    batch_of,
    batches_of,
    captured_of,
    ip,
    joined,
    pieces_of,
    scan_of,
    tcp,
    udp,
    write_pcap,
)

CAPTURE = ROOT / "captures/01-caddy-http3-ok/caddy-2.6.2/client.pcap"
SAME = (
    "transport",
    "client_address",
    "client_port",
    "outcome",
    "sni",
    "alpn",
    "ja4",
    "tls_version",
    "history",
    "state",
)
COUNTS = ("client_packets", "server_packets", "client_bytes", "server_bytes", "client_dcid", "server_scid", "paths")
V4, V6 = ("192.0.2.10", "192.0.2.80"), ("2001:db8::10", "2001:db8::80")


@functools.cache
def recorded() -> list[Captured]:
    return captured_of(joined(batches_of(CAPTURE)))


def cut_by_scapy(packet: bytes, size: int, ident: int) -> list[bytes]:
    """The fragments of an IP packet, none longer than ``size``."""
    from scapy.layers.inet import IP, fragment
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6

    if packet[0] >> 4 == 4:
        whole = IP(packet)
        whole.flags, whole.id = 0, ident
        return [bytes(piece) for piece in fragment(whole, (size - 20) // 8 * 8)]
    whole = IPv6(packet)
    body, protocol = whole.payload, whole.nh
    whole.remove_payload()
    whole.nh, whole.plen = 44, None
    return [bytes(piece) for piece in fragment6(whole / IPv6ExtHdrFragment(id=ident, nh=protocol) / body, size)]


def in_pieces(captured: Sequence[Captured], size: int) -> list[list[Captured]]:
    """Each record, those with UDP in more than ``size`` bytes in fragments."""
    found = []
    for ident, one in enumerate(captured, start=1):
        link, packet = (one.raw[:14], one.raw[14:]) if one.link_type == ETHERNET else (b"", one.raw)
        protocol = packet[9] if packet[0] >> 4 == 4 else packet[6] if packet[0] >> 4 == 6 else 0
        pieces = cut_by_scapy(packet, size, ident) if protocol in (6, 17) and len(packet) > size else [packet]
        found.append([one._replace(raw=link + piece, wire=-1) for piece in pieces])
    return found


def analysed(path: Path, captured: Sequence[Captured]) -> Analysis:
    return analyse([str(write_pcap(path, captured))])


def rows_of(analysis: Analysis, names: Sequence[str] = SAME + COUNTS) -> list[tuple[object, ...]]:
    return list(zip(*(analysis.connections[name].tolist() for name in names), strict=True))


def flaws_of(analysis: Analysis) -> set[str]:
    return {flaw for flaw in analysis.packets["flaw"].tolist() if flaw}


ORDERS: dict[str, Callable[[list[Captured]], list[Captured]]] = {
    "in-order": list,
    "last-first": lambda pieces: pieces[::-1],
    "each-twice": lambda pieces: [piece for piece in pieces for _ in range(2)],
    "all-twice": lambda pieces: pieces + pieces if len(pieces) > 1 else pieces,
}


@pytest.mark.parametrize("size", [600, 1232])
@pytest.mark.parametrize("order", ORDERS)
def test_a_capture_in_fragments_reads_like_the_whole_one(tmp_path: Path, size: int, order: str) -> None:
    groups = in_pieces(recorded(), size)
    assert sum(len(group) > 1 for group in groups) >= 26
    analysis = analysed(tmp_path / "cut.pcap", [one for group in groups for one in ORDERS[order](group)])
    whole = analyse([str(CAPTURE)])
    assert rows_of(analysis) == rows_of(whole)
    assert whole.document["findings"] == []
    assert {finding["pattern"] for finding in analysis.document["findings"]} <= {"capture-duplicates"}
    assert flaws_of(analysis) == set()
    assert analysis.warnings == whole.warnings


def test_later_fragments_belong_to_the_connection_of_the_first(tmp_path: Path) -> None:
    packets = analysed(tmp_path / "cut.pcap", [one for group in in_pieces(recorded(), 600) for one in group]).packets
    fragments = [
        (packets["connection"][row], packets["direction"][row])
        for row, kind in enumerate(packets["kind"].tolist())
        if kind == "fragment"
    ]
    assert len(fragments) == 80
    assert {connection for connection, _ in fragments} == {f"C{n}" for n in range(1, 11)}
    assert {direction for _, direction in fragments} == {"client", "server"}


def test_the_result_does_not_depend_on_where_the_capture_was_cut() -> None:
    batch = batch_of([one for group in in_pieces(recorded(), 600)[:60] for one in group])
    expected = settle(scan([batch], 1, compiled=False))
    assert np.count_nonzero(expected.rows.kind == LATER_FRAGMENT) > 20
    for cut in range(1, len(batch.records.time), 3):
        first, second = (scan([piece], 1, compiled=False) for piece in pieces_of(batch, [cut]))
        merged = settle(merge(first, second))
        assert merged.rows.record.tolist() == expected.rows.record.tolist()
        assert merged.rows.reason.tolist() == expected.rows.reason.tolist()
        whole, again = reassemble(expected), reassemble(merged)
        assert whole[1] == again[1]
        assert [whole[0].row_bytes(n) for n in range(40)] == [again[0].row_bytes(n) for n in range(40)]


def test_the_fragments_of_a_datagram_may_lie_in_two_files(tmp_path: Path) -> None:
    captured = [one for group in in_pieces(recorded(), 600)[:60] for one in group]
    kinds = [one.raw[20:22] for one in captured]  # IPv4 flags and offset
    split = 1 + kinds.index(b"\x20\0", 8)  # behind a first fragment
    parts = [
        str(write_pcap(tmp_path / f"{n}.pcap", part)) for n, part in enumerate((captured[:split], captured[split:]))
    ]
    whole = analysed(tmp_path / "whole.pcap", captured)
    assert rows_of(analyse(parts)) == rows_of(whole)
    assert flaws_of(analyse(parts)) == set()


def datagram(ends: tuple[str, str], payload: bytes, size: int, *, ident: int = 7) -> list[Captured]:
    """A datagram from port 5000 to port 6000 in fragments, a millisecond apart."""
    pieces = cut_by_scapy(ip(*ends, 17, udp((5000, 6000), payload)), size, ident)
    return [Captured(piece, START + n * MS) for n, piece in enumerate(pieces)]


def read(captured: Sequence[Captured]) -> tuple[list[bytes], dict[int, str]]:
    """The payloads of the whole datagrams to port 6000, and the flaws by row."""
    whole, found = reassemble(settle(scan_of(captured)))
    ports = [int(whole.table.keys[fl.KEY_WORDS * flow + 8]) for flow in whole.rows.flow]
    chosen = [row for row, port in enumerate(ports) if port]
    lengths = whole.rows.payload_length, whole.rows.payload_captured
    rows = [row for row in chosen if lengths[0][row] == lengths[1][row]]
    return [whole.row_bytes(row)[int(whole.rows.header[row]) :] for row in rows], found.flaw


@pytest.mark.parametrize("ends", [V4, V6])
def test_a_hole_is_said(ends: tuple[str, str]) -> None:
    payload = random.Random(1).randbytes(2000)
    pieces = datagram(ends, payload, 700)
    assert read(pieces) == ([payload], {})
    other = Captured(ip(*ends, 17, udp((5000, 6000), b"whole")))
    for missing in range(len(pieces)):
        rest = pieces[:missing] + pieces[missing + 1 :]
        assert read([other, *rest]) == ([b"whole"], dict.fromkeys(range(1, len(rest) + 1), MISSING))
    # Without a flow between the addresses it may be a tunnel's, whose first fragment was read as the packet inside.
    assert read(pieces[1:]) == ([], {})


def changed(one: Captured, at: int) -> Captured:
    """The packet with another byte there, counted from its end."""
    raw = bytearray(one.raw)
    raw[-at] ^= 0xFF
    return one._replace(raw=bytes(raw))


@pytest.mark.parametrize("ends", [V4, V6])
def test_fragments_that_contradict_each_other_are_left_alone(ends: tuple[str, str]) -> None:
    payload = random.Random(2).randbytes(2000)
    fine, coarse = datagram(ends, payload, 400), datagram(ends, payload, 700)
    assert read([fine[0], fine[1], *coarse[1:]])[0] in ([], [payload])
    overlapping = [coarse[0], *fine[1:]]
    assert read(overlapping) == ([payload], {})  # equal bytes in several fragments
    for at in (100, 300):
        torn = [coarse[0], changed(fine[1], at), *fine[2:]]
        assert read(torn) == ([], dict.fromkeys(range(len(torn)), CONTRADICTORY))
    twice = [*coarse[:2], changed(coarse[1], 5), *coarse[2:]]
    assert read(twice) == ([], dict.fromkeys(range(len(twice)), CONTRADICTORY))
    two_ends = [*coarse[:-1], datagram(ends, payload[:1500], 700)[-1], coarse[-1]]
    assert set(read(two_ends)[1].values()) == {CONTRADICTORY}


@pytest.mark.parametrize("ends", [V4, V6])
def test_an_identification_is_used_again(ends: tuple[str, str]) -> None:
    """As tcpreplay does, and every sender in the end: the same fragments again, and others under the same number."""
    first, second = (random.Random(n).randbytes(1500) for n in (3, 4))
    a, b = datagram(ends, first, 700), datagram(ends, second, 700)

    def later(pieces: list[Captured], by: int) -> list[Captured]:
        return [one._replace(time=one.time + by) for one in pieces]

    assert read([*a, *later(a, SECOND)]) == ([first, first], {})
    assert read([*a, *later(b, SECOND)]) == ([first, second], {})
    assert read([*a[:1], *later(b, 61 * SECOND)]) == ([second], {0: MISSING})


def test_what_never_ends_is_bounded() -> None:
    (first, *_), count = datagram(V4, bytes(60_000), 500), 3 * MOST_PIECES
    word = (0x2000 | 8).to_bytes(2, "big")
    tiny = [
        first._replace(raw=first.raw[:6] + (0x2000 + n).to_bytes(2, "big") + first.raw[8:28]) for n in range(1, count)
    ]
    captured = [first, *tiny, first._replace(raw=first.raw[:6] + word + first.raw[8:])]
    selected = settle(scan_of(captured))
    assert np.count_nonzero(selected.rows.kind == LATER_FRAGMENT) == fl.FRAGMENTS_KEPT
    assert read(captured)[0] == []
    beyond = first._replace(raw=first.raw[:6] + (0x1FFF).to_bytes(2, "big") + first.raw[8:])
    assert read([first, beyond]) == ([], {0: CONTRADICTORY, 1: CONTRADICTORY})  # past 65,535 bytes


def test_more_fragments_than_are_kept_are_not_called_missing() -> None:
    captured: list[Captured] = []
    for n in range(400):
        captured += [one._replace(time=one.time + n * SECOND) for one in datagram(V4, bytes(1500), 1200, ident=n)]
    payloads, flaw = read(captured)
    assert payloads == [bytes(1500)] * fl.FRAGMENTS_KEPT
    assert flaw == {}


def test_a_cut_fragment_is_said_to_be_cut() -> None:
    pieces = datagram(V4, bytes(1500), 700)
    pieces[1] = pieces[1]._replace(raw=pieces[1].raw[:96], wire=len(pieces[1].raw))
    payloads, flaw = read(pieces)
    assert (payloads, set(flaw.values())) == ([], {CUT})


def test_an_initial_whose_second_half_is_missing_is_no_silent_server(tmp_path: Path) -> None:
    """As behind a capture filter "udp port 443", which no later fragment matches."""
    groups = in_pieces(recorded(), 600)
    clients = {"192.0.2.10", "2001:db8:1::10"}
    captured = [group[0] for group in groups]
    analysis = analysed(tmp_path / "first.pcap", captured)
    assert flaws_of(analysis) == {MISSING}
    assert set(analysis.connections["client_address"].tolist()) == clients
    assert "answered" in analysis.connections["outcome"].tolist()
    assert not [
        f for f in analysis.document["findings"] if f["severity"] != "info" or f["pattern"] == "capture-truncated"
    ]
    assert [sentence for sentence in analysis.warnings if "could not be put together" in sentence]


def test_a_tcp_segment_in_fragments_counts_all_its_bytes(tmp_path: Path) -> None:
    client, server = V4
    request = b"GET / HTTP/1.1\r\nHost: example.com\r\nX: " + b"x" * 1300 + b"\r\n\r\n"
    packets = [
        ip(client, server, 6, tcp((5000, 80), 2, seq=99)),
        ip(server, client, 6, tcp((80, 5000), 18, seq=499, ack=100)),
        *cut_by_scapy(ip(client, server, 6, tcp((5000, 80), 24, request, seq=100, ack=500)), 576, 9),
        ip(server, client, 6, tcp((80, 5000), 24, b"HTTP/1.1 204 No Content\r\n\r\n", seq=500, ack=100 + len(request))),
        ip(client, server, 6, tcp((5000, 80), 17, seq=100 + len(request), ack=527)),
    ]
    analysis = analysed(tmp_path / "tcp.pcap", [Captured(raw, START + n * MS) for n, raw in enumerate(packets)])
    assert rows_of(analysis, ("client_packets", "client_bytes", "server_bytes")) == [(3, len(request), 27)]


def test_a_dns_answer_in_fragments_is_read(tmp_path: Path) -> None:
    name = b"\x07example\x03com\0"
    question = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + name + b"\0\x10\0\1"
    text = b"\xc0\x0c\0\x10\0\1\0\0\0\x3c" + (256).to_bytes(2, "big") + b"\xff" + b"t" * 255
    answer = b"\x12\x34\x81\x80\0\1\0\x08\0\0\0\0" + question[12:] + 8 * text
    client, server = V6
    packets = [
        ip(client, server, 17, udp((5000, 53), question)),
        *cut_by_scapy(ip(server, client, 17, udp((53, 5000), answer)), 1280, 9),
    ]
    captured = [Captured(raw, START + n * MS) for n, raw in enumerate(packets)]
    assert rows_of(analysed(tmp_path / "dns.pcap", captured), ("outcome", "server_bytes")) == [
        ("answered", len(answer))
    ]


HOP_BY_HOP = b"\x2c\0\1\4\0\0\0\0"


def test_reads_fragments_behind_extension_headers() -> None:
    _, second = cut_by_scapy(ip(*V6, 17, udp((1, 2), bytes(1500))), 1280, 0xABCD)
    fragment = read_fragment(second)
    assert fragment is not None
    assert (fragment.key, fragment.offset, fragment.is_last) == ((6, second[8:40], -1, 0xABCD), 1232, True)
    assert (fragment.start, fragment.length, fragment.field) == (48, 276, 6)
    behind = second[:4] + (int.from_bytes(second[4:6], "big") + 8).to_bytes(2, "big") + b"\0" + second[7:40]
    nested = read_fragment(behind + HOP_BY_HOP + second[40:])
    assert nested == fragment._replace(start=56, field=40)
    assert all(read_fragment(second[:n]) is None for n in range(48))


def test_what_is_no_fragment() -> None:
    for packet in (ip(*V4, 17, udp((1, 2))), ip(*V6, 17, udp((1, 2))), b"", b"\x45", b"\x60" + bytes(60)):
        assert read_fragment(packet) is None


@given(st.binary(max_size=90), st.sampled_from([b"", b"\x45", b"\x60"]))
def test_any_bytes(tail: bytes, head: bytes) -> None:
    read_fragment(head + tail)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from([V4, V6]))
def test_any_order_and_any_selection(data: st.DataObject, ends: tuple[str, str]) -> None:
    payload = data.draw(st.binary(min_size=1, max_size=3)) * 700
    pieces = datagram(ends, payload, data.draw(st.sampled_from([256, 600, 1280])))
    drawn = data.draw(st.lists(st.sampled_from(range(len(pieces))), min_size=1, max_size=12))
    captured = [pieces[n]._replace(time=START + k * MS) for k, n in enumerate(drawn)]
    payloads, flaw = read(captured)
    if len(pieces) == 1:
        return
    if set(drawn) == set(range(len(pieces))):
        assert payloads[0] == payload
    else:
        assert payloads == []
        assert set(flaw.values()) == ({MISSING} if 0 in drawn else set())


def test_link_layer_of_fragments_does_not_matter() -> None:
    pieces = datagram(V4, bytes(1500), 700)
    framed = [one._replace(raw=bytes(12) + b"\x08\0" + one.raw, link_type=ETHERNET) for one in pieces]
    assert {one.link_type for one in pieces} == {RAW_IP}
    assert read(framed) == read(pieces) == ([bytes(1500)], {})
