"""The rows of the page: the steps in them are those of the ladders, and hostile text stays text."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from analyzer.reports.connection_rows import MOST_STEPS, Rows, connection_rows
from analyzer.reports.ladder import ending, first_steps, ladders_of
from analyzer.reports.summary import Analysed
from tests.reports import example

CAPTURES = (
    "02-caddy-ipv4-silent/nft-output-drop/server.pcap",
    "04-reuseport-dead-worker/nginx-onset/server.pcap",
    "05-wrong-source-address/*/*.pcap",
    "11-tcp-cases/*/*.pcap",
    "13-dns-aaaa-timeout/drop-aaaa/client.pcap",
)


def rows_of(rows: Rows) -> dict[str, dict[str, str]]:
    """The attributes of each row by name of the connection."""
    found = (dict(re.findall(r'([\w-]+)="([^"]*)"', row)) for row in re.findall("<tr ([^>]*)>", rows.markup))
    return {row["id"]: {name: unescape(value) for name, value in row.items()} for row in found}


def steps_of(row: dict[str, str], rows: Rows) -> list[tuple[int, int, int, str, str]]:
    """Record, microseconds, capture, sender and words of each step."""
    numbers = [int(number) for number in row["data-steps"].split(",")] if "data-steps" in row else []
    steps = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    return [(record, after, *rows.words[word]) for record, after, word in steps]


def check(analysis: Analysed) -> int:
    """Each unanswered connection has the steps, the ending and the notes of its ladder; how many have steps."""
    rows = connection_rows(analysis)
    found, outcomes = rows_of(rows), analysis.connections["outcome"].tolist()
    names = analysis.connections["connection"].tolist()
    assert list(found) == names
    assert len(found) == rows.number
    ladders = ladders_of(analysis, names)
    for name, outcome in zip(names, outcomes, strict=True):
        shown = first_steps(ladders[name], MOST_STEPS)
        steps = [(s.number, s.after // 1000, s.capture, s.sender[:1], s.what) for s in shown.steps]
        told = steps_of(found[name], rows)
        assert [step[:4] for step in told] == [step[:4] for step in steps]
        if outcome != "answered":
            assert told == steps
            assert found[name].get("data-ending", "") == (ending(shown) if steps else "")
            assert found[name].get("data-notes", "") == (". ".join(shown.notes) if steps else "")
    return sum("data-steps" in row for row in found.values())


@pytest.mark.parametrize("pattern", CAPTURES)
def test_the_steps_are_those_of_the_ladders(captures: Path, pattern: str) -> None:
    paths = sorted(captures.glob(pattern))
    assert paths
    assert sum(check(analyse([str(path)])) for path in paths[:4]) >= len(paths[:4])


def test_several_captures_and_hostile_names(captures: Path) -> None:
    folder = captures / "02-caddy-ipv4-silent/nft-output-drop"
    assert check(analyse([str(folder / "server.pcap"), str(folder / "client.pcap")])) > 0
    assert check(example.hostile()) > 0
    assert "<script" not in connection_rows(example.hostile()).markup


def test_no_connections_are_no_rows() -> None:
    assert connection_rows(example.empty()) == Rows("", 0, [])


def test_a_reply_from_elsewhere_and_repeats_are_said() -> None:
    rows = [dict(row) for row in example.connection_rows()[5:6]]
    rows[0]["replied_from"] = "192.0.2.99"
    told = connection_rows(example.analysis_of(rows, []))
    assert [step.what for step in told.words] == ["SYN", "tcp-syn-ack, from 192.0.2.99"]
    silent = connection_rows(example.analysis_of(example.connection_rows()[:1], []))
    assert [step.what for step in silent.words][1:] == [f"Initial, 1200 B, repeat {number}" for number in range(1, 5)]
