"""How findings and verdicts look in a notebook: HTML and Markdown in which nothing of a capture is markup.

Every text goes through ``visible`` (no control or bidirectional characters) and is escaped by markupsafe, or by
``prose`` and ``code`` in Markdown. The HTML holds no script and no link but those of known incidents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analyzer.reports.summary import cited_records, since
from analyzer.reports.text import clipped, code, prose, visible, web_address

if TYPE_CHECKING:
    from markupsafe import Markup

_COLOURS = {"error": "#b35900", "warning": "#8a6d00", "info": "#57606a", "good": "#0b6e4f", "unknown": "#57606a"}
_BADGE = '<b style="color:{}">{}</b>'

#: Findings of which a notebook shows a row; all are in the DataFrame.
MOST_ROWS = 60

Document = Mapping[str, Any]


def _text(words: str) -> Markup:
    from markupsafe import escape

    return escape(visible(words))


def verdict_html(level: str, word: str, sentence: str) -> str:
    """One line: the word in the colour of its level, and the sentence."""
    from markupsafe import Markup

    return str(Markup("<p>{} {}</p>").format(_badge(level, word), _text(sentence)))


def _badge(level: str, word: str) -> Markup:
    from markupsafe import Markup

    return Markup(_BADGE).format(_COLOURS.get(level, "#57606a"), _text(word))


def findings_html(findings: Sequence[Document]) -> str:
    """A table with a row for each finding; those that a summary sums up are indented under it."""
    from markupsafe import Markup

    if not findings:
        return "<p>no findings</p>"
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("id", "severity", "pattern", "what is seen"))
    rows = [
        Markup("<tr><td>{}</td><td>{}</td><td><code>{}</code></td><td style='text-align:left'>{}</td></tr>").format(
            _text(("└ " if finding["part_of"] else "") + finding["id"]),
            _badge(finding["severity"], finding["severity"]),
            _text(finding["pattern"]),
            _text(clipped(finding["title"], 200)),
        )
        for finding in findings[:MOST_ROWS]
    ]
    more = f"<p>{len(findings) - MOST_ROWS:,} more in <code>.frame</code></p>" if len(findings) > MOST_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"


def findings_markdown(findings: Sequence[Document]) -> str:
    """The same table as GFM."""
    if not findings:
        return "no findings\n"
    lines = ["| id | severity | pattern | what is seen |", "| --- | --- | --- | --- |"]
    for finding in findings[:MOST_ROWS]:
        cells = (finding["id"], finding["severity"], code(finding["pattern"], cell=True))
        lines.append(f"| {' | '.join(cells)} | {prose(clipped(finding['title'], 200), cell=True)} |")
    return "\n".join(lines) + "\n"


def finding_html(finding: Document, captures: Sequence[Document]) -> str:
    """One finding whole: the claim, its evidence, what else it could be, and what to do."""
    from markupsafe import Markup

    title = Markup("<p>{} <b>{}</b></p>").format(
        _badge(finding["severity"], f"{finding['id']} {finding['severity']}"), _text(finding["title"])
    )
    parts = [
        Markup("<li><b>{}</b> {}</li>").format(_text(name), _text(words)) for name, words in _facts(finding, captures)
    ]
    causes = [_cause_html(cause) for cause in finding["causes"]]
    because = Markup("<p>{}</p>").format(_text(finding["because"]))
    return str(title + because + Markup("<ul>{}</ul>").format(Markup("").join([*parts, *causes])))


def _facts(finding: Document, captures: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """What is said of a finding besides its claim, each with its name."""
    yield "pattern", f"{finding['pattern']}, {finding['confidence']}"
    if records := cited_records(finding, captures, most=12):
        yield "records", records
    if when := since(finding):
        yield ("since" if finding["onset"] else "seen"), when
    for other in finding["look_alikes"]:
        yield ("ruled out" if other["ruled_out"] else "not ruled out"), f"{other['pattern']}: {other['because']}"
    for limit in finding["limitations"]:
        yield "limit", limit
    for remedy in finding["remedies"]:
        yield "what to do", remedy


def _cause_html(cause: Mapping[str, Any]) -> Markup:
    from markupsafe import Markup

    url, name = web_address(cause.get("url")), _text(str(cause.get("incident") or ""))
    shown = Markup('<a href="{}">{}</a>').format(url, name) if url else name
    fit = _text(str(cause.get("fit") or "possible"))
    fix = _text(str(cause.get("fix") or cause.get("workaround") or ""))
    return Markup("<li><b>known cause, {}</b> {}: {}</li>").format(fit, shown, fix)


def finding_markdown(finding: Document, captures: Sequence[Document]) -> str:
    """The same as CommonMark."""
    lines = [f"**{finding['id']} {finding['severity']}**: {prose(finding['title'])}", "", prose(finding["because"]), ""]
    lines += [f"- {name}: {prose(words)}" for name, words in _facts(finding, captures)]
    for cause in finding["causes"]:
        url = web_address(cause.get("url"))
        link = f" <{url}>" if url else ""
        lines.append(
            f"- known cause, {prose(str(cause.get('fit') or 'possible'))}: {prose(str(cause['incident']))}{link}"
        )
    return "\n".join(lines) + "\n"
