"""Segments that begin like HTTP are numbered and kept, the same wherever a capture is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.events import flows as fl
from analyzer.events.scan import Scan, merge, scan, settle
from analyzer.events.tcp.heads import HEADS, HEADS_KEPT
from tests.crafted import Captured, batch_of, pieces_of, scan_of
from tests.events.playbook import CLIENT, A, P, Play
from tests.events.requests.asking import Asking

GET, OK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 204 any\r\n\r\n"


def talk() -> list[Captured]:
    """More requests than are kept, each twice in the capture now and then, and bulk between them."""
    asking = Asking(Play(step=1))
    for k in range(HEADS_KEPT + 6):
        asking.c(GET).s(OK).s(b"\x17body").s(b"\x17bulks")
        if k % 5 == 0:
            asking.play.captured.append(asking.play.captured[-4])
    return asking.play.captured


CAPTURED = talk()
WHOLE = settle(scan_of(CAPTURED))


def same(one: Scan, other: Scan) -> bool:
    rows = all(
        np.array_equal(getattr(one.rows, name), getattr(other.rows, name)) for name in ("record", "head", "reason")
    )
    kept = all(one.row_bytes(row) == other.row_bytes(row) for row in range(len(one.rows.time)))
    return rows and kept and np.array_equal(one.table.state[:, HEADS], other.table.state[:, HEADS])


@settings(max_examples=25)
@given(st.lists(st.integers(1, len(CAPTURED) - 1), max_size=3, unique=True))
def test_cut_and_merged_it_is_the_same(cuts: list[int]) -> None:
    first, *others = (scan([piece], 1, compiled=False) for piece in pieces_of(batch_of(CAPTURED), sorted(cuts)))
    for piece in others:
        first = merge(first, piece)
    assert same(settle(first), WHOLE)


def test_compiled_kernels_note_the_same() -> None:
    assert same(scan_of(CAPTURED, compiled=True), scan_of(CAPTURED))


def test_the_first_are_kept_whole_and_bulk_is_not() -> None:
    rows = WHOLE.rows
    duplicate = rows.reason & fl.IS_DUPLICATE > 0
    for direction in (0, 1):
        heads = np.flatnonzero((rows.head > 0) & (rows.direction == direction) & ~duplicate)
        assert HEADS_KEPT - 15 <= len(heads) <= HEADS_KEPT  # copies are counted as well
        assert (rows.kept[heads] == rows.header[heads] + rows.payload_length[heads]).all()
    assert WHOLE.table.state[:, HEADS].max() >> 2 == HEADS_KEPT + 6 + 14
    bodies, bulk = (np.flatnonzero(rows.payload_length == length) for length in (5, 6))
    assert np.count_nonzero(rows.kept[bodies] > rows.header[bodies]) >= HEADS_KEPT - 15
    assert np.count_nonzero(rows.kept[bulk] > rows.header[bulk]) <= fl.HEAD_PAYLOADS


@pytest.mark.parametrize(
    ("payload", "is_head"),
    [
        (word + b" / HTTP/1.1\r\n", True)
        for word in (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"PATCH")
    ]
    + [(b"HTTP/1.1 200 OK\r\n", True), (b"HTTP", True), (b"HTT", False), (b"GETS", False), (b"get / HTTP/1.1", False)]
    + [(b"EHLO example.com\r\n", False), (b"\x16\x03\x01\x02\0", False), (b"", False)],
)
def test_what_begins_like_http(payload: bytes, is_head: bool) -> None:
    rows = scan_of(Play().c(A | P, payload).captured).rows
    assert rows.head.tolist() == [int(is_head)]


def test_datagrams_are_not_looked_at() -> None:
    assert scan_of(Play().ask(GET).say(CLIENT, ("192.0.2.99", 5), 1, bytes(8)).captured).rows.head.tolist() == [0, 0]
