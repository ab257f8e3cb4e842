"""A socket's silent and answered attempts as tries, and the stretch of time in which silence goes with the 4-tuple."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzer.exchanges.view import View
from analyzer.patterns.chance import loss_of_a_try
from analyzer.patterns.evidence import (
    WAIT,
    Attempts,
    Mask,
    answered,
    attempts_by_socket,
    capture_end,
    unanswered_initials,
)
from analyzer.patterns.stickiness import Stickiness, Try, share_interval, stickiness, time_of_silence, unlikely_count

_DOUBT = 0.05  # a run of answers with a lesser chance bounds the silence

# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each attempt.
_new = tuple.__new__


@dataclass(frozen=True)
class Split:
    """The attempts in the stretch, and the test over them; times in ns."""

    silent: Attempts
    answered: Attempts
    test: Stickiness
    onset_bounds: tuple[int, int] | None  # None where it may have begun before the capture
    answered_before: int
    ended: int  # last try of the last silent attempt, -1 where the silence lasts to the end

    @property
    def attempts(self) -> int:
        return len(self.silent) + len(self.answered)

    @property
    def share_interval(self) -> tuple[float, float]:
        """95 % interval of the silent share, without the silent attempts that mark the stretch's beginning and end."""
        marks = (self.onset_bounds is not None) + (self.ended >= 0)
        return share_interval(len(self.silent) - marks, self.attempts - marks)


def compared(attempts: Attempts) -> tuple[Attempts, Attempts]:
    """(silent attempts that compare with the answered ones, answered attempts) on a socket."""
    others = attempts.where(answered(attempts.view))
    return comparable(attempts, others), others


def comparable(silent: Attempts, others: Attempts) -> Attempts:
    """Those that asked for a name and in a version that others were answered for, and in no larger datagrams."""
    table = silent.view.connections
    names, versions = table.words("sni"), table.words("quic_version")
    kinds = names.codes * len(versions.words) + versions.codes
    no_larger = silent.array("largest_request") <= others.array("largest_request").max(initial=-1)
    return silent.of(silent.rows[np.isin(kinds[silent.rows], kinds[others.rows]) & no_larger])


def split(silent: Attempts, others: Attempts) -> Split:
    """The stretch that parts silence best from the rest; attempts that the capture's end cuts short are left out."""
    rows = np.concatenate([silent.rows, others.rows])
    table, is_silent = silent.view.connections, np.arange(len(rows)) < len(silent)
    begin, tries = table["request_time"][rows], _tries(silent.of(rows), is_silent)
    end = np.where(is_silent, table["last_request_time"][rows], table["reply_time"][rows])
    known = np.flatnonzero(begin <= capture_end(silent.view) - WAIT.ns)
    order = known[np.argsort(begin[known], kind="stable")]
    loss = loss_of_a_try(tries[~is_silent].tolist())
    usual = np.sort(tries[is_silent])[len(silent) // 2].item()
    first, last = time_of_silence(is_silent[order].tolist(), loss**usual)
    inside = order[first : last + 1]
    needed = unlikely_count(np.count_nonzero(is_silent[inside]) / len(inside), _DOUBT)
    ended = len(order) - 1 - last >= needed
    chosen = inside if ended else order[first:]
    columns = (begin[chosen], end[chosen], table["client_address"][rows[chosen]], is_silent[chosen], tries[chosen])
    return Split(
        silent=silent.of(np.sort(rows[chosen[is_silent[chosen]]])),
        answered=others.of(np.sort(rows[chosen[~is_silent[chosen]]])),
        test=stickiness([_new(Try, each) for each in zip(*[column.tolist() for column in columns], strict=True)]),
        onset_bounds=(int(begin[order[first - needed]]), int(begin[order[first]])) if first >= needed else None,
        answered_before=first,
        ended=int(end[order[last]]) if ended else -1,
    )


def in_other_family(found: Split) -> tuple[int, int]:
    """(silent, all) attempts on the same host and port over the other family, in the same time."""
    view, one = found.silent.view, found.silent
    rows = np.concatenate([one.rows, found.answered.rows])
    times = view.connections["request_time"]
    first, last, host = times[rows].min(), times[rows].max(), view.host(one.address)
    silent, counts = unanswered_initials(view), [0, 0]
    for other in view.once(_valid_initials).get((host, one.port), ()):
        if other.family == one.family:
            continue
        meanwhile = other.rows[(times[other.rows] >= first) & (times[other.rows] <= last)]
        counts[0] += int(np.count_nonzero(silent[meanwhile]))
        counts[1] += len(meanwhile)
    return counts[0], counts[1]


def _valid_initials(view: View) -> dict[tuple[str, int], list[Attempts]]:
    """The attempts that were answered, or heard nothing though a server had to answer, by host and port."""
    found: dict[tuple[str, int], list[Attempts]] = {}
    for attempts in attempts_by_socket(view, unanswered_initials(view) | answered(view)):
        if attempts.transport == "quic":
            found.setdefault((view.host(attempts.address), attempts.port), []).append(attempts)
    return found


def _tries(attempts: Attempts, is_silent: Mask) -> NDArray[np.int64]:
    """How often each request was sent, as far as it tells: a silent attempt's last one may be the client's close."""
    bursts, repeats = attempts.array("bursts"), attempts.array("repeats")
    tries: NDArray[np.int64] = np.maximum(1, np.where(bursts > 0, bursts, repeats + 1) - is_silent)
    return tries
