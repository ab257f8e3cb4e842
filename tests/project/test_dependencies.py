"""What pyproject.toml asks for is what the code imports, and docs/dependencies.md says why."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: Import names that differ from the name of the distribution.
DISTRIBUTIONS: dict[str, str] = {"dns": "dnspython"}
#: Declared before the commands that use them are built; may only shrink.
AHEAD: set[str] = set()


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return found[0].lower()


DECLARED = {name_of(requirement) for requirement in PROJECT["dependencies"]}

#: Imported only by who installs ``halfshake[cluster]``.
CLUSTER = {name_of(requirement) for requirement in PROJECT["optional-dependencies"]["cluster"]}


def imported() -> set[str]:
    names: set[str] = set()
    for path in (ROOT / "analyzer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return {DISTRIBUTIONS.get(name, name) for name in names - sys.stdlib_module_names - {"analyzer"}}


def test_every_import_is_declared() -> None:
    assert imported() - DECLARED - CLUSTER == set()


def test_the_tests_have_what_a_cluster_needs() -> None:
    assert set(PROJECT["optional-dependencies"]["cluster"]) <= set(PROJECT["optional-dependencies"]["test"])


def test_every_dependency_is_used() -> None:
    assert DECLARED - imported() == AHEAD


def test_every_dependency_has_a_lower_bound_and_no_upper_one() -> None:
    extras = PROJECT["optional-dependencies"].values()
    requirements = [*PROJECT["dependencies"], *(requirement for extra in extras for requirement in extra)]
    assert [each for each in requirements if not re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z0-9]+\])?>=[0-9.]+", each)] == []


def test_every_dependency_is_explained() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    explained = set(re.findall(r"^\| \[?`([a-z0-9._-]+)`", text, re.MULTILINE))
    assert explained >= DECLARED | CLUSTER
