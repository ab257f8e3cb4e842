"""Reports of recorded captures, as the command line writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from analyzer.analysis import analyse
from analyzer.reports.bundle import write_reports
from analyzer.reports.summary import socket_groups
from analyzer.reports.terminal import verdict

CAPTURES = Path(__file__).parents[2] / "captures"
ALL = sorted(path for path in CAPTURES.rglob("*.pcap*") if path.is_file())


def test_families_of_one_host_stand_together_without_a_name() -> None:
    # no SNI in this capture: ARP and Neighbour Discovery give both addresses one link address
    analysis = analyse([str(CAPTURES / "11-tcp-cases/synack-lost-path/server.pcap")])
    (group,) = socket_groups(analysis)
    assert {line.family for line in group.lines} == {"ipv4", "ipv6"}


@pytest.mark.parametrize("capture", ALL, ids=lambda path: "/".join(path.parts[-3:]))
def test_every_capture_has_a_verdict_of_one_screen(capture: Path) -> None:
    analysis = analyse([str(capture)])
    text = verdict(analysis, color=False, width=100, full=False)
    assert text.strip()
    assert max(len(line) for line in text.splitlines() if not line.strip().startswith("filter")) <= 110


def test_the_folder_of_a_real_capture_holds_what_it_promises(tmp_path: Path) -> None:
    analysis = analyse([str(CAPTURES / "02-caddy-ipv4-silent/nft-output-drop/server.pcap")])
    write_reports(analysis, tmp_path / "report", force=False, full=False)
    names = {path.relative_to(tmp_path / "report").as_posix() for path in (tmp_path / "report").rglob("*.*")}
    assert {"report.md", "report.html", "report.json", "plots/timeline.svg", "plots/timeline.png"} <= names
    markdown = (tmp_path / "report/report.md").read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    assert tokens[0].tag == "h1"
    for wanted in ("192.0.2.80:443", "quic-initial-no-reply", "ip.addr == 192.0.2.80"):
        assert wanted in markdown


def test_the_same_capture_gives_the_same_bytes(tmp_path: Path) -> None:
    capture = str(CAPTURES / "16-quic-one-family-listener/nginx-quic-v4-only/server.pcap")
    for name in ("one", "two"):
        write_reports(analyse([capture]), tmp_path / name, force=False, full=True)
    for path in sorted((tmp_path / "one").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes(), path.name
