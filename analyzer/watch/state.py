"""What a watcher remembers between two runs: a folder with one page of JSON, and a scan of each file of the windows.

How it works
------------
``state.json`` is the only thing that counts: it is replaced whole, after the scans that it names were written, and a
scan that it does not name is removed at the next start. So a watcher that is killed at any moment starts again where
the last page says. Scans are kept by ``events.saved`` and read only when their series goes on.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.capture.records import CaptureFacts
from analyzer.errors import UsageError
from analyzer.events.saved import scan_from, scan_to_file
from analyzer.events.scan import Scan
from analyzer.packed import written_whole

SCHEMA = "halfshake-watch/1"

Scanned = tuple[Scan, CaptureFacts]


@dataclass(slots=True)
class Taken:
    """A file in the window of its series. ``counted`` holds the digests of the requests that were counted."""

    number: int  # names its scan
    name: str
    first_time: int  # ns, -1: none
    last_time: int
    counted: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Series:
    """One series: its window, and whether the next file does not follow the last one."""

    window: list[Taken] = field(default_factory=list)
    broken: bool = False
    last_time: int = -1
    open: dict[str, dict[str, Any]] = field(default_factory=dict)  # findings by what they are about


@dataclass(slots=True)
class State:
    """All that a watcher knows."""

    number: int = 0  # of the last scan
    series: dict[str, Series] = field(default_factory=dict)
    seen: dict[str, list[Any]] = field(default_factory=dict)  # name -> size, time, inode and head of what was taken
    counters: dict[str, int] = field(default_factory=dict)  # of ``metrics``, by their names and labels
    unsaid: list[dict[str, Any]] = field(default_factory=list)  # findings to print


class Store:
    """The folder of a state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[int, Scanned] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # scans hold what captures hold
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made: {error.strerror}") from error

    def load(self) -> State:
        """The state as it was written last; raises UsageError where the folder holds something else."""
        page = self.folder / "state.json"
        try:
            plain = json.loads(page.read_text(encoding="utf-8"))
            if plain["schema"] != SCHEMA:
                raise UsageError(f"{page}: written by another version of halfshake; give another folder, or remove it")
            state = _state(plain)
            self._remove_unnamed(state)
        except FileNotFoundError:
            state = State()
            self._remove_unnamed(state)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, zlib.error) as error:
            raise UsageError(f"{page}: cannot be read ({error}); give another folder, or remove it") from error
        return state

    def save(self, state: State) -> None:
        """Write the scans that are not there yet, then the page. Raises OSError; then what was written before holds."""
        for series in state.series.values():
            for taken in series.window:
                path = self._path(taken.number)
                if taken.number in self._kept and not path.exists():
                    scan, facts = self._kept[taken.number]
                    with written_whole(path) as file:
                        scan_to_file(file, scan, [facts])
        with written_whole(self.folder / "state.json") as file:
            file.write((json.dumps(_plain(state), indent=1) + "\n").encode())
        self._remove_unnamed(state)

    def keep(self, number: int, scanned: Scanned) -> None:
        """Hold a scan for a window; it is written by ``save``."""
        self._kept[number] = scanned

    def scan(self, number: int) -> Scanned:
        """A scan of a window; raises CaptureError where its file is damaged or gone."""
        if number not in self._kept:
            scan, (facts,) = scan_from(self._path(number))
            self._kept[number] = (scan, facts)
        return self._kept[number]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:09d}.scan"

    def _remove_unnamed(self, state: State) -> None:
        named = {taken.number for series in state.series.values() for taken in series.window}
        self._kept = {number: scanned for number, scanned in self._kept.items() if number in named}
        for path in [*self.folder.glob("*.scan"), *self.folder.glob(".*.partial-*")]:
            if path.suffix != ".scan" or not path.stem.isdigit() or int(path.stem) not in named:
                path.unlink(missing_ok=True)


def _plain(state: State) -> dict[str, Any]:
    plain = asdict(state)
    for series in plain["series"].values():
        for taken in series["window"]:
            taken["counted"] = _packed(taken["counted"])
    return {"schema": SCHEMA} | plain


def _state(plain: dict[str, Any]) -> State:
    series = {}
    for name, each in plain["series"].items():
        window = [Taken(**(taken | {"counted": _unpacked(taken["counted"])})) for taken in each["window"]]
        series[name] = Series(**(each | {"window": window}))
    return State(**({name: value for name, value in plain.items() if name != "schema"} | {"series": series}))


def _packed(numbers: set[int]) -> str:
    """A set of 64-bit numbers as text."""
    array = np.array(sorted(numbers), np.int64)
    return base64.b64encode(zlib.compress(np.diff(array, prepend=0).astype("<i8").tobytes(), 1)).decode()


def _unpacked(text: str) -> set[int]:
    differences = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8")
    return set(np.cumsum(differences).tolist())
