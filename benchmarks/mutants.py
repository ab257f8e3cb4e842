"""Mutation testing of modules: which small changes of the code do their tests notice?

    python benchmarks/mutants.py [--seconds 240] [--each 30] [--seed 1]

One operator, constant, condition or returned value of a module is changed at a time (``--each`` of them by the seed),
and the module's tests run against it in a forked process, kernels interpreted. Prints a table in Markdown and each
mutant that lived, with its line; those as they are found on standard error too.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).parents[1]

#: Modules and the tests that are theirs.
TARGETS = {
    "analyzer.wire.quic.frames": ("tests/wire/quic/test_frames.py",),
    "analyzer.wire.tls_hello": ("tests/wire/test_tls_hello.py",),
    "analyzer.patterns.quic_initial_no_reply": ("tests/patterns/test_quic_initial_no_reply.py",),
    "analyzer.patterns.udp_port_unreachable": ("tests/patterns/test_udp_port_unreachable.py",),
}
MOST_SECONDS = 20  # of processor time; a mutant that loops for ever is noticed by that
_PAIRS: tuple[tuple[type[ast.AST], type[ast.AST]], ...] = (
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.In, ast.NotIn),
    (ast.Is, ast.IsNot),
    (ast.Add, ast.Sub),
    (ast.Mult, ast.FloorDiv),
    (ast.BitAnd, ast.BitOr),
    (ast.LShift, ast.RShift),
    (ast.And, ast.Or),
)
OTHER = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from code that is not that of its file."""

    def __init__(self, name: str, code: CodeType) -> None:
        self.name, self.code = name, code

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


def changes(node: ast.AST) -> Iterator[Callable[[], object]]:
    """What can be changed in a node, each by a call that does it in place."""
    if isinstance(node, ast.Compare):
        yield lambda: node.ops.__setitem__(0, OTHER[type(node.ops[0])]())
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in OTHER:
        yield lambda: setattr(node, "op", OTHER[type(node.op)]())
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield lambda: setattr(node, "value", not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.IfExp | ast.If | ast.While):
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield lambda: setattr(node, "value", ast.Constant(None))


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def nodes(tree: ast.Module) -> list[ast.AST]:
    """The nodes of a module's functions, without their annotations."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [node for function in functions for part in function.body for node in ast.walk(part)]


def mutant(source: str, index: int) -> tuple[ast.Module, str]:
    """The module with the node at ``index`` of ``nodes`` changed, and the change in words."""
    tree = ast.parse(source)
    node = nodes(tree)[index]
    before = ast.unparse(node).splitlines()[0]
    next(changes(node))()
    ast.fix_missing_locations(tree)
    return tree, f"line {node.lineno}: `{before}` became `{ast.unparse(node).splitlines()[0]}`"  # type: ignore[attr-defined]


def lives(name: str, tree: ast.Module, tests: Sequence[str]) -> bool:
    """Whether the tests pass with the module replaced."""
    child = os.fork()
    if not child:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        import pytest

        sys.meta_path.insert(0, _Instead(name, compile(tree, name, "exec")))
        os._exit(int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests])))
    return os.waitpid(child, 0)[1] == 0


def main() -> None:
    """Print the table, and the mutants that lived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240, help="time in all, shared out evenly")
    parser.add_argument("--each", type=int, default=30, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("modules", nargs="*", default=list(TARGETS))
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    for library in ("numpy", "pytest"):
        importlib.import_module(library)
    lived = []
    print("| module | mutants in all | tried | noticed | lived |\n| --- | ---: | ---: | ---: | ---: |")
    for name in options.modules:
        source = (ROOT / (name.replace(".", "/") + ".py")).read_text(encoding="utf-8")
        sites = [index for index, node in enumerate(nodes(ast.parse(source))) if any(True for _ in changes(node))]
        until, tried, before = time.monotonic() + options.seconds / len(options.modules), 0, len(lived)
        assert lives(name, ast.parse(source), TARGETS[name]), f"the tests of {name} fail"
        for index in random.Random(options.seed).sample(sites, min(options.each, len(sites))):
            if time.monotonic() > until:
                break
            tree, words = mutant(source, index)
            tried += 1
            if lives(name, tree, TARGETS[name]):
                lived.append(f"- `{name}`, {words}")
                print(lived[-1], file=sys.stderr, flush=True)
        alive = len(lived) - before
        print(f"| `{name}` | {len(sites)} | {tried} | {tried - alive} | {alive} |", flush=True)
    print("\n" + "\n".join(lived))


if __name__ == "__main__":
    main()
