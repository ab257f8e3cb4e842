"""What a filter leaves of an analysis."""

from __future__ import annotations

from pathlib import Path

from analyzer.analysis import Analysis, analyse
from analyzer.exchanges.filters.expression import read_filter


def looked_at(capture: Path, text: str) -> Analysis:
    return analyse([str(capture)]).chosen(wanted=read_filter(text))


def test_connections_keep_their_names_and_outcomes(silent_capture: Path) -> None:
    whole = {row["connection"]: row for row in analyse([str(silent_capture)]).connections.rows()}
    left = list(looked_at(silent_capture, "ipv4 and quic").connections.rows())
    assert [row["connection"] for row in left] == ["C1", "C2", "C3", "C4", "C5"]
    assert [repr(row) for row in left] == [repr(whole[row["connection"]]) for row in left]  # nan is not nan


def test_sockets_requests_and_packets_follow(silent_capture: Path) -> None:
    left = looked_at(silent_capture, "ipv4 and quic")
    assert [(row["family"], row["attempts"]) for row in left.sockets.rows()] == [("ipv4", 5)]
    assert set(left.exchanges["connection"]) == {"C1", "C2", "C3", "C4", "C5"}
    assert set(left.packets["connection"]) == {"C1", "C2", "C3", "C4", "C5"}


def test_findings_are_about_what_is_left_and_the_document_says_what_that_is(silent_capture: Path) -> None:
    left = looked_at(silent_capture, "ipv4 and quic")
    assert [finding["pattern"] for finding in left.document["findings"]] == ["quic-initial-no-reply"]
    assert left.document["filter"] == {"expression": "ipv4 and quic", "connections": 5, "of": 12}
    assert looked_at(silent_capture, "ipv6").document["findings"] == []
    assert looked_at(silent_capture, "port 1").document["filter"]["connections"] == 0
    assert "filter" not in analyse([str(silent_capture)]).document


def test_resolutions_follow_their_questions_and_attempts(captures: Path) -> None:
    capture = captures / "03-haproxy-ocsp-ipv6" / "noroute-default" / "haproxy-side.pcap"
    assert len(analyse([str(capture)]).resolutions) > 0
    assert len(looked_at(capture, "port 53").resolutions) == len(analyse([str(capture)]).resolutions)
    assert len(looked_at(capture, "not port 53").resolutions) < len(analyse([str(capture)]).resolutions)
