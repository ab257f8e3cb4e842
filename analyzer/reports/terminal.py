"""The verdict on a terminal: one screen, the most important first, in words that colour only repeats.

Order: verdict, sockets with their families side by side, findings with their parts indented, what the capture
cannot show, what was read. Short form: ``MOST_SOCKETS`` sockets, ``MOST_FINDINGS`` findings with their reason,
the notes in a line each, ``MOST_LIMITS`` limits; ``full`` prints all of them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from analyzer.patterns.words import FAMILIES, counted
from analyzer.reports.summary import (
    OUTCOMES,
    Analysed,
    Finding,
    SocketGroup,
    SocketLine,
    Verdict,
    cannot_show,
    cited_records,
    first_sockets,
    ledger_lines,
    severity_counts,
    since,
    socket_groups,
    verdict_of,
)
from analyzer.reports.text import clipped, visible, width_of
from analyzer.reports.tree import Branch, told_once, tree, untold

MOST_SOCKETS = 12
MOST_FINDINGS = 4
MOST_CAUSES = 2
MOST_LIMITS = 3
MOST_FILTER = 160  # characters of a display filter in the short form
BAR = 10


class _Detail(Enum):
    """How much is said of a finding: all, what decides, or what it is and the first thing to do."""

    FULL = "full"
    USUAL = "usual"
    BRIEF = "brief"


#: Remedies that are printed of a finding; all of them with --full.
_MOST_REMEDIES = {_Detail.USUAL: 3, _Detail.BRIEF: 1}

_BOLD, _DIM = "1", "2"
_COLOURS = {"error": "1;31", "warning": "1;33", "info": "36", "good": "1;32", "unknown": "1;33"}
_STATUS_COLOURS = {"answered": "32", "silent": "1;31", "refused": "1;35", "unanswered": "1;31"}
_STATUS_COLOURS |= {"fell silent": "1;31", "part answered": "1;33"}


@dataclass
class _Page:
    """Lines of a page; every text that is put on it is made printable and broken to the width."""

    width: int
    color: bool
    lines: list[str] = field(default_factory=list)

    def paint(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.color and style else text

    def blank(self) -> None:
        self.lines.append("")

    def heading(self, text: str) -> None:
        if self.lines:
            self.blank()
        self.lines.append(self.paint(text, _BOLD))

    def put(self, text: str, *, indent: int, label: str = "", style: str = "", label_style: str = _DIM) -> None:
        """A paragraph; the label stands before its first line and the others align with the text."""
        lead = " " * indent + label
        room = max(self.width - len(lead), 20)
        broken = textwrap.wrap(visible(text), room, break_on_hyphens=False) or [""]
        for number, line in enumerate(broken):
            before = lead if number == 0 else " " * len(lead)
            self.lines.append(self.paint(before, label_style if before.strip() else "") + self.paint(line, style))

    def whole(self, text: str, *, indent: int, label: str) -> None:
        """One line however long it is, so that it can be copied whole."""
        self.lines.append(self.paint(" " * indent + label, _DIM) + visible(text))


def verdict(analysis: Analysed, *, color: bool, width: int, full: bool) -> str:
    """The verdict as text that ends in a newline; escape sequences only with ``color``, lines of ``width`` columns.

    A display filter is one line however long it is, so that it can be copied.
    """
    page = _Page(max(width, 60), color)
    groups = socket_groups(analysis)
    findings = analysis.document["findings"]
    _top(page, verdict_of(analysis, groups))
    if groups:
        _sockets(page, groups, full=full)
    if findings:
        page.heading(f"Findings: {severity_counts(findings)}")
        _findings(page, analysis, full=full)
    _limits(page, cannot_show(analysis), full=full)
    page.heading("What was read")
    for line in ledger_lines(analysis.document):
        page.put(line, indent=2)
    return "\n".join(page.lines) + "\n"


def _top(page: _Page, answer: Verdict) -> None:
    word = answer.word.upper() + ": "
    text = visible(answer.sentence)
    first, *rest = textwrap.wrap(text, page.width, initial_indent=" " * len(word), break_on_hyphens=False)
    page.lines.append(page.paint(word, _COLOURS[answer.level]) + page.paint(first[len(word) :], _BOLD))
    page.lines.extend(page.paint(line, _BOLD) for line in rest)


def _sockets(page: _Page, groups: Sequence[SocketGroup], *, full: bool) -> None:
    shown, left_out = (groups, 0) if full else first_sockets(groups, MOST_SOCKETS)
    lines = [line for group in shown for line in group.lines]
    always = ("attempts", "answered", "silent")
    keys = [key for key in ("attempts", *OUTCOMES) if key in always or any(getattr(line, key) for line in lines)]
    fixed = 2 + 6 + 2 + sum(len(key) + 2 for key in keys) + BAR + 2 + len("part answered")
    room = min(max(width_of(line.text) for line in lines), max(page.width - fixed, 15))
    titles = "".join(f"{key:>{len(key) + 2}}" for key in keys)
    page.heading(f"{'Server sockets':<{10 + room}}{titles}")
    for group in shown:
        name = visible(group.name)
        title = f"{group.transport}/{group.port}" + (f"  {name}" if name else "")
        page.lines.append("  " + clipped(title, page.width - 2))
        page.lines.extend(_socket_line(page, line, room, keys) for line in group.lines)
    if left_out:
        page.put(f"and {counted(left_out, 'more socket')}: see --full", indent=2, style=_DIM)


def _socket_line(page: _Page, line: SocketLine, room: int, keys: Sequence[str]) -> str:
    address = clipped(visible(line.text), room)
    address += " " * (room - width_of(address))
    numbers = "".join(f"{getattr(line, key):>{len(key) + 2},}" for key in keys)
    style = _STATUS_COLOURS.get(line.status, "")
    full_cells = round(BAR * line.answered / line.judged) if line.judged > 0 else 0
    bar = "█" * full_cells + ("░" * (BAR - full_cells) if line.judged > 0 else "·" * BAR)
    status = line.status.upper() if line.failed_share == 1 else line.status
    shown = f"    {FAMILIES.get(line.family, line.family):<4}  {address}{numbers}"
    return f"{shown}  {page.paint(bar, style)}  {page.paint(status, style)}"


def _findings(page: _Page, analysis: Analysed, *, full: bool) -> None:
    branches = tree(analysis.document["findings"])
    if not full:
        branches = told_once(branches)
    detailed = [each for each in branches if full or each.finding["severity"] != "info"]
    shown = detailed if full else detailed[:MOST_FINDINGS]
    for number, branch in enumerate(shown):
        if number:
            page.blank()
        detail = _Detail.FULL if full else (_Detail.BRIEF if number else _Detail.USUAL)
        _branch(page, analysis, branch, indent=2, detail=detail)
    if len(detailed) > len(shown):
        page.put(f"and {counted(len(detailed) - len(shown), 'more finding')}: see --full", indent=2, style=_DIM)
    for branch in () if full else (each for each in branches if each.finding["severity"] == "info"):
        page.put(branch.finding["title"], indent=2, label=f"{branch.finding['id']} note: ")


def _branch(page: _Page, analysis: Analysed, branch: Branch, *, indent: int, detail: _Detail) -> None:
    _finding(page, analysis, branch.finding, indent=indent, detail=detail)
    for part in branch.parts:
        finding = part.finding if detail == _Detail.FULL else untold(part.finding, branch.finding)
        _branch(page, analysis, Branch(finding, part.parts), indent=indent + 4, detail=detail)


def _finding(page: _Page, analysis: Analysed, finding: Finding, *, indent: int, detail: _Detail) -> None:
    style = "" if finding.get("accepted") else _COLOURS.get(finding["severity"], "")
    accepted = finding.get("accepted")
    label = f"{finding['id']} {finding['severity']}{', accepted' if accepted else ''}: "
    page.put(finding["title"], indent=indent, label=label, style=_BOLD, label_style=style)
    inner = indent + 3
    if accepted:
        page.put(accepted, indent=inner, label="accepted ")
    page.put(finding["because"], indent=inner)
    full = detail == _Detail.FULL
    records = cited_records(finding, analysis.document["captures"], most=100 if full else 4)
    pattern = f"{finding['pattern']} ({finding['confidence']})"
    if detail == _Detail.BRIEF:
        page.put(f"{pattern}{', records ' if records else ''}{records}", indent=inner, label="pattern  ")
    else:
        page.put(pattern, indent=inner, label="pattern  ")
        if records:
            page.put(records, indent=inner, label="records  ")
        if since(finding):
            page.put(since(finding), indent=inner, label="since    " if finding.get("onset") else "seen     ")
        for line in _filter_lines(finding, full=full):
            page.whole(line, indent=inner, label="filter   ")
    _advice(page, finding, inner=inner, detail=detail)


def _filter_lines(finding: Finding, *, full: bool) -> Iterator[str]:
    text = finding.get("display_filter") or ""
    if text and (full or len(text) <= MOST_FILTER):
        yield text
    elif text:
        yield f"({len(text):,} characters: see --full or the report)"


def _advice(page: _Page, finding: Finding, *, inner: int, detail: _Detail) -> None:
    full = detail == _Detail.FULL
    for each in (finding.get("look_alikes") or []) if full else ():
        word = "not " if each["ruled_out"] else "or "
        page.put(f"{each['pattern']}: {each['because']}", indent=inner, label=f"{word:<9}")
    causes = finding.get("causes") or []
    if full:
        for cause in causes:
            words = f"{cause.get('incident')} ({cause.get('fit')}) {cause.get('url') or ''}"
            page.put(words.strip(), indent=inner, label="cause    ")
    elif causes and detail == _Detail.USUAL:
        named = ", ".join(f"{cause.get('incident')} ({cause.get('fit')})" for cause in causes[:MOST_CAUSES])
        page.put(f"{named}: see halfshake explain --incident ID", indent=inner, label="cause    ")
    remedies = finding.get("remedies") or []
    if finding.get("remedies_told_by"):
        page.put(f"as for {finding['remedies_told_by']}", indent=inner, label="do       ")
    # what a summary advises in general, its parts say in particular
    most = 1 if finding.get("sums_up") and not full else _MOST_REMEDIES.get(detail)
    for number, remedy in enumerate(remedies[:most]):
        page.put(remedy, indent=inner, label="do       " if number == 0 else "         ")


def _limits(page: _Page, limits: Sequence[str], *, full: bool) -> None:
    if not limits:
        return
    page.heading("What this capture cannot show")
    shown = limits if full else limits[:MOST_LIMITS]
    for limit in shown:
        page.put(limit, indent=2, label="- ")
    if len(limits) > len(shown):
        page.put(f"and {len(limits) - len(shown):,} more: see --full", indent=2, style=_DIM)
