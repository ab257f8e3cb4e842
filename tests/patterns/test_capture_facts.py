"""capture-clock, capture-drops, capture-midstream and capture-offload."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.analysis import analyse
from tests.conftest import ROOT
from tests.patterns.tables import capture, connection, found, view
from tests.patterns.tables import tcp as tcp_row


@pytest.mark.parametrize(
    ("pattern", "fires"),
    [
        ("capture-clock", {"backward_records": ((0, 7),)}),
        ("capture-offload", {"large_records": ((0, 7),), "largest_payload": 9000}),
        ("capture-drops", {"dropped": 7}),
    ],
)
def test_what_a_capture_says_of_itself(pattern: str, fires: dict[str, Any]) -> None:
    [finding] = found(pattern, view(connection(), captures=[capture(**fires)]))
    assert finding.severity == "info"
    assert "7" in finding.because
    assert not found(pattern, view(connection(), captures=[capture()]))


def test_data_that_was_acknowledged_and_never_seen() -> None:
    hole = {"server_unseen": 2896, "unseen_records": ((0, 107),)}
    rows = [tcp_row(at=1, **hole), tcp_row(at=2)]
    [finding] = found("capture-drops", view(*rows))
    assert finding.because.startswith("In 1 of 2 TCP connections of server.pcap the receiver acknowledged 2,896 bytes")
    assert (finding.severity, finding.records) == ("info", ((0, 107),))
    assert not found("capture-drops", view(rows[1]))


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
