"""The second process: the same plots and page, and made here where it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.analysis import Analysis, analyse
from analyzer.reports.bundle import write_reports
from analyzer.reports.plots import aside
from analyzer.reports.plots.aside import Artist, artist_for, pictures_of
from tests.running import call

CAPTURES = (
    "04-reuseport-dead-worker/nginx-onset/server.pcap",
    "09-handshake-stall/handshake-packets-lost/client.pcap",
    "13-dns-aaaa-timeout/drop-aaaa/client.pcap",
)


@pytest.fixture
def artist() -> Iterator[Artist]:
    made = Artist()
    yield made
    made.close()


def analysed(captures: Path, name: str) -> Analysis:
    return analyse([str(captures / name)])


@pytest.mark.parametrize("name", CAPTURES)
def test_the_second_process_makes_the_same(captures: Path, name: str, artist: Artist) -> None:
    analysis = analysed(captures, name)
    artist.expect(analysis)
    artist.begin(analysis)
    assert list(artist.pictures(analysis)) == list(pictures_of(analysis))


def test_what_it_does_not_return_is_made_here(
    captures: Path, tmp_path: Path, artist: Artist, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = analysed(captures, CAPTURES[0])
    artist.progress(0, 1)
    assert artist._process is None
    artist.progress(1, 1)
    assert artist._process is not None
    artist._process.kill()
    artist.begin(analysis)
    assert [picture.name for picture in artist.pictures(analysis)] == ["timeline", "reply-latency", "ports"]
    write_reports(analysis, tmp_path / "report", force=False, full=False, artist=artist)
    assert (tmp_path / "report" / "plots" / "ports.png").stat().st_size > 10_000


def test_what_it_no_longer_returns_is_drawn_here(captures: Path, artist: Artist) -> None:
    analysis = analysed(captures, CAPTURES[0])
    artist.begin(analysis)
    pictures = artist.pictures(analysis)
    first = next(pictures)
    assert artist._process is not None
    artist._process.kill()
    assert [first, *pictures] == list(pictures_of(analysis))


def test_where_no_process_can_be_started_all_is_made_here(captures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    artist = Artist()
    analysis = analysed(captures, CAPTURES[0])
    artist.begin(analysis)
    assert list(artist.pictures(analysis)) == list(pictures_of(analysis))
    artist.close()


def test_an_artist_is_made_for_large_captures_alone(silent_capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with artist_for([str(silent_capture), "missing.pcap", "-"]) as artist:
        assert artist is None
    monkeypatch.setattr(aside, "WORTH_A_PROCESS_BYTES", 1)
    with artist_for([str(silent_capture)]) as artist:
        assert artist is not None


def test_the_report_is_the_same_with_an_artist(
    silent_capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("analyze", silent_capture, "-o", tmp_path / "here").status == 0
    monkeypatch.setattr(aside, "WORTH_A_PROCESS_BYTES", 1)
    assert call("analyze", silent_capture, "-o", tmp_path / "beside").status == 0
    for path in (tmp_path / "here").rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "beside" / path.relative_to(tmp_path / "here")).read_bytes()
