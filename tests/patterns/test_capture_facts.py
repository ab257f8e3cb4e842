"""capture-clock, capture-drops, capture-midstream and capture-offload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer.analysis import analyse
from analyzer.wire.checksums import ones_sum
from tests.conftest import ROOT
from tests.crafted import SECOND, START, Captured, ip, udp, write_pcap
from tests.patterns.tables import T0, capture, connection, found, view
from tests.patterns.tables import tcp as tcp_row


@pytest.mark.parametrize(
    ("pattern", "fires"),
    [
        ("capture-clock", {"backward_records": ((0, 7),)}),
        ("capture-offload", {"large_records": ((0, 7),), "largest_payload": 9000}),
        ("capture-offload", {"partial_records": ((0, 7), (0, 9))}),
        ("capture-drops", {"dropped": 7}),
    ],
)
def test_what_a_capture_says_of_itself(pattern: str, fires: dict[str, Any]) -> None:
    [finding] = found(pattern, view(connection(), captures=[capture(**fires)]))
    assert finding.severity == "info"
    assert "7" in finding.because
    assert not found(pattern, view(connection(), captures=[capture()]))


def test_one_partial_checksum_may_be_chance() -> None:
    assert not found("capture-offload", view(connection(), captures=[capture(partial_records=((0, 7),))]))


def test_partial_checksums_are_read_off_the_first_packets(tmp_path: Path) -> None:
    ports, source, server = (40000, 9), "192.0.2.10", "192.0.2.80"
    right = ip(source, server, 17, udp(ports, b"x" * 40))
    pseudo = ones_sum(right[12:20] + (17).to_bytes(2, "big") + (48).to_bytes(4, "big"))
    partial = right[:26] + pseudo.to_bytes(2, "big") + right[28:]
    for packets, count in (([partial, partial, right], 1), ([right, right, right], 0), ([partial, right], 0)):
        captured = [Captured(raw, START + k * SECOND) for k, raw in enumerate(packets)]
        path = write_pcap(tmp_path / f"{count}{len(packets)}.pcap", captured)
        told = [f for f in analyse([str(path)]).document["findings"] if f["pattern"] == "capture-offload"]
        assert len(told) == count
        assert not told or "2 packets of 13.pcap (of the first 100) carry the checksum" in told[0]["because"]


def test_data_that_was_acknowledged_and_never_seen() -> None:
    hole = {"server_unseen": 2896, "unseen_records": ((0, 107),)}
    rows = [tcp_row(at=1, **hole), tcp_row(at=2)]
    [finding] = found("capture-drops", view(*rows))
    assert finding.because.startswith("In 1 of 2 TCP connections of server.pcap the receiver acknowledged 2,896 bytes")
    assert (finding.severity, finding.records) == ("info", ((0, 107),))
    assert not found("capture-drops", view(rows[1]))


@pytest.mark.parametrize(
    "near_miss",
    [
        {"request_time": T0 - SECOND, "last_request_time": T0 + 3 * SECOND // 2},  # its next repeat is late, no more
        {"last_request_time": T0 + 5 * SECOND},  # it asked again in the gap
        {"request_time": T0 - 9 * SECOND, "last_request_time": T0 - 9 * SECOND},  # it had given up before
        {"reply_time": T0 + 11 * SECOND},
        {"transport": "udp"},  # which repeats when it likes
        {"capture": 1},
    ],
    ids=str,
)
def test_a_jump_forward_is_shown_by_two_open_requests(near_miss: dict[str, Any]) -> None:
    captures = [capture(gaps=((T0 + 2 * SECOND, T0 + 12 * SECOND, 5, 6),))]
    rows = [tcp_row(at=1.5, reply=11.0), connection(at=1.6, reply=11.0)]
    [finding] = found("capture-clock", view(*rows, captures=captures))
    assert "by up to 10.0 s between records 5 and 6: 2 connections" in finding.because
    assert finding.records == ((0, 5), (0, 6))
    assert not found("capture-clock", view(rows[0], captures=captures))
    assert not found("capture-clock", view(rows[0], rows[1] | near_miss, captures=captures))


@pytest.mark.parametrize("part", ["fragments", "flawed", "unread_link_type"])
def test_data_that_may_lie_in_records_that_were_not_read(part: str) -> None:
    hole = {"client_unseen": 1400, "unseen_records": ((0, 107),)}
    captures = [capture(ledger={"records": 5000, "decoded": 5000, part: 2})]
    assert not found("capture-drops", view(tcp_row(**hole), captures=captures))


def test_connections_that_had_begun_before() -> None:
    rows = [tcp_row(at=1, roles_from="port"), tcp_row(at=2, roles_from="syn")]
    [finding] = found("capture-midstream", view(*rows))
    assert finding.because.startswith("Of 1 of 2 TCP connections")
    assert finding.records == ((0, 101),)
    assert not found("capture-midstream", view(rows[1], connection(at=3, roles_from="port")))


@pytest.mark.parametrize("case", ["15-any-interface/dnat/host-3if.pcapng", "11-tcp-cases/zero-window/client.pcap"])
def test_interfaces_read_apart_are_no_clock_that_is_set_back(case: str) -> None:
    patterns = {finding["pattern"] for finding in analyse([str(ROOT / "captures" / case)]).document["findings"]}
    assert "capture-clock" not in patterns
