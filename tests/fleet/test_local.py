"""Several files read by several processes give what one process gives, whether they follow or overlap each other."""

from __future__ import annotations

import gzip
import itertools
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import processes
from analyzer.analysis import analyse, scan_captures
from analyzer.capture.source import open_captures
from analyzer.fleet import local
from analyzer.fleet.pieces import Told
from analyzer.fleet.pool import ATTEMPTS, Pool, WorkerLost
from analyzer.fleet.work import Work, helpers_worth
from analyzer.processes import helpers
from tests.conftest import ROOT
from tests.crafted import Captured, batch_of, batches_of, captured_of, ip, joined, pieces_of, tcp, udp, write_pcap
from tests.fleet.same import Here, plain, scanned, written
from tests.running import COMMAND, run

CAPTURES = ROOT / "captures"
SILENT = CAPTURES / "02-caddy-ipv4-silent" / "nft-output-drop" / "server.pcap"
PAIR_FILES = sorted((CAPTURES / "21-asymmetric-route" / "asym-nginx").glob("*.pcap"))[:2]


def in_parallel(files: Sequence[Path], jobs: int = 2) -> Any:
    captures = open_captures([str(file) for file in files])
    with mock.patch.object(local, "Pool", Here):
        found = scan_captures(captures, work=Work(jobs=jobs))
    return plain(found), captures.captures


def files_of(folder: Path, captured: Sequence[Sequence[Captured]]) -> list[Path]:
    return [write_pcap(folder / f"{k}.pcap", records) for k, records in enumerate(captured)]


@settings(max_examples=20)
@given(data=st.data())
def test_a_capture_cut_into_files(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    batch = joined(batches_of(SILENT))
    places = st.integers(0, len(batch.records.time))
    cuts = sorted(data.draw(st.lists(places, min_size=1, max_size=5)))
    pieces = [captured_of(piece) for piece in pieces_of(batch, cuts)]
    files = files_of(tmp_path_factory.mktemp("cut"), data.draw(st.permutations(pieces)))
    assert in_parallel(files, data.draw(st.integers(2, 4))) == scanned(*files)


@settings(max_examples=60)
@given(data=st.data())
def test_captures_of_hosts_that_overlap(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Traffic of several hosts, which may share a flow or none; times are equal, rise, or step back."""
    hosts = data.draw(st.integers(2, 4))
    shared = data.draw(st.booleans())
    steps = data.draw(st.sampled_from([(0, 1, 1000), (0, 1, 1000, -1)]))
    captured = []
    for host in range(hosts):
        time, records = 1_700_000_000_000_000_000 + data.draw(st.integers(0, 2000)), []
        for step, port, flags in data.draw(
            st.lists(st.tuples(st.sampled_from(steps), st.integers(1, 3), st.sampled_from([2, 16])), max_size=12)
        ):
            time += step
            server = f"192.0.2.{1 if shared and port == 3 else 10 + host}"
            raw = ip("198.51.100.1", server, 6, tcp((port, 443), flags, b"x" * (flags == 16)), ident=port)
            records.append(Captured(raw, time))
        captured.append(records)
    files = files_of(tmp_path_factory.mktemp("hosts"), [records or [Captured(b"\0")] for records in captured])
    assert in_parallel(files) == scanned(*files)


def test_hosts_that_share_nothing_are_read_once(tmp_path: Path) -> None:
    start = 1_700_000_000_000_000_000
    files = files_of(
        tmp_path,
        [
            [Captured(ip(f"192.0.2.{h}", "192.0.2.99", 17, udp((5, 6), b"x")), start + 7 * k + h) for k in range(9)]
            for h in range(1, 4)
        ],
    )  # fmt: skip
    with mock.patch.object(local, "TogetherJob", side_effect=AssertionError):
        assert in_parallel(files) == scanned(*files)


def test_two_places_that_see_the_same_traffic_are_read_together() -> None:
    assert in_parallel(PAIR_FILES) == scanned(*PAIR_FILES)


@pytest.mark.parametrize("jobs", [2, 4])
def test_real_processes(jobs: int, tmp_path: Path) -> None:
    pieces = [captured_of(piece) for piece in pieces_of(joined(batches_of(SILENT)), [100, 200, 300])]
    files = [str(file) for file in files_of(tmp_path, pieces)]
    assert written(analyse(files, work=Work(jobs=jobs))) == written(analyse(files, work=Work(jobs=1)))


class Killed:
    """A job during which its process is killed, the first so many times; this process waits for that."""

    size = 1

    def __init__(self, folder: Path, times: int) -> None:
        self.folder, self.times, self.here = folder, times, os.getpid()

    def run(self, told: Told) -> int:
        count = self.killed()
        if os.getpid() == self.here:
            while self.killed() < min(self.times, ATTEMPTS):
                time.sleep(0.01)
            return -1
        if count < self.times:
            (self.folder / str(count)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    def killed(self) -> int:
        return len(list(self.folder.iterdir()))


def test_a_job_whose_process_is_killed_is_done_again(tmp_path: Path) -> None:
    with Pool(2) as pool:
        assert {result for _, result in pool.run([Killed(tmp_path, 2)] * 2, lambda _: None)} == {-1, 2}


def test_a_job_that_ends_every_process_is_given_up(tmp_path: Path) -> None:
    with Pool(2) as pool:
        results = [result for _, result in pool.run([Killed(tmp_path, 99)] * 2, lambda _: None)]
    (error,) = (result for result in results if result != -1)
    assert isinstance(error, WorkerLost)
    assert "signal 9" in str(error)


def test_without_other_processes_this_one_does_all_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with Pool(3) as pool:
        assert sorted(pool.run([Killed(tmp_path, 0)] * 5, lambda _: None)) == [(k, -1) for k in range(5)]


def test_a_worker_is_left_to_whoever_needs_it_next(tmp_path: Path) -> None:
    with helpers(1):
        (before,) = processes._free or ()
        for _ in range(2):
            with Pool(2) as pool:
                assert len(list(pool.run([Killed(tmp_path, 0)] * 4, lambda _: None))) == 4
            assert processes._free == [before]


def test_workers_killed_at_random_points_change_nothing(tmp_path: Path) -> None:
    pieces = [captured_of(piece) for piece in pieces_of(joined(batches_of(SILENT)), range(40, 320, 40))]
    files = [str(file) for file in files_of(tmp_path, pieces)]
    expected = scanned(*files)
    chance = random.Random(7)
    workers: list[Any] = []
    original = Pool._take

    def take(pool: Pool) -> Any:
        worker = original(pool)
        if len(workers) < ATTEMPTS - 1:
            workers.append(worker)
            threading.Timer(chance.uniform(0, 0.2), worker.process.kill).start()
        return worker

    with mock.patch.object(Pool, "_take", take):
        captures = open_captures(files)
        found = plain(scan_captures(captures, work=Work(jobs=2))), captures.captures
    assert found == expected
    assert workers


def test_an_analysis_that_is_killed_leaves_no_processes_and_no_half_report(tmp_path: Path) -> None:
    pieces = [captured_of(piece) for piece in pieces_of(joined(batches_of(SILENT)), range(40, 320, 40))]
    files = [str(file) for file in files_of(tmp_path, pieces)]
    line = ["analyze", "--quiet", "--jobs", "2", *files, "-o", str(tmp_path / "report")]
    process = subprocess.Popen([*COMMAND, *line], stdout=subprocess.DEVNULL)
    parent, children = psutil.Process(process.pid), []
    while not children and process.poll() is None:
        children = parent.children()
        time.sleep(0.01)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert not (tmp_path / "report").exists()
    assert run(*line).status == 0
    expected = analyse(files, work=Work(jobs=1))
    assert (tmp_path / "report" / "report.json").read_text() == written(expected)


def test_a_file_that_nobody_can_read_is_named(tmp_path: Path) -> None:
    """The others are analysed, as if it had not been there."""
    pieces = [captured_of(piece) for piece in pieces_of(joined(batches_of(SILENT)), [150])]
    files = files_of(tmp_path, [*pieces, [Captured(b"\0")]])
    captures = open_captures([str(file) for file in files])

    class Fails(Here):
        def run(self, jobs: Sequence[Any], progress: Told) -> Iterator[tuple[int, Any]]:
            for index, answer in super().run(jobs, progress):
                yield index, WorkerLost("lost") if jobs[index].path == str(files[2]) else answer

    with mock.patch.object(local, "Pool", Fails):
        found = scan_captures(captures, work=Work(jobs=2))
    assert plain(found) == scanned(*files[:2])[0]
    ((name, error),) = captures.failures
    assert (name, str(error)) == (str(files[2]), "2.pcap: lost")


def test_batches_in_order() -> None:
    from analyzer.fleet.pieces import InOrder

    for times in itertools.permutations((1, 2, 3)):
        batches = InOrder([batch_of([Captured(b"\0", time)]) for time in times])
        assert len(list(batches)) == 3
        assert batches.holds == (times == (1, 2, 3))


def test_how_many_processes_pay_where_nobody_says(tmp_path: Path) -> None:
    """Files that follow one another are read side by side; those that overlap are not, since they may share flows."""
    pieces = [captured_of(piece) for piece in pieces_of(joined(batches_of(SILENT)), [150])]
    follow, compressed = files_of(tmp_path, pieces), []
    for file in follow:
        compressed.append(tmp_path / f"{file.name}.gz")
        compressed[-1].write_bytes(gzip.compress(file.read_bytes()))

    def paying(*files: Path, jobs: int | None = None) -> int:
        processors = mock.patch("os.sched_getaffinity", return_value={0, 1, 2, 3})
        with processors, mock.patch.object(local, "PARALLEL_FROM_BYTES", 10_000):
            return local.jobs_that_pay(open_captures([str(file) for file in files]), jobs)

    assert paying(*follow) == 2
    assert paying(*follow[::-1], jobs=3) == 3
    assert paying(*PAIR_FILES) == 1
    assert paying(*compressed) == 2
    assert paying(follow[0], compressed[0]) == 1
    assert paying(SILENT) == 1
    with mock.patch.object(local, "PARALLEL_FROM_BYTES", 1 << 20):
        assert local.jobs_that_pay(open_captures([str(file) for file in follow]), None) == 1
    assert paying(tmp_path / "missing.pcap", jobs=2) == 1


def test_how_many_helpers_are_started_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.fleet.work.processors", lambda: 4)
    large, small = tmp_path / "large.pcap", tmp_path / "small.pcap"
    for path, size in ((large, 130 << 20), (small, 1 << 20)):
        with path.open("wb") as file:
            file.truncate(size)

    def worth(*files: Path, **work: Any) -> int:
        return helpers_worth([str(file) for file in files], Work(**work))

    assert worth(small) == worth(small, small) == 0
    assert worth(large) == 0  # threads read it
    assert worth(large, large) == 1
    assert worth(large, large, small) == 2
    assert worth(*[large] * 9) == 3
    assert worth(large, jobs=1) == worth(large, max_memory=1 << 30) == worth(large, cluster="tcp://host:8786") == 0
    assert worth(small, jobs=2) == 0
    assert worth(small, small, jobs=2) == 1
    assert worth(large, jobs=16) == 7
    assert worth(tmp_path / "missing.pcap", Path("-")) == 0
