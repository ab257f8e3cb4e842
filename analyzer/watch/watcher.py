"""Takes rotated files as they are completed, keeps a window of each series, and says what is new.

How it works
------------
One file at a time: it is scanned, joins the window of its series, the window is analysed, requests that are decided
are counted, findings that are new are noted, files that are too old leave the window, and the state is written. So the
state after a file depends on the files before it alone, and not on when the watcher looked, or was stopped and started
in between. Findings are printed after the state that holds them was written, and struck off by the next one: a watcher
that is killed just then prints them once more, and never loses one.

A file that vanished, cannot be read or is cut breaks its series: the window is closed and begins anew behind it,
because a reply that is missing then may be in what was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.errors import CaptureError
from analyzer.events.scan import merge, settle
from analyzer.exchanges.build import Given, exchanges
from analyzer.exchanges.judge import REPLY_WAIT_NS
from analyzer.fleet.combine import placed, tree
from analyzer.fleet.pieces import FileJob, How, Piece
from analyzer.patterns.catalogue import run
from analyzer.patterns.finding import ERROR, INFO, WARNING, Finding
from analyzer.watch import metrics
from analyzer.watch.listing import Entry, complete, entries_of, head_of, in_order
from analyzer.watch.state import Series, Store, Taken

#: Findings of these severities are said, by what was asked for.
SEVERITIES = {ERROR: (ERROR,), WARNING: (ERROR, WARNING), INFO: (ERROR, WARNING, INFO)}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a watcher is asked for."""

    folder: Path
    pattern: str = "*cap*"
    window_ns: int = 300_000_000_000
    settle_ns: int = 10_000_000_000
    severity: str = WARNING


class Watcher:
    """Watches one folder; ``store`` keeps its state."""

    def __init__(self, settings: Settings, store: Store, complain: Callable[[str], None]) -> None:
        self.settings = settings
        self.store = store
        self.state = store.load()
        self.written = True  # whether the state on disk is this one
        self._complain = complain
        self._listed: dict[str, Entry] = {}

    def step(self, now_ns: int) -> bool:
        """Take the next complete file, if there is one; ``now_ns`` is the time of day."""
        entries = list(entries_of(self.settings.folder, self.settings.pattern))
        self._note_vanished(entries)
        for name, series in in_order(entries).items():
            for entry in complete(series, now_ns=now_ns, settle_ns=self.settings.settle_ns):
                if list(entry[1:]) != self.state.seen.get(entry.name, [])[:3]:
                    self._take(name, entry, {each.name for each in series})
                    return True
        return False

    def save(self) -> bool:
        """Write the state; whether that could be done."""
        try:
            self.store.save(self.state)
        except OSError as error:
            if self.written:
                self._complain(f"the state cannot be written ({error.strerror}); it is kept in memory until it can")
            self.written = False
            return False
        if not self.written:
            self._complain("the state can be written again")
        self.written = True
        return True

    def say(self, out: Callable[[dict[str, Any]], None]) -> None:
        """Give out the findings that were not said, and remember that they were."""
        if self.state.unsaid:
            for finding in self.state.unsaid:
                out(finding)
            self.state.unsaid = []
            self.save()

    def metrics(self) -> str:
        """The state as OpenMetrics text."""
        series = self.state.series
        findings = [finding for each in series.values() for finding in each.open.values()]
        return metrics.text_of(self.state.counters, findings, {name: each.last_time for name, each in series.items()})

    def _note_vanished(self, entries: Iterable[Entry]) -> None:
        """A file that was listed, not taken, and is gone: its series is broken. What was taken may go."""
        now = {entry.name: entry for entry in entries}
        for name, entry in self._listed.items():
            if name not in now and list(entry[1:]) != self.state.seen.get(name, [])[:3]:
                self._complain(f"{name}: vanished before it was read")
                self._lost(in_order([entry]).popitem()[0], "vanished")
        self._listed = now
        for name in [name for name in self.state.seen if name not in now]:
            del self.state.seen[name]

    def _lost(self, name: str, result: str) -> None:
        self.state.series.setdefault(name, Series()).broken = True
        metrics.add(self.state.counters, metrics.key_of("files", result=result))

    def _take(self, name: str, entry: Entry, present: set[str]) -> None:
        """Scan a file, and go on with the window of its series."""
        path = self.settings.folder / entry.name
        size, _, _, head = self.state.seen.get(entry.name, (-1, 0, 0, ""))
        known = size >= 0 and head_of(path, size) == head
        self.state.seen[entry.name] = [*entry[1:], head_of(path, entry.size)]
        if known and size == entry.size:
            return  # the same content, touched or copied
        series = self.state.series.setdefault(name, Series())
        before = next((taken for taken in series.window if taken.name == entry.name), None)
        if known and before is None:
            self._complain(f"{entry.name}: grew after it left the window; what was added is not read")
            return
        try:
            piece = FileJob(str(path), How()).run(lambda _: None)
        except CaptureError as error:
            self._complain(str(error))
            self._lost(name, "unreadable" if path.exists() else "vanished")
            return
        gap = piece.first_time - series.last_time > REPLY_WAIT_NS
        if series.window and series.window[-1].name not in present and gap:
            series.broken = True  # files may have come and gone while nobody watched
        if series.broken and not known:
            self._analyse(name, series, final=True)
            series.window, series.broken = [], False
        self.state.number += 1
        taken = Taken(self.state.number, entry.name, piece.first_time, max(piece.facts.last_time, piece.first_time))
        self._count_file(piece, before if known else None)
        if known and before is not None:
            series.window.remove(before)
            taken.counted = before.counted
        self.store.keep(taken.number, (piece.scan, piece.facts))
        series.window = sorted([*series.window, taken], key=lambda each: (each.first_time, each.number))
        series.last_time = taken.last_time if taken.last_time >= 0 else series.last_time
        series.broken = bool(piece.facts.cut)
        self._analyse(name, series)

    def _count_file(self, piece: Piece, before: Taken | None) -> None:
        counters = self.state.counters
        fresh = piece.facts.records
        if before is None:
            metrics.add(counters, metrics.key_of("files", result="cut" if piece.facts.cut else "taken"))
        else:
            fresh -= self.store.scan(before.number)[1].records
        metrics.add(counters, metrics.key_of("records"), fresh)
        if piece.facts.cut:
            self._complain(piece.facts.cut)

    def _analyse(self, name: str, series: Series, *, final: bool = False) -> None:
        """Count what the window decides, note what it shows, and let go of old files, or of all if ``final``."""
        window = self._readable(series)
        if not window:
            return
        oldest = series.last_time - self.settings.window_ns
        leaving = [k for k, taken in enumerate(window) if final or taken.last_time < oldest]
        scans, facts = zip(*(self.store.scan(taken.number) for taken in window), strict=True)
        merged = tree([placed(scan, [k], len(scans)) for k, scan in enumerate(scans)], merge)
        found = exchanges(settle(merged), facts, Given())
        counted = [taken.counted for taken in window]
        metrics.count_requests(found.view.exchanges, counted, self.state.counters, final=leaving)
        if not final:
            for finding in run(found.view):
                self._note(name, series, finding)
        for key in [key for key, finding in series.open.items() if finding["seen"] < oldest]:
            del series.open[key]
        series.window = [taken for k, taken in enumerate(window) if k not in leaving]

    def _readable(self, series: Series) -> list[Taken]:
        """The window without files whose scans were lost from the folder of the state."""
        window = []
        for taken in series.window:
            try:
                self.store.scan(taken.number)
                window.append(taken)
            except CaptureError as error:
                self._complain(f"{taken.name}: left out of the window: {error}")
        return window

    def _note(self, name: str, series: Series, finding: Finding) -> None:
        """Remember a finding that is open; one that was not is to be said."""
        address, port = finding.server or ("", -1)
        about = [finding.pattern, finding.transport, finding.family, address, str(port), finding.name]
        if not finding.server and not finding.name:
            about += [client for client, _ in finding.clients[:1]]
        key = "|".join(about)
        noted = {
            "pattern": finding.pattern,
            "severity": finding.severity,
            "family": finding.family,
            "server": address,
            "port": str(port) if port >= 0 else "",
            "name": finding.name,
            "series": name,
            "title": finding.title,
            "because": finding.because,
            "first_time": finding.first_time,
            "seen": series.last_time,
        }
        if key not in series.open and finding.severity in SEVERITIES[self.settings.severity]:
            self.state.unsaid.append(noted)
        series.open[key] = noted
