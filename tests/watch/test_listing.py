"""Which files belong together, and which are complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.watch.listing import Entry, complete, entries_of, in_order, series_of


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("fe01-20261128-210000.pcap", "fe01"),
        ("fe02-20261128-210000.pcap", "fe02"),
        ("fe01-20261128T210000Z.pcap.gz", "fe01"),
        ("trace.pcap", "trace"),
        ("trace.pcap17", "trace"),
        ("trace.pcap.17", "trace"),
        ("web_00001_20261128210000.pcapng", "web"),
        ("capture3", "capture"),
        ("capture", "capture"),
        ("host/eth0.2026-11-28_21.00.00.cap.zst", "host/eth0"),
        ("other/eth0.2026-11-28_21.00.00.cap.zst", "other/eth0"),
        ("20261128-210000.pcap", ""),
        ("h/20261128-210000.pcap", "h/"),
    ],
)
def test_series(name: str, series: str) -> None:
    assert series_of(name) == series


def entry(name: str, second: int) -> Entry:
    return Entry(name, 100, second * 1_000_000_000, 1)


def test_the_last_of_a_series_is_complete_when_it_rests() -> None:
    series = in_order([entry("a-2.pcap", 20), entry("a-1.pcap", 10), entry("b-1.pcap", 5)])
    assert {name: [each.name for each in found] for name, found in series.items()} == {
        "a": ["a-1.pcap", "a-2.pcap"],
        "b": ["b-1.pcap"],
    }
    for now, expected in ((29, ["a-1.pcap"]), (30, ["a-1.pcap", "a-2.pcap"])):
        found = complete(series["a"], now_ns=now * 1_000_000_000, settle_ns=10_000_000_000)
        assert [each.name for each in found] == expected


def test_files_are_listed_with_those_of_subfolders_and_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("a.pcap", ".a.pcap.Xy", "host/b.pcap", ".halfshake/c.pcap", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.pcap").mkdir()
    (tmp_path / "gone.pcap").symlink_to("nowhere")
    assert sorted(each.name for each in entries_of(tmp_path, "*cap*")) == ["a.pcap", "host/b.pcap"]
