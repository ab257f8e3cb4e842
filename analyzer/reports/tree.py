"""The findings in the order in which reports tell them: each under what sums it up, and nothing said twice.

Several findings may have one cause, and one thing to do about it: what a reader was told above is named below with the
finding that tells it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Finding = Mapping[str, Any]

SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Branch:
    """A finding and the findings that it sums up, in the order of the document."""

    finding: Finding
    parts: tuple[Branch, ...]


def tree(findings: Sequence[Finding]) -> list[Branch]:
    """Findings under what sums them up, most severe first; each exactly once, whatever ``part_of`` says."""
    known = {finding["id"] for finding in findings}
    placed: set[str] = set()

    def branch(finding: Finding) -> Branch:
        placed.add(finding["id"])
        parts = [each for each in findings if each.get("part_of") == finding["id"] and each["id"] not in placed]
        return Branch(finding, tuple(branch(each) for each in parts if each["id"] not in placed))

    roots = [branch(each) for each in findings if each.get("part_of") not in known]
    roots += [branch(each) for each in findings if each["id"] not in placed]
    return sorted(roots, key=lambda each: _rank(each.finding))


def _rank(finding: Finding) -> int:
    severity = finding.get("severity")
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def untold(part: Finding, summary: Finding) -> Finding:
    """The part without what its summary, told right above it, says already."""
    rest = dict(part)
    for key in ("records", "display_filter", "onset", "first_time", "last_time"):
        if part.get(key) == summary.get(key):
            rest[key] = None
    rest["remedies"] = [each for each in part.get("remedies") or [] if each not in (summary.get("remedies") or [])]
    told = {cause.get("incident") for cause in summary.get("causes") or []}
    rest["causes"] = [cause for cause in part.get("causes") or [] if cause.get("incident") not in told]
    return rest


def told_once(branches: Sequence[Branch], *, most_causes: int | None = None) -> list[Branch]:
    """The branches without causes and remedies that a finding above tells: ``told_by`` names it.

    A cause keeps its incident and its fit; of remedies, ``remedies_told_by`` stands for all of a finding or for none.
    ``most_causes`` are told of a finding, all where it is None.
    """
    causes: dict[str, str] = {}
    remedies: dict[str, str] = {}

    def told(branch: Branch, above: Finding) -> Branch:
        finding = dict(branch.finding)
        finding["causes"] = [
            {**cause, "told_by": causes[cause["incident"]]} if cause["incident"] in causes else cause
            for cause in (finding.get("causes") or [])[:most_causes]
        ]
        new = [each for each in finding.get("remedies") or [] if each not in (above.get("remedies") or [])]
        by = {remedies.get(remedy, "") for remedy in new}
        finding["remedies_told_by"] = by.pop() if len(by) == 1 else ""
        finding["remedies"] = [] if finding["remedies_told_by"] else new
        for cause in finding["causes"]:
            causes.setdefault(cause["incident"], finding["id"])
        for remedy in new:
            remedies.setdefault(remedy, finding["id"])
        return Branch(finding, tuple(told(part, branch.finding) for part in branch.parts))

    return [told(branch, {}) for branch in branches]
