"""The order of the findings, and what is said once."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.reports.markdown import markdown_of
from analyzer.reports.terminal import verdict
from analyzer.reports.tree import Branch, told_once, tree
from tests.reports import example
from tests.reports.page import html_of


def finding(name: str, severity: str = "error", part_of: str | None = None) -> dict[str, Any]:
    return {"id": name, "severity": severity, "part_of": part_of, "title": name, "pattern": "x", "records": []}


def shape(branches: list[Branch] | tuple[Branch, ...]) -> list[Any]:
    return [
        (branch.finding["id"], shape(branch.parts)) if branch.parts else branch.finding["id"] for branch in branches
    ]


def test_parts_stand_under_their_summary_and_errors_first() -> None:
    findings = [
        finding("F1", "info"),
        finding("F2", part_of="F4"),
        finding("F3", "warning"),
        finding("F4"),
        finding("F5", "info", part_of="F4"),
    ]
    assert shape(tree(findings)) == [("F4", ["F2", "F5"]), "F3", "F1"]


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ({"F1": "F9"}, ["F1"]),
        ({"F1": "F1"}, ["F1"]),
        ({"F1": "F2", "F2": "F1"}, [("F1", ["F2"])]),
        ({"F1": None, "F2": "F1", "F3": "F2"}, [("F1", [("F2", ["F3"])])]),
    ],
)
def test_every_finding_stands_in_the_tree_once(links: dict[str, str | None], expected: list[Any]) -> None:
    assert shape(tree([finding(name, part_of=part_of) for name, part_of in links.items()])) == expected


def advised(name: str, causes: list[str], remedies: list[str], part_of: str | None = None) -> dict[str, Any]:
    named = [{"incident": cause, "fit": "likely"} for cause in causes]
    return {**finding(name, part_of=part_of), "causes": named, "remedies": remedies}


def told(branches: list[Branch] | tuple[Branch, ...]) -> list[tuple[str, list[str], list[str], str]]:
    """Of each finding who told its causes, its remedies, and who told those."""
    found = []
    for branch in branches:
        one = branch.finding
        by = [cause.get("told_by", "") for cause in one["causes"]]
        found += [(one["id"], by, one["remedies"], one["remedies_told_by"]), *told(branch.parts)]
    return found


def test_causes_and_remedies_are_told_once() -> None:
    findings = [
        advised("F1", ["a", "b", "c"], ["do this", "do that"]),
        advised("F2", ["a"], ["do this", "and more"], part_of="F1"),
        advised("F3", ["b", "c", "d"], ["do this", "do that"]),
        advised("F4", ["d"], ["do this", "and more"]),
        advised("F5", [], []),
    ]
    assert told(told_once(tree(findings))) == [
        ("F1", ["", "", ""], ["do this", "do that"], ""),
        ("F2", ["F1"], ["and more"], ""),
        ("F3", ["F1", "F1", ""], [], "F1"),
        ("F4", ["F3"], ["do this", "and more"], ""),
        ("F5", [], [], ""),
    ]


def test_what_is_not_shown_is_not_told() -> None:
    findings = [advised("F1", ["a", "b"], []), advised("F2", ["b", "a"], [])]
    assert [by for _, by, _, _ in told(told_once(tree(findings), most_causes=1))] == [[""], [""]]


def test_reports_name_who_told_it() -> None:
    first, *others = example.silent_findings()
    again = {**first, "id": "F9", "part_of": None, "sums_up": []}
    analysis = example.analysis_of(example.connection_rows(), [first, *others, again])
    short, full = (markdown_of(analysis, full=full).split("### F9")[1] for full in (False, True))
    assert "see F1" in short
    assert "What to do: see F1" in short
    assert "see F1" not in full
    assert 'see <a href="#F1">F1</a>' in html_of(analysis)
    assert "do       as for F1" in verdict(analysis, color=False, width=100, full=False)
    assert "as for F1" not in verdict(analysis, color=False, width=100, full=True)
