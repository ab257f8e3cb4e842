"""Findings as objects: what is claimed, the records that prove it, and how it looks in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from analyzer.api.evidence import Connection, Evidence, Record, Source
from analyzer.errors import UsageError
from analyzer.reports.summary import Finding as Document

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


class Finding(Evidence):
    """One finding. ``document`` is its entry in ``report.json``; what is used most has a property."""

    def __init__(self, source: Source, document: Document) -> None:
        super().__init__(source, document["id"])
        self.document = document

    @property
    def id(self) -> str:
        """F1, F2, ... in report order."""
        return str(self.document["id"])

    @property
    def pattern(self) -> str:
        """The id of the pattern: ``analyzer.explain(finding.pattern)`` prints its page."""
        return str(self.document["pattern"])

    @property
    def severity(self) -> str:
        """error, warning or info: how much it hurts."""
        return str(self.document["severity"])

    @property
    def confidence(self) -> str:
        """certain, likely or possible: how far the capture proves it."""
        return str(self.document["confidence"])

    @property
    def title(self) -> str:
        """What is seen, in a line."""
        return str(self.document["title"])

    @property
    def because(self) -> str:
        """One sentence with its numbers."""
        return str(self.document["because"])

    @property
    def family(self) -> str | None:
        """The family that fails: ipv4, ipv6, both, or None."""
        family: str | None = self.document["family"]
        return family

    @property
    def counts(self) -> dict[str, int]:
        """attempts, answered, refused, silent, undetermined, affected, clients, records."""
        return dict(self.document["counts"])

    @property
    def first_time(self) -> pandas.Timestamp | None:
        """Time of the first cited record."""
        return _moment(self.document["first_time"])

    @property
    def onset(self) -> pandas.Timestamp | None:
        """Since when, where the capture shows it."""
        return _moment(self.document["onset"])

    @property
    def display_filter(self) -> str:
        """A display filter that shows the evidence in its surroundings; ``wireshark()`` names the records alone."""
        return str(self.document["display_filter"])

    @property
    def remedies(self) -> list[str]:
        """What to do."""
        return list(self.document["remedies"])

    @property
    def records(self) -> list[Record]:
        """The records that prove it: (capture index from 0, record number from 1), the first 100."""
        return [(capture, record) for capture, record in self.document["records"]]

    @property
    def connections(self) -> list[Connection]:
        """The connections that it is about, the first 100."""
        names = self.document["connections"]
        table = self._source.connections
        rows = table[table["connection"].isin(names)]
        return [Connection(self._source, row["connection"], row) for _, row in rows.iterrows()]

    def ladder(self, ax: Axes | None = None) -> Axes:
        """The ladder of the connection that shows the finding best, drawn; returns the axes.

        Raises UsageError for a finding that is about no connection.
        """
        from analyzer.api.plots import Plots
        from analyzer.reports.ladder import telling_connections

        name = telling_connections(self._source.analysis).get(self.id)
        if name is None:
            raise UsageError(f"{self.id} ({self.pattern}) is about no connection: it has no ladder")
        return Plots(self._source.analysis).ladder(name, ax=ax)

    def __repr__(self) -> str:
        return f"<Finding {self.id} {self.severity} {self.pattern}: {self.title!a}>"

    def _repr_html_(self) -> str:
        from analyzer.api.display import finding_html

        return finding_html(self.document, self._source.analysis.document["captures"])

    def _repr_markdown_(self) -> str:
        from analyzer.api.display import finding_markdown

        return finding_markdown(self.document, self._source.analysis.document["captures"])


def _moment(text: str | None) -> pandas.Timestamp | None:
    import pandas

    return None if text is None else pandas.Timestamp(text)


class Findings(Sequence[Finding]):
    """The findings, most important first; ``frame`` is their table, a row each.

    ``findings[0]``, ``findings["F1"]`` and ``findings["quic-initial-no-reply"]`` (the first of that pattern) are
    findings, ``findings[:3]`` is some of them.
    """

    def __init__(self, findings: Sequence[Finding], frame: pandas.DataFrame) -> None:
        self._findings = tuple(findings)
        self.frame = frame

    def __len__(self) -> int:
        return len(self._findings)

    @overload
    def __getitem__(self, key: int | str) -> Finding: ...
    @overload
    def __getitem__(self, key: slice) -> Findings: ...
    def __getitem__(self, key: int | str | slice) -> Finding | Findings:
        """Raises IndexError for a number, KeyError for a word that names no finding."""
        if isinstance(key, slice):
            return Findings(self._findings[key], self.frame[key])
        if isinstance(key, int):
            return self._findings[key]
        for finding in self._findings:
            if key in (finding.id, finding.pattern):
                return finding
        raise KeyError(f"no finding {key!r} here; there is {', '.join(each.id for each in self._findings) or 'none'}")

    def of(self, *, pattern: str | None = None, severity: str | None = None, family: str | None = None) -> Findings:
        """Those with this pattern, this severity and this family, where they are given."""
        wanted = {"pattern": pattern, "severity": severity, "family": family}
        chosen = [
            place
            for place, finding in enumerate(self._findings)
            if all(word is None or finding.document[name] == word for name, word in wanted.items())
        ]
        return Findings([self._findings[place] for place in chosen], self.frame.iloc[chosen])

    def __repr__(self) -> str:
        return "\n".join(map(repr, self._findings)) or "<no findings>"

    def _repr_html_(self) -> str:
        from analyzer.api.display import findings_html

        return findings_html([finding.document for finding in self._findings])

    def _repr_markdown_(self) -> str:
        from analyzer.api.display import findings_markdown

        return findings_markdown([finding.document for finding in self._findings])
