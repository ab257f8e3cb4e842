"""The verdict on a terminal."""

from __future__ import annotations

import re

import pytest

from analyzer.reports.terminal import verdict
from analyzer.reports.text import width_of
from tests.reports import example

CASES = {
    "silent": example.silent,
    "healthy": example.healthy,
    "empty": example.empty,
    "hostile": example.hostile,
    "mixed": example.mixed,
}


def test_the_first_line_is_the_answer_and_the_table_shows_which_family() -> None:
    lines = verdict(example.silent(), color=False, width=100, full=False).splitlines()
    assert lines[0] == "FAULT FOUND: example.com answers UDP port 443 over IPv6 and never over IPv4"
    assert lines[2:6] == [
        "Server sockets                  attempts  answered  silent",
        "  udp/443  example.com",
        "    IPv4  192.0.2.80:443               5         0       5  ░░░░░░░░░░  SILENT",
        "    IPv6  [2001:db8:1::80]:443         5         5       0  ██████████  answered",
    ]


def test_findings_carry_their_evidence_and_parts_are_indented() -> None:
    text = verdict(example.silent(), color=False, width=100, full=False)
    assert "\n  F1 error: example.com answers" in text
    assert "\n      F2 error: 192.0.2.80:443 never answered a QUIC Initial\n" in text
    assert "     records  7–28 (22 records)\n" in text
    assert "     filter   ip.addr == 192.0.2.80 && udp.port in {59832, 41029, 60261, 33192, 37666}\n" in text
    assert "     do       On the server, run `ss -unlp 'sport = :443'`" in text
    # A part does not say again what its summary says right above it.
    assert text.count("7–28") == text.count("ss -unlp") == 1


def test_a_fault_fits_on_one_screen() -> None:
    assert len(verdict(example.silent(), color=False, width=100, full=False).splitlines()) <= 46


def test_a_healthy_capture_gets_a_clear_verdict() -> None:
    text = verdict(example.healthy(), color=False, width=100, full=False)
    assert text.startswith("NO SILENT SOCKETS SEEN: 7 of 7 attempts on 3 server sockets were answered\n")
    assert "Findings" not in text


def test_the_end_says_what_was_read_and_what_cannot_be_shown() -> None:
    text = verdict(example.silent(), color=False, width=200, full=False)
    assert "\nWhat this capture cannot show\n  - Recorded at the server: a drop" in text
    assert "\nWhat was read\n  server.pcap (pcap): 155 records: 153 decoded, 2 not IP; " in text


def test_full_tells_more() -> None:
    short = verdict(example.silent(), color=False, width=100, full=False)
    full = verdict(example.silent(), color=False, width=100, full=True)
    assert "reply-from-other-address" in full
    assert "reply-from-other-address" not in short
    assert "https://github.com/caddyserver/caddy/issues/6073" in full
    assert full.count("7–28") == 2


def test_notes_take_a_line_each_and_long_filters_are_left_out() -> None:
    findings = [
        {**example.silent_findings()[0], "id": f"F{number}", "severity": "info", "part_of": None} for number in (1, 2)
    ]
    findings[0] |= {"severity": "warning", "display_filter": "ip.addr == 192.0.2.80 && " * 30}
    text = verdict(example.with_findings(example.silent(), findings), color=False, width=100, full=False)
    assert "filter   (750 characters: see --full or the report)" in text
    assert "\n  F2 note: example.com answers UDP port 443 over IPv6 and never over IPv4\n" in text


def test_many_servers_and_findings_are_counted() -> None:
    rows = [
        {**row, "server_address": f"192.0.2.{number}", "sni": ""}
        for number in range(1, 16)
        for row in example.connection_rows()[:1]
    ]
    findings = [{**example.silent_findings()[1], "id": f"F{number}", "part_of": None} for number in range(1, 8)]
    text = verdict(example.analysis_of(rows, findings), color=False, width=100, full=False)
    assert "and 3 more sockets: see --full" in text
    assert "and 3 more findings: see --full" in text


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [20, 80, 132])
def test_colour_adds_nothing_but_colour_and_lines_fit(case: str, width: int) -> None:
    for full in (False, True):
        plain = verdict(CASES[case](), color=False, width=width, full=full)
        coloured = verdict(CASES[case](), color=True, width=width, full=full)
        assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
        assert coloured != plain
        long = [line for line in plain.splitlines() if width_of(line) > max(width, 60) and "filter " not in line]
        assert not [line for line in long if not line.startswith(("Server sockets", "    IPv"))]


@pytest.mark.parametrize("full", [False, True])
def test_no_text_of_a_capture_commands_the_terminal(full: bool) -> None:
    text = verdict(example.hostile(), color=False, width=100, full=full)
    assert "\\x1b[31m\\u202e" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)
