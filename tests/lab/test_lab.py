"""A case recorded again from a real server, and analysed: where root and network namespaces are to be had."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import pytest

from analyzer.analysis import analyse
from analyzer.patterns.catalogue import CATALOGUE
from captures.lab import record as lab
from captures.lab.cases import CASES, stopped
from captures.lab.namespaces import Lab, Unavailable, found, needed
from captures.lab.ocsp import SITES, STARTS
from tests.conftest import ROOT


def namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_a_server_that_is_stopped(tmp_path: Path) -> None:
    """Both ends together say that the requests arrived and that no reply left."""
    short = dataclasses.replace(CASES["server-stopped"], play=stopped(1, 2))
    try:
        with mock.patch.dict(lab.CASES, {"server-stopped": short}):
            folder = lab.record("server-stopped", tmp_path / "recording")
    except Unavailable as reason:
        pytest.skip(f"no lab here: {reason}")
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert [attempt["handshake"] for attempt in truth["attempts"]] == ["ok", "timeout", "timeout"]
    assert "SIGSTOP" in (folder / "PROVENANCE.md").read_text(encoding="utf-8")
    given = {"client.pcap": "client", "server.pcap": "server"}  # where the kernel has no netem nothing tells
    analysis = analyse([str(folder / name) for name in given], vantages=given)
    by_port = {row["client_port"]: row["outcome"] for row in analysis.connections.rows() if row["transport"] == "quic"}
    assert by_port == {
        attempt["sport"]: "answered" if attempt["handshake"] == "ok" else "silent" for attempt in truth["attempts"]
    }
    [silent] = [each for each in analysis.document["findings"] if each["pattern"] == "quic-initial-no-reply"]
    assert (
        "the requests of all 2 reached the server's interface (server.pcap) and no reply left it" in silent["because"]
    )
    assert not [name for name in namespaces().split() if name.startswith(f"halfshake-{os.getpid()}-")]


def test_haproxy_that_asks_for_one_family(tmp_path: Path) -> None:
    """The whole way of the OCSP case: names, responder, HAProxy; and the finding that its answer key asks for."""
    try:
        folder = lab.record("haproxy-ocsp-noroute", tmp_path / "recording")
    except Unavailable as reason:
        pytest.skip(f"no lab here: {reason}")
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert sum("HTTP error" in attempt["log"] for attempt in truth["attempts"]) == SITES * STARTS
    for name in lab.KEPT:
        patterns = {each["pattern"] for each in analyse([str(folder / name)]).document["findings"]}
        assert "no-address-family-fallback" in patterns


def test_programs_of_a_folder_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tmp_path / "caddy"
    given.touch(mode=0o755)
    monkeypatch.setenv("LAB_PROGRAMS", str(tmp_path))
    assert found("caddy") == str(given)
    assert found("no-such-program") is None


def briefly() -> AbstractContextManager[object]:
    """Whatever the lab waits for takes 0.2 s."""
    wait = time.sleep
    return mock.patch("captures.lab.namespaces.time.sleep", lambda seconds: wait(min(seconds, 0.2)))


def record_stopped(room: Lab, *after: signal.Signals) -> None:
    process = room.start("server", sys.executable, "-c", "import time; time.sleep(60)")
    with room.recording():
        room.stop(process)
        for number in after:
            os.killpg(process.pid, number)


def test_a_stopped_process_that_someone_lets_go_on(tmp_path: Path) -> None:
    """The recording is not the case then: it is refused, and nothing is analysed."""
    try:
        needed(("ip", "tcpdump"))
        with Lab(tmp_path) as room, briefly():
            record_stopped(room)
    except Unavailable as reason:
        pytest.skip(f"no lab here: {reason}")
    with (
        Lab(tmp_path) as room,
        briefly(),
        pytest.raises(Unavailable, match="another program"),
    ):
        record_stopped(room, signal.SIGCONT)


def test_lists_the_cases() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "captures.lab.record"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(CASES)


def test_every_capture_of_a_case_has_an_answer_key() -> None:
    patterns = {module.PATTERN.id for module in CATALOGUE}
    for case in CASES.values():
        assert set(case.expected) == {"client.pcap", "server.pcap"}
        for key in case.expected.values():
            named = [name.partition("@")[0] for alternatives in key["must"] for name in alternatives] + key["may"]
            assert set(named) <= patterns
