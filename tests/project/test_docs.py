"""The pages for people: links lead somewhere, and what they show can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.running import call

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "captures" / "README.md", *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    paths = [(page.parent / each).resolve() for each in targets if "://" not in each]
    # Pages made from the code lie in the site alone; building it checks the links to them.
    made = ROOT / "docs" / "reference"
    assert [path for path in paths if not path.exists() and not path.is_relative_to(made)] == []


def shown_commands() -> list[list[str]]:
    lines = re.findall(r"^\s*\$ (?:.*\| )?halfshake (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("arguments", [each for each in shown_commands() if not each[0].startswith("-")])
def test_what_the_readme_shows_exists(arguments: list[str]) -> None:
    command, options = arguments[0], [each for each in arguments[1:] if each.startswith("-") and each != "-"]
    shown = call(command, "--help")
    assert shown.status == 0
    assert [option for option in options if not re.search(rf"(?<!\S){option}\b", shown.stdout)] == []


@pytest.mark.parametrize("target", re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text()))
def test_what_the_readme_makes_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
