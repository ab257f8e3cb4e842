"""A file scanned by threads is the same as a file scanned by one, and what one must do is left to it."""

from __future__ import annotations

import gzip
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from analyzer.capture.source import CaptureFile, CaptureSet, open_captures
from analyzer.events import scan as scans
from analyzer.fleet import limit, threads
from analyzer.fleet.ranges import cuts_of
from analyzer.fleet.threads import scan_by_threads
from analyzer.fleet.work import Work
from tests.conftest import ROOT
from tests.fleet.same import at_most, plain, scanned, written

CAPTURES = ROOT / "captures"
PCAP = CAPTURES / "02-caddy-ipv4-silent/nft-output-drop/server.pcap"
FILES = (
    PCAP,
    CAPTURES / "15-any-interface/dnat/host-3if.pcapng",
    CAPTURES / "15-any-interface/dnat/host-any.pcap",
    CAPTURES / "11-tcp-cases/synack-lost-path/server.pcap",
)


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "RANGE_BYTES", 1000)
    monkeypatch.setattr(threads, "processors", lambda: 3)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def by_threads(captures: CaptureSet) -> object:
    pcapng = captures.captures[0].format.startswith("pcapng")
    found = scan_by_threads(captures, with_secrets=pcapng)
    return found and (plain(found), captures.captures)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_same_as_one_thread(path: Path) -> None:
    assert cuts_of(str(path), path.stat().st_size, 3) is not None
    assert by_threads(open_captures([str(path)])) == scanned(path)


def test_the_bytes_read_are_told_by_the_thread_that_asked() -> None:
    told: list[int] = []

    def progress(done: int, size: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append(done)

    assert by_threads(open_captures([str(PCAP)], progress=progress))
    assert told == sorted(told)
    assert told[-1] == PCAP.stat().st_size


@pytest.mark.parametrize("place", range(4))
def test_what_may_be_too_much_is_left_to_one_thread(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "MOST", at_most(place, 1))
    captures = open_captures([str(PCAP)])
    before = list(captures.captures)
    assert by_threads(captures) is None
    assert captures.captures == before


def test_an_interruption_ends_all_threads() -> None:
    def progress(done: int, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        by_threads(open_captures([str(PCAP)], progress=progress))


def test_what_a_thread_raises_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(scans.Scanner, "add", raises)
    with pytest.raises(MemoryError):
        by_threads(open_captures([str(PCAP)]))


def test_no_threads_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()

    def one_alone(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", one_alone)
    assert by_threads(open_captures([str(PCAP)])) is None
    assert not started[0].is_alive()


def test_a_file_that_grew_is_read_to_its_new_end(tmp_path: Path) -> None:
    """The look found the first half of it, and the record in the middle is not whole there."""
    whole, path = PCAP.read_bytes(), tmp_path / PCAP.name
    path.write_bytes(whole[: len(whole) // 2 + 5])
    captures = open_captures([str(path)])
    path.write_bytes(whole)
    expected = CaptureFile(str(path))
    expected.disk_bytes = len(whole) // 2 + 5
    (batch, *more) = expected.read(index=0, compiled=False, block_bytes=4 << 20)
    found = scan_by_threads(captures, with_secrets=False)
    assert found is not None
    assert not more
    assert int(found.ledger[0, 0]) == len(batch.records.time)
    assert captures.captures[0].cut == expected.facts.cut == ""


@pytest.mark.parametrize("left", [0, 10_000, 40_001])
def test_a_file_that_shrank_or_went_away(left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the places to cut it were found."""
    path, plan = tmp_path / PCAP.name, cuts_of(str(PCAP), PCAP.stat().st_size, 3)
    monkeypatch.setattr(threads, "cuts_of", lambda *_: plan)
    shutil.copy(PCAP, path)
    captures, alone = (open_captures([str(path)]) for _ in range(2))
    path.write_bytes(PCAP.read_bytes()[:left])
    if not left:
        path.unlink()
        assert by_threads(captures) is None
        return
    for _ in alone.batches(False):
        pass
    assert by_threads(captures)
    assert captures.captures[0].records == alone.captures[0].records > 0
    assert captures.captures[0].cut == alone.captures[0].cut != ""


def test_what_one_thread_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "server.pcap.gz"
    packed.write_bytes(gzip.compress(PCAP.read_bytes()))
    assert by_threads(open_captures([str(packed)])) is None
    assert by_threads(open_captures([str(PCAP), str(FILES[2])])) is None
    monkeypatch.setattr(threads, "processors", lambda: 1)
    assert by_threads(open_captures([str(PCAP)])) is None


def test_an_analysis_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads read where nobody said how many processes are to, and not where one process is to read alone."""
    monkeypatch.setattr("analyzer.analysis.PARALLEL_FROM_BYTES", 0)
    started: list[object] = []
    run = threads._Threads.run

    def noted(self: threads._Threads, *given: object) -> object:
        started.append(self)
        return run(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(threads._Threads, "run", noted)
    alone = written(analyse([str(PCAP)], work=Work(jobs=1)))
    assert not started
    assert written(analyse([str(PCAP)])) == alone
    assert len(started) == 1
