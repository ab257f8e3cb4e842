"""First packets of many datagrams as rows of numbers: what ``read_datagram`` says of each."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.events.quic import portions
from analyzer.events.quic.portions import CID_WORDS, DCID, HEAD_COLUMNS, SCID, Portion, portion_of, write_cids
from analyzer.kernels import runner
from analyzer.wire.quic.gquic import GQUIC_FRAMES
from analyzer.wire.quic.header import read_datagram
from analyzer.wire.quic.protection import initial_keys
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, Flaw
from tests.events.flow_plays import CHOSEN, FIRST, OWN, VERSIONS, Cast, Datagram, made_packet, made_play, recorded_plays

#: Before, between and behind the datagrams: what no kernel may read.
BETWEEN = b"\xc3\0\0\0\1\xff"


def cids_of(heads: np.ndarray, row: int) -> tuple[bytes, bytes]:
    """Both CIDs of a row, out of their words."""
    found = []
    for at in (DCID, SCID):
        length, *words = heads[row, at : at + 1 + CID_WORDS].tolist()
        parts = [word.to_bytes(min(7, max(0, length - 7 * k)), "big") for k, word in enumerate(words)]
        found.append(b"".join(parts))
        assert len(found[-1]) == length
    return found[0], found[1]


def portion_with(payloads: list[Datagram], *, compiled: bool) -> tuple[Portion, list[bytes]]:
    """Datagrams, half of them in a second chunk, as a portion; and their bytes that were captured."""
    chunks, columns, kept = [bytearray(BETWEEN), bytearray(BETWEEN)], [], []
    for place, one in enumerate(payloads):
        chunk = chunks[place % 2]
        there = one.payload if one.captured < 0 else one.payload[: one.captured]
        kept.append(there)
        columns.append((0, int(len(there) > 0), len(one.payload), place % 2, len(chunk), len(chunk) + len(there)))
        chunk += there + BETWEEN
    narrow = np.ascontiguousarray(np.array(columns, np.int32).T)
    bounds = np.array([[0, len(payloads)]], np.int64)
    return portion_of(bounds, narrow, [bytes(chunk) for chunk in chunks], compiled=compiled), kept


def check(payloads: list[Datagram], *, compiled: bool = True) -> int:
    """How many datagrams have a head; fails where one is not what the plain reader says."""
    portion, kept = portion_with(payloads, compiled=compiled)
    found = 0
    for row, (one, there) in enumerate(zip(payloads, kept, strict=True)):
        packets = read_datagram(there, 0, len(there), len(one.payload))
        head = int(portion.head_of[row])
        if not packets or packets[0].kind > HANDSHAKE:
            assert head == -1
            continue
        first, found = packets[0], found + 1
        values = portion.heads[head]
        buffer, begin = portion.chunks[int(portion.chunk[head])], int(portion.narrow[portions.BEGIN, row])
        assert [*values[[portions.KIND, portions.VERSION]]] == [first.kind, first.version]
        assert cids_of(portion.heads, head) == (first.dcid, first.scid)
        for at, cid in ((portions.DCID_AT, first.dcid), (portions.SCID_AT, first.scid)):
            assert buffer[values[at] : values[at] + len(cid)] == cid
        places = values[[portions.START, portions.NUMBER_AT, portions.END]] - begin
        assert places.tolist()[::2] == [first.start, first.end]
        is_openable = first.kind == INITIAL and first.flaw is Flaw.NONE and first.version not in GQUIC_FRAMES
        is_openable &= initial_keys(first.version, b"") is not None
        is_openable &= sum(packet.kind == INITIAL for packet in packets) == 1
        assert bool(values[portions.OPENABLE]) is is_openable
        if is_openable:
            assert places[1] == first.payload_offset
    return found


@pytest.mark.parametrize("compiled", [False, True])
def test_cids_of_every_length(compiled: bool) -> None:
    """Every byte has its place, and a length tells CIDs of zeros apart."""
    cids = (
        [bytes(range(1, n + 1)) for n in range(21)] + [bytes(n) for n in range(21)] + [b"\xff" * n for n in range(21)]
    )
    buffer = np.frombuffer(BETWEEN + BETWEEN.join(cids) + BETWEEN, np.uint8)
    ends = np.cumsum([len(cid) + len(BETWEEN) for cid in cids])
    at = ends - np.array([len(cid) for cid in cids])
    offsets = np.array(
        [(a, len(c), b, len(d)) for a, b, c, d in zip(at, at[::-1], cids, cids[::-1], strict=True)], np.int64
    )
    heads = np.full((len(cids), HEAD_COLUMNS), -7, np.int64)
    assert runner(write_cids, compiled)(buffer, offsets, heads) == len(cids)
    for row, pair in enumerate(zip(cids, cids[::-1], strict=True)):
        assert cids_of(heads, row) == pair
    assert len({tuple(row) for row in heads[:, DCID : DCID + 1 + CID_WORDS].tolist()}) == len(set(cids))
    others = [i for i in range(HEAD_COLUMNS) if not DCID <= i <= DCID + CID_WORDS and not SCID <= i <= SCID + CID_WORDS]
    assert (heads[:, others] == -7).all()


def test_without_a_packet_there_is_no_cid() -> None:
    heads = np.ones((1, HEAD_COLUMNS), np.int64)
    write_cids(np.zeros(0, np.uint8), np.array([[-1, 0, -1, 0]]), heads)
    assert cids_of(heads, 0) == (b"", b"")


@pytest.mark.parametrize("compiled", [False, True])
def test_recorded_datagrams(compiled: bool) -> None:
    names = "01-caddy-http3-ok/caddy-2.6.2/client.pcap", "07-retry/aioquic-ok/client.pcap", "22-zero-rtt/ok/client.pcap"
    payloads = [one for play in recorded_plays(names) for one in play]
    assert check(payloads if compiled else payloads[::5], compiled=compiled) > (70 if compiled else 10)


def test_every_prefix_of_datagrams() -> None:
    """Captured so far, and sent so far."""
    chance, cast = Random(3), Cast(FIRST[2], OWN[0], CHOSEN[0], VERSIONS[0])
    for _ in range(12):
        payload = made_packet(chance, cast, from_client=True) + made_packet(chance, cast, from_client=False)
        check([Datagram(True, payload, end) for end in range(len(payload))])
        check([Datagram(True, payload[:end]) for end in range(len(payload))])


@given(st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_datagrams_by_chance(chance: Random) -> None:
    check([one for _ in range(chance.randint(1, 4)) for one in made_play(chance)] or [Datagram(True, b"")])


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
@settings(max_examples=100)
def test_any_bytes(payloads: list[bytes]) -> None:
    begins = b"\xc0\0\0\0\1"
    check([Datagram(True, front + payload) for payload in payloads for front in (b"", begins, begins + b"\x08")])
