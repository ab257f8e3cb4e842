"""Ladders: the packets of the telling connection, as data, as text and for Mermaid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from analyzer.analysis import analyse
from analyzer.reports.ladder import (
    Ladder,
    Step,
    first_steps,
    ladders_of,
    ladders_of_findings,
    mermaid,
    telling_connections,
    text_lines,
)
from analyzer.reports.markdown import markdown_of
from analyzer.reports.text import visible
from tests.reports import example

#: What a line of a diagram may be: a head, a participant, a message or a note, with the text behind it free of marks.
LINE = re.compile(
    r"sequenceDiagram|  (participant [CS] as |C->>S: |S->>C: |Note over C,S: )[\w .,:/()+=µ-]*(#\d+;[\w .,:/()+=µ-]*)*"
)


def test_the_steps_are_the_packets_of_the_connection(silent_capture: Path) -> None:
    analysis = analyse([str(silent_capture)])
    ladder = ladders_of(analysis, ["C1"])["C1"]
    assert [step.number for step in ladder.steps] == [7, 8, 9, 10, 11]
    assert [step.what for step in ladder.steps][:2] == ["Initial, 1200 B", "Initial, 1200 B, repeat 1"]
    assert {step.sender for step in ladder.steps} == {"client"}
    assert ladder.steps[1].after == 178_089_000
    assert (ladder.client, ladder.server, ladder.name) == ("192.0.2.10:59832", "192.0.2.80:443", "example.com")


def test_replies_from_elsewhere_say_from_where(captures: Path) -> None:
    analysis = analyse([str(captures / "05-wrong-source-address/aioquic-v4/server.pcap")])
    (ladder,) = ladders_of_findings(analysis, analysis.document["findings"][:1]).values()
    first, second = ladder.steps[:2]
    assert (first.sender, second.sender) == ("client", "server")
    assert second.what.endswith("from 192.0.2.80:443")


def test_the_telling_connection_is_the_one_of_the_first_cited_record() -> None:
    analysis = example.silent()
    assert telling_connections(analysis) == {"F1": "C1", "F2": "C1", "F3": "C1"}
    # Drawn once, for the finding that comes first.
    assert list(ladders_of_findings(analysis, analysis.document["findings"])) == ["F1"]


def test_notes_stand_above_the_steps(captures: Path) -> None:
    analysis = analyse([str(captures / "11-tcp-cases/zero-window/client.pcap")])
    (ladder,) = ladders_of(analysis, ["C1"]).values()
    assert ladder.notes[0] == "client: MSS 1460, window scale 10, SACK, timestamps"
    assert list(text_lines(ladder))[1] == f"  {ladder.notes[0]}"
    told = markdown_of(analysis, full=False)
    assert "\n- C1, client: MSS 1460, window scale 10, SACK, timestamps\n" in told


def test_text_lines_up() -> None:
    (ladder,) = ladders_of(example.silent(), ["C6"]).values()
    assert list(text_lines(ladder)) == [
        "C6: client 192.0.2.10:49160, server 192.0.2.80:443 example.com",
        "  record       time  client            server",
        "      29        0 s  ───────────────────────>  SYN",
        "      30     +21 µs  <───────────────────────  tcp-syn-ack",
    ]


def test_a_long_ladder_is_cut_and_says_so() -> None:
    ladder = first_steps(ladders_of(example.silent(), ["C1"])["C1"], 2)
    assert len(ladder.steps) == 2
    assert list(mermaid(ladder))[-1] == "  Note over C,S: 3 more selected packets"


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=20))
def test_no_text_leaves_its_line_in_mermaid(name: str, what: str, of: str) -> None:
    steps = tuple(Step(0, 1, of, 0, sender, what) for sender in ("client", "server", ""))
    ladder = Ladder("C1", "192.0.2.10:1", "[2001:db8::80]:443", name, "silent", steps, 0)
    lines = list(mermaid(ladder))
    assert len(lines) == 7
    assert all(LINE.fullmatch(line) for line in lines)
    assert all(line == visible(line) for line in text_lines(ladder))


@pytest.mark.parametrize("make", [example.silent, example.hostile])
@pytest.mark.parametrize("full", [False, True])
def test_a_report_draws_it_in_a_fence_of_its_own(make: object, full: bool) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown_of(make(), full=full))  # type: ignore[operator]
    fences = [token for token in tokens if token.type == "fence"]
    drawn = [token.content for token in fences if token.info == "mermaid"]
    written = [token.content for token in fences if token.info == "text"]
    assert len(drawn) == 1
    assert len(written) == int(full)
    assert all(LINE.fullmatch(line) for line in drawn[0].splitlines())


def test_a_connection_without_selected_packets_has_an_empty_ladder() -> None:
    analysis = example.analysis_of(example.connection_rows(), example.silent_findings())
    assert ladders_of(analysis, []) == {}
    assert ladders_of(analysis, ["C99"]) == {}
