"""The documentation builds into a site without a warning, holds what the code says, and its examples run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import analyzer
from analyzer.cli.main import main
from analyzer.exchanges.schemas import SCHEMAS
from analyzer.knowledge.incidents import incidents
from analyzer.patterns.catalogue import CATALOGUE
from tests.running import call

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
NAMES = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of mkdocs is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-W",
        "error::SyntaxWarning",
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "-d",
        folder,
    ]
    environment = {"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_every_page_is_in_the_site(site: Path) -> None:
    assert [name for name in NAMES if not (site / name).with_suffix(".html").is_file()] == []


def test_every_pattern_has_its_page(site: Path) -> None:
    index = text_of(site / "reference" / "patterns" / "index.html")
    for module in CATALOGUE:
        assert f'href="{module.PATTERN.id}.html"' in index
        page = text_of(site / "reference" / "patterns" / f"{module.PATTERN.id}.html")
        assert all(
            heading in page for heading in ("What it sees", "How it decides", "What it cannot know", "What to do")
        )
        assert all(each.name in page for each in module.PATTERN.thresholds)


def test_the_reference_is_complete(site: Path) -> None:
    commands, python = (text_of(site / "reference" / name) for name in ("commands.html", "python.html"))
    names = main.list_commands(click.Context(main))
    assert [name for name in names if f"halfshake {name}" not in commands] == []
    public = [name for name in dir(analyzer.Capture) if not name.startswith("_")]
    assert [name for name in public if f"Capture.{name}" not in python] == []
    known = text_of(site / "reference" / "incidents.html")
    assert [each.id for each in incidents() if f'id="{each.id}"' not in known] == []
    tables = text_of(site / "tables.html")
    assert [name for name in SCHEMAS if f'id="{name}"' not in tables] == []


def test_links_lead_to_pages_and_files_outside_are_named(site: Path) -> None:
    assert 'href="../tables.html"' in text_of(site / "howto" / "python.html")
    assert "<code>analyzer/reports/schemas/report.schema.json</code>" in text_of(site / "reports.html")


def test_the_site_fetches_nothing(site: Path) -> None:
    fetched = re.compile(r'<(?:link|script|img|iframe)[^>]*(?:href|src)="(https?:)?//', re.IGNORECASE)
    assert [page.name for page in site.rglob("*.html") if fetched.search(text_of(page))] == []


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the recorded captures, one of them as ``server.pcap``, in which examples may write."""
    (tmp_path / "captures").symlink_to(ROOT / "captures")
    (tmp_path / "server.pcap").symlink_to(
        ROOT / "captures" / "02-caddy-ipv4-silent" / "nft-output-drop" / "server.pcap"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in _BLOCK.findall(page.read_text()) if kind == language]


@pytest.mark.parametrize("name", [name for name, page in zip(NAMES, PAGES, strict=True) if blocks(page, "python")])
def test_examples_in_python_run(name: str, desk: Path) -> None:
    from matplotlib import pyplot

    namespace: dict[str, Any] = {"__name__": "example"}
    try:
        for block in blocks(ROOT / "docs" / name, "python"):
            exec(compile(block, name, "exec"), namespace)
    finally:
        pyplot.close("all")


def shown(page: Path) -> list[tuple[list[str], list[str]]]:
    """Each command of halfshake on a page that names a recorded capture, or needs none, with the output below it."""
    found = []
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *output = part.splitlines()
            words = shlex.split(first, comments=True)
            if words[:1] == ["halfshake"] and output:
                found.append((words[1:], output))
    return found


@pytest.mark.parametrize("name", [name for name, page in zip(NAMES, PAGES, strict=True) if shown(page)])
def test_commands_print_what_the_page_shows(name: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line may end in "...", and a line of "..." stands for any number of lines."""
    monkeypatch.setenv("COLUMNS", "100")
    for arguments, expected in shown(ROOT / "docs" / name):
        done = call(*arguments)
        assert done.status in (0, 1), done.stderr
        pattern = "".join(
            r"(?s:.*?)" if line == "..." else re.escape(line.removesuffix(" ...")) + ".*\n" for line in expected
        )
        assert re.match(pattern, done.stdout), f"{arguments}:\n{done.stdout}"
