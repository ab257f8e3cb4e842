"""What a ``Capture`` is read from: capture files, or a saved scan."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from analyzer.analysis import Analysis, analyse, given_by_user
from analyzer.capture.source import open_captures
from analyzer.events.saved import SCHEMA
from analyzer.exchanges.filters.expression import Filter
from analyzer.packed import PackedReader, is_packed
from analyzer.patterns.own import PatternModule


class Reading(Protocol):
    """Reads once what was opened."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def keylog(self) -> str | None: ...
    def read(self) -> Analysis: ...


@dataclass(frozen=True)
class Files:
    """Capture files and the options under which they are read."""

    names: tuple[str, ...]
    keylog: str | None = None
    vantage: Mapping[str, str] = field(default_factory=dict)
    patterns: tuple[PatternModule, ...] = ()
    wanted: Filter | None = None

    def check(self) -> None:
        """Raise the error of the first file where none of the files can be read; pipes are not looked at."""
        regular = [name for name in self.names if name != "-" and not _is_pipe(name)]
        failures = open_captures(regular).failures
        if failures and len(failures) == len(self.names):
            raise failures[0][1]

    def read(self) -> Analysis:
        """Analyse the files; those that cannot be read are in ``failures``."""
        analysis = analyse(self.names, keylog=self.keylog, vantages=self.vantage)
        return analysis.chosen(wanted=self.wanted).with_patterns(self.patterns)


class SavedScan:
    """A saved scan; ``given`` are the options beside its name. Raises CaptureError where the file is none."""

    def __init__(self, given: Files) -> None:
        (name,) = given.names
        self.names = given.names
        self.keylog = given.keylog
        self._patterns, self._wanted = given.patterns, given.wanted
        self._given = given_by_user(given.keylog, given.vantage)
        self._reader = PackedReader(name, SCHEMA)

    def read(self) -> Analysis:
        """The analysis that was saved, or made again of the saved scan where other options are given."""
        from analyzer.api.saving import load

        return load(self._reader, self._given).chosen(wanted=self._wanted).with_patterns(self._patterns)


def is_saved(name: str) -> bool:
    """Whether the file of this name begins as saved scans do; False where it cannot be read."""
    if name == "-" or _is_pipe(name):
        return False
    try:
        with open(name, "rb") as file:
            return is_packed(file.read(64))
    except OSError:
        return False


def _is_pipe(name: str) -> bool:
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
