"""Scans as values: duplicates, pauses, the ledger, batches and pieces. That cuts change nothing: tests/test_cuts.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture.records import Batch, part
from analyzer.events import flows as fl
from analyzer.events.scan import LEDGER, Scan, merge, scan, settle
from analyzer.wire.packets import FLAW_NAMES
from tests.crafted import MS, SECOND, START, Captured, batch_of, batches_of, ip, joined, pieces_of, scan_of, tcp, udp
from tests.wire.layers import LINKS, TUNNELS
from tests.wire.test_packets import SAMPLES


def datagram(payload: bytes = b"x", *, ident: int = 1, ttl: int = 64) -> bytes:
    return ip("192.0.2.10", "198.51.100.80", 17, udp((50660, 443), payload), ident=ident, ttl=ttl)


def ack(*, ident: int = 0, seq: int = 1) -> bytes:
    return ip("192.0.2.10", "198.51.100.80", 6, tcp((50660, 443), 16, seq=seq), ident=ident)


def duplicates_of(captured: list[Captured]) -> list[int]:
    """Records that are the same packet as one before, by the rows; the ledger and the flows agree with them."""
    found = scan_of(captured)
    rows = found.rows
    records = rows.record[rows.reason & fl.IS_DUPLICATE > 0].tolist()
    counted = int(found.ledger[:, LEDGER.index("duplicates")].sum())
    assert counted == int(found.table.state[:, fl.DUPLICATES].sum()) >= len(records)
    return records


def test_the_same_packet_on_two_interfaces() -> None:
    """Same bytes a moment later, on the other side of a router or not."""
    captured = [Captured(datagram(), START), Captured(datagram(ttl=63), START + 20_000)]
    assert duplicates_of(captured) == [2]
    found = scan_of(captured)
    assert found.table.state[0, [fl.RECORDS, fl.PAYLOADS, fl.BYTES]].tolist() == [2, 1, 1]


@pytest.mark.parametrize(("after", "found"), [(fl.DUPLICATE_WITHIN_NS, [2]), (fl.DUPLICATE_WITHIN_NS + 1, [])])
def test_a_packet_sent_again_is_no_duplicate(after: int, found: list[int]) -> None:
    assert duplicates_of([Captured(datagram(), START), Captured(datagram(), START + after)]) == found


def test_time_may_run_backwards_between_interfaces() -> None:
    assert duplicates_of([Captured(datagram(), START), Captured(datagram(), START - MS)]) == [2]


@pytest.mark.parametrize(
    "other",
    [datagram(ident=2), datagram(b"y"), ip("192.0.2.10", "198.51.100.80", 17, udp((50660, 444), b"x"), ident=1)],
)
def test_another_packet_is_no_duplicate(other: bytes) -> None:
    assert duplicates_of([Captured(datagram(), START), Captured(other, START + 1)]) == []


def test_bare_acknowledgments_repeat_by_themselves() -> None:
    """Without an IP identification nothing tells two of them from one that was captured twice."""
    assert duplicates_of([Captured(ack(), START), Captured(ack(), START + 1)]) == []
    assert duplicates_of([Captured(ack(ident=5), START), Captured(ack(ident=5), START + 1)]) == [2]


def test_a_copy_may_come_behind_other_packets() -> None:
    """As far back as the last ``RING`` packets of its direction."""
    for between in range(fl.RING + 1):
        raws = [datagram(ident=1), *(datagram(ident=10 + k) for k in range(between)), datagram(ident=1)]
        captured = [Captured(raw, START + k) for k, raw in enumerate(raws)]
        assert duplicates_of(captured) == ([between + 2] if between < fl.RING else [])


def test_every_packet_twice() -> None:
    captured = [Captured(datagram(ident=1 + k // 2), START + k // 2 * 30 * MS + k % 2) for k in range(100)]
    found = scan_of(captured)
    assert found.ledger[0, LEDGER.index("duplicates")] == 50
    assert found.table.state[0, [fl.RECORDS, fl.PAYLOADS, fl.BYTES, fl.DUPLICATES]].tolist() == [100, 50, 50, 50]
    rows = settle(found).rows
    kept = rows.record[rows.reason & fl.IS_DUPLICATE > 0].tolist()
    assert kept == [2, 4], "the first copies, by which the records are cited"
    assert rows.record.tolist() == [1, 2, 3, 4, 5, 7, 9, 11]


def test_the_ledger_accounts_for_every_record() -> None:
    rows = [Captured(raw, START, link_type=link_type) for link_type, raw in SAMPLES]
    extra = [
        Captured(b"\x00" * 30, START),  # not IP
        Captured(datagram(), START, link_type=147),  # not read
        Captured(datagram()[:24], START, 29),  # cut
        Captured(ip("192.0.2.1", "192.0.2.2", 17, b"rest", ident=3, fragment=9), START),
    ]
    ledger = dict(zip(LEDGER, scan_of(rows + extra).ledger[0].tolist(), strict=True))
    assert ledger["records"] == len(LINKS) + len(TUNNELS) + 4
    assert ledger["decoded"] == len(LINKS) + len(TUNNELS)
    assert (ledger["not_ip"], ledger["unread_link_type"], ledger["flawed"], ledger["fragments"]) == (1, 1, 1, 1)
    assert ledger["truncated"] == 1
    assert ledger["records"] == sum(ledger[k] for k in ("decoded", "not_ip", "fragments", "unread_link_type", "flawed"))


def test_the_ledger_is_kept_per_capture() -> None:
    captured = [Captured(datagram(ident=k), START + k * SECOND, capture=k % 3) for k in range(10)]
    assert scan_of(captured).ledger[:, 0].tolist() == [4, 3, 3]


def same(one: Scan, other: Scan) -> bool:
    columns = [
        np.array_equal(a, b)
        for name, a, b in zip(one.rows._fields, one.rows, other.rows, strict=True)
        if name not in ("start", "quic")
    ]
    bytes_ = [one.row_bytes(k) == other.row_bytes(k) for k in range(len(one.rows.time))]
    tables = np.array_equal(one.table.keys, other.table.keys) and np.array_equal(one.table.state, other.table.state)
    return all(columns) and all(bytes_) and tables and np.array_equal(one.ledger, other.ledger)


@settings(max_examples=30)
@given(st.data())
def test_batches_of_any_size_give_the_same_scan(data: st.DataObject) -> None:
    captured = [Captured(raw, START + k * MS, link_type=link) for k, (link, raw) in enumerate(SAMPLES * 2)]
    whole = batch_of(captured)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(captured)), max_size=6)))
    assert same(scan(pieces_of(whole, cuts), 1, compiled=False), scan([whole], 1, compiled=False))


def test_the_bytes_around_records_do_not_matter(captures: Path) -> None:
    """Each batch twice, with different bytes between the records."""
    captured = [Captured(raw[:end], START, len(raw), link) for link, raw in SAMPLES for end in range(0, len(raw), 9)]
    scans = [scan([batch_of(captured, between=fill * 48)], 1, compiled=False) for fill in (b"", b"\0", b"\xff")]
    assert same(scans[0], scans[1])
    assert same(scans[0], scans[2])


def test_nothing_is_kept_in_the_readers_buffer() -> None:
    """A reader uses its buffer again: what is kept must be a copy."""
    batch = batch_of([Captured(datagram(b"precious"), START)])
    found = scan([batch], 1, compiled=False)
    batch.buffer[:] = 0
    assert found.row_bytes(0)[28:] == b"precious"


def test_merge_leaves_its_arguments_as_they_are() -> None:
    batch = batch_of([Captured(datagram(ident=k // 2), START + k) for k in range(8)])
    first, second = (scan([piece], 1, compiled=False) for piece in pieces_of(batch, [3]))
    before = [[column.tolist() for column in (*each.rows, each.table.state, each.ledger)] for each in (first, second)]
    merged = merge(first, second)
    merged.rows.ordinal[:] = -5
    merged.table.state[:] = -5
    after = [[column.tolist() for column in (*each.rows, each.table.state, each.ledger)] for each in (first, second)]
    assert before == after


def test_an_empty_scan_is_neutral() -> None:
    empty = scan([], 1, compiled=False)
    some = scan_of([Captured(datagram(ident=k), START + k * SECOND) for k in range(9)])
    for merged in (merge(empty, some), merge(some, empty)):
        assert same(settle(merged), settle(some))
    assert len(settle(merge(empty, empty)).rows.time) == 0


def test_settling_twice_changes_nothing(silent_capture: Path) -> None:
    once = settle(scan(batches_of(silent_capture), 1, compiled=False))
    assert same(settle(once), once)


def test_chunks_are_closed_as_they_fill(monkeypatch: pytest.MonkeyPatch, silent_capture: Path) -> None:
    batch = joined(batches_of(silent_capture))
    whole = scan([batch], 1, compiled=False)
    monkeypatch.setattr("analyzer.events.selected._SEAL_BYTES", 2000)
    size = len(batch.records.time)
    batches = [Batch(batch.buffer, part(batch.records, k, min(k + 10, size))) for k in range(0, size, 10)]
    pieces = scan(batches, 1, compiled=False)
    assert len(pieces.chunks) > 3
    assert same(pieces, whole)


def test_flaws_have_names() -> None:
    rows = scan_of([Captured(raw[:end], START, link_type=link) for link, raw in SAMPLES for end in (20, 30, 40)]).rows
    assert {FLAW_NAMES[flaw] for flaw in rows.flaw.tolist()} > {"ip-header-cut", "transport-cut"}
