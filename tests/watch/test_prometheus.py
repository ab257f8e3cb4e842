"""A Prometheus scrapes a watcher."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.running import COMMAND
from tests.watch.rotated import pieces, rotate

SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def waited(ask: Any) -> Any:
    """The first answer that is not empty; both programs take a moment to start."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            if answer := ask():
                return answer
        except OSError:
            pass
        assert time.monotonic() < until, "no answer"
        time.sleep(0.2)


@pytest.fixture
def watcher(tmp_path: Path) -> Any:
    rotate(tmp_path / "in", 2)
    port = free_port()
    command = [*COMMAND, "watch", str(tmp_path / "in"), "--settle", "0", "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    yield port
    process.terminate()
    assert process.wait(20) == 128 + 15


def test_the_page(watcher: int) -> None:
    def ask() -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{watcher}/metrics") as answer:
            text = answer.read().decode()
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            return f"halfshake_records_total {len(pieces(1)[0])}\n" in text and text.endswith("# EOF\n")

    assert waited(ask)


def test_prometheus_scrapes_it(watcher: int, tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed")
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [
                    {"job_name": "halfshake", "static_configs": [{"targets": [f"127.0.0.1:{watcher}"]}]}
                ],
            }
        )
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=log,
        )

    def ask(query: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={query}") as answer:
            return [(each["metric"], each["value"][1]) for each in json.load(answer)["data"]["result"]]

    try:
        records = str(len(pieces(1)[0]))
        waited(lambda: [value for _, value in ask("halfshake_records_total")] == [records])
        ((labels, value),) = waited(lambda: ask("halfshake_quic_answered_ratio{family=%22ipv4%22}"))
        assert (labels["server"], labels["port"], value) == ("192.0.2.80", "443", "0")
        patterns = {metric["pattern"] for metric, _ in ask("halfshake_open_findings")}
        assert "quic-initial-no-reply" in patterns
    finally:
        process.terminate()
        process.wait(20)
