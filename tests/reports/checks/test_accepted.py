"""The allow-list: which findings it accepts, and what it says of a file that is not right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import UsageError
from analyzer.reports.checks.accepted import Accepted, mark_accepted, read_config
from tests.reports import example

ENTRY = '[[accept]]\npattern = "quic-initial-no-reply"\nreason = "known"\n'


def config(folder: Path, text: str) -> Path:
    path = folder / "halfshake.toml"
    path.write_text(text, encoding="utf-8")
    return path


def marked(*allowed: Accepted) -> dict[str, str | None]:
    findings: list[dict[str, Any]] = example.silent_findings()
    mark_accepted(findings, allowed)
    return {finding["id"]: finding["accepted"] for finding in findings}


def test_a_file_is_read(tmp_path: Path) -> None:
    text = (
        ENTRY
        + 'server = "[2001:db8::80]:443"\nfamily = "IPv6"\n[[accept]]\npattern = "tcp-reset"\nreason = "why\\n not"'
    )
    first, second = read_config(config(tmp_path, text))
    assert first == Accepted("quic-initial-no-reply", "known", "2001:db8::80", 443, "ipv6")
    assert second == Accepted("tcp-reset", "why not")
    assert read_config(config(tmp_path, "")) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[accept]\n", "no TOML: "),
        ("[[allow]]\n", "'allow' is not known here; write entries as [[accept]]"),
        ("accept = 1", "begin each entry with [[accept]]"),
        ('[[accept]]\npattern = "tcp-reset"', "accept entry 1: reason is missing"),
        ('[[accept]]\nreason = "x"', "accept entry 1: pattern is missing"),
        (ENTRY + '[[accept]]\npattern = "quic-initial-noreply"\nreason = "x"', "did you mean 'quic-initial-no-reply'?"),
        (ENTRY + 'sever = "192.0.2.1"', "'sever' is not known; did you mean 'server'?"),
        (ENTRY + "server = 443", "server is no text"),
        (ENTRY + 'server = "192.0.2.1:70000"', "70000 is no port"),
        (ENTRY + 'server = "192.0.2.1/40"', "'192.0.2.1/40' is no network"),
        (ENTRY + 'family = "inet"', "no family 'inet'"),
        (ENTRY.replace('"known"', '" "'), "reason is no text"),
    ],
)
def test_a_file_that_is_not_right_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as told:
        read_config(config(tmp_path, text))
    assert said in str(told.value)
    assert "halfshake.toml" in str(told.value)
    assert "\n" not in str(told.value)


def test_bytes_that_are_no_text_are_said(tmp_path: Path) -> None:
    path = config(tmp_path, "")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="byte 0 is no UTF-8"):
        read_config(path)


@pytest.mark.parametrize(
    ("entry", "accepted"),
    [
        (Accepted("quic-initial-no-reply", "x"), {"F2"}),
        (Accepted("quic-initial-no-reply", "x", "192.0.2.80", 443, "ipv4"), {"F2"}),
        (Accepted("quic-initial-no-reply", "x", "192.0.2.0/24"), {"F2"}),
        (Accepted("quic-initial-no-reply", "x", "example.com"), {"F2"}),
        (Accepted("quic-initial-no-reply", "x", "192.0.2.81"), set()),
        (Accepted("quic-initial-no-reply", "x", port=8443), set()),
        (Accepted("quic-initial-no-reply", "x", family="ipv6"), set()),
        # The parts of an accepted summary are accepted with it, and no summary with its part.
        (Accepted("address-family-silent", "x"), {"F1", "F2", "F3"}),
    ],
)
def test_an_entry_accepts_what_it_names_and_no_more(entry: Accepted, accepted: set[str]) -> None:
    assert {name for name, reason in marked(entry).items() if reason} == accepted


def test_findings_that_part_each_other_end() -> None:
    findings = example.silent_findings()
    findings[0]["part_of"], findings[1]["part_of"] = "F2", "F1"
    mark_accepted(findings, [Accepted("tcp-reset", "x")])
    assert [finding["accepted"] for finding in findings] == [None, None, None]
