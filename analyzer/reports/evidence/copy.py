"""The evidence capture: the chosen records read once more from their files and written as pcapng with comments.

The files are walked again from their begin, which needs no index and works for compressed files; a stream such as
standard input cannot be read twice. Names, statistics and secrets of the original never enter the copy.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import numpy as np

from analyzer.capture.records import CaptureFacts
from analyzer.capture.source import open_captures
from analyzer.capture.writer import NewInterface, NewRecord, PcapngWriter
from analyzer.errors import UsageError
from analyzer.kernels import worth_compiling
from analyzer.patterns.words import counted, listed
from analyzer.reports.evidence.chosen import NUMBER_BITS, Chosen, Record, chosen_records
from analyzer.reports.evidence.places import read_at
from analyzer.reports.summary import Analysed, Finding
from analyzer.reports.text import visible

ANONYMIZED = (
    "Anonymised: addresses, names, tokens and tickets are others of their length; ports, sizes, times and connection "
    "IDs are those of the original."
)


class Evidence(NamedTuple):
    """What was written: records, how many of them were cut to be safe to show, and how many were left out for that."""

    records: int
    cut: int = 0
    dropped: Mapping[str, int] = MappingProxyType({})

    def notes(self) -> list[str]:
        """Sentences on what is missing of the originals."""
        notes = [f"{counted(self.cut, 'record')} cut where what cannot be shown would follow"] if self.cut else []
        return notes + [
            f"{counted(count, 'record')} dropped, which cannot be made safe to show: {kind}"
            for kind, count in sorted(self.dropped.items())
        ]


def write_evidence(file: BinaryIO, analysis: Analysed, findings: Sequence[Finding]) -> Evidence:
    """Write the records that prove these findings, of an anonymised analysis copies that are safe to show.

    Raises UsageError where that cannot be done.
    """
    chosen = chosen_records(analysis, findings)
    check_paths([analysis.paths[capture] for capture in sorted({capture for capture, _ in chosen.comments})])
    tool = analysis.document["tool"]
    application = f"{tool['name']} {tool['version']}"
    comments = _comments(analysis, findings, chosen.left_out)
    if analysis.anonymizer is None:
        writer = PcapngWriter(file, application=application, comments=comments)
        count = 0
        for record in _records(analysis, chosen):
            writer.write(record)
            count += 1
        _check_count(count, len(chosen.comments))
        return Evidence(count)
    originals = list(_records(analysis, chosen))
    _check_count(len(originals), len(chosen.comments))
    copies, counts = analysis.anonymizer.copies(originals)
    evidence = Evidence(counts.written, counts.cut, counts.dropped)
    writer = PcapngWriter(file, application=application, comments=[*comments, ANONYMIZED, *evidence.notes()])
    for record in copies:
        writer.write(record)
    return evidence


def _records(analysis: Analysed, chosen: Chosen) -> Iterator[NewRecord]:
    """The chosen records, from their places where that is possible."""
    found = read_at(analysis.paths, chosen.comments, chosen.places)
    return read_again(analysis.paths, chosen.comments) if found is None else found


def _check_count(count: int, wanted: int) -> None:
    if count < wanted:
        raise UsageError(
            f"{counted(wanted - count, 'record')} of the findings could not be read again: the capture changed; "
            "analyse it once more"
        )


def check_paths(paths: Sequence[str]) -> None:
    """Raise UsageError for what cannot be read a second time."""
    for path in paths:
        try:
            regular = path != "-" and stat.S_ISREG(os.stat(path).st_mode)
        except OSError as error:
            raise UsageError(f"{path}: cannot be read again for the evidence: {error.strerror}") from error
        if not regular:
            what = "standard input" if path == "-" else f"{path}: a pipe"
            raise UsageError(
                f"{what} can be read only once, and evidence takes a second walk; write the capture to a file first"
            )


def read_again(paths: Sequence[str], comments: Mapping[Record, str]) -> Iterator[NewRecord]:
    """The records with these comments, merged by time where captures overlap; ``paths`` are by capture index."""
    used = sorted({capture for capture, _ in comments})
    captures = open_captures([paths[capture] for capture in used])
    for _, error in captures.failures:
        raise UsageError(str(error))
    wanted = np.sort(np.array([used.index(c) << NUMBER_BITS | number for c, number in comments], np.int64))
    left = len(wanted)
    for batch in captures.batches(worth_compiling(captures.size_hint)) if left else ():
        records = batch.records
        keys = records.capture << NUMBER_BITS | records.number
        places = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
        for row in np.flatnonzero(wanted[places] == keys).tolist():
            index, number = int(records.capture[row]), int(records.number[row])
            begin = int(records.offset[row])
            yield NewRecord(
                _interface(captures.captures[index], int(records.interface[row]), int(records.link_type[row])),
                int(records.time[row]),
                int(records.original_length[row]),
                batch.buffer[begin : begin + int(records.captured_length[row])].tobytes(),
                comments[used[index], number],
            )
            left -= 1
        if not left:
            return


def _interface(facts: CaptureFacts, index: int, link_type: int) -> NewInterface:
    """The original interface; its description also says from which file it is."""
    described = facts.interfaces[index]
    of = f"{described.description}, of {facts.name}" if described.description else f"of {facts.name}"
    return NewInterface(link_type, described.snaplen, visible(described.name), visible(of))


def _comments(analysis: Analysed, findings: Sequence[Finding], left_out: int) -> list[str]:
    tool = analysis.document["tool"]
    names = [visible(capture["name"]) for capture in analysis.document["captures"]]
    about = [f"{finding['id']} {finding['pattern']}" for finding in findings]
    what = f"the records that show {visible(listed(about, most=20))}" if about else "no record, since nothing was found"
    sources = listed(names, most=20) if names else "nothing"
    about_all = (
        f"{tool['name']} {tool['version']} copied from {sources} {what}. The comment on each packet says what it is "
        "and which record of the original file; the numbers in this file are its own."
    )
    comments = [about_all]
    if left_out:
        comments.append(f"{counted(left_out, 'more record')} found no room here.")
    return comments
