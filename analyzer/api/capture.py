"""``analyzer.open``: captures, or a saved scan of them, as an object whose tables are DataFrames.

Nothing is read when a capture is opened but the begin of each file. The first table that is asked for reads it once;
what is built on that (findings, packets, the verdict) is made when asked for, and kept.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.analysis import Analysis
from analyzer.api.evidence import Connection
from analyzer.api.findings import Finding, Findings
from analyzer.api.sources import Files, Reading, SavedScan, is_saved
from analyzer.columns import Table
from analyzer.errors import UsageError
from analyzer.exchanges.filters.expression import read_filter

if TYPE_CHECKING:
    import pandas

    from analyzer.api.plots import Plots
    from analyzer.api.verdict import Comparison, Verdict
    from analyzer.patterns.own import PatternModule

AnyPath = str | os.PathLike[str]


def open(
    paths: AnyPath | Sequence[AnyPath],
    *,
    keylog: AnyPath | None = None,
    filter: str | None = None,
    vantage: Mapping[str, str] | None = None,
    patterns: Sequence[PatternModule] = (),
) -> Capture:
    """Open one capture, several that belong together, or one saved scan. Raises CaptureError where a file is none.

    ``keylog`` is a file in the format of SSLKEYLOGFILE; ``filter`` an expression that chooses connections, such as
    ``"host 192.0.2.80 and not port 53"``; ``vantage`` says of files, by path or base name, at which end they were made:
    client, server or middle. They are the options of the same names of ``halfshake analyze``. ``patterns`` are of your
    own and run with the others. Raises UsageError for what cannot be understood.
    """
    names = [os.fspath(paths)] if isinstance(paths, str | os.PathLike) else [os.fspath(path) for path in paths]
    if not names:
        raise UsageError("no capture was named")
    given = Files(
        tuple(names),
        None if keylog is None else os.fspath(keylog),
        dict(vantage or {}),
        tuple(patterns),
        None if filter is None else read_filter(filter),
    )
    saved = [name for name in names if is_saved(name)]
    if not saved:
        given.check()
        return Capture(given)
    if len(names) > 1:
        raise UsageError(f"{saved[0]}: a saved scan is opened alone; it holds the captures that it was made of")
    return Capture(SavedScan(given))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without the search for reference cycles: few are made here, and live objects are many."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Capture:
    """What was seen in one or more captures. Attributes that are tables are DataFrames; see ``analyzer.frames``.

    ``frame.attrs["columns"]`` says of each column its unit, meaning and source. Each access gives a new DataFrame, so
    that changing one leaves the others as they are.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._frames: dict[str, pandas.DataFrame] = {}

    @functools.cached_property
    def analysis(self) -> Analysis:
        """The analysis behind this: tables as numpy columns. The first access reads the captures."""
        # While compiled loops walk a large capture another thread may run: pandas takes a fifth of a second to import.
        ahead = threading.Thread(target=import_module, args=("pandas",), daemon=True)
        ahead.start()
        with _no_collection():
            analysis = self._reading.read()
        ahead.join()
        return analysis

    @property
    def keylog(self) -> str | None:
        """The key log that was given."""
        return self._reading.keylog

    @property
    def paths(self) -> list[str]:
        """The capture files that were read, by capture index."""
        return list(self.analysis.paths)

    @property
    def warnings(self) -> list[str]:
        """What could not be read, a sentence each: captures that are cut, files that are none, packets left out."""
        return [*(str(error) for _, error in self.analysis.failures), *self.analysis.warnings]

    @property
    def sockets(self) -> pandas.DataFrame:
        """One row per server socket and address family."""
        return self._frame("sockets")

    @property
    def connections(self) -> pandas.DataFrame:
        """One row per QUIC connection, TCP connection or other UDP conversation."""
        return self._frame("connections")

    @property
    def exchanges(self) -> pandas.DataFrame:
        """One row per request, and what came back or did not."""
        return self._frame("exchanges")

    @property
    def resolutions(self) -> pandas.DataFrame:
        """One row per client, name and episode: what DNS answered, and what was tried then."""
        return self._frame("resolutions")

    @property
    def packets(self) -> pandas.DataFrame:
        """The selected packets, a row each: those that decide. ``records`` has all others."""
        return self._frame("packets")

    def records(self, first: int, last: int, *, capture: int = 0) -> pandas.DataFrame:
        """Records ``first`` to ``last`` (both included, from 1) of a capture, selected or not; reads the file again.

        The columns of ``packets``, and source and destination of each.
        """
        from analyzer.api.records import InRange, records_table

        if not 0 <= capture < len(self.analysis.paths):
            raise UsageError(f"there is no capture {capture}; {len(self.analysis.paths)} were read")
        return records_table(self.analysis, InRange((capture,), first, last)).to_pandas()

    @functools.cached_property
    def findings(self) -> Findings:
        """The findings, most important first."""
        documents = self.analysis.document["findings"]
        return Findings([Finding(self, document) for document in documents], self._frame("findings"))

    def connection(self, name: str) -> Connection:
        """The connection with this name: C1, C2, ... Raises UsageError where there is none."""
        table = self.connections
        rows = table[table["connection"] == name]
        if not len(rows):
            raise UsageError(f"there is no connection {name!r}; there are {len(table):,}: C1, C2, ...")
        return Connection(self, name, rows.iloc[0])

    @functools.cached_property
    def verdict(self) -> Verdict:
        """The answer in a word and a sentence; printed, it is the page that ``halfshake analyze`` prints."""
        from analyzer.api.verdict import verdict_of_analysis

        return verdict_of_analysis(self.analysis)

    @property
    def document(self) -> dict[str, Any]:
        """The report document: what ``report.json`` holds."""
        return self.analysis.document

    @property
    def plot(self) -> Plots:
        """Plots with matplotlib, as methods that return axes."""
        from analyzer.api.plots import Plots

        return Plots(self.analysis)

    def report(self, folder: AnyPath, *, force: bool = False, full: bool = False) -> Path:
        """Write the report folder of ``halfshake analyze -o``; returns its path. Raises UsageError as that does."""
        from analyzer.reports.bundle import write_reports

        path = Path(folder)
        write_reports(self.analysis, path, force=force, full=full)
        return path

    def compare(self, after: Capture) -> Comparison:
        """What changed from this capture to another one: sockets, findings, families, and whether it got worse."""
        from analyzer.api.verdict import compared

        return compared(self.analysis, after.analysis)

    def save(self, path: AnyPath) -> Path:
        """Write what was read, and the tables, into one file that ``analyzer.open`` opens; returns its path.

        The file appears whole or not at all. It holds bytes of packets: look after it as after the capture.
        """
        from analyzer.api.saving import save

        if self.analysis.view.filtered:
            raise UsageError(f"{path}: a saved scan holds everything; open the capture without a filter to save it")
        return save(self.analysis, Path(path))

    def _frame(self, name: str) -> pandas.DataFrame:
        if name not in self._frames:
            with _no_collection():
                table: Table = getattr(self.analysis, name)
                self._frames[name] = table.to_pandas()
        return self._frames[name].copy()

    def __repr__(self) -> str:
        from analyzer.reports.text import visible

        return f"<Capture {visible(', '.join(self._reading.names))}>"

    def _repr_html_(self) -> str:
        return self.verdict._repr_html_() + self.findings._repr_html_()

    def _repr_markdown_(self) -> str:
        return self.verdict._repr_markdown_() + "\n" + self.findings._repr_markdown_()
