"""The door of this room: everything that one key replaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from analyzer.anonymize.copies import Counts, safe_copies
from analyzer.anonymize.key import Key
from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.view import Texts
from analyzer.capture.writer import NewRecord
from analyzer.columns import Table
from analyzer.events.scan import Scan
from analyzer.exchanges.connections import Judge
from analyzer.exchanges.view import View


class Found(Protocol):
    """What was found in captures: see ``exchanges.build.Exchanges``."""

    @property
    def view(self) -> View: ...
    @property
    def judges(self) -> tuple[Judge, ...]: ...
    @property
    def scan(self) -> Scan: ...
    def packets(self) -> Table: ...


class AnonymizedFound:
    """Tables with other names and addresses; ``judges`` and ``scan`` are of the original and never shown."""

    def __init__(self, found: Found, texts: Texts) -> None:
        self._found = found
        self._texts = texts
        self.view = texts.view(found.view)
        self.judges = found.judges
        self.scan = found.scan

    def packets(self) -> Table:
        """The selected packets."""
        return self._texts.table(self._found.packets())


class Anonymizer:
    """Replaces names and addresses by the same others in tables and in records."""

    def __init__(self, key: Key) -> None:
        self._maps = Maps(key)
        self._texts = Texts(self._maps)

    def found(self, found: Found) -> AnonymizedFound:
        """What was found in captures, with other names and addresses in its tables."""
        return AnonymizedFound(found, self._texts)

    def copies(self, records: Sequence[NewRecord]) -> tuple[list[NewRecord], Counts]:
        """Records as they may be shown, in the same order, and how many were cut and dropped."""
        return safe_copies(records, self._maps)
