"""A socket's silent and answered attempts as tries, and the stretch of time in which silence goes with the 4-tuple."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.patterns.chance import loss_of_a_try
from analyzer.patterns.evidence import WAIT, Attempts, answered, attempts_by_socket, capture_end, unanswered_initials
from analyzer.patterns.stickiness import Stickiness, Try, share_interval, stickiness, time_of_silence, unlikely_count

# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each attempt.
_new = tuple.__new__
_DOUBT = 0.05  # a run of answers with a lesser chance bounds the silence


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
    kinds = set(zip(others.column("sni"), others.column("quic_version"), strict=True))
    largest = max(others.column("largest_request"), default=0)
    asked = zip(*(silent.column(name) for name in ("sni", "quic_version", "largest_request")), strict=True)
    kept = [(sni, version) in kinds and size <= largest for sni, version, size in asked]
    return silent.of(silent.rows[np.array(kept, dtype=np.bool_)])


def split(silent: Attempts, others: Attempts) -> Split:
    """The stretch that parts silence best from the rest; attempts that the capture's end cuts short are left out."""
    rows = np.concatenate([silent.rows, others.rows])
    tries = _tries(silent, silent=True) + _tries(others, silent=False)
    known = capture_end(silent.view) - WAIT.ns
    order = sorted((i for i, each in enumerate(tries) if each.begin <= known), key=lambda i: tries[i].begin)
    loss = loss_of_a_try([each.tries for each in tries if not each.silent])
    usual = sorted(each.tries for each in tries if each.silent)[len(silent) // 2]
    first, last = time_of_silence([tries[i].silent for i in order], loss**usual)
    inside = order[first : last + 1]
    needed = unlikely_count(sum(tries[i].silent for i in inside) / len(inside), _DOUBT)
    ended = len(order) - 1 - last >= needed
    chosen = inside if ended else order[first:]
    bounds = (tries[order[first - needed]].begin, tries[order[first]].begin) if first >= needed else None
    kept = [np.array(sorted(rows[i] for i in chosen if tries[i].silent is flag), np.int64) for flag in (True, False)]
    return Split(
        silent=silent.of(kept[0]),
        answered=others.of(kept[1]),
        test=stickiness(tries[i] for i in chosen),
        onset_bounds=bounds,
        answered_before=first,
        ended=tries[order[last]].end if ended else -1,
    )


def in_other_family(found: Split) -> tuple[int, int]:
    """(silent, all) attempts on the same host and port over the other family, in the same time."""
    view, one = found.silent.view, found.silent
    rows = np.concatenate([one.rows, found.answered.rows])
    times = view.connections["request_time"]
    first, last, host = times[rows].min(), times[rows].max(), view.host(one.address)
    silent, heard = unanswered_initials(view), answered(view)
    counts = [0, 0]
    for other in attempts_by_socket(view, silent | heard):
        away = other.transport != "quic" or other.port != one.port or other.family == one.family
        if away or view.host(other.address) != host:
            continue
        meanwhile = other.rows[(times[other.rows] >= first) & (times[other.rows] <= last)]
        counts[0] += int(np.count_nonzero(silent[meanwhile]))
        counts[1] += len(meanwhile)
    return counts[0], counts[1]


def _tries(attempts: Attempts, *, silent: bool) -> list[Try]:
    """The attempts as the test takes them."""
    names = ("client_address", "bursts", "repeats", "request_time", "last_request_time" if silent else "reply_time")
    rows = zip(*(attempts.column(name) for name in names), strict=True)
    return [
        # the last one of a silent attempt may be the client's close
        _new(Try, (client, silent, max(1, (bursts if bursts > 0 else repeats + 1) - silent), begin, end))
        for client, bursts, repeats, begin, end in rows
    ]
