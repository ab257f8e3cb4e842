"""Patterns of one's own: written in a notebook, or shipped by another package, and run with those of halfshake.

How it works: a pattern is anything with ``PATTERN`` and ``find(view)``, as the modules of this folder are.
``own_pattern`` makes one of a function, whose docstring becomes its page. A package that is installed beside halfshake
names its patterns in the entry point group ``GROUP``, each a module or an object; they run in every analysis, in the
order of their names. What is wrong with a pattern is told as a ``UsageError`` that names it.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from analyzer.errors import UsageError
from analyzer.exchanges.view import View
from analyzer.patterns.finding import SEVERITIES, Finding, Pattern, Threshold

GROUP = "halfshake.patterns"

Find = Callable[[View], Iterator[Finding]]

#: Patterns that were run in this process without being installed, by id, so that reports can tell what they are.
_RUN: dict[str, PatternModule] = {}


class PatternModule(Protocol):
    """What a pattern's file holds besides its page, the docstring."""

    @property
    def PATTERN(self) -> Pattern: ...  # noqa: N802, a constant of a module
    def find(self, view: View) -> Iterator[Finding]: ...


@dataclass(frozen=True)
class OwnPattern:
    """A pattern made of a function."""

    PATTERN: Pattern
    function: Find
    __doc__: str

    def find(self, view: View) -> Iterator[Finding]:
        """The findings of the function."""
        return self.function(view)


def own_pattern(
    name: str,
    *,
    severity: str,
    summary: str,
    references: Sequence[str] = (),
    thresholds: Sequence[Threshold] = (),
) -> Callable[[Find], OwnPattern]:
    """Make a pattern of a generator function that takes a ``View`` and yields findings.

    ``name`` is its id, in lower case with hyphens; ``severity`` is error, warning or info. Raises UsageError for any
    other.
    """
    if severity not in SEVERITIES:
        raise UsageError(f"{severity!r} is no severity: choose one of {', '.join(SEVERITIES)}")

    def made(function: Find) -> OwnPattern:
        about = Pattern(name, severity, summary, tuple(references), tuple(thresholds))
        made_of = OwnPattern(about, function, inspect.getdoc(function) or summary)
        checked(made_of, name)
        return made_of

    return made


def checked(module: PatternModule, where: str) -> PatternModule:
    """The pattern itself; raises UsageError for what is none."""
    about = getattr(module, "PATTERN", None)
    if not isinstance(about, Pattern) or not callable(getattr(module, "find", None)):
        raise UsageError(f"{where}: no pattern: it has no PATTERN or no find(view)")
    if not about.id or about.id.strip("abcdefghijklmnopqrstuvwxyz0123456789-"):
        raise UsageError(f"{where}: {about.id!r} is no id of a pattern: use lower case letters, digits and hyphens")
    return module


def findings_of(module: PatternModule, view: View) -> list[Finding]:
    """What an own pattern finds; raises UsageError with its name and what went wrong in it."""
    try:
        found = list(module.find(view))
    except Exception as error:  # whatever the code of others raises
        raise UsageError(f"pattern {module.PATTERN.id} failed: {type(error).__name__}: {error}") from error
    for finding in found:
        if not isinstance(finding, Finding) or finding.pattern != module.PATTERN.id:
            raise UsageError(f"pattern {module.PATTERN.id} yields what is no finding of its own: {finding!r:.100}")
    return found


def remembered(modules: Sequence[PatternModule]) -> None:
    """Remember patterns that are run, the latest of each id."""
    _RUN.update((module.PATTERN.id, module) for module in modules)


def uninstalled() -> tuple[PatternModule, ...]:
    """The patterns that were run in this process without being installed."""
    return tuple(_RUN.values())


@functools.cache
def installed() -> tuple[PatternModule, ...]:
    """The patterns of installed packages, by name. Raises UsageError for one that cannot be loaded."""
    if not _any_declared():
        return ()
    from importlib.metadata import entry_points

    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            loaded = point.load()
        except Exception as error:  # whatever the code of others raises
            raise UsageError(f"pattern {point.name} ({point.value}) cannot be loaded: {error}") from error
        found.append(checked(loaded, f"{point.name} ({point.value})"))
    return tuple(found)


def _any_declared() -> bool:
    """Whether any package names the group: looked up in a few milliseconds, where the machinery takes thirty."""
    for folder in dict.fromkeys(sys.path):
        try:
            names = [entry.path for entry in os.scandir(folder or ".") if entry.name.endswith(".dist-info")]
        except OSError:
            continue
        for path in names:
            try:
                with open(os.path.join(path, "entry_points.txt"), encoding="utf-8", errors="replace") as file:
                    if f"[{GROUP}]" in file.read():
                        return True
            except OSError:
                continue
    return False
