"""The crypto stream: any order, overlaps, holes, contradictions, bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.quic.crypto_stream import CryptoStream

TEXT = bytes(range(1, 201))


def test_in_order() -> None:
    stream = CryptoStream()
    stream.add(0, b"abc")
    stream.add(3, b"def")
    assert (stream.prefix(), stream.missing(), stream.highest) == (b"abcdef", [], 6)


def test_a_hole_is_a_result() -> None:
    stream = CryptoStream()
    stream.add(10, b"klm")
    stream.add(0, b"abc")
    assert (stream.prefix(), stream.missing(), stream.missing(20)) == (b"abc", [(3, 10)], [(3, 10), (13, 20)])
    assert stream.missing(5) == [(3, 5)]
    stream.add(2, b"cdefghijk")
    assert (stream.prefix(), stream.missing()) == (b"abcdefghijklm", [])
    assert CryptoStream().missing(4) == [(0, 4)]


def test_the_first_value_seen_stays_and_the_contradiction_is_noted() -> None:
    stream = CryptoStream()
    stream.add(0, b"abc")
    stream.add(6, b"ghi")
    stream.add(1, b"XcdefgYZ")
    stream.add(1, b"XcdefgYZ")
    assert stream.prefix() == b"abcdefghi"
    assert stream.conflicts == [(1, 2), (7, 9)]


def test_offsets_up_to_2_to_the_62_cost_nothing() -> None:
    stream = CryptoStream(limit=100)
    stream.add((1 << 62) - 5, b"12345")
    stream.add(98, b"abcd")
    stream.add(0, b"")
    assert (stream.beyond, stream.highest) == (7, 1 << 62)
    assert (stream.kept(), stream.missing()) == ([(98, b"ab")], [(0, 98)])


@given(st.lists(st.tuples(st.integers(0, 199), st.integers(0, 60)), max_size=30), st.integers(50, 220))
def test_equal_to_a_set_of_bytes(spans: list[tuple[int, int]], limit: int) -> None:
    stream, there = CryptoStream(limit), set()
    for start, length in spans:
        stream.add(start, TEXT[start : start + length])
        there |= set(range(start, min(start + length, len(TEXT), limit)))
    kept = stream.kept()
    assert {start + i for start, piece in kept for i in range(len(piece))} == there
    assert all(TEXT[start : start + len(piece)] == piece for start, piece in kept)
    assert [start for start, _ in kept] == sorted({start for start, _ in kept})
    holes = {i for start, end in stream.missing() for i in range(start, end)}
    assert holes == set(range(max(there, default=-1) + 1)) - there
    assert stream.conflicts == []
    prefix = next(i for i in range(len(TEXT) + 1) if i not in there)
    assert stream.prefix() == TEXT[:prefix]


@given(st.permutations([(0, 40), (30, 50), (70, 60), (125, 75)]))
def test_the_order_does_not_matter(spans: list[tuple[int, int]]) -> None:
    stream = CryptoStream()
    for start, length in spans:
        stream.add(start, TEXT[start : start + length])
    assert stream.prefix() == TEXT


@given(st.lists(st.tuples(st.integers(0, 1 << 62), st.binary(max_size=9)), max_size=20))
def test_anything(pieces: list[tuple[int, bytes]]) -> None:
    stream = CryptoStream()
    for offset, piece in pieces:
        stream.add(offset, piece)
    assert sum(len(piece) for _, piece in stream.kept()) <= sum(len(piece) for _, piece in pieces)
