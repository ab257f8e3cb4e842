"""``analyzer.open``: lazy, the tables of the command line as DataFrames, errors of the caller."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest import mock

import pandas
import pytest

import analyzer
from analyzer.api import sources
from analyzer.errors import CaptureError, NotACapture, UnreadableFile, UsageError
from tests.api.opened import CAPTURES, GOOD, SILENT
from tests.running import run

TABLES = ("sockets", "connections", "exchanges", "resolutions", "packets")


@pytest.fixture(scope="module")
def capture() -> analyzer.Capture:
    return analyzer.open(SILENT)


def test_importing_it_imports_nothing_large() -> None:
    code = "import sys, analyzer; print(sorted({'numpy', 'pandas', 'matplotlib', 'scapy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_it_offers_exists_and_nothing_else() -> None:
    assert [name for name in dir(analyzer) if not hasattr(analyzer, name)] == []
    with pytest.raises(AttributeError, match="colour"):
        _ = analyzer.colour


def test_nothing_is_read_before_it_is_asked_for() -> None:
    with mock.patch.object(sources, "analyse", wraps=sources.analyse) as analyse:
        capture = analyzer.open(SILENT)
        assert repr(capture) == f"<Capture {SILENT}>"
        analyse.assert_not_called()
        assert len(capture.sockets) == len(capture.sockets) == 4
        assert len(capture.findings) == 3
        analyse.assert_called_once()


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_the_command_line(name: str, capture: analyzer.Capture, tmp_path: Path) -> None:
    path = tmp_path / "exported.parquet"
    assert run("export", name, SILENT, "--format", "parquet", "-o", path).status == 0
    exported, frame = pandas.read_parquet(path), getattr(capture, name)
    assert list(frame.columns) == list(exported.columns)
    for column in frame.columns:
        ours, theirs = frame[column], exported[column]
        if pandas.api.types.is_timedelta64_dtype(ours):
            ours, theirs = ours.dt.total_seconds().round(9), theirs.round(9)
        wanted = [None if pandas.isna(value) or value == "" else value for value in theirs.tolist()]
        assert [None if pandas.isna(value) else value for value in ours.tolist()] == wanted


def test_addresses_sort_as_addresses() -> None:
    addresses = analyzer.open(SILENT).sockets["address"]
    assert addresses.sort_values().tolist() == ["192.0.2.80"] * 2 + ["2001:db8:1::80"] * 2
    assert (addresses < "2001:db8:1::80").sum() == 2


def test_changing_a_table_leaves_the_others(capture: analyzer.Capture) -> None:
    frame = capture.sockets
    frame["attempts"] = 0
    frame.attrs["columns"]["port"]["meaning"] = "changed"
    assert capture.sockets["attempts"].tolist() == [1, 1, 5, 5]
    assert capture.sockets.attrs["columns"]["port"] == {"unit": "", "meaning": "server port", "source": ""}


def test_several_captures_are_one_analysis() -> None:
    pair = [GOOD, GOOD.with_name("client.pcap")]
    capture = analyzer.open(pair, vantage={"client.pcap": "client"})
    assert capture.paths == [str(path) for path in pair]
    assert [each["vantage"] for each in capture.document["captures"]][1] == "client"


def test_a_key_log_opens_more() -> None:
    without, opened = analyzer.open(GOOD), analyzer.open(str(GOOD), keylog=GOOD.with_name("client.keys"))
    assert opened.connections["close_code"].notna().sum() > without.connections["close_code"].notna().sum()
    with pytest.raises(UsageError, match="key log"):
        _ = analyzer.open(GOOD, keylog="/nowhere").sockets


def test_a_filter_chooses_connections(tmp_path: Path) -> None:
    capture = analyzer.open(SILENT, filter="tcp and ipv6")
    assert capture.connections["transport"].tolist() == ["tcp"]
    assert set(capture.packets["connection"].dropna()) == set(capture.connections["connection"])
    assert len(analyzer.open(analyzer.open(SILENT).save(tmp_path / "a.scan"), filter="tcp and ipv6").connections) == 1
    with pytest.raises(UsageError, match="filter"):
        analyzer.open(SILENT, filter="port and")
    with pytest.raises(UsageError, match="without a filter"):
        capture.save(tmp_path / "b.scan")


def test_the_verdict_is_that_of_the_command_line(capture: analyzer.Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    done = run("analyze", "--quiet", SILENT)
    assert str(capture.verdict) == done.stdout
    assert repr(capture.verdict) == "Fault found: QUIC port 443 of 192.0.2.80 is dead over IPv4 and alive over IPv6"
    assert capture.document == run("analyze", "--json", SILENT).document


def test_a_report_folder(capture: analyzer.Capture, tmp_path: Path) -> None:
    folder = capture.report(tmp_path / "report")
    assert {"report.md", "report.json", "evidence.pcapng"} <= {path.name for path in folder.iterdir()}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note").touch()
    with pytest.raises(UsageError, match="--force"):
        capture.report(tmp_path / "other")
    assert capture.report(tmp_path / "other", force=True).is_dir()


def test_comparing() -> None:
    before, after = analyzer.open(SILENT), analyzer.open(GOOD)
    better, worse = before.compare(after), after.compare(before)
    assert (better.is_worse, worse.is_worse) == (False, True)
    assert better.frame["direction"].tolist()[0] == "better"
    assert repr(worse).startswith("worse    appeared: error address-family-silent")
    assert repr(before.compare(before)) == "nothing changed"
    assert before.compare(before)._repr_html_() == "<p>nothing changed</p>"


def test_what_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        analyzer.open(tmp_path / "none.pcap")
    with pytest.raises(NotACapture):
        analyzer.open(Path(__file__))
    with pytest.raises(UsageError, match="no capture"):
        analyzer.open([])
    (tmp_path / "other.zip").write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(CaptureError):
        analyzer.open(tmp_path / "other.zip")


def test_one_file_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "ring1.pcap").touch()
    capture = analyzer.open([SILENT, tmp_path / "ring1.pcap"])
    assert len(capture.sockets) == 4
    assert "ring1.pcap: empty" in capture.warnings[0]


def test_records_of_any_kind() -> None:
    capture = analyzer.open(CAPTURES / "01-caddy-http3-ok" / "caddy-2.6.2" / "server.pcap")
    total = capture.document["captures"][0]["records"]
    every = capture.records(1, total)
    assert every["record"].tolist() == list(range(1, total + 1))
    selected = capture.packets
    same = every[every["record"].isin(selected["record"])].reset_index(drop=True)
    for column in ("time", "connection", "direction", "kind", "family", "length", "captured_length", "detail", "flaw"):
        ours, theirs = ([None if pandas.isna(v) else v for v in each[column]] for each in (same, selected))
        assert ours == theirs
    assert len(every) > len(selected)
    assert capture.records(3, 5)["record"].tolist() == [3, 4, 5]
    assert len(capture.records(total + 1, total + 9)) == 0
    with pytest.raises(UsageError, match="no capture 1"):
        capture.records(1, 2, capture=1)
