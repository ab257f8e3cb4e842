"""Rows of the exchanges table for requests inside TCP connections: outcomes with their reasons, and records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer.analysis import analyse
from tests.conftest import ROOT
from tests.crafted import SECOND, Captured
from tests.events.playbook import SERVER, A, F, P, Play, R
from tests.events.requests.asking import Asking
from tests.exchanges.analysed import analysed, rows

GET = b"GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def exchange(folder: Path, asking: Asking, *, later: int = 10) -> dict[str, Any]:
    """The one HTTP exchange, in a capture that goes on for some seconds."""
    play = asking.play
    play.wait(later * 1000).ask(b"something else")
    (row,) = [row for row in rows(folder, play.captured, "exchanges") if row["kind"] == "http"]
    return row


def test_an_answered_request(tmp_path: Path) -> None:
    row = exchange(tmp_path, Asking().c(GET).s(OK))
    assert (row["outcome"], row["outcome_reason"], row["request_record"], row["reply_record"]) == ("answered", "", 4, 5)
    assert (row["connection"], row["transport"], row["family"], row["name"]) == ("C1", "tcp", "ipv4", "www.example.com")
    assert (row["repeats"], row["reply_latency_s"]) == (0, pytest.approx(0.01))
    assert (row["asked"], row["replied"], row["status"]) == ("GET /a", "HTTP 200", 200)
    assert (row["request_records"], row["evidence_records"]) == (((0, 4),), ((0, 5),))


def test_silence(tmp_path: Path) -> None:
    asking = Asking().c(GET)
    asking.play.wait(300).c(A | P, GET, seq=101, ack=901)
    row = exchange(tmp_path, asking)
    assert (row["outcome"], row["outcome_reason"], row["repeats"], row["reply_record"]) == ("silent", "", 1, -1)
    assert row["request_records"] == ((0, 4), (0, 5))


@pytest.mark.parametrize(("flags", "word"), [(R | A, "reset"), (F | A, "closed")])
def test_an_end_in_place_of_an_answer(tmp_path: Path, flags: int, word: str) -> None:
    row = exchange(tmp_path, Asking().c(GET).s(b"", flags=flags))
    assert (row["outcome"], row["outcome_reason"], row["reply_record"]) == ("refused", word, -1)
    assert row["evidence_records"] == ((0, 5),)


def test_undetermined(tmp_path: Path) -> None:
    soon = exchange(tmp_path, Asking().c(GET), later=2)
    assert (soon["outcome"], soon["outcome_reason"]) == ("undetermined", "capture-ended")
    left = exchange(tmp_path, Asking().c(GET).c(b"", flags=F | A))
    assert (left["outcome"], left["outcome_reason"]) == ("undetermined", "client-closed")
    half = exchange(tmp_path, Asking().c(GET[:-4]))
    assert (half["outcome"], half["outcome_reason"]) == ("undetermined", "request-not-valid")


def test_a_cut_record(tmp_path: Path) -> None:
    asking = Asking().c(GET)
    whole = asking.play.captured[3]
    asking.play.captured[3] = Captured(whole.raw[:70], whole.time, wire=len(whole.raw))
    row = exchange(tmp_path, asking)
    assert (row["outcome"], row["outcome_reason"], row["asked"]) == ("undetermined", "cut-record", "GET /a")


def test_what_was_not_kept(tmp_path: Path) -> None:
    asking = Asking().c(GET).s(OK)
    play = asking.c(GET).s(b"what is no head").play
    play.wait(9000).ask(b"later")
    second = [row for row in rows(tmp_path, play.captured, "exchanges") if row["kind"] == "http"][1]
    assert (second["outcome"], second["outcome_reason"]) == ("undetermined", "not-kept")


def test_one_direction_only(tmp_path: Path) -> None:
    play = Play().c(2, seq=100).c(A, seq=101, ack=901).c(A | P, GET, seq=101, ack=901)
    asking = Asking.__new__(Asking)
    asking.play = play
    row = exchange(tmp_path, asking)
    assert (row["outcome"], row["outcome_reason"]) == ("undetermined", "one-way")


def test_the_client_behind_a_proxy(tmp_path: Path) -> None:
    row = exchange(tmp_path, Asking().c(b"PROXY TCP4 203.0.113.7 192.0.2.10 40000 80\r\n" + GET).s(OK))
    assert (row["served_client"], row["client_address"]) == ("203.0.113.7 port 40000", "192.0.2.10")


def test_packets_say_what_they_hold(tmp_path: Path) -> None:
    packets = rows(tmp_path, Asking().c(GET).s(OK).play.captured, "packets")
    assert [row["detail"] for row in packets[3:]] == [
        "ACK, GET /a, Host www.example.com; 42 bytes of data",
        "ACK, HTTP 200; 38 bytes of data",
    ]


def test_ocsp_over_the_family_that_works() -> None:
    """HAProxy's fetches by POST and GET (captures/03-haproxy-ocsp-ipv6/noroute-prefer4)."""
    analysis = analyse([str(ROOT / "captures/03-haproxy-ocsp-ipv6/noroute-prefer4/haproxy-side.pcap")])
    table = [row for row in analysis.exchanges.rows() if row["kind"] == "ocsp"]
    assert [(row["request_record"], row["reply_record"], row["outcome"], row["status"]) for row in table] == [
        (8, 10, "answered", 200),
        (16, 17, "answered", 200),
        (23, 24, "answered", 200),
        (30, 31, "answered", 200),
    ]
    assert {(row["name"], row["ocsp_serial"], row["family"]) for row in table} == {("ocsp.example.com", "1001", "ipv4")}
    assert [row["ocsp_status"] for row in table] == ["good"] * 4
    assert table[0]["asked"] == "OCSP request, serial 1001 by POST"
    assert table[1]["replied"] == "HTTP 200, OCSP good until 2026-11-22T23:08:48Z"
    assert table[0]["ocsp_until"] - table[0]["request_time"] == pytest.approx(86400 * SECOND, abs=2 * SECOND)


def test_too_many_requests_are_left_out_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.events.requests.reader.MOST_REQUESTS", 1)
    captured = Asking().c(GET).s(OK).play.captured
    captured += Asking(Play(("192.0.2.11", 50660), SERVER)).c(GET).s(OK).play.captured
    analysis = analysed(tmp_path, captured)
    assert [row["client_address"] for row in analysis.exchanges.rows() if row["kind"] == "http"] == ["192.0.2.10"]
    (warning,) = [words for words in analysis.document["captures"][0]["warnings"] if "requests" in words]
    assert "1 connections were not read" in warning
