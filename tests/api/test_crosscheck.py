"""The second opinion: both agree about recorded captures, and a difference is told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from analyzer.api import crosscheck as module
from analyzer.api.crosscheck import Opinion, crosscheck
from analyzer.errors import UsageError
from tests.running import call

CASES = (
    "02-caddy-ipv4-silent/nft-output-drop/server.pcap",
    "05-wrong-source-address/aioquic-v4/client.pcap",
    "06-version-negotiation/never-converges/client.pcap",
    "11-tcp-cases/syn-rst/client.pcap",
    "11-tcp-cases/tls-alerts/server.pcap",
)


@pytest.mark.parametrize("name", CASES)
def test_both_agree(captures: Path, tshark: str, name: str) -> None:
    told = crosscheck(analyse([str(captures / name)]))
    verdicts = [opinion.verdict for opinions in told.values() for opinion in opinions]
    assert verdicts.count("agrees") > 3
    assert "differs" not in verdicts


def test_fields_are_those_of_the_transport(silent_capture: Path, tshark: str) -> None:
    analysis = analyse([str(silent_capture)])
    told = crosscheck(analysis)
    assert [each for each in told["F2"] if each.connection == "C1"] == [
        Opinion("C1", "client", "192.0.2.10:59832", "192.0.2.10:59832"),
        Opinion("C1", "server", "192.0.2.80:443", "192.0.2.80:443"),
        Opinion("C1", "server name", "example.com", "example.com"),
        Opinion("C1", "ALPN", "h3", "h3"),
        Opinion("C1", "replies", "0", "0"),
        Opinion("C1", "QUIC version", "0x00000001", "0x00000001"),
        Opinion("C1", "Initials", "5", "5"),
    ]
    tcp = crosscheck(analysis, [{"id": "X", "connections": ["C6"]}])["X"]
    flags = next(each for each in tcp if each.field == "TCP flags")
    assert flags.verdict == "agrees"
    assert "1 SYN+ACK" in flags.theirs


def test_nothing_said_is_no_difference() -> None:
    assert Opinion("C1", "ALPN", "h3", "").verdict == "unsaid"
    assert Opinion("C1", "ALPN", "", "h3").verdict == "unsaid"
    assert Opinion("C1", "ALPN", "h3", "h2").verdict == "differs"


def test_it_works_inside_a_running_event_loop(silent_capture: Path, tshark: str) -> None:
    async def asked() -> dict[str, list[Opinion]]:
        return crosscheck(analyse([str(silent_capture)]))

    assert asyncio.run(asked())["F1"]


def test_the_command_says_agreement_and_difference(
    silent_capture: Path, tshark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = call("crosscheck", silent_capture, "--finding", "quic-initial-no-reply")
    assert (done.status, done.stdout) == (0, "F2 quic-initial-no-reply: 5 connections, 35 fields agree, 0 differ\n")
    read = module._read
    monkeypatch.setattr(module, "_read", lambda packet: replace(read(packet), sni="other.example"))
    done = call("crosscheck", silent_capture, "--finding", "F2")
    assert done.status == 1
    assert "  differs   C1      server name: halfshake example.com, tshark other.example\n" in done.stdout
    rows = json.loads(call("crosscheck", silent_capture, "--json").stdout)
    assert {row["verdict"] for row in rows["F2"] if row["field"] == "server name"} == {"differs"}


def test_a_capture_without_findings_needs_no_tshark(captures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    done = call("crosscheck", captures / "01-caddy-http3-ok" / "caddy-2.6.2" / "server.pcap")
    assert (done.status, done.stdout) == (0, "no finding is about a connection\n")


def test_without_tshark_there_is_one_clear_error(silent_capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    done = call("crosscheck", silent_capture)
    assert (done.status, done.stdout) == (2, "")
    assert "tshark is not installed; it is part of Wireshark" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_pyshark_there_is_one_clear_error(silent_capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="pyshark is not installed; `pip install pyshark` adds it"):
        crosscheck(analyse([str(silent_capture)]))


def test_standard_input_cannot_be_read_twice(tshark: str, silent_capture: Path) -> None:
    from tests.running import run

    done = run("crosscheck", "-", stdin=silent_capture.read_bytes())
    assert done.status == 2
    assert "standard input can be read only once" in done.stderr
