"""Saved scans with their tables: the same answers, made again where the tables do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest import mock

import pandas
import pytest

import analyzer
from analyzer.api import saving
from analyzer.errors import OtherVersion, UsageError
from tests.api.opened import CAPTURES, GOOD, SILENT
from tests.running import run

TABLES = ("sockets", "connections", "exchanges", "resolutions", "packets")
CASES = (
    "02-caddy-ipv4-silent/nft-output-drop/server.pcap",
    "11-tcp-cases/syn-rst/client.pcap",
    "13-dns-aaaa-timeout/drop-aaaa/client.pcap",
    "10-migration/nat-nginx1/server.pcap",
)


@pytest.mark.parametrize("case", CASES)
def test_the_answers_are_the_same(case: str, tmp_path: Path) -> None:
    fresh = analyzer.open(CAPTURES / case)
    assert fresh.save(tmp_path / "saved.scan") == tmp_path / "saved.scan"
    with mock.patch.object(saving, "exchanges", side_effect=AssertionError("judged again")):
        again = analyzer.open(tmp_path / "saved.scan")
        for name in TABLES:
            pandas.testing.assert_frame_equal(getattr(again, name), getattr(fresh, name))
        assert again.document == fresh.document
        assert str(again.verdict) == str(fresh.verdict)
        assert again.warnings == fresh.warnings


def test_connections_that_were_seen_twice_are_judged_again(tmp_path: Path) -> None:
    fresh = analyzer.open(CAPTURES / "15-any-interface/dnat/host-any.pcap")
    again = analyzer.open(fresh.save(tmp_path / "saved.scan"))
    for name in TABLES:
        pandas.testing.assert_frame_equal(getattr(again, name), getattr(fresh, name))
    assert again.document == fresh.document


def test_columns_for_patterns_are_the_same(tmp_path: Path) -> None:
    fresh = analyzer.open(CAPTURES / "11-tcp-cases" / "syn-rst" / "client.pcap")
    view = analyzer.open(fresh.save(tmp_path / "saved.scan")).analysis.view
    for name in ("connections", "exchanges", "resolutions", "stories", "hosts"):
        ours, theirs = getattr(view, name), getattr(fresh.analysis.view, name)
        for column in ours.schema:
            assert ours[column.name].dtype == theirs[column.name].dtype
            assert list(map(str, ours[column.name].tolist())) == list(map(str, theirs[column.name].tolist()))
    assert view.captures == fresh.analysis.view.captures


def test_tables_of_another_version_are_made_again(tmp_path: Path) -> None:
    fresh = analyzer.open(SILENT)
    fresh.save(tmp_path / "saved.scan")
    with (
        mock.patch.object(saving, "__version__", "99"),
        mock.patch.object(saving, "exchanges", wraps=saving.exchanges) as made,
    ):
        again = analyzer.open(tmp_path / "saved.scan")
        assert again.document == fresh.document
        made.assert_called_once()


def test_a_key_log_given_later_is_used(tmp_path: Path) -> None:
    saved = analyzer.open(GOOD, keylog=GOOD.with_name("client.keys")).save(tmp_path / "saved.scan")
    plain, opened = analyzer.open(saved), analyzer.open(saved, keylog=GOOD.with_name("client.keys"))
    assert plain.connections.equals(opened.connections)
    given = analyzer.open(saved, vantage={"server.pcap": "client"})
    assert given.document["captures"][0]["vantage"] == "client"


def test_packets_are_read_from_the_capture_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(SILENT, tmp_path)
    monkeypatch.chdir(tmp_path)
    analyzer.open("server.pcap").save("saved.scan")
    monkeypatch.chdir("/")
    again = analyzer.open(tmp_path / "saved.scan")
    assert len(again.connection("C1").scapy()) == 5
    assert len(again.connection("C6").all_packets()) == 29


def test_a_filter_does_not_judge_again(tmp_path: Path) -> None:
    saved = analyzer.open(SILENT).save(tmp_path / "saved.scan")
    with mock.patch.object(saving, "exchanges", side_effect=AssertionError("judged again")):
        assert len(analyzer.open(saved, filter="tcp").sockets) == 2


def test_a_saved_scan_is_opened_alone(tmp_path: Path) -> None:
    saved = analyzer.open(SILENT).save(tmp_path / "saved.scan")
    with pytest.raises(UsageError, match="opened alone"):
        analyzer.open([saved, SILENT])
    with pytest.raises(UsageError, match="cannot be saved"):
        analyzer.open(SILENT).save(tmp_path / "none" / "saved.scan")


def test_commands_say_what_a_saved_scan_is(tmp_path: Path) -> None:
    saved = analyzer.open(SILENT).save(tmp_path / "saved.scan")
    assert "a saved scan, which commands do not read; open it in Python" in run("analyze", saved).complaint


def test_captures_of_two_places_are_saved_apart(tmp_path: Path) -> None:
    both = analyzer.open([SILENT.with_name("client.pcap"), SILENT])
    with pytest.raises(UsageError, match="save each by itself"):
        both.save(tmp_path / "saved.scan")


def test_a_saved_scan_of_another_format_is_told_when_it_is_opened(tmp_path: Path) -> None:
    saved = analyzer.open(SILENT).save(tmp_path / "saved.scan")
    saved.write_bytes(saved.read_bytes().replace(b"halfshake-scan/1", b"halfshake-scan/9"))
    with pytest.raises((OtherVersion, analyzer.CaptureError)):
        analyzer.open(saved)
