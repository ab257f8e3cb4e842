"""Captures made to eat the machine, in small versions: each is analysed within processor time and memory of its size.

The big versions and what they take are in docs/limits.md (``make limits``). The sizes here are such that work that
grows with the square of the size, where it was found once, takes minutes.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from analyzer.analysis import Analysis, analyse, given_by_user
from analyzer.capture import formats
from analyzer.capture.source import open_captures
from analyzer.events.scan import LEDGER, settle
from analyzer.exchanges.build import exchanges
from analyzer.fleet import limit
from benchmarks.hostile import files, flows, streams
from benchmarks.hostile.cases import CASES, Case
from benchmarks.limits import bound_mb, bound_s
from benchmarks.measuring import peak_bytes, resident_bytes
from tests.fleet.same import at_most

SMALL = {
    "giant-lengths": 100,
    "zero-records": 100_000,
    "bomb-gz": 16,
    "bomb-gz-gz": 16,
    "bomb-zst": 8,
    "bomb-xz": 8,
    "bomb-lz4": 8,
    "pcapng-options": 5,
    "pcapng-blocks": 2_000,
    "distinct-flows": 3_000,
    "distinct-servers": 1_000,
    "distinct-udp": 3_000,
    "hash-flood": 4_000,
    "one-dcid": 2_000,
    "distinct-dcids": 1_000,
    "attempts-on-one-pair": 1_000,
    "crypto-offsets": 50,
    "coalesced": 5,
    "version-negotiation": 5,
    "nested-tunnels": 20,
    "endless-fragments": 1_000,
    "whole-fragments": 800,
    "overlapping-fragments": 10,
    "icmp-errors": 2_000,
    "icmp-of-many": 1_000,
    "arp-questions": 1_000,
    "dns-loops": 5,
    "dns-pointer-chain": 5,
    "dns-questions": 1_000,
    "giant-certificate": 1,
    "endless-head": 1,
    "syns-on-one-pair": 1_000,
}


def analysed(path: Path) -> Analysis:
    """The analysis, with everything that a report of it asks for."""
    analysis = analyse([str(path)])
    assert analysis.document["schema"]
    return analysis


def in_small_batches(*paths: Path) -> Analysis:
    """The same by one process, from blocks of a few hundred records: limits are looked at between batches."""
    captures = open_captures([str(path) for path in paths], block_bytes=1 << 14)
    found = limit.scan_bounded(captures.batches(False), len(paths), compiled=False).scan
    return Analysis(exchanges(settle(found), captures.captures, given_by_user(None, None)), captures.captures)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_capture_takes_what_its_size_allows(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "hostile"
    case.make(path, SMALL[case.name])
    size = path.stat().st_size
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that from now on
    before, began = peak_bytes(), time.process_time()
    analysis = analysed(path)
    taken, grown = time.process_time() - began, (peak_bytes() - before) / 1e6
    assert not analysis.failures
    assert taken < bound_s(size)
    assert grown < bound_mb(size)


def test_every_case_has_a_small_size() -> None:
    assert list(SMALL) == [case.name for case in CASES]


@pytest.mark.parametrize(("place", "most"), [(0, 500), (2, 700), (3, 30_000)])
def test_what_is_too_much_is_counted(place: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the report says so: nothing that was left out is judged."""
    monkeypatch.setattr(limit, "MOST", at_most(place, most))
    path = tmp_path / "flood.pcap"
    flows.distinct_flows(path, 3_000)
    analysis = in_small_batches(path)
    (facts,) = analysis.document["captures"]
    ledger = facts["ledger"]
    (warning,) = facts["warnings"]
    assert f"{ledger['summarized_connections']:,} connections with" in warning
    assert ledger["summarized_connections"] + len(analysis.connections) == 3_000
    assert ledger["summarized_records"] == ledger["summarized_connections"]
    assert (ledger["records"], ledger["cut"]) == (3_000, 0)
    assert 200 < len(analysis.connections) < 1_000


def test_quic_connection_ids_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one flow, and the flow then goes on as one that began before the capture."""
    monkeypatch.setattr(limit, "MOST", at_most(1, 200))
    path = tmp_path / "flood.pcap"
    streams.distinct_dcids(path, 1_000)
    analysis = in_small_batches(path)
    (facts,) = analysis.document["captures"]
    assert facts["ledger"]["summarized_records"] > 700
    assert len(analysis.connections) < 300


def test_keys_are_kept_for_the_latest_attempts_alone(tmp_path: Path) -> None:
    """They are no objects of Python, and took 22 kB for each of a million attempts between two sockets."""
    streams.distinct_dcids(tmp_path / "flood.pcap", 8_000)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_bytes()
    analysed(tmp_path / "flood.pcap")
    assert peak_bytes() - before < 120e6


def test_captures_that_are_read_together_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "MOST", at_most(0, 500))
    paths = [tmp_path / name for name in ("one.pcap", "two.pcap")]
    for path in paths:
        flows.distinct_flows(path, 3_000)
    analysis = in_small_batches(*paths)
    ledgers = [facts["ledger"] for facts in analysis.document["captures"]]
    assert len(analysis.connections) < 800
    assert sum(each["records"] for each in ledgers) == 6_000
    assert sum(each["summarized_records"] for each in ledgers) + len(analysis.connections) >= 3_000


def test_questions_about_link_addresses_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no flow: the latest stay, and the others are counted as records."""
    path = tmp_path / "arp.pcap"
    flows.arp_questions(path, 3_000)
    monkeypatch.setattr(limit, "MOST", at_most(2, 800))
    captures = open_captures([str(path)], block_bytes=1 << 14)
    found = limit.scan_bounded(captures.batches(False), 1, compiled=False).scan
    left = int((found.rows.flow < 0).sum())
    assert 0 < left < 800
    assert int(found.ledger[0, LEDGER.index("summarized_records")]) == 3_000 - left
    assert found.rows.record[-1] == 3_000
    assert len(found.row_bytes(left - 1)) == 28


@pytest.mark.parametrize("make", [files.bomb_gz, files.bomb_gz_gz, files.bomb_zst, files.bomb_xz])
def test_a_bomb_is_read_up_to_what_it_may_give(make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LEAST_GIVEN", 3 << 20)
    path = tmp_path / "bomb"
    make(path, 16)  # type: ignore[operator]
    (facts,) = analysed(path).document["captures"]
    assert any("for each byte of the file" in warning for warning in facts["warnings"])
    assert facts["ledger"]["records"] < 16 * 65536


def test_what_shrinks_well_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LEAST_GIVEN", 1000)
    path = tmp_path / "sound.lz4"
    files.bomb_lz4(path, 1)
    (facts,) = analysed(path).document["captures"]
    assert (facts["warnings"], facts["ledger"]["records"]) == ([], 65536)
