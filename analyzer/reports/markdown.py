"""``report.md``: CommonMark with GFM tables and nothing else, for tickets on GitHub and GitLab.

No raw HTML, no image, no link but those of known causes. Short form: ``MOST_SOCKETS`` sockets, the findings with what
could still be mistaken for them and a ladder, the notes in a line each; ``full`` adds all sockets, every look-alike
with its reason, what speaks for and against each cause, every limit, and the ladders as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analyzer.patterns.words import FAMILIES, counted, listed
from analyzer.reports.ladder import Ladder, first_steps, ladders_of_findings, mermaid, text_lines
from analyzer.reports.summary import (
    OUTCOMES,
    Analysed,
    Finding,
    SocketGroup,
    SocketLine,
    cannot_show,
    cited_records,
    first_sockets,
    ledger_lines,
    severity_counts,
    since,
    socket_groups,
    verdict_of,
)
from analyzer.reports.text import code, prose, seconds, visible, web_address
from analyzer.reports.tree import Branch, told_once, tree, untold

MOST_SOCKETS = 24
MOST_FINDINGS = 10
MOST_CAUSES = 2
MOST_LIMITS = 5
MOST_STEPS = 12  # of a ladder

_LABELS = {"undetermined": "not judged"}


def markdown_of(analysis: Analysed, *, full: bool) -> str:
    """The report as Markdown that ends in a newline."""
    return "\n".join(_lines(analysis, full=full)).rstrip() + "\n"


def _lines(analysis: Analysed, *, full: bool) -> Iterator[str]:
    groups = socket_groups(analysis)
    answer = verdict_of(analysis, groups)
    names = [code(capture["name"]) for capture in analysis.document["captures"]]
    tool = analysis.document["tool"]
    yield f"# {answer.word}: {prose(answer.sentence)}"
    yield ""
    yield f"{tool['name']} {tool['version']} read {listed(names, most=5) if names else 'nothing'}."
    yield ""
    yield from _socket_table(groups, full=full)
    findings = analysis.document["findings"]
    if findings:
        yield f"## Findings: {severity_counts(findings)}"
        yield ""
        yield from _findings(analysis, full=full)
    yield from _bullets("What this capture cannot show", cannot_show(analysis), most=None if full else MOST_LIMITS)
    if findings:
        yield from _environment()
    yield from _bullets("What was read", list(ledger_lines(analysis.document)), most=None)


def _socket_table(groups: Sequence[SocketGroup], *, full: bool) -> Iterator[str]:
    shown, left_out = (groups, 0) if full else first_sockets(groups, MOST_SOCKETS)
    lines = [line for group in shown for line in group.lines]
    if not lines:
        return
    always = ("attempts", "answered", "silent")
    keys = [key for key in ("attempts", *OUTCOMES) if key in always or any(getattr(line, key) for line in lines)]
    heads = [
        "server socket",
        "name",
        "transport",
        "family",
        *(_LABELS.get(key, key) for key in keys),
        "median reply",
        "",
    ]
    yield f"| {' | '.join(heads)} |"
    yield f"| --- | --- | --- | --- |{' ---: |' * (len(keys) + 1)} --- |"
    for line in lines:
        yield _socket_row(line, keys)
    yield ""
    if left_out:
        yield f"{counted(left_out, 'more socket')} in `report.html` and with `--full`."
        yield ""


def _socket_row(line: SocketLine, keys: Sequence[str]) -> str:
    name = code(line.name, cell=True) if line.name else ""
    status = f"**{line.status.upper()}**" if line.failed_share == 1 else line.status
    cells = [code(line.text, cell=True), name, line.transport.upper(), FAMILIES.get(line.family, line.family)]
    cells += [f"{getattr(line, key):,}" for key in keys]
    return f"| {' | '.join([*cells, seconds(line.median_reply_s), status])} |"


def _findings(analysis: Analysed, *, full: bool) -> Iterator[str]:
    branches = tree(analysis.document["findings"])
    if not full:
        branches = told_once(branches, most_causes=MOST_CAUSES)
    detailed = [each for each in branches if full or each.finding["severity"] != "info"]
    shown = detailed if full else detailed[:MOST_FINDINGS]
    ladders = ladders_of_findings(analysis, list(_all_findings(shown)))
    for branch in shown:
        yield from _branch(analysis, branch, ladders=ladders, depth=3, full=full)
    if len(detailed) > len(shown):
        yield f"{counted(len(detailed) - len(shown), 'more finding')} in `report.html` and with `--full`."
        yield ""
    notes = [] if full else [each.finding for each in branches if each.finding["severity"] == "info"]
    for finding in notes:
        yield f"- {finding['id']} note: {prose(finding['title'])} ({code(finding['pattern'])})"
    if notes:
        yield ""


def _all_findings(branches: Sequence[Branch]) -> Iterator[Finding]:
    for branch in branches:
        yield branch.finding
        yield from _all_findings(branch.parts)


def _branch(
    analysis: Analysed, branch: Branch, *, ladders: Mapping[str, Ladder], depth: int, full: bool
) -> Iterator[str]:
    finding = branch.finding
    part = f", part of {finding['part_of']}" if depth > 3 else ""
    accepted = finding.get("accepted")
    told = f"{finding['severity']}, accepted" if accepted else finding["severity"]
    yield f"{'#' * min(depth, 6)} {finding['id']} {told}: {prose(finding['title'])}"
    yield ""
    yield prose(finding["because"])
    yield ""
    if accepted:
        yield f"- Accepted: {prose(accepted)}"
    yield f"- Pattern: {code(finding['pattern'])}, {finding['confidence']}{part}"
    yield from _evidence(finding, analysis.document["captures"], most=100 if full else 12)
    yield from _argument(finding, full=full)
    yield ""
    if finding["id"] in ladders:
        yield from _ladder(ladders[finding["id"]], full=full)
    for each in branch.parts:
        shown = each if full else Branch(untold(each.finding, finding), each.parts)
        yield from _branch(analysis, shown, ladders=ladders, depth=depth + 1, full=full)


def _ladder(ladder: Ladder, *, full: bool) -> Iterator[str]:
    """The drawing, and under ``full`` the same as text; neither holds a backtick that could end its fence."""
    yield "```mermaid"
    yield from mermaid(ladder if full else first_steps(ladder, MOST_STEPS))
    yield "```"
    yield ""
    if full:
        yield "```text"
        yield from (line.replace("`", "'").rstrip() for line in text_lines(ladder))
        yield "```"
        yield ""
    elif ladder.notes:
        yield from (f"- {ladder.connection}, {prose(note)}" for note in ladder.notes)
        yield ""


def _evidence(finding: Finding, captures: Sequence[Mapping[str, Any]], *, most: int) -> Iterator[str]:
    records = cited_records(finding, captures, most=most)
    if records:
        # Numbers, and the names of the captures where there are several.
        yield f"- Records: {prose(records)}"
    if since(finding):
        yield f"- {'Since' if finding.get('onset') else 'Seen'}: {since(finding)}"
    shown = visible(finding.get("display_filter") or "")
    if shown:
        fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", shown)), 3)
        yield "- Wireshark display filter:"
        yield ""
        yield from (f"  {line}" for line in (fence, shown, fence))
        yield ""


def _argument(finding: Finding, *, full: bool) -> Iterator[str]:
    look_alikes = finding.get("look_alikes") or []
    for each in look_alikes:
        if full or not each["ruled_out"]:
            word = "Ruled out" if each["ruled_out"] else "Not ruled out"
            yield f"- {word}: {code(each['pattern'])}: {prose(each['because'])}"
    ruled_out = [code(each["pattern"]) for each in look_alikes if each["ruled_out"]]
    if ruled_out and not full:
        yield f"- Ruled out: {', '.join(ruled_out)}"
    causes = finding.get("causes") or []
    for cause in causes:
        yield from _cause(cause, full=full)
    remedies = finding.get("remedies") or []
    if finding.get("remedies_told_by"):
        yield f"- What to do: see {finding['remedies_told_by']}"
    elif remedies:
        yield "- What to do:"
        yield from (f"  {number}. {prose(remedy)}" for number, remedy in enumerate(remedies, 1))
    if full:
        yield from (f"- Limit: {prose(limit)}" for limit in finding.get("limitations") or [])


def _cause(cause: Mapping[str, Any], *, full: bool) -> Iterator[str]:
    url = web_address(cause.get("url"))
    link = f": <{url}>" if url else ""
    named = f"- Known cause, {prose(str(cause.get('fit') or 'possible'))}: {prose(str(cause.get('incident')))}"
    if cause.get("told_by"):
        yield f"{named}, see {cause['told_by']}"
        return
    yield f"{named}{link}"
    if cause.get("confirm"):
        yield f"  - Confirm: {prose(str(cause['confirm']))}"
    for key, word in (("for", "For"), ("against", "Against")) if full else ():
        yield from (f"  - {word}: {prose(str(each))}" for each in cause.get(key) or [])
    for key, word in (("workaround", "Workaround"), ("fix", "Fix")):
        if cause.get(key):
            yield f"  - {word}: {prose(str(cause[key]))}"


def _bullets(title: str, sentences: Sequence[str], *, most: int | None) -> Iterator[str]:
    if not sentences:
        return
    shown = sentences[:most]
    yield f"## {title}"
    yield ""
    yield from (f"- {prose(sentence)}" for sentence in shown)
    if len(sentences) > len(shown):
        yield f"- {len(sentences) - len(shown):,} more with `--full`"
    yield ""


def _environment() -> Iterator[str]:
    """Lines for the person who files the ticket: what no capture holds."""
    yield "## Environment (please fill in)"
    yield ""
    for what in (
        "Server and version",
        "Operating system and kernel",
        "Listening sockets (`ss -lntup`)",
        "What changed",
    ):
        yield f"- {what}: "
    yield ""
