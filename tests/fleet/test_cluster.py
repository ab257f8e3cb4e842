"""A real scheduler with two worker processes: the same result, with a worker that dies, a file that cannot be read."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import distributed
import fsspec
import pytest

from analyzer.analysis import analyse
from analyzer.errors import UsageError
from analyzer.fleet import cluster
from analyzer.fleet.cluster import scan_on_cluster
from analyzer.fleet.work import Work
from tests.conftest import ROOT
from tests.crafted import batches_of, captured_of, joined, pieces_of, write_pcap
from tests.fleet.same import written
from tests.running import call

SILENT = ROOT / "captures" / "02-caddy-ipv4-silent" / "nft-output-drop" / "server.pcap"
PAIR = sorted((ROOT / "captures" / "21-asymmetric-route" / "asym-nginx").glob("*.pcap"))[:2]
PCAPNG = ROOT / "captures" / "15-any-interface" / "dnat" / "host-3if.pcapng"

WORKER = "import sys; sys.path[:] = {path!r}; from distributed.cli.dask_worker import main; main()"
SCHEDULER = "import sys; sys.path[:] = {path!r}; from distributed.cli.dask_scheduler import main; main()"

pytestmark = pytest.mark.filterwarnings("default")  # of Dask and its event loop


class Cluster:
    """A scheduler and worker processes on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self.processes = [self._start(SCHEDULER, "--port", "0", "--host", "127.0.0.1", "--scheduler-file", self._file)]
        until = time.monotonic() + 60
        while not self._file.exists():
            assert time.monotonic() < until, "the scheduler did not start"
            time.sleep(0.1)
        with distributed.Client(scheduler_file=str(self._file), set_as_default=False) as client:
            self.address = client.scheduler.address
            for _ in range(2):
                self.worker()
            client.wait_for_workers(2, timeout=60)

    def worker(self) -> None:
        self.processes.append(self._start(WORKER, self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"))

    def _start(self, code: str, *arguments: object) -> Any:
        more = () if code == WORKER else ("--no-dashboard",)
        command = [sys.executable, "-c", code.format(path=sys.path), *map(str, arguments), *more]
        with (self._folder / "log").open("ab") as log:
            environment = os.environ | {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
            environment["AWS_DEFAULT_REGION"] = "us-east-1"
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self._folder)

    def end(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    yield started
    started.end()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A capture in rotated files."""
    folder = tmp_path_factory.mktemp("files")
    pieces = pieces_of(joined(batches_of(SILENT)), range(40, 320, 40))
    return [write_pcap(folder / f"{k}.pcap", captured_of(piece)) for k, piece in enumerate(pieces)]


def texts(paths: list[Path]) -> list[str]:
    return [str(path) for path in paths]


@pytest.mark.parametrize("chosen", ["rotated", "two places", "mixed formats"])
def test_the_same_as_one_process(chosen: str, running: Cluster, files: list[Path]) -> None:
    paths = texts({"rotated": files, "two places": PAIR, "mixed formats": [SILENT, PCAPNG]}[chosen])
    assert written(analyse(paths, work=Work(cluster=running.address))) == written(analyse(paths, work=Work(jobs=1)))


def test_a_file_that_cannot_be_read_is_named(running: Cluster, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.pcap").write_text("no capture")
    progress: list[tuple[int, int]] = []
    paths = texts([files[0], tmp_path / "bad.pcap", files[1], tmp_path / "missing.pcap"])
    found = scan_on_cluster(
        paths, running.address, with_secrets=False, progress=lambda done, total: progress.append((done, total))
    )
    assert [name for name, _ in found.failures] == [paths[1], paths[3]]
    reasons = [str(error) for _, error in found.failures]
    assert ["not a packet capture" in reasons[0], "no such file" in reasons[1]] == [True, True]
    assert [facts.path for facts in found.facts] == [paths[0], paths[2]]
    assert len(progress) == 4
    assert progress[-1][0] == progress[-1][1] == sum(Path(paths[k]).stat().st_size for k in (0, 2))


def test_no_file_at_all(running: Cluster, tmp_path: Path) -> None:
    done = call("analyze", "--cluster", running.address, tmp_path / "missing.pcap")
    assert done.status == 2
    assert "no such file" in done.complaint


def test_a_worker_that_dies_in_the_middle(running: Cluster, files: list[Path]) -> None:
    """Half the files are scanned when it is killed; what it had done is done again by another."""
    with mock.patch.object(cluster, "tree", side_effect=cluster.tree) as trees:
        real = cluster._Run._combined

        def combined(run: Any, *arguments: Any) -> Any:
            running.processes[1].kill()  # it holds pieces that are wanted now
            running.processes[1].wait()
            return real(run, *arguments)

        with mock.patch.object(cluster._Run, "_combined", combined):
            found = written(analyse(texts(files), work=Work(cluster=running.address)))
    assert trees.called
    assert found == written(analyse(texts(files), work=Work(jobs=1)))
    running.worker()


def test_the_command_with_urls_of_an_s3_server(running: Cluster, files: list[Path], tmp_path: Path) -> None:
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"key": "key", "secret": "secret", "endpoint_url": f"http://{host}:{port}"}
    conf = {"s3": keys}
    try:
        store = fsspec.filesystem("s3", **keys)
        store.mkdir("captures")
        for path in files:
            store.pipe(f"captures/{path.name}.gz", gzip.compress(path.read_bytes()))
        store.pipe("captures/bad.pcap.gz", b"no capture")
        with distributed.Client(running.address, set_as_default=False) as client:
            client.run(lambda conf: __import__("fsspec").config.conf.update(conf), conf)
        with mock.patch.dict(fsspec.config.conf, conf):
            one = call("analyze", "--json", "--jobs", "1", "s3://captures/*.pcap.gz")
            many = call("analyze", "--json", "--cluster", running.address, "s3://captures/*.pcap.gz")
        assert (many.status, many.stdout) == (2, one.stdout)
        assert "bad.pcap.gz: not a packet capture" in many.stderr
        assert one.document["captures"][0]["format"] == "pcap.gz"
        assert len(one.document["captures"]) == len(files)
    finally:
        server.stop()


def test_urls_without_a_cluster(files: list[Path]) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/captures/a.pcap", files[0].read_bytes())
    memory.pipe("/captures/b.pcap", files[1].read_bytes())
    found, local = analyse(["memory://captures/*.pcap"]), analyse(texts(files[:2]))
    assert found.failures == []
    for name in ("sockets", "connections", "findings"):
        assert found.document[name] == local.document[name] or name == "findings"
    assert [each["records"] for each in found.document["captures"]] == [40, 40]
    (failure,) = analyse(["memory://captures/c.pcap"]).failures
    assert "cannot be opened" in str(failure[1])
    (failure,) = analyse(["nowhere://captures/*.pcap"]).failures
    assert "cannot be opened" in str(failure[1])
    (failure,) = analyse([f"file://{files[0]}.gone"]).failures
    assert "cannot be opened" in str(failure[1])


def test_no_scheduler() -> None:
    with mock.patch.object(cluster, "CONNECT_SECONDS", 1), pytest.raises(UsageError, match="no scheduler answers"):
        scan_on_cluster([str(SILENT)], "tcp://127.0.0.1:1", with_secrets=False)
    with pytest.raises(UsageError, match="standard input"):
        scan_on_cluster(["-"], "tcp://127.0.0.1:1", with_secrets=False)
