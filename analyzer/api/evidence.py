"""From a finding or a connection to its packets, and back: the same methods on both."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from analyzer.reports.text import ranges

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from scapy.plist import PacketList

    from analyzer.analysis import Analysis

Record = tuple[int, int]  # (capture index from 0, record number from 1)

#: Records that a display filter names one by one.
MOST_NAMED = 400


class Source(Protocol):
    """What evidence is evidence of: a capture."""

    @property
    def packets(self) -> pandas.DataFrame: ...
    @property
    def connections(self) -> pandas.DataFrame: ...
    @property
    def analysis(self) -> Analysis: ...
    @property
    def keylog(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Wireshark:
    """What opens the records in Wireshark: one command for each capture file, and the display filter in it."""

    commands: tuple[str, ...]
    filters: tuple[str, ...]

    @property
    def filter(self) -> str:
        """The display filter for the first capture."""
        return self.filters[0] if self.filters else ""

    def __str__(self) -> str:
        return "\n".join(self.commands)

    def __repr__(self) -> str:
        return str(self)


class Evidence:
    """Records of a capture that belong together; ``records`` are theirs."""

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name

    @property
    def records(self) -> list[Record]:
        """(capture index from 0, record number from 1) of each, ascending."""
        raise NotImplementedError

    def packets(self) -> pandas.DataFrame:
        """The rows of the capture's table of packets for these records."""
        packets, wanted = self._source.packets, set(self.records)
        mine = [pair in wanted for pair in zip(packets["capture"].tolist(), packets["record"].tolist(), strict=True)]
        return packets[mine]

    def scapy(self) -> PacketList:
        """The records as scapy packets, read again from the capture files; each ``comment`` says which record it is."""
        from analyzer.api.decoded import as_scapy

        return as_scapy(self._source.analysis.paths, self.records, name=self._name)

    def pyshark(self) -> list[Any]:
        """The records decoded by Wireshark's dissectors, as packets of pyshark; each ``number`` is the record.

        Works inside a running event loop, such as a notebook's. Raises UsageError where tshark is not installed.
        """
        from analyzer.api.decoded import as_pyshark

        return as_pyshark(self._source.analysis.paths, self.records, keylog=self._source.keylog)

    def wireshark(self) -> Wireshark:
        """The commands that open these records in Wireshark, and the display filters."""
        by_capture: dict[int, list[int]] = {}
        for capture, record in self.records[:MOST_NAMED]:
            by_capture.setdefault(capture, []).append(record)
        filters = {capture: frames_filter(numbers) for capture, numbers in sorted(by_capture.items())}
        paths = self._source.analysis.paths
        commands = (shlex.join(["wireshark", "-r", paths[capture], "-Y", words]) for capture, words in filters.items())
        return Wireshark(tuple(commands), tuple(filters.values()))


def frames_filter(numbers: Sequence[int]) -> str:
    """``frame.number in {7..11, 22}``"""
    return f"frame.number in {{{', '.join(run.replace('–', '..') for run in ranges(numbers))}}}"


class Connection(Evidence):
    """One connection of the table of connections; ``row`` is its row there."""

    def __init__(self, source: Source, name: str, row: pandas.Series[Any]) -> None:
        super().__init__(source, name)
        self.id = name
        self.row = row

    @property
    def records(self) -> list[Record]:
        """The selected records of the connection: those that decide, without the bulk."""
        packets = self.packets()
        return sorted(zip(packets["capture"].tolist(), packets["record"].tolist(), strict=True))

    def packets(self) -> pandas.DataFrame:
        """The selected packets of the connection, a row each."""
        packets = self._source.packets
        return packets[packets["connection"] == self.id]

    def all_packets(self) -> pandas.DataFrame:
        """Every record between the connection's sockets while it lasted, the bulk too; reads the captures again."""
        from analyzer.api.records import between_sockets, records_table

        every = records_table(self._source.analysis, between_sockets(self._source.analysis, self.id)).to_pandas()
        return every[(every["connection"] == self.id) | every["connection"].isna()]

    def ladder(self, ax: Axes | None = None) -> Axes:
        """The first packets of the connection as arrows between client and server, drawn; returns the axes."""
        from analyzer.api.plots import Plots

        return Plots(self._source.analysis).ladder(self.id, ax=ax)

    def __repr__(self) -> str:
        row = self.row
        ends = f"{row['client_address']} port {row['client_port']} to {row['server_address']} port {row['server_port']}"
        return f"<Connection {self.id}: {row['transport']} from {ends}, {row['outcome']}>"
