"""The plots drawn by a second Python while this one reads the captures and writes the other reports.

Loading matplotlib and drawing take as long as reading a hundred megabytes. The second process is started as soon as the
captures are read, which takes all processors; while this one finds out what they show, it loads matplotlib. It is given
the tables that plots look at as soon as these are there, and paints what needs no finding; then the findings, and sends
back SVG and PNG. What it does not return, because it could not start or died, is made here. The bytes are the same
either way.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, cast

import numpy as np

from analyzer.columns import Table
from analyzer.exchanges.schemas import PACKETS
from analyzer.exchanges.view import View
from analyzer.processes import PIPE_BYTES, python_beside, send
from analyzer.reports.plots.amplification import first_connection
from analyzer.reports.plots.drawn import PLOTS, drawn
from analyzer.reports.plots.style import Painted, png_of, style, svg_of
from analyzer.reports.plots.timeline import mark_onsets, without_onsets
from analyzer.reports.plots.waterfall import telling
from analyzer.reports.summary import Analysed
from analyzer.reports.text import utc

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Reading less takes less time than it takes to start a second process.
WORTH_A_PROCESS_BYTES = 64 << 20
_DOCUMENT = ("captures", "findings")
_CONNECTIONS = (
    *("connection", "transport", "family", "client_address", "client_port", "server_address", "server_port", "sni"),
    *("outcome", "request_time", "last_request_time", "reply_latency_s", "first_record", "first_time"),
)
_EXCHANGES = (
    *("kind", "connection", "transport", "client_address", "client_port", "server_address", "server_port", "outcome"),
    *("request_time", "last_request_time", "reply_latency_s"),
)
_PACKETS = ("connection", "time", "direction", "kind", "detail", "payload")
_NO_PACKETS = Table.from_rows("packets", tuple(column for column in PACKETS if column.name in _PACKETS), [])


class Picture(NamedTuple):
    """One plot of a report."""

    name: str
    svg: str
    png: bytes


class Read(Analysed, Protocol):
    """An analysis of which nobody has asked for the findings yet."""

    @property
    def view(self) -> View: ...


@dataclass(frozen=True)
class _Copy:
    """What plots look at of an analysis, in plain arrays."""

    document: dict[str, Any]
    connections: Table
    exchanges: Table
    sockets: Table
    hosts: Table
    packets: Table


class Artist:
    """The second process; one for one report."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_started = self._is_expected = self._is_asked = False

    def progress(self, done: int, total: int) -> None:
        """``done`` of ``total`` bytes of the captures were read: the last of them start the process."""
        if 0 < total <= done:
            self._start()

    def _start(self) -> None:
        if self._is_started:
            return
        self._is_started = True
        with contextlib.suppress(OSError):  # no processes or files to be had: then everything is drawn here
            self._process = python_beside(
                "analyzer.reports.plots.aside:serve", stderr=subprocess.DEVNULL, pipesize=PIPE_BYTES
            )

    def expect(self, analysis: Read) -> None:
        """Hand over the tables of an analysis, before anyone asks for its findings."""
        times = [(capture.first_time, capture.last_time) for capture in analysis.view.captures]
        captures = [{"first_time": _text(first), "last_time": _text(last)} for first, last in times]
        self._expect(analysis, captures)

    def begin(self, analysis: Analysed) -> None:
        """Hand over all else that is to be drawn."""
        document = {key: analysis.document[key] for key in _DOCUMENT}
        if not self._is_expected:
            self._expect(analysis, document["captures"])
        self._is_asked = True
        self._send((document, _packets(analysis)))

    def _expect(self, analysis: Analysed, captures: list[dict[str, Any]]) -> None:
        self._start()
        self._is_expected = True
        self._send(_tables(analysis, {"captures": captures, "findings": []}))

    def _send(self, message: object) -> None:
        if self._process is not None:
            self._threads.submit(send, cast(BinaryIO, self._process.stdin), message)

    def pictures(self, analysis: Analysed) -> Iterator[Picture]:
        """Every plot of the report, each as soon as it is drawn; what does not come is drawn here."""
        drawn: list[str] = []
        while self._is_asked and (message := self._received()) is not None:
            if not message:
                return
            drawn.append(message[0])
            yield Picture(*message)
        yield from pictures_of(analysis, without=drawn)

    def _received(self) -> Any:
        """The next message; None where there is none any more."""
        if self._process is None:
            return None
        try:
            return pickle.load(cast(BinaryIO, self._process.stdout))
        except (OSError, ValueError, EOFError, pickle.UnpicklingError):
            return None

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
        self._threads.shutdown()
        if process is not None:
            with contextlib.suppress(OSError):  # what was not sent cannot be
                cast(BinaryIO, process.stdin).close()
            cast(BinaryIO, process.stdout).close()
            process.wait()


@contextlib.contextmanager
def artist_for(paths: Iterable[str]) -> Iterator[Artist | None]:
    """An artist where these captures are so large that one pays; it is gone at the end."""
    size = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    artist = Artist() if size >= WORTH_A_PROCESS_BYTES else None
    try:
        yield artist
    finally:
        if artist is not None:
            artist.close()


def pictures_of(analysis: Any, *, without: Sequence[str] = ()) -> Iterator[Picture]:
    """The plots of the report, drawn here, but for those of these names."""
    for name, figure in drawn(analysis, without):
        yield Picture(name, svg_of(figure), png_of(figure))


def serve() -> None:
    """The work of the second process: load, draw what can be drawn, wait for the findings, draw all, answer."""
    gc.disable()  # it ends before there is much to collect
    _load()
    with contextlib.suppress(EOFError):
        tables = pickle.load(sys.stdin.buffer)
        begun = _Begun(tables)
        document, packets = pickle.load(sys.stdin.buffer)
        analysis = replace(tables, document=document, packets=packets)
        send(sys.stdout.buffer, tuple(begun.finished(analysis)))
        for picture in pictures_of(analysis, without=["timeline"]):
            send(sys.stdout.buffer, tuple(picture))
        send(sys.stdout.buffer, ())  # that was all


class _Begun:
    """The timeline, painted as far as it goes without findings."""

    def __init__(self, tables: Any) -> None:
        self._axes = without_onsets(tables)
        self._figure = cast("Figure", self._axes.get_figure(root=True))
        self._painted = Painted(self._figure)

    def finished(self, analysis: Any) -> Picture:
        with style():
            marks = mark_onsets(analysis, self._axes)
        self._painted.add(marks)
        png = self._painted.png()
        return Picture("timeline", svg_of(self._figure), png)


def _load() -> None:
    """Load what draws, but for what nobody here asks matplotlib for: it takes a third of the time."""
    sys.modules["mpl_toolkits.mplot3d"] = cast(Any, None)  # as if it were not installed
    import matplotlib.artist

    matplotlib.artist.kwdoc = _nothing  # for the docstrings of hundreds of methods
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has no third dimension
        import matplotlib.backends.backend_agg
        import matplotlib.backends.backend_svg
        import matplotlib.figure


def _nothing(artist: object) -> str:  # noqa: ARG001
    return ""


def _tables(analysis: Analysed, document: dict[str, Any]) -> _Copy:
    """A copy without packets."""
    exchanges = analysis.exchanges
    questions = np.flatnonzero((exchanges["kind"] == "dns") & (exchanges["transport"] == "udp")).tolist()
    return _Copy(
        document=document,
        connections=_plain(analysis.connections, _CONNECTIONS, None),
        exchanges=_plain(exchanges, _EXCHANGES, questions),
        sockets=_plain(analysis.sockets, [column.name for column in analysis.sockets.schema], None),
        hosts=_plain(analysis.hosts, ("address", "host", "host_reason"), None),
        packets=_NO_PACKETS,
    )


def _text(time: int) -> str | None:
    return utc(time) if time >= 0 else None


def _needs_packets(analysis: Analysed) -> bool:
    return any(PLOTS[name][1](analysis) for name in ("amplification", "waterfall"))


def _packets(analysis: Analysed) -> Table:
    """The packets that plots look at; the table of all is made only where there are any."""
    if not _needs_packets(analysis):
        return _NO_PACKETS
    named = {*telling(analysis), first_connection(analysis)}
    return _plain(analysis.packets, _PACKETS, analysis.packets.rows_with("connection", named))


def _plain(table: Table, names: Sequence[str], rows: list[int] | None) -> Table:
    """A table of these columns that holds nothing but arrays; some rows, or all."""
    schema = tuple(column for column in table.schema if column.name in names)
    kept = np.arange(len(table)) if rows is None else np.array(rows, np.int64)
    return Table.from_columns(table.name, schema, {column.name: table.at(column.name, kept) for column in schema})
