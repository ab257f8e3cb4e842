"""report.md, read by a CommonMark parser."""

from __future__ import annotations

import itertools

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from analyzer.reports.markdown import markdown_of
from tests.reports import example

PARSER = MarkdownIt("commonmark").enable("table")
CASES = {
    "silent": example.silent,
    "healthy": example.healthy,
    "empty": example.empty,
    "hostile": example.hostile,
    "mixed": example.mixed,
}


def tokens(text: str) -> list[Token]:
    return [each for token in PARSER.parse(text) for each in (token, *(token.children or []))]


def headings(text: str) -> list[str]:
    parsed = PARSER.parse(text)
    pairs = itertools.pairwise(parsed)
    return [f"{token.tag} {inline.content}" for token, inline in pairs if token.type == "heading_open"]


def test_the_verdict_comes_first_then_the_table_then_the_findings() -> None:
    text = markdown_of(example.silent(), full=False)
    assert headings(text) == [
        "h1 Fault found: `example.com` answers UDP port 443 over IPv6 and never over IPv4",
        "h2 Findings: 2 errors and 1 warning",
        "h3 F1 error: `example.com` answers UDP port 443 over IPv6 and never over IPv4",
        "h4 F2 error: `192.0.2.80:443` never answered a QUIC Initial",
        "h4 F3 warning: QUIC to 192.0.2.80 is silent while TCP 443 answers",
        "h2 What this capture cannot show",
        "h2 Environment (please fill in)",
        "h2 What was read",
    ]
    assert "| `192.0.2.80:443` | `example.com` | UDP | IPv4 | 5 | 0 | 5 |  | **SILENT** |\n" in text
    assert "| `[2001:db8:1::80]:443` | `example.com` | UDP | IPv6 | 5 | 5 | 0 | 1.36 ms | answered |\n" in text


def test_a_finding_can_be_checked_from_the_ticket() -> None:
    text = markdown_of(example.silent(), full=False)
    assert "- Records: 7–28 (22 records)\n" in text
    assert "  ```\n  ip.addr == 192.0.2.80 && udp.port in {59832, 41029, 60261, 33192, 37666}\n  ```\n" in text
    assert "- Ruled out: `reply-from-other-address`, `capture-one-way`\n" in text
    fences = [token.content for token in tokens(text) if token.type == "fence" and not token.info]
    assert fences == ["ip.addr == 192.0.2.80 && udp.port in {59832, 41029, 60261, 33192, 37666}\n"]


def test_full_adds_the_reasons() -> None:
    text = markdown_of(example.silent(), full=True)
    assert "- Ruled out: `capture-one-way`: 14 TCP segments left" in text
    assert "  - For: IPv4 alone is silent\n" in text
    assert "- Limit: Recorded at the server" in text
    assert len(text) > len(markdown_of(example.silent(), full=False))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("full", [False, True])
def test_no_html_no_image_and_no_link_but_those_of_known_causes(case: str, full: bool) -> None:
    parsed = tokens(markdown_of(CASES[case](), full=full))
    assert not {token.type for token in parsed} & {
        "html_block",
        "html_inline",
        "image",
        "code_block",
        "hr",
        "blockquote_open",
    }
    links = {token.attrs["href"] for token in parsed if token.type == "link_open"}
    assert links == ({"https://github.com/caddyserver/caddy/issues/6073"} if case == "silent" else set())


@pytest.mark.parametrize("full", [False, True])
def test_hostile_text_changes_no_structure(full: bool) -> None:
    kinds = [
        [
            token.type
            for token in PARSER.parse(markdown_of(make(), full=full))
            if token.type.startswith(("h", "t", "fence"))
        ]
        for make in (example.silent, example.hostile)
    ]
    assert kinds[0][: kinds[0].index("table_close")] == kinds[1][: kinds[1].index("table_close")]
    assert kinds[0].count("heading_open") == kinds[1].count("heading_open")
    assert "\x1b" not in markdown_of(example.hostile(), full=full)


def test_an_empty_capture_says_so() -> None:
    text = markdown_of(example.empty(), full=False)
    assert text.startswith("# Nothing to judge: no connection attempt in 0 records\n")
    assert "|" not in text


def test_columns_that_hold_nothing_are_left_out() -> None:
    assert "refused" not in markdown_of(example.healthy(), full=False).split("\n\n")[2]
    assert "| attempts | answered | refused | silent | not judged |" in markdown_of(example.mixed(), full=False)


def test_many_servers_and_notes_are_counted() -> None:
    rows = [{**example.connection_rows()[0], "server_address": f"192.0.2.{number}", "sni": ""} for number in range(32)]
    note = {**example.silent_findings()[1], "id": "F1", "severity": "info", "part_of": None}
    text = markdown_of(example.analysis_of(rows, [note]), full=False)
    assert "8 more sockets in `report.html` and with `--full`." in text
    assert "- F1 note: `192.0.2.80:443` never answered a QUIC Initial (`quic-initial-no-reply`)\n" in text
