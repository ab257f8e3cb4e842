"""Patterns of one's own: made of a function, shipped by a package, and what is said of broken ones."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import analyzer
from analyzer.errors import UsageError
from analyzer.exchanges.view import View
from analyzer.patterns import catalogue, own
from analyzer.patterns.evidence import attempts_by_socket, finding_of
from analyzer.patterns.finding import LIKELY, WARNING, Argument, Finding
from analyzer.reports.checks.accepted import read_config
from tests.running import call

SHIPPED = '''
"""The page of a shipped pattern."""
from analyzer.patterns.finding import Finding, Pattern
PATTERN = Pattern("shipped-pattern", "info", "says hello", ())
def find(view):
    yield Finding("shipped-pattern", "info", "certain", "hello", "The capture has records.")
'''


@analyzer.own_pattern("many-repeats", severity=WARNING, summary="requests are repeated often")
def many_repeats(view: View) -> Iterator[Finding]:
    """What it sees: requests that were sent four times or more."""
    table = view.connections
    for attempts in attempts_by_socket(view, np.asarray(table["repeats"] >= 3, np.bool_)):
        argument = Argument(WARNING, LIKELY, f"repeats to {attempts.words}", f"{len(attempts)} requests were repeated.")
        yield finding_of(many_repeats.PATTERN, attempts, argument=argument)


def test_it_runs_with_the_others(silent_capture: Path) -> None:
    capture = analyzer.open(silent_capture, patterns=[many_repeats])
    finding = capture.findings["many-repeats"]
    assert finding.because == "3 requests were repeated."
    assert finding.document["server"] == {"address": "192.0.2.80", "port": 443}
    assert [each.pattern for each in capture.findings][:2] == ["address-family-silent", "quic-initial-no-reply"]
    assert "many-repeats" not in {each.pattern for each in analyzer.open(silent_capture).findings}


def test_reports_tell_what_it_is(silent_capture: Path, tmp_path: Path) -> None:
    capture = analyzer.open(silent_capture, patterns=[many_repeats])
    folder = capture.report(tmp_path / "report")
    assert '"id": "many-repeats"' in (folder / "report.sarif").read_text()
    assert "requests are repeated often" in analyzer.explain("many-repeats")


def test_its_page_is_its_docstring() -> None:
    assert many_repeats.__doc__ == "What it sees: requests that were sent four times or more."
    assert many_repeats.PATTERN.summary == "requests are repeated often"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metadata of an installed package that ships a pattern, and its module."""
    (tmp_path / "shipped_patterns.py").write_text(SHIPPED)
    folder = tmp_path / "shipped-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: shipped\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{own.GROUP}]\nshipped = shipped_patterns\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    own.installed.cache_clear()
    yield folder
    own.installed.cache_clear()


def test_a_package_ships_patterns(package: Path, silent_capture: Path) -> None:
    assert [module.PATTERN.id for module in own.installed()] == ["shipped-pattern"]
    assert "shipped-pattern" in {each.pattern for each in analyzer.open(silent_capture).findings}
    assert "The page of a shipped pattern." in catalogue.explain("shipped-pattern")
    assert "shipped-pattern" in call("explain").stdout


def test_it_can_be_accepted_and_expected_to_be_absent(package: Path, silent_capture: Path, tmp_path: Path) -> None:
    config = tmp_path / "halfshake.toml"
    config.write_text('[[accept]]\npattern = "shipped-pattern"\nreason = "it only says hello"\n')
    assert read_config(config)[0].pattern == "shipped-pattern"
    done = call("check", silent_capture, "--expect", "no shipped-pattern")
    assert (done.status, "shipped-pattern" in done.stdout) == (1, True)
    with pytest.raises(UsageError, match="no pattern 'shiped-pattern'; did you mean 'shipped-pattern'"):
        catalogue.pattern("shiped-pattern")


def test_a_package_that_cannot_be_loaded_is_named(package: Path, silent_capture: Path) -> None:
    (package / "entry_points.txt").write_text(f"[{own.GROUP}]\nbroken = no_such_module\n")
    with pytest.raises(UsageError, match=r"broken \(no_such_module\) cannot be loaded"):
        _ = analyzer.open(silent_capture).findings


def test_without_such_packages_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: str) -> None:
        raise AssertionError

    own.installed.cache_clear()
    monkeypatch.setattr(importlib.metadata, "entry_points", fail)
    assert own.installed() == ()


def test_what_fails_in_it_is_told_with_its_name(silent_capture: Path) -> None:
    @analyzer.own_pattern("broken", severity="info", summary="divides")
    def broken(view: View) -> Iterator[Finding]:
        yield many_repeats.PATTERN.thresholds[0]  # type: ignore[misc]

    with pytest.raises(UsageError, match="pattern broken failed: IndexError"):
        _ = analyzer.open(silent_capture, patterns=[broken]).findings


def test_it_yields_findings_of_its_own(silent_capture: Path) -> None:
    @analyzer.own_pattern("other", severity="info", summary="")
    def other(view: View) -> Iterator[Finding]:
        return many_repeats.find(view)

    with pytest.raises(UsageError, match="pattern other yields what is no finding of its own"):
        _ = analyzer.open(silent_capture, patterns=[other]).findings


def test_ids_are_taken_once(silent_capture: Path) -> None:
    @analyzer.own_pattern("quic-initial-no-reply", severity="info", summary="")
    def taken(view: View) -> Iterator[Finding]:
        return iter(())

    with pytest.raises(UsageError, match="two patterns 'quic-initial-no-reply'"):
        _ = analyzer.open(silent_capture, patterns=[taken]).findings


@pytest.mark.parametrize(
    ("name", "severity", "complaint"),
    [("Many Repeats", "info", "no id of a pattern"), ("", "info", "no id"), ("many", "loud", "no severity")],
)
def test_names_and_severities_are_checked(name: str, severity: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        analyzer.own_pattern(name, severity=severity, summary="")(lambda _: iter(()))


def test_what_has_no_pattern_is_no_pattern(silent_capture: Path) -> None:
    with pytest.raises(UsageError, match="no pattern"):
        _ = analyzer.open(silent_capture, patterns=[object()]).findings  # type: ignore[list-item]
