"""The pages of the site that are made from the code: commands, Python, patterns, incidents. A hook of mkdocs.

They are made when the site is built and lie nowhere in the repository.
"""

from __future__ import annotations

import inspect
import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import analyzer
from analyzer.api.evidence import Connection, Wireshark
from analyzer.api.findings import Finding, Findings
from analyzer.api.plots import Plots
from analyzer.api.verdict import Comparison, Verdict
from analyzer.cli.main import main
from analyzer.knowledge.incidents import Incident, incidents
from analyzer.patterns.catalogue import CATALOGUE
from analyzer.patterns.finding import Pattern
from analyzer.reports.text import code, prose

_RFC = re.compile(r"RFC (\d+)(?: §([\d.]+))?")
_UPWARD = re.compile(r"\[([^\]]+)\]\((\.\./[^)]+)\)")

#: What the page of the Python API shows, in this order.
FUNCTIONS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("analyzer.open", analyzer.open),
    ("analyzer.own_pattern", analyzer.own_pattern),
    ("analyzer.explain", analyzer.explain),
)
CLASSES = (analyzer.Capture, Findings, Finding, Connection, Wireshark, Plots, Verdict, Comparison)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for path, content in pages():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Files of the repository outside ``docs/`` are named, not linked."""
    folder = posixpath.dirname(page.file.src_uri)

    def named(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        return f"{link[1]} (`{target.removeprefix('../')}`)" if target.startswith("../") else link[0]

    return _UPWARD.sub(named, markdown)


def pages() -> Iterator[tuple[str, str]]:
    """Each made page: its path below the documentation, and its Markdown."""
    yield "reference/commands.md", commands_page()
    yield "reference/python.md", python_page()
    yield "reference/incidents.md", incidents_page()
    yield "reference/patterns/index.md", patterns_index()
    for module in CATALOGUE:
        yield f"reference/patterns/{module.PATTERN.id}.md", pattern_page(module.PATTERN, inspect.getdoc(module) or "")


def commands_page() -> str:
    """The help of every command."""
    parts = ["# Command line\n\nWhat `halfshake COMMAND --help` prints.\n"]
    context = click.Context(main, info_name="halfshake")
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if command is not None:
            text = command.get_help(click.Context(command, info_name=f"halfshake {name}"))
            parts.append(f"## halfshake {name}\n\n```text\n{text.replace(chr(8), '').rstrip()}\n```\n")
    return "\n".join(parts)


def python_page() -> str:
    """Signatures and docstrings of what `import analyzer` offers."""
    parts = ["# Python\n\n[How to use it](../howto/python.md) shows all of this at work.\n"]
    for name, function in FUNCTIONS:
        parts.append(f"## {name}\n\n{_signature(name, function)}\n\n{_docstring(function)}\n")
    for each in CLASSES:
        parts.append(f"## {each.__name__}\n\n{_docstring(each)}\n")
        parts += [f"### {each.__name__}.{name}\n\n{text}\n" for name, text in _members(each)]
    parts.append(f"## Errors\n\n```text\n{inspect.getdoc(inspect.getmodule(analyzer.AnalyzerError))}\n```\n")
    return "\n".join(parts)


def _members(each: type) -> Iterator[tuple[str, str]]:
    """Public attributes and methods, in the order of the source; those of the base as well."""
    seen: set[str] = set()
    for owner in each.__mro__[:-1]:
        if not owner.__module__.startswith("analyzer"):
            continue
        for name, value in vars(owner).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            if inspect.isfunction(value):
                yield name, f"{_signature(name, value)}\n\n{_docstring(value)}"
            elif isinstance(value, property) or hasattr(value, "func"):
                yield name, _docstring(getattr(value, "fget", None) or value.func)


def _signature(name: str, function: Callable[..., Any]) -> str:
    """The signature as it is written, one parameter a line where it is long."""
    signature = inspect.signature(function)
    words, keyword_only = [], False
    for each in signature.parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and not keyword_only:
            words.append("*")
            keyword_only = True
        annotation = "" if each.annotation is each.empty else f": {each.annotation}"
        default = "" if each.default is each.empty else f" = {each.default!r}"
        words.append(f"{each.name}{annotation}{default}")
    returns = "" if signature.return_annotation is signature.empty else f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(words)}){returns}"
    if len(line) > 88:
        line = f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){returns}"
    return f"```python\n{line}\n```"


def _docstring(what: Any) -> str:
    return (inspect.getdoc(what) or "").replace("``", "`")


def incidents_page() -> str:
    """Every known incident."""
    about = (
        "Faults of known software, with what speaks for and against each. `halfshake explain --incident ID` prints one."
    )
    return "\n".join([f"# Known incidents\n\n{about}\n", *(_incident(each) for each in incidents())])


def _incident(each: Incident) -> str:
    lines = [f"## {each.id}", "", prose(each.title), ""]
    for name in ("cause", "confirm", "workaround", "fix"):
        lines.append(f"- **{name.capitalize()}:** {prose(getattr(each, name))}")
    for title, signs in (("For", each.signs_for), ("Against", each.signs_against)):
        lines += [f"- **{title}:** {prose(sign.says)}" for sign in signs]
    lines.append(f"- **Software:** {prose('; '.join(each.software))}")
    names = [f"[{code(name)}](patterns/{name}.md)" for name in each.patterns]
    lines.append(f"- **Patterns:** {', '.join(names)}")
    lines += [f"- <{url}>" for url in (each.url, *each.more)]
    return "\n".join(lines) + "\n"


def patterns_index() -> str:
    """All patterns in report order."""
    lines = ["# Patterns", "", "`halfshake explain ID` prints the page of one.", "", "| id | severity | what is seen |"]
    lines.append("| --- | --- | --- |")
    for about in (module.PATTERN for module in CATALOGUE):
        lines.append(f"| [{code(about.id)}]({about.id}.md) | {about.severity} | {prose(about.summary, cell=True)} |")
    return "\n".join(lines) + "\n"


def pattern_page(about: Pattern, docstring: str) -> str:
    """One pattern: its docstring with headings, its thresholds and references."""
    lines = [f"# {about.id}", "", f"**{about.severity}**: {prose(about.summary)}", ""]
    for block in docstring.split("\n\n"):
        first, *rest = block.splitlines()
        if rest and not first.startswith(" ") and rest[0].startswith(" "):
            lines += [f"## {first}", "", prose(" ".join(line.strip() for line in rest)), ""]
        else:
            lines += [prose(" ".join(line.strip() for line in (first, *rest))), ""]
    if about.thresholds:
        lines += ["## Thresholds", "", "| name | value | from |", "| --- | --- | --- |"]
        for each in about.thresholds:
            value = prose(f"{each.value:g} {each.unit}", cell=True)
            lines.append(f"| {code(each.name, cell=True)} | {value} | {_linked(prose(each.source, cell=True))} |")
        lines.append("")
    if about.references:
        lines += ["## References", "", *(f"- {_linked(reference)}" for reference in about.references)]
    return "\n".join(lines) + "\n"


def _linked(text: str) -> str:
    """The text with its RFCs as links."""

    def link(found: re.Match[str]) -> str:
        number, section = found.groups()
        anchor = f"#section-{section.rstrip('.')}" if section else ""
        return f"[{found[0]}](https://www.rfc-editor.org/rfc/rfc{number}{anchor})"

    return text if "`" in text else _RFC.sub(link, text)
