"""The front door for Python: captures in, findings and tables out. No logic of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.records import CaptureFacts
from analyzer.capture.source import CaptureSet, open_captures
from analyzer.columns import Table
from analyzer.errors import CaptureError, UsageError
from analyzer.events.scan import Scan, settle
from analyzer.exchanges.build import Exchanges, Found, Given, exchanges, exchanges_of_places
from analyzer.exchanges.ends.places import Place
from analyzer.exchanges.filters.apply import Left, filtered
from analyzer.exchanges.filters.expression import Filter
from analyzer.exchanges.schemas import FINDINGS
from analyzer.exchanges.view import View
from analyzer.fleet.limit import scan_bounded
from analyzer.fleet.work import PARALLEL_FROM_BYTES, PREPARE, Work, helpers_worth
from analyzer.kernels import worth_compiling
from analyzer.knowledge.incidents import with_causes
from analyzer.patterns.catalogue import run
from analyzer.patterns.finding import Finding
from analyzer.patterns.own import PatternModule
from analyzer.processes import give_back_memory, helpers
from analyzer.reports.checks.accepted import Accepted, mark_accepted
from analyzer.reports.document import document_of, findings_table_rows
from analyzer.wire.keylog import NO_SECRETS, KeyLog, read_keylog

if TYPE_CHECKING:
    from analyzer.anonymize.anonymizer import Anonymizer

#: In place of the reason for which a finding is accepted, which may name anything.
NOT_SHOWN = "the reason is not shown"

#: As many processes of this machine as pay.
WITHOUT_HELP = Work()


class Analysis:
    """One analysis of one or more captures: ``document`` is the report document, the tables are columns.

    ``failures`` lists the files that could not be read at all, each with its error; the others were analysed: ``paths``
    are theirs, by capture index. ``anonymizer`` is what replaced names and addresses, None where these are real.
    """

    anonymizer: Anonymizer | None = None
    _original: Analysis | None = None  # of an anonymised analysis

    def __init__(
        self,
        found: Found,
        facts: Sequence[CaptureFacts],
        *,
        failures: Sequence[tuple[str, CaptureError]] = (),
        patterns: Sequence[PatternModule] = (),
        allowed: Sequence[Accepted] = (),
    ) -> None:
        self._found = found
        self._allowed = tuple(allowed)
        self._patterns = tuple(patterns)
        self.facts = tuple(facts)
        self.failures = list(failures)
        self.paths = [each.path for each in facts]
        self.warnings = [
            sentence
            for capture in found.view.captures
            for sentence in ([capture.cut] if capture.cut else []) + list(capture.warnings)
        ]

    def with_patterns(self, patterns: Sequence[PatternModule]) -> Analysis:
        """The same with patterns of one's own beside the others."""
        return self._again(self._found, patterns, self._allowed)

    def chosen(self, *, wanted: Filter | None = None, allowed: Sequence[Accepted] = ()) -> Analysis:
        """The same about the connections that fit ``wanted``, and with the findings of ``allowed`` accepted."""
        if wanted is None and not allowed:
            return self
        found = self._found
        if wanted is not None:
            found = Left(filtered(found.view, wanted), found)
        return self._again(found, self._patterns, allowed)

    def anonymized(self, anonymizer: Anonymizer) -> Analysis:
        """The same with other names and addresses in tables, findings and reports; ``facts`` and ``paths`` stay."""
        safe = self._again(anonymizer.found(self._found), self._patterns, ())
        safe.anonymizer, safe._original = anonymizer, self
        if self._allowed:  # by names and addresses of the original
            for shown, original in zip(safe.document["findings"], self.document["findings"], strict=True):
                shown["accepted"] = NOT_SHOWN if original["accepted"] else None
        return safe

    def _again(self, found: Found, patterns: Sequence[PatternModule], allowed: Sequence[Accepted]) -> Analysis:
        analysis = Analysis(found, self.facts, failures=self.failures, patterns=patterns, allowed=allowed)
        analysis.anonymizer = self.anonymizer
        return analysis

    @functools.cached_property
    def found(self) -> tuple[Finding, ...]:
        """The findings, most important first."""
        if self._original is None or self.anonymizer is None:
            return with_causes(run(self.view, self._patterns), self.view)
        return self.anonymizer.findings(run(self.view, self._patterns), self._original.found)

    @functools.cached_property
    def document(self) -> dict[str, Any]:
        """The report document (``report.json``)."""
        document = document_of(self.view, self.found)
        if self.anonymizer is not None:
            document["anonymized"] = {"times": "kept", "evidence": None}
        if self._allowed:
            mark_accepted(document["findings"], self._allowed)
        return document

    @property
    def view(self) -> View:
        """What patterns see."""
        return self._found.view

    @property
    def scan(self) -> Scan:
        """The settled scan that all was made of."""
        return self._found.scan

    @property
    def connections(self) -> Table:
        """One row per QUIC connection, TCP connection or other UDP conversation."""
        return self.view.connections

    @property
    def exchanges(self) -> Table:
        """One row per request."""
        return self.view.exchanges

    @property
    def sockets(self) -> Table:
        """One row per server socket and address family."""
        return self.view.sockets

    @property
    def resolutions(self) -> Table:
        """One row per client, name and episode."""
        return self.view.resolutions

    @property
    def hosts(self) -> Table:
        """One row per address: whose it is, and what was seen of it."""
        return self.view.hosts

    @functools.cached_property
    def packets(self) -> Table:
        """The selected packets."""
        return self._found.packets()

    @functools.cached_property
    def findings(self) -> Table:
        """The scalar fields of the findings, a row each."""
        return Table.from_rows("findings", FINDINGS, findings_table_rows(self.found))

    def position(self, capture: int, record: int) -> tuple[int, int, int] | None:
        """Of a selected record: byte offset of its header in the decompressed file, captured bytes, time in ns."""
        for rows in (judge.rows for judge in self._found.judges):
            found = np.flatnonzero((rows.capture == capture) & (rows.record == record))
            if len(found):
                row, ahead = int(found[0]), self.view.captures[capture].clock
                return int(rows.position[row]), int(rows.captured_length[row]), int(rows.time[row]) + ahead
        return None

    def flow_keys(self, connection: str) -> set[tuple[int, ...]]:
        """Keys of the flows of a connection, one for each path (``events.flows``)."""
        judges, ends = self._found.judges, self.view.ends
        keys: set[tuple[int, ...]] = set()
        for place, row in ends.rows(connection) if ends is not None else ((0, int(connection[1:]) - 1),):
            judge = judges[place]
            chosen = judge.connections[row]
            flows = {int(judge.rows.flow[row]) for row in (*chosen.rows, *chosen.elsewhere_rows)}
            keys |= {tuple(judge.flows.keys[flow].tolist()) for flow in flows}
        return keys


def analyse(
    names: Sequence[str],
    *,
    keylog: str | Path | None = None,
    vantages: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    work: Work = WITHOUT_HELP,
) -> Analysis:
    """Analyse captures ("-" is standard input); files that cannot be read end up in ``failures``.

    ``keylog`` is a file in the format of SSLKEYLOGFILE; secrets blocks of pcapng are used as well. ``vantages`` says of
    files, by path or base name, at which end they were made: client, server or middle. ``progress`` is called with the
    bytes read so far and the bytes in all, -1 if unknown. ``work`` says which processes read. Raises ``UsageError`` for
    a key log that cannot be read, a cluster that does not answer, or too little memory.
    """
    given = given_by_user(keylog, vantages)
    if work.cluster and work.max_memory:
        raise UsageError("--max-memory holds for one process: it cannot be given with --cluster")
    if work.cluster:
        from analyzer.fleet.cluster import scan_on_cluster

        gathered = scan_on_cluster(names, work.cluster, with_secrets=keylog is not None, progress=progress)
        reopen = functools.partial(_opened_again, gathered.facts)
        found = _exchanges(settle(gathered.scan), gathered.facts, given, reopen, with_secrets=keylog is not None)
        return Analysis(found, gathered.facts, failures=gathered.failures)
    captures = open_captures(names, progress=progress)
    with helpers(helpers_worth(names, work), PREPARE):
        scanned = settle(scan_captures(captures, with_secrets=keylog is not None, work=work))
        give_back_memory()
        again = (lambda: captures) if captures.are_files else None
        found = _exchanges(scanned, captures.captures, given, again, with_secrets=keylog is not None)
    return Analysis(found, captures.captures, failures=captures.failures)


def given_by_user(keylog: str | Path | None, vantages: Mapping[str, str] | None) -> Given:
    """What the user knows beside the captures. Raises ``UsageError`` for a key log that cannot be read."""
    return Given(vantages or {}, NO_SECRETS if keylog is None else _key_log(Path(keylog)))


def _opened_again(facts: Sequence[CaptureFacts]) -> CaptureSet:
    """Captures that others read, to be read here; raises ``UsageError`` where one cannot be."""
    captures = open_captures([each.path for each in facts])
    for _, error in captures.failures:
        raise UsageError(f"captures of several places of one traffic are read once more, here: {error}")
    for file, each in zip(captures.files, facts, strict=True):
        file.facts = each
    return captures


def _exchanges(
    scanned: Scan,
    facts: Sequence[CaptureFacts],
    given: Given,
    again: Callable[[], CaptureSet] | None,
    *,
    with_secrets: bool,
) -> Exchanges:
    """The tables of one scan; captures of several places are read ``again`` if they can be, each place for itself."""
    if len(facts) > 1 and again is not None:
        from analyzer.exchanges.ends.places import places_of

        places = places_of(scanned, facts, given.vantages)
        if len(places) > 1:
            captures = again()
            scans = [(place, settle(_scan_place(captures, place, with_secrets=with_secrets))) for place in places]
            return exchanges_of_places(scans, facts, given, together=scanned)
    return exchanges(scanned, facts, given)


def _scan_place(captures: CaptureSet, place: Place, *, with_secrets: bool) -> Scan:
    """The scan of the captures of one place, in the clock of the place nearest the client."""
    compiled = worth_compiling(captures.size_hint)
    with_secrets |= any(facts.format.startswith("pcapng") for facts in captures.captures)
    batches = captures.again(place.captures, compiled, ahead=place.ahead)
    return scan_bounded(batches, len(captures.captures), compiled=compiled, with_secrets=with_secrets).scan


def scan_captures(captures: CaptureSet, *, with_secrets: bool = False, work: Work = WITHOUT_HELP) -> Scan:
    """The scan of opened captures, by compiled kernels where they are large.

    Handshake packets are kept where secrets may open them: with a key log, and of pcapng, which may hold its own.
    """
    compiled = worth_compiling(captures.size_hint)
    with_secrets |= any(facts.format.startswith("pcapng") for facts in captures.captures)
    if work.max_memory:
        from analyzer.fleet.limit import scan_within
        from analyzer.fleet.pieces import How

        batches = captures.batches(compiled)
        return scan_within(batches, len(captures.captures), How(compiled, with_secrets), work.max_memory)
    if captures.size_hint >= PARALLEL_FROM_BYTES:
        from analyzer.fleet.building import build_beside

        build_beside()
    large = work.jobs is None and captures.disk_bytes >= PARALLEL_FROM_BYTES
    if large and len(captures.files) == 1:
        from analyzer.fleet.threads import scan_by_threads

        found = scan_by_threads(captures, with_secrets=with_secrets)
        if found is not None:
            return found
    elif large or (work.jobs or 1) > 1:
        from analyzer.fleet.local import jobs_that_pay, scan_in_parallel

        jobs = jobs_that_pay(captures, work.jobs)
        found = scan_in_parallel(captures, jobs=jobs, with_secrets=with_secrets) if jobs > 1 else None
        if found is not None:
            return found
    batches = captures.batches(compiled)
    return scan_bounded(batches, len(captures.captures), compiled=compiled, with_secrets=with_secrets).scan


def _key_log(path: Path) -> KeyLog:
    try:
        return read_keylog(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read the key log {path}: {error.strerror}") from error
