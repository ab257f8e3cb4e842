"""From findings and connections to packets: DataFrames, scapy, pyshark, Wireshark, ladders."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer.api.decoded import in_a_thread, raw_records
from analyzer.api.display import findings_html, findings_markdown
from analyzer.api.evidence import frames_filter
from analyzer.errors import UsageError
from tests.api.opened import CAPTURES, SILENT

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e[x](javascript:1) **b**"


@pytest.fixture(scope="module")
def capture() -> analyzer.Capture:
    return analyzer.open(SILENT)


def test_a_finding_and_its_records(capture: analyzer.Capture) -> None:
    finding = capture.findings["quic-initial-no-reply"]
    assert finding is capture.findings[1] is capture.findings["F2"]
    assert (finding.severity, finding.confidence, finding.family) == ("error", "likely", "ipv4")
    assert finding.counts["affected"] == 5
    assert finding.onset is None
    assert str(finding.first_time) == "2026-11-21 23:05:24.499449+00:00"
    assert finding.records == [(0, record) for record in range(7, 29)]
    assert finding.packets()["record"].tolist() == list(range(7, 29))
    assert [each.id for each in finding.connections] == ["C1", "C2", "C3", "C4", "C5"]


def test_findings_by_number_word_and_slice(capture: analyzer.Capture) -> None:
    findings = capture.findings
    assert [each.id for each in findings[1:]] == ["F2", "F3"] == findings[1:].frame["id"].tolist()
    assert [each.id for each in findings.of(severity="warning")] == ["F3"]
    assert len(findings.of(family="ipv6")) == 0
    assert repr(findings.of(family="ipv6")) == "<no findings>"
    assert repr(findings).splitlines()[0].startswith("<Finding F1 error address-family-silent: ")
    with pytest.raises(KeyError, match="F9"):
        findings["F9"]
    with pytest.raises(IndexError):
        findings[3]


def test_a_connection_and_its_packets(capture: analyzer.Capture) -> None:
    connection = capture.connection("C6")
    assert repr(connection).startswith("<Connection C6: tcp from 192.0.2.10 port 49160 to 192.0.2.80 port 443, ans")
    assert len(connection.records) == len(connection.packets()) == 23
    every = connection.all_packets()
    assert len(every) == connection.row["client_packets"] + connection.row["server_packets"] == 29
    assert set(every["connection"]) == {"C6"}
    with pytest.raises(UsageError, match="no connection 'C99'"):
        capture.connection("C99")


def test_all_packets_of_a_connection_on_two_paths() -> None:
    capture = analyzer.open(CAPTURES / "10-migration" / "nat-nginx1" / "server.pcap")
    rows = capture.connections
    moved = rows[rows["paths"] > 1].iloc[0]
    every = capture.connection(moved["connection"]).all_packets()
    assert len(every) == moved["client_packets"] + moved["server_packets"]
    assert every["source_port"].nunique() == 3


def test_all_packets_of_a_connection_seen_at_both_ends() -> None:
    """Each place has them in its own clock."""
    both = analyzer.open([SILENT.with_name("client.pcap"), SILENT])
    tcp = both.connections.query("transport == 'tcp' and family == 'ipv4'").iloc[0]
    every = both.connection(tcp["connection"]).all_packets()
    alone = analyzer.open(SILENT).connection("C6").all_packets()
    assert every.groupby("capture").size().loc[1] == len(alone) == 29
    assert every.groupby("capture").size().loc[0] == 29


def test_scapy_packets(capture: analyzer.Capture) -> None:
    packets = capture.connection("C1").scapy()
    assert len(packets) == 5
    assert packets[0].comment == b"record 7 of server.pcap"
    assert (packets[0]["UDP"].dport, packets[0].wirelen) == (443, 1242)
    assert str(packets[0].time) == "1795302324.499449"


def test_packets_of_pyshark_inside_a_running_loop(capture: analyzer.Capture, tshark: str) -> None:
    """As in a notebook, where pyshark by itself raises."""

    async def cell() -> list[Any]:
        return capture.connection("C1").pyshark()

    packets = asyncio.run(cell())
    assert [packet.number for packet in packets] == ["7", "8", "9", "10", "11"]
    assert packets[0].quic.dcid.raw_value == "776f9d0d7a3401eb" or "776f9d0d7a3401eb" in str(
        packets[0].quic.dcid
    ).replace(":", "")


def test_what_goes_wrong_in_the_thread_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        in_a_thread(lambda: [1 / 0])


def test_records_that_cannot_be_read_again(tmp_path: Path) -> None:
    copy = Path(shutil.copy(SILENT, tmp_path))
    finding = analyzer.open(copy).findings[0]
    assert len(finding.records) == 22
    copy.write_bytes(copy.read_bytes()[:2000])
    with pytest.raises(UsageError, match="changed"):
        finding.scapy()
    with pytest.raises(UsageError, match="choose fewer"):
        raw_records([str(copy)], [(0, number) for number in range(20_001)])


def test_the_wireshark_command_finds_those_records(capture: analyzer.Capture, tshark: str) -> None:
    opened = capture.findings[0].wireshark()
    assert opened.filter == "frame.number in {7..28}"
    command = shlex.split(str(opened))
    assert command == ["wireshark", "-r", str(SILENT), "-Y", opened.filter]
    done = subprocess.run([tshark, *command[1:], "-T", "fields", "-e", "frame.number"], capture_output=True, check=True)
    assert list(map(int, done.stdout.split())) == [record for _, record in capture.findings[0].records]


def test_a_filter_of_single_records_and_runs() -> None:
    assert frames_filter([3, 7, 8, 9, 22]) == "frame.number in {3, 7..9, 22}"


def test_ladders_are_drawn(capture: analyzer.Capture) -> None:
    texts = [text.get_text() for text in capture.findings["F2"].ladder().texts]
    assert any(text.startswith("record 7") for text in texts)
    assert any(
        text.startswith("record 29") for text in (each.get_text() for each in capture.connection("C6").ladder().texts)
    )


def test_a_finding_about_no_connection_has_no_ladder() -> None:
    capture = analyzer.open(CAPTURES / "13-dns-aaaa-timeout" / "drop-aaaa" / "client.pcap")
    about_none = [each for each in capture.findings if not each.document["connections"]]
    assert about_none
    with pytest.raises(UsageError, match="no ladder"):
        about_none[0].ladder()


@pytest.mark.parametrize("name", ["timeline", "reply_latency", "ports", "amplification", "waterfall", "ladder"])
def test_plots_return_axes_of_pyplot(name: str, capture: analyzer.Capture) -> None:
    from matplotlib import pyplot

    try:
        ax = getattr(capture.plot, name)()
        assert pyplot.gcf() is ax.figure
        _, mine = pyplot.subplots()
        assert getattr(capture.plot, name)(ax=mine) is mine
    finally:
        pyplot.close("all")


def test_nothing_of_a_capture_is_markup(capture: analyzer.Capture) -> None:
    document = dict(capture.findings[0].document) | {"title": HOSTILE, "because": HOSTILE, "remedies": [HOSTILE]}
    finding = analyzer.api.findings.Finding(capture, document)
    shown = finding._repr_html_() + findings_html([document])
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    markdown = finding._repr_markdown_() + findings_markdown([document])
    assert "\x1b" not in markdown
    assert "`<script>alert(1)</script>" in markdown
    assert "\x1b" not in repr(finding)


def test_reprs_of_a_capture(capture: analyzer.Capture) -> None:
    assert "<table>" in capture._repr_html_()
    assert capture._repr_markdown_().startswith("**Fault found**: QUIC port 443 of 192.0.2.80")
    good = analyzer.open(CAPTURES / "01-caddy-http3-ok" / "caddy-2.6.2" / "server.pcap")
    assert "No silent sockets seen" in good.verdict._repr_html_()
    assert "F1" in capture.findings._repr_markdown_()
