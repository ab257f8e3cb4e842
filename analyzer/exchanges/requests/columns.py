"""What the rows of all requests in the exchanges table share: records, times, and silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.exchanges.connections import Judge
from analyzer.exchanges.judge import REPLY_WAIT_NS, SILENT, UNDETERMINED, Verdict


class Asked:
    """Records and times of requests: the rows of each and of its repeats, and of its reply (-1: not answered)."""

    def __init__(self, judge: Judge, asked: Sequence[Sequence[int]], replies: Sequence[int]) -> None:
        self.judge, self.asked = judge, asked
        self.first = np.array([rows[0] for rows in asked], np.int64)
        self.last = np.array([rows[-1] for rows in asked], np.int64)
        self.reply = np.array(replies, np.int64)

    def column(self, name: str) -> list[Any] | NDArray[Any] | None:
        """A column of the exchanges table, None for those that say something else."""
        made = _COLUMNS.get(name)
        return made(self) if made is not None else None

    def latencies(self) -> NDArray[np.float64]:
        """Seconds from the request to the reply."""
        time = self.judge.rows.time
        waited = self.judge.of_rows(time, self.reply) - time[self.first]
        return np.where(self.reply >= 0, waited / 1e9, np.nan)


_COLUMNS: dict[str, Callable[[Asked], list[Any] | NDArray[Any]]] = {
    "capture": lambda a: a.judge.rows.capture[a.first],
    "request_time": lambda a: a.judge.rows.time[a.first],
    "last_request_time": lambda a: a.judge.rows.time[a.last],
    "repeats": lambda a: [len(rows) - 1 for rows in a.asked],
    "reply_record": lambda a: a.judge.of_rows(a.judge.rows.record, a.reply),
    "reply_time": lambda a: a.judge.of_rows(a.judge.rows.time, a.reply),
    "reply_latency_s": Asked.latencies,
    "request_records": lambda a: a.judge.records_of(a.asked),
}


def unanswered(judge: Judge, first: int) -> Verdict:
    """Silent, if the capture ran on long enough after the request in row ``first``."""
    if int(judge.rows.time[first]) + REPLY_WAIT_NS > judge.capture_end:
        return Verdict(UNDETERMINED, "capture-ended")
    return Verdict(SILENT)
