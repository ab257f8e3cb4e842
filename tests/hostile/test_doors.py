"""Hostile text through every door: read from real captures, written by the command, inert wherever it comes out.

The captures of ``payloads.py`` carry each payload as server name, ALPN, close reason, DNS name, file name, and in every
text of pcapng. What a door writes must hold every payload (else the test shows nothing), and must be nothing but text
there.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import analyzer
from analyzer.analysis import Analysis, analyse
from analyzer.capture.source import open_captures
from analyzer.frames import frame_of
from analyzer.reports.ladder import ladders_of, text_lines
from analyzer.watch.metrics import text_of
from tests.hostile.payloads import PAYLOADS, SOURCES, TEXTS, file_name, write_captures
from tests.running import call

TABLES = ("connections", "sockets", "exchanges", "resolutions", "packets", "findings")
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True)
class Door:
    """Where text comes out: how it is made, and what it must be."""

    name: str
    check: Callable[[str], None]
    every: tuple[str, ...] = ()  # sources whose text comes out whatever it is
    some: tuple[str, ...] = ()  # those of which a part comes out: the first rows, or texts that are not cut
    longest: int = 1000  # bytes of a payload; longer texts are cut


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each door wrote of the captures of all payloads, by the door's name."""
    known: dict[tuple[str, ...], Analysis] = {}  # the same captures are analysed once for all commands

    def remembered(names: Sequence[str], **options: Any) -> Analysis:
        if tuple(names) not in known:
            known[tuple(names)] = analyse(names, **options)
        return known[tuple(names)]

    with mock.patch("analyzer.analysis.analyse", remembered):
        return _written(tmp_path_factory.mktemp("hostile"))


def _written(folder: Path) -> dict[str, str]:
    paths = [os.fsdecode(path) for path in write_captures(folder)]
    out = folder / "out"
    report = call("analyze", "--full", *paths, "-o", out)
    assert report.status == 0, report.stderr
    missing = os.fsdecode(bytes(folder) + b"/missing-" + file_name(TEXTS["ansi colour"].of("missing")))
    written = {"terminal": report.stdout, "json": call("analyze", "--json", *paths).stdout}
    for name in ("report.md", "report.html", "report.json", "report.sarif"):
        written[name] = (out / name).read_text(encoding="utf-8")
    drawings = [path.read_text(encoding="utf-8") for path in sorted((out / "plots").glob("*.svg"))]
    written["plots"] = "\0".join(drawings)
    for table in TABLES:
        for form in ("csv", "json", "jsonl"):
            written[f"{table}.{form}"] = call("export", table, "--quiet", *paths, "--format", form).stdout
    written["mermaid"] = "\n".join(re.findall(r"```mermaid\n(.*?)```", written["report.md"], re.DOTALL))
    written["check"] = call("check", *paths, "--expect", "no error", "--expect", "udp/443 answered").stdout
    written["compare"] = call("compare", paths[1], paths[-1]).stdout
    written["errors"] = call("analyze", missing, paths[0]).stderr
    text = folder / os.fsdecode(file_name(b"\x1b[31m<script>"))
    text.write_text("a text\x1b[31m and no capture\n" * 9, encoding="utf-8")
    written["errors"] += call("analyze", text).stderr + call("check", "--expect", "\x1b[31m", text).stderr
    written["errors"] += call("excerpt", "--finding", "\x1b[31m\u202e", *paths, "-o", folder / "x").stderr
    written["errors"] += (
        call("explain", "\x1b[31m\u202e").stderr + call("explain", "--incident", "\x1b[31m\u202e").stderr
    )
    written["errors"] += call("analyze", "--vantage", "\x1b[31m\u202e", text).stderr
    written |= _watched(folder)
    written["file names"] = "\n".join(sorted(path.relative_to(out).as_posix() for path in out.rglob("*")))
    written["ladders"] = _ladders(paths)
    written |= _in_a_notebook(paths) | {"metrics": _metrics(json.loads(written["json"])["findings"])}
    written["evidence"] = "\n".join(_texts_of(out / "evidence.pcapng"))
    return written


def _watched(folder: Path) -> dict[str, str]:
    """What a watcher of the folder of captures prints."""
    once = ("watch", "--once", "--settle", "0", "--window", "1", "--name", "*.pcapng", "--state")
    text = call(*once, folder / "state", folder)
    lines = call(*once, folder / "other-state", "--json", folder)
    return {"log lines": text.stdout + text.stderr, "log lines as json": lines.stdout}


def _in_a_notebook(paths: list[str]) -> dict[str, str]:
    """What Jupyter shows of an opened capture, of its findings and tables, and what a prompt prints."""
    capture = analyzer.open(paths)
    shown = (capture, capture.findings)
    frames = [frame_of(table) for table in (capture.analysis.connections, capture.analysis.exchanges)]
    return {
        "notebook html": "\n".join([*(each._repr_html_() for each in shown), *(f._repr_html_() for f in frames)]),
        "notebook markdown": "\n\n".join(each._repr_markdown_() for each in shown),
        "prompt": "\n".join(map(repr, shown)),
    }


def _ladders(paths: list[str]) -> str:
    """The ladders of all TLS connections as text, with what a key log in the captures opens of certificates."""
    analysis = analyzer.open(paths).analysis
    chosen = [row["connection"] for row in analysis.connections.rows() if row["server_port"] == 443]
    return "\n".join(line for each in ladders_of(analysis, chosen).values() for line in text_lines(each))


def _metrics(findings: list[dict[str, Any]]) -> str:
    """Findings as the watcher hands them on, from a series that is named by a payload."""
    payload = os.fsdecode(PAYLOADS["ansi colour"]) + '"} 1\n# EOF\n'
    labels = [
        {key: finding[key] or "" for key in ("pattern", "severity", "family", "name")}
        | {"server": (finding["server"] or {}).get("address", ""), "port": "443", "series": payload}
        for finding in findings
    ]
    return text_of({}, labels, {payload: 1_700_000_000_000_000_000})


def _texts_of(path: Path) -> Iterator[str]:
    """Each run of printable or other bytes between the packets: names, descriptions and comments of a pcapng file."""
    (facts,) = (opened := open_captures([str(path)])).captures
    for _ in opened.batches(compiled=False):
        pass
    for interface in facts.interfaces:
        yield from (interface.name, interface.description)
    b = path.read_bytes()
    for found in re.finditer(rb"\x01\x00(..)", b, re.DOTALL):
        size = int.from_bytes(found[1], "little")
        value = b[found.end() : found.end() + size]
        if 20 < size < 4000 and value[:1].isalpha():
            yield value.decode("utf-8", "surrogateescape")


def printable(text: str) -> None:
    """Lines of visible characters."""
    wrong = {character for character in text if character != "\n" and unicodedata.category(character) in INVISIBLE}
    assert not wrong


def markdown(text: str) -> None:
    """Headings, lists, tables, code and words; links only to what the incidents cite; nothing that a forge links."""
    printable(text)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    flat = [each for token in tokens for each in (token, *(token.children or []))]
    kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in flat}
    assert kinds <= {
        *("heading", "paragraph", "inline", "text", "code_inline", "softbreak", "bullet_list", "list_item", "strong"),
        *("ordered_list", "table", "thead", "tbody", "tr", "th", "td", "fence", "link"),
    }
    assert {token.info for token in flat if token.type == "fence"} <= {"mermaid", "text", ""}
    links = {str(token.attrs["href"]) for token in flat if token.type == "link_open"}
    assert not {link for link in links if "e.example" in link or not link.startswith("https://")}
    # the text of an autolink is its address, which was looked at
    words = " ".join(token.content for token in flat if token.type == "text" and token.content not in links)
    assert not re.search(r"@\w|(?<!\w)[#!]\d|GH-\d|www\.|://|:smile:|\$|&\w+;|\b[0-9a-f]{12}\b", words)


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.attributes: set[tuple[str, str]] = set()
        self.addresses: set[str] = set()
        self.comments = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src", "action", "xlink:href")}

    def handle_comment(self, data: str) -> None:
        self.comments += 1


def html(text: str) -> None:
    """One script and one style sheet of our own, no attribute that runs, no address but pages of incidents."""
    printable(text)
    page = _Elements()
    page.feed(text)
    page.close()
    counts = [page.tags.get(tag, 0) for tag in ("script", "style", "link", "img")]
    assert (counts, page.comments) == ([1, 1, 1, 0], 0)
    assert not {name for _, name in page.attributes if name.startswith("on") or name == "style"}
    assert all(re.match(r"#|https://|data:,$|$", address) and "e.example" not in address for address in page.addresses)
    assert not {"iframe", "object", "embed", "base", "form"} & set(page.tags)


def drawings(text: str) -> None:
    """SVG with shapes and words: no script, nothing to fetch, no element that a text could have made."""
    for each in text.split("\0"):
        printable(each)
        elements = list(ElementTree.fromstring(each).iter())
        assert {str(one.tag).rpartition("}")[2] for one in elements} <= {
            *("svg", "metadata", "RDF", "Work", "type", "format", "title", "defs", "style", "g", "path", "use"),
            *("clipPath", "rect", "pattern", "text", "tspan"),
        }
        links = [value for one in elements for name, value in one.attrib.items() if name.endswith("href")]
        assert all(link.startswith("#") for link in links)
        assert not [name for one in elements for name in one.attrib if name.startswith("on")]


def csv_rows(text: str) -> None:
    """Rows of the same width in whose cells no spreadsheet finds a formula."""
    printable(text)
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1
    assert text.count("\n") == len(rows)
    numeric = re.compile(r"-?[\d.]+(e[-+]\d+)?")
    assert not [cell for row in rows for cell in row if cell[:1] in "=+-@\t" and cell and not numeric.fullmatch(cell)]


def json_value(text: str) -> None:
    """JSON that reads back, and is inert on a terminal too."""
    printable(text)
    json.loads(text)


def json_lines(text: str) -> None:
    printable(text)
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())


def sarif(text: str) -> None:
    """Messages without links or invisible characters, addresses of files that are percent-encoded."""
    json_value(text)
    run = json.loads(text)["runs"][0]
    for result in run["results"]:
        printable(result["message"]["text"])
        assert "](" not in result["message"]["text"]
    uris = [each["location"]["uri"] for each in run["artifacts"]]
    assert all(re.fullmatch(r"[\w.~%-]+", uri, re.ASCII) for uri in uris)


def mermaid(text: str) -> None:
    """Statements of a sequence diagram alone; what was read stands in plain letters and numeric entities."""
    words = r"(?:[\w .,:()\[\]/+?=…-]|#\d+;)*"
    statement = re.compile(rf"sequenceDiagram|  participant [CS] as {words}|  (?:C->>S|S->>C|Note over C,S): {words}|")
    assert not [line for line in text.split("\n") if not statement.fullmatch(line)]


def fragment(text: str) -> None:
    """HTML for a page that is not ours: no script, no style sheet, no address, no attribute that runs."""
    page = _Elements()
    page.feed(text)
    page.close()
    assert not {"script", "img", "iframe", "object", "embed", "base", "form", "link", "svg"} & set(page.tags)
    assert not {name for _, name in page.attributes if name.startswith("on")}
    assert all(re.match(r"#|https://", address) and "e.example" not in address for address in page.addresses)
    assert page.comments == 0


def metrics(text: str) -> None:
    """OpenMetrics that a parser reads: one end, and labels that end where they should."""
    printable(text)
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert all(set(sample.labels) >= {"pattern", "name"} for sample in families["halfshake_open_findings"])
    assert [sample.value for sample in families["halfshake_last_packet_timestamp_seconds"]] == [1_700_000_000.0]


def our_names(text: str) -> None:
    """Names of files that no capture has a say in."""
    names = {name for name in text.split("\n") if not re.fullmatch(r"plots/[a-z-]+\.(png|svg)", name)}
    assert names == {
        *(".halfshake", "evidence.pcapng", "plots", "report.html", "report.json", "report.md", "report.sarif"),
    }


NAMED = ("sni", "asked")
ABOUT = ("close", "asked", "file")  # what findings name
LABELS = ("sni", "host")
DOORS = (
    Door("terminal", printable, (*ABOUT, "sni")),
    Door("errors", printable, ("missing",)),
    Door("log lines", printable, ("close", "asked"), ("file",)),
    Door("log lines as json", json_lines, (*NAMED, "close"), ("file",)),
    Door("ladders", printable, ("sni", "subject", "issuer", "chosen", "file")),
    Door("check", printable),
    Door("compare", printable, (), ("close",)),
    Door("report.md", markdown, (*ABOUT, *LABELS), ("target",)),
    Door("mermaid", mermaid, (*LABELS, "file"), ("target",)),
    Door("report.html", html, (*ABOUT, *LABELS), ("target",)),
    Door("plots", drawings),
    Door("json", json_value, (*ABOUT, "sni", "offered")),
    Door("report.json", json_value, (*ABOUT, "sni", "offered")),
    Door("report.sarif", sarif, ABOUT),
    Door("notebook html", fragment, (), ("close", "sni", "offered", "asked")),
    Door("notebook markdown", markdown, (), ("close",)),
    Door("prompt", printable, ("close", "file")),
    Door("metrics", metrics, NAMED, longest=70),
    Door("evidence", printable, (*LABELS, "file", "interface", "description"), ("target",)),
    Door("file names", our_names),
    *(
        Door(f"{table}.{form}", check, *sources)
        for form, check in (("csv", csv_rows), ("json", json_value), ("jsonl", json_lines))
        for table, *sources in (
            ("connections", ("sni", "offered", "close")),
            ("sockets",),
            ("exchanges", ("sni", "asked", "resolved", "host")),
            ("resolutions", ("asked", "resolved")),
            ("packets", LABELS, ("target", "altsvc")),
            ("findings", (*ABOUT, "sni")),
        )
    ),
)

#: Texts that no door shows: what is read of them is a status, or nothing.
NEVER = {
    *("alias", "svcb", "reason", "software", "section", "hardware", "system", "program", "remark", "ifos"),
    *("ifhardware", "filter", "known", "packet", "statistics"),
}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_hostile_text_is_inert_behind_this_door(door: Door, hostile: dict[str, str]) -> None:
    text = hostile[door.name]
    assert text.strip()
    door.check(text)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_the_texts_come_to_this_door(door: Door, hostile: dict[str, str]) -> None:
    """Each payload from each source, by its mark; so what the test above sees is hostile there. And no other source."""
    text = hostile[door.name]
    found = {source: {name for name in TEXTS if TEXTS[name].mark(source) in text} for source in SOURCES}
    missing = {source: _carried(source, door.longest) - found[source] for source in door.every}
    assert not {source: names for source, names in missing.items() if names}
    assert {source for source, names in found.items() if names} == {*door.every, *door.some}


def test_every_source_comes_to_a_door_or_to_none() -> None:
    shown = {source for door in DOORS for source in (*door.every, *door.some)}
    assert (shown | NEVER, shown & NEVER) == (SOURCES, set())


def test_heads_of_http_come_to_the_doors(hostile: dict[str, str]) -> None:
    read = [payload for payload in PAYLOADS.values() if b"\r" not in payload.replace(b"\r\n", b"")]
    assert hostile["packets.csv"].count("HTTP 502") == len(read)


def _carried(source: str, longest: int) -> set[str]:
    """The payloads that a source can carry and a door shows whole: a line of an HTTP head ends with the line."""
    if source == "missing":
        return {"ansi colour"}
    is_line = source in ("host", "target")
    return {
        name
        for name, payload in PAYLOADS.items()
        if len(payload) <= longest and not (is_line and {*b"\r\n"} & {*payload})
    }
