"""The built wheel holds the package and nothing else, and works where the repository is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest


def sh(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(root: Path, copy: Path, *, changed: int | None = None) -> Path:
    """The wheel, built from a copy, since building leaves folders behind; ``changed`` is the time of all its files."""
    shutil.copytree(root / "analyzer", copy / "analyzer", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, copy / name)
    (copy / "docs").mkdir()
    shutil.copy(root / "docs" / "halfshake.1", copy / "docs" / "halfshake.1")
    for path in copy.rglob("*") if changed is not None else ():
        os.utime(path, (changed, changed))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    sh(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", copy / "dist", copy, cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(root, tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel, which borrows the libraries of this one."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    sh(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A path in a .pth file is searched after the wheel, and the .pth files in that path are not read.
    (packages / "borrowed.pth").write_text(str(Path(np.__file__).parents[1]) + "\n")
    return environment / "bin"


def test_the_package_list_is_the_folders(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    folders = {path.parent.relative_to(root) for path in (root / "analyzer").rglob("__init__.py")}
    assert project["tool"]["setuptools"]["packages"] == sorted(".".join(folder.parts) for folder in folders)


def test_the_wheel_holds_every_file_of_the_package_and_no_other(root: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    packed = {name for name in names if ".data/" not in name}
    assert [name.split(".data/")[1] for name in names if ".data/" in name] == ["data/share/man/man1/halfshake.1"]
    files = {path for path in (root / "analyzer").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert packed == {path.relative_to(root).as_posix() for path in files}


def test_the_command_of_the_wheel_analyses_a_capture(installed: Path, silent_capture: Path, tmp_path: Path) -> None:
    version = sh(installed / "halfshake", "--version", cwd=tmp_path)
    where = sh(installed / "python", "-c", "import analyzer; print(analyzer.__path__[0])", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    document = json.loads(sh(installed / "halfshake", "analyze", "--json", silent_capture, cwd=tmp_path))
    assert document["tool"]["version"] in version
    assert "quic-initial-no-reply" in {finding["pattern"] for finding in document["findings"]}


def test_the_command_of_the_wheel_writes_a_report(installed: Path, silent_capture: Path, tmp_path: Path) -> None:
    sh(installed / "halfshake", "analyze", silent_capture, "-o", tmp_path / "report", cwd=tmp_path)
    assert {"report.md", "report.html", "report.json"} <= {path.name for path in (tmp_path / "report").iterdir()}


def test_the_same_sources_give_the_same_bytes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SOURCE_DATE_EPOCH, wherever and whenever it is built."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795302321")
    wheels = []
    for name, changed in (("one", 1_700_000_000), ("another", 1_750_000_000)):
        (tmp_path / name).mkdir()
        wheels.append(build(root, tmp_path / name, changed=changed))
    assert wheels[0].name == wheels[1].name
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
