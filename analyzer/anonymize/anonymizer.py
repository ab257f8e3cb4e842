"""The door of this room: everything that one key replaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from analyzer.anonymize.copies import Counts, safe_copies
from analyzer.anonymize.key import Key
from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.view import Texts
from analyzer.capture.writer import NewRecord
from analyzer.columns import Table
from analyzer.exchanges.build import Found
from analyzer.patterns.finding import Finding


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

    def findings(self, findings: Sequence[Finding], originals: Sequence[Finding]) -> tuple[Finding, ...]:
        """The findings of an anonymised view with the causes of the original ones.

        A cause may ask for the address itself, such as that of a Docker bridge, so it is judged by the original.
        """
        return tuple(
            replace(finding, causes=_causes(original, finding))
            for finding, original in zip(findings, originals, strict=True)
        )

    def copies(self, records: Sequence[NewRecord]) -> tuple[list[NewRecord], Counts]:
        """Records as they may be shown, in the same order, and how many were cut and dropped."""
        return safe_copies(records, self._maps)


def _causes(original: Finding, finding: Finding) -> tuple[Mapping[str, object], ...]:
    """The causes of the original finding, whose texts name no address but that of its server."""
    if original.server is None or finding.server is None:
        return original.causes
    before, after = original.server[0], finding.server[0]
    return tuple(
        {key: text.replace(before, after) if isinstance(text, str) else text for key, text in cause.items()}
        for cause in original.causes
    )
