"""The form of the code, read off its syntax trees: who imports whom, how large files and functions are.

The lists of exemptions may only shrink: an entry that is no longer needed fails.
"""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: A room imports itself and the rooms before it.
ROOMS = ("capture", "wire", "events", "fleet", "exchanges", "patterns", "knowledge", "anonymize", "reports", "watch")
BUILT_ROOMS = [room for room in ROOMS if (ROOT / "analyzer" / room).exists()]
#: May be imported by every room, and import no room themselves.
SHARED = ("columns", "errors", "frames", "kernels", "packed", "processes", "version")
#: Imported by rooms before its own: kernels of every room read bytes with it. Never add to it.
EARLY = ("analyzer.wire.bytes",)

#: Modules that make results depend on the network, the clock or chance, and what is allowed to use one, and why.
FORBIDDEN_MODULES = ("http", "random", "requests", "secrets", "socket", "time", "urllib", "uuid")
FORBIDDEN_CALLS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "os.urandom", "os.getrandom")
FORBIDDEN_EXEMPT = {
    ("anonymize/key.py", "secrets"): "the key of --anonymize, where the user gives none",
    ("cli/reading.py", "time"): "when to draw the progress line",
    ("cli/watch.py", "time"): "when to look for new files, and how long ago one was written to",
    ("watch/serve.py", "http"): "metrics for a Prometheus on the same machine",
    ("wire/bytes.py", "os.urandom"): "where a flow lies in its table: no sender may know, no result shows it",
}

MODULE_LINES, INIT_LINES, TEST_LINES, FUNCTION_LINES, KERNEL_LINES, PARAMETERS = 400, 60, 600, 50, 120, 5
PATTERN_LINES = 160
#: What is over a wall today: path or path::function -> the most lines that it may have. Never add to it.
TOO_LARGE: dict[str, int] = {}
#: Functions with more than five parameters: path::function -> the most that it may have. Never add to it.
TOO_MANY_PARAMETERS = {"analyzer/exchanges/schemas.py::_c": 6}
MODULES_PER_ROOM = 12
#: Rooms with more modules than that: the most that it may have. Never add to it.
TOO_MANY_MODULES = {"events": 14, "wire": 15}


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, wherever in the file; relative ones made absolute."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) + "." if node.level else ""
            yield from (f"{base}{node.module or ''}.{alias.name}".replace("..", ".") for alias in node.names)


def room_of(name: str) -> str:
    """``wire`` of ``analyzer.wire.quic``."""
    return [*name.split("."), ""][1]


def functions_of(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT).as_posix()}::{node.name}", node


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list}


@pytest.mark.parametrize("room", BUILT_ROOMS)
def test_a_room_imports_only_itself_and_rooms_before_it(room: str) -> None:
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *SHARED}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(f"analyzer/{room}")
        for name in imports_of(path)
        if name.startswith("analyzer") and room_of(name) not in allowed and not name.startswith(EARLY)
    ]
    assert not wrong


def test_shared_modules_import_no_room() -> None:
    wrong = [
        f"{module}.py imports {name}"
        for module in SHARED
        if (path := ROOT / "analyzer" / f"{module}.py").exists()
        for name in imports_of(path)
        if name.startswith("analyzer") and room_of(name) not in SHARED
    ]
    assert not wrong


def test_patterns_never_import_one_another() -> None:
    folder = ROOT / "analyzer" / "patterns"
    shared = {"catalogue", "pattern", "__init__"}
    patterns = {path.stem for path in folder.glob("*.py") if defines(path, "PATTERN")}
    wrong = [
        f"{stem}.py imports {name}"
        for stem in sorted(patterns - shared)
        for name in imports_of(folder / f"{stem}.py")
        if (set(name.split(".")[2:3]) & patterns) and name.startswith("analyzer.patterns")
    ]
    assert not wrong


def defines(path: Path, name: str) -> bool:
    targets = [node.targets for node in tree_of(path).body if isinstance(node, ast.Assign)]
    targets += [[node.target] for node in tree_of(path).body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == name for each in targets for target in each)


def test_no_network_no_clock_and_no_chance_in_results() -> None:
    used = set()
    for path in sources("analyzer"):
        place = path.relative_to(ROOT / "analyzer").as_posix()
        used |= {(place, name.split(".")[0]) for name in imports_of(path) if name.split(".")[0] in FORBIDDEN_MODULES}
        calls = {ast.unparse(node.func) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)}
        used |= {(place, call) for call in calls if call.endswith(FORBIDDEN_CALLS)}
    assert used == set(FORBIDDEN_EXEMPT), "forbidden use, or an exemption that is no longer needed"


def wall_of(path: Path) -> int:
    if path.name == "__init__.py":
        return INIT_LINES
    if path.is_relative_to(ROOT / "tests"):
        return TEST_LINES
    if path.parent.name == "patterns" and defines(path, "PATTERN"):
        return PATTERN_LINES
    return MODULE_LINES


def beyond(found: dict[str, int], exempt: dict[str, int]) -> list[str]:
    """What is over its wall and its exemption, and exemptions that nothing needs."""
    over = [f"{name}: {count}" for name, count in found.items() if count > exempt.get(name, 0)]
    return over + [f"{name} needs no exemption" for name in exempt if name not in found]


def test_files_and_functions_can_be_read_in_one_sitting() -> None:
    large = {}
    for path in [*sources("analyzer"), *sources("tests"), *sources("benchmarks")]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > wall_of(path):
            large[path.relative_to(ROOT).as_posix()] = lines
        for name, node in functions_of(path):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > (KERNEL_LINES if "kernel" in decorators(node) else FUNCTION_LINES):
                large[name] = length
    assert beyond(large, TOO_LARGE) == []


def test_functions_take_few_parameters_and_name_most_of_them() -> None:
    many = {}
    for path in sources("analyzer"):
        for name, node in functions_of(path):
            own = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([argument for argument in own if argument.arg not in ("self", "cls")])
            # A compiled function knows no keyword-only parameters, and a command's are its options.
            if count > PARAMETERS and not decorators(node) & {"kernel", "helper"} and not is_command(node):
                many[name] = count
    assert beyond(many, TOO_MANY_PARAMETERS) == []


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(name.endswith((".command", "click.command", ".option", ".argument")) for name in decorators(node))


@pytest.mark.parametrize("room", [room for room in BUILT_ROOMS if room != "patterns"])
def test_a_room_has_few_modules(room: str) -> None:
    modules = [path for path in (ROOT / "analyzer" / room).glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= TOO_MANY_MODULES.get(room, MODULES_PER_ROOM)


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources("analyzer")
        if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(tree_of(path))
    ]
    assert not silent


def test_no_line_puts_off_work() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X:")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("analyzer", "tests", "benchmarks", "tools")
        for path in sources(folder)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    assert not wrong


def test_scripts_may_be_run() -> None:
    scripts = [ROOT / ".ci" / "run", ROOT / "tools" / "system-packages.sh", ROOT / "tools" / "environment.sh"]
    assert all(os.access(script, os.X_OK) for script in scripts)
