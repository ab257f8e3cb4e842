"""QUIC flows read by two processes give what one gives, whatever becomes of the second."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analyzer import processes
from analyzer.analysis import open_captures, scan_captures
from analyzer.events.connection import UDP_PROTOCOL, Connection, Flows
from analyzer.events.quic import aside
from analyzer.events.quic.aside import Second, answer_of, beside, portion_of, read_flows
from analyzer.events.scan import Scan, settle
from analyzer.processes import helper, helpers, python_beside

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
CASES = sorted(CAPTURES.glob("*/*/server.pcap"))


@pytest.fixture(scope="module")
def scanned() -> Scan:
    """The scan of a dozen captures together."""
    return settle(scan_captures(open_captures([str(path) for path in CASES[:12]])))


def udp_flows(flows: Flows) -> list[int]:
    return list(flows.with_protocol(UDP_PROTOCOL))


def in_order(connections: list[Connection]) -> list[Connection]:
    return sorted(connections, key=lambda connection: connection.rows[0])


@pytest.fixture(scope="module")
def alone(scanned: Scan) -> list[Connection]:
    flows = Flows(scanned)
    return in_order(read_flows(flows, udp_flows(flows), Second(at_flows=-1)))


def test_two_processes_find_what_one_finds(
    scanned: Scan, alone: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "PORTION", 2)
    monkeypatch.setattr(aside, "processors", lambda: 2)
    flows, second, ended = Flows(scanned), Second(at_flows=1), []
    finish = second.finish
    monkeypatch.setattr(second, "finish", lambda: ended.append(finish()) or ended[0])
    assert in_order(read_flows(flows, udp_flows(flows), second)) == alone
    ((messages, unread),) = ended
    assert len(alone) > 20
    assert messages, "nothing was read aside"
    assert not unread, "what was given was not read"


def test_the_second_process_finds_in_every_capture_what_this_one_finds() -> None:
    found = 0
    for path in CASES:
        flows = Flows(settle(scan_captures(open_captures([str(path)]))))
        chosen = udp_flows(flows)
        if not chosen:
            continue
        message = aside.marshal.dumps(answer_of(*portion_of(flows, chosen)))
        received = [aside._received(plain) for plain in aside.marshal.loads(message)]
        assert in_order(received) == in_order(read_flows(flows, chosen, Second(at_flows=-1))), path
        found += len(received)
    assert found > 100


@pytest.mark.parametrize("target", ["os:abort", "sys:exit", "no_such_module:serve"])
def test_what_a_second_process_leaves_unread_is_read_here(
    target: str, scanned: Scan, alone: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "PORTION", 2)
    monkeypatch.setattr(aside, "processors", lambda: 2)
    monkeypatch.setattr(aside, "_TARGET", target)
    flows = Flows(scanned)
    assert in_order(read_flows(flows, udp_flows(flows), Second(at_flows=1))) == alone


def test_without_processes_everything_is_read_here(
    scanned: Scan, alone: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(aside, "PORTION", 2)
    monkeypatch.setattr(aside, "processors", lambda: 2)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    flows = Flows(scanned)
    assert in_order(read_flows(flows, udp_flows(flows), Second(at_flows=1))) == alone


def test_a_second_process_that_was_started_for_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "processors", lambda: 2)
    second = Second(at_flows=10)
    second.expect(9)
    assert not second.wants()
    second.expect(10)
    assert second.wants()
    assert second.finish() == ([], [])
    assert second._process.returncode is not None


def test_with_one_processor_there_is_no_second_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "processors", lambda: 1)
    second = Second(at_flows=1)
    second.expect(100)
    assert not second.wants()


def test_a_message_that_is_cut_ends_the_second_process_quietly() -> None:
    with python_beside("analyzer.processes:attend", stderr=subprocess.PIPE) as process:
        out, err = process.communicate(pickle.dumps(aside._TARGET) + pickle.dumps(bytes(90))[:-9])
    assert (process.returncode, out, err) == (0, b"", b"")


def test_the_second_process_is_ended_where_reading_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(target: str) -> subprocess.Popen[bytes]:
        started.append(helper(target))
        return started[-1]

    monkeypatch.setattr(aside, "processors", lambda: 2)
    monkeypatch.setattr(aside, "helper", start)

    def interrupted() -> None:
        with beside(alone=False):
            aside._ready[-1].expect(aside.WORTH_A_PROCESS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process.returncode is None for process in started] == [False]
    assert not aside._ready
    with beside(alone=True):
        aside._ready[-1].expect(aside.WORTH_A_PROCESS)
    assert len(started) == 1


def test_a_helper_that_is_there_is_the_second_process(
    scanned: Scan, alone: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "PORTION", 2)
    monkeypatch.setattr(aside, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(aside, "processors", lambda: 2)
    flows = Flows(scanned)
    with helpers(1), beside(alone=False):
        (process,) = processes._free or ()
        assert in_order(read_flows(flows, udp_flows(flows))) == alone
        assert processes._free == []
        assert process.returncode is not None


def test_one_second_process_after_another_reads_for_each_place(
    scanned: Scan, alone: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "PORTION", 2)
    monkeypatch.setattr(aside, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(aside, "processors", lambda: 2)
    flows = Flows(scanned)
    with beside(alone=False):
        for _ in range(2):
            assert in_order(read_flows(flows, udp_flows(flows))) == alone
