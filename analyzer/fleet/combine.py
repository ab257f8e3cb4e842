"""Scans of several captures to one, the same as if one process had read all of them in order of time.

How it works
------------
Captures are put in order of their first time. Where one ends before the next begins, their scans follow one another
and are merged. Where they overlap they are *woven*: merged, then rows and flows are put in order of time. That is exact
as long as no flow has packets of both captures in turn, because counters, repeats and duplicates belong to a flow, and
it is so for the captures of different hosts. Captures of one traffic at several places share flows: they are read
again, together, by one process. Captures whose own times step back are read together with those they overlap as well,
since only a reader knows then which record comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from analyzer.errors import AnalyzerError
from analyzer.events import flows as fl
from analyzer.events.flows import KEY_WORDS, FlowTable
from analyzer.events.scan import LEDGER, Scan, keys_of, merge
from analyzer.events.selected import each_column

T = TypeVar("T")


class Span(NamedTuple):
    """When a capture was made (ns): from ``first`` on, up to ``last``; whether its times only rise."""

    first: int
    last: int
    orderly: bool


class Part(NamedTuple):
    """The scan of some of all captures: its capture k is number ``captures[k]`` of all."""

    captures: tuple[int, ...]
    scan: Scan


class Interleaved(AnalyzerError):
    """Two scans have packets of one flow in turn: only reading the captures together tells what came of it."""


def tree(values: Sequence[T], join: Callable[[T, T], T]) -> T:
    """The values joined in their order, as a balanced tree."""
    level = list(values)
    while len(level) > 1:
        pairs = [join(level[k], level[k + 1]) for k in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0]


def placed(scan: Scan, captures: Sequence[int], count: int) -> Scan:
    """The scan with its capture k as number ``captures[k]`` of ``count`` captures."""
    numbers = np.array(captures, np.int32)
    ledger = np.zeros((count, len(LEDGER)), np.int64)
    ledger[numbers] = scan.ledger
    rows = scan.rows._replace(capture=numbers[scan.rows.capture])
    return Scan(scan.table, rows, scan.chunk, scan.chunks, ledger)


def followed(first: Part, second: Part) -> Part:
    """The captures of both, those of ``second`` following those of ``first``."""
    return _joined(first, second, lambda one, other, _: merge(one, other))


def woven(first: Part, second: Part, ranks: NDArray[np.int64]) -> Part:
    """The captures of both, which overlap in time; raises ``Interleaved``. ``ranks`` are those of all captures."""
    return _joined(first, second, lambda one, other, captures: weave(one, other, ranks[captures]))


def whole_of(part: Part) -> Scan:
    """The scan of all captures in their order."""
    return placed(part.scan, part.captures, len(part.captures))


def _joined(first: Part, second: Part, join: Callable[[Scan, Scan, NDArray[np.int64]], Scan]) -> Part:
    # Numbered among themselves: a scan that held the ledger of all captures would be large where captures are many.
    captures = first.captures + second.captures
    numbers = range(len(captures))
    one = placed(first.scan, numbers[: len(first.captures)], len(captures))
    other = placed(second.scan, numbers[len(first.captures) :], len(captures))
    return Part(captures, join(one, other, np.array(captures)))


def numbered_on(scan: Scan, before: int) -> Scan:
    """The scan of a range, its records numbered on from ``before``."""
    return Scan(scan.table, scan.rows._replace(record=scan.rows.record + before), scan.chunk, scan.chunks, scan.ledger)


def groups(spans: Sequence[Span]) -> list[list[int]]:
    """Indices of captures in order of time; those of a group overlap, and each group ends before the next begins."""
    found: list[list[int]] = []
    end = -1
    for index in _by_time(spans):
        span = spans[index]
        if found and span.first < end:
            found[-1].append(index)
        else:
            found.append([index])
        end = max(end, span.last, span.first)
    return found


def ranks_of(spans: Sequence[Span]) -> NDArray[np.int64]:
    """Which capture goes first where records have the same time."""
    ranks = np.zeros(len(spans), np.int64)
    ranks[_by_time(spans)] = np.arange(len(spans))
    return ranks


def _by_time(spans: Sequence[Span]) -> list[int]:
    return sorted(range(len(spans)), key=lambda k: (spans[k].first, k))


def weave(first: Scan, second: Scan, ranks: NDArray[np.int64]) -> Scan:
    """The scan of captures that overlap in time; raises ``Interleaved`` where it cannot be told from their scans."""
    follows = _shared_follow(first, second)
    if follows is None:
        raise Interleaved("captures share flows")
    joined = merge(first, second) if follows else merge(second, first)
    order = np.lexsort((ranks[joined.rows.capture], joined.rows.time))
    rows = each_column(lambda column: column[order], joined.rows)
    tracked = np.flatnonzero(rows.flow >= 0)
    _, seen = np.unique(rows.flow[tracked], return_index=True)  # the first packets of a flow are always among the rows
    by_age = np.argsort(seen, kind="stable")
    number = np.empty(len(by_age), np.int32)
    number[by_age] = np.arange(len(by_age), dtype=np.int32)
    flow = rows.flow.copy()
    flow[tracked] = number[flow[tracked]]
    return Scan(
        flows_of(joined.table, by_age), rows._replace(flow=flow), joined.chunk[order], joined.chunks, joined.ledger
    )


def flows_of(table: FlowTable, flows: NDArray[np.intp]) -> FlowTable:
    """The table with these flows alone, in their order."""
    keys = table.keys.reshape(-1, KEY_WORDS)[flows].reshape(-1)
    state = table.state.reshape(-1, 2, fl.STATE_COLUMNS)[flows].reshape(-1, fl.STATE_COLUMNS)
    return table._replace(size=np.array([len(flows)]), keys=keys, state=np.ascontiguousarray(state))


def _shared_follow(first: Scan, second: Scan) -> bool | None:
    """Whether the flows that both have go on in ``second`` (True) or in ``first``; None where they interleave."""
    ours = {key: flow for flow, key in enumerate(keys_of(first.table))}
    shared = [(ours[key], flow) for flow, key in enumerate(keys_of(second.table)) if key in ours]
    if not shared:
        return True
    mine, theirs = (np.array(side) for side in zip(*shared, strict=True))
    begins, ends = times_of(first.table)
    other_begins, other_ends = times_of(second.table)
    if np.all(ends[mine] < other_begins[theirs]):
        return True
    return False if np.all(other_ends[theirs] < begins[mine]) else None


def times_of(table: FlowTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each flow: the times of its first and its last record."""
    state = table.state.reshape(-1, 2, fl.STATE_COLUMNS)
    seen = state[:, :, fl.RECORDS] > 0
    begins = np.where(seen, state[:, :, fl.FIRST_TIME], np.iinfo(np.int64).max).min(axis=1)
    ends = np.where(seen, state[:, :, fl.LAST_TIME], -1).max(axis=1)
    return begins, ends
