"""What the rows of all requests in the exchanges table share: records, times, and silence."""

from __future__ import annotations

from typing import Any

from analyzer.exchanges.connections import Judge
from analyzer.exchanges.judge import REPLY_WAIT_NS, SILENT, UNDETERMINED, Verdict


def request_columns(judge: Judge, asked: list[int], reply: int) -> dict[str, Any]:
    """Records and times of a request in rows ``asked``, answered in row ``reply`` (-1: not answered)."""
    rows = judge.rows
    first = asked[0]
    answered = reply >= 0
    return {
        "capture": int(rows.capture[first]),
        "request_record": int(rows.record[first]),
        "request_time": int(rows.time[first]),
        "last_request_time": int(rows.time[asked[-1]]),
        "repeats": len(asked) - 1,
        "reply_record": int(rows.record[reply]) if answered else -1,
        "reply_time": int(rows.time[reply]) if answered else -1,
        "reply_latency_s": int(rows.time[reply] - rows.time[first]) / 1e9 if answered else float("nan"),
        "request_records": judge.records(asked),
        "evidence_records": judge.records([reply]) if answered else (),
    }


def unanswered(judge: Judge, first: int) -> Verdict:
    """Silent, if the capture ran on long enough after the request in row ``first``."""
    if int(judge.rows.time[first]) + REPLY_WAIT_NS > judge.capture_end:
        return Verdict(UNDETERMINED, "capture-ended")
    return Verdict(SILENT)
