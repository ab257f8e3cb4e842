"""Scans as plain values, to be compared whole."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from analyzer.analysis import Analysis, scan_captures
from analyzer.capture.records import CaptureFacts
from analyzer.capture.source import open_captures
from analyzer.events import flows as fl
from analyzer.events.scan import Scan, settle
from analyzer.fleet import limit
from analyzer.fleet.pieces import Told
from analyzer.fleet.work import Work
from analyzer.reports.export import document_json


def plain(scan: Scan) -> dict[str, Any]:
    """A scan, settled, without what is only its storage, and without the CID runs that settling counts again."""
    settled = settle(scan)
    state = np.delete(settled.table.state, [fl.CID_DIGEST, fl.CID_RUN], axis=1)
    rows = {name: column.tolist() for name, column in settled.rows._asdict().items() if name != "start"}
    kept = [settled.row_bytes(row) for row in range(len(settled.rows.time))]
    keys = settled.table.keys.tolist()
    return {"rows": rows, "kept": kept, "keys": keys, "ledger": settled.ledger.tolist(), "state": state.tolist()}


def scanned(*names: object, jobs: int = 1) -> tuple[dict[str, Any], list[CaptureFacts]]:
    """The scan of captures, and their facts."""
    captures = open_captures([str(name) for name in names])
    found = scan_captures(captures, work=Work(jobs=jobs))
    return plain(found), captures.captures


def at_most(place: int, most: int) -> tuple[int, ...]:
    """``limit.MOST`` with another number at a place."""
    return (*limit.MOST[:place], most, *limit.MOST[place + 1 :])


def written(analysis: Analysis) -> str:
    """The report document, as it is written."""
    return document_json(analysis.document)


class Here:
    """A pool without processes: jobs are done by who asks, in an order that says nothing."""

    def __init__(self, _size: int) -> None:
        self.begun: list[Any] = []

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, jobs: Sequence[Any], progress: Told) -> Iterator[tuple[int, Any]]:
        for index in random.Random(len(jobs)).sample(range(len(jobs)), len(jobs)):
            yield index, jobs[index].run(progress)
