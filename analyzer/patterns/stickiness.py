"""Is silence a property of the 4-tuple, or does each try of a request have the same chance to be lost?

How it works
------------
Attempts are put in order of time, those of each client address apart: a path, a filter or a ban is a client's own.
Addresses with fewer than ``FEW`` attempts stand together, and a silent one of them counts once. Silent attempts that
follow one another without an answer in between count once too, as whatever silenced the first may have silenced all:
a restart, a ban, an overflow. What is left are *units*, and two models of them are compared:

- loss: every try of a client's requests is lost with a probability of its own, p;
- sticky: a share q of the 4-tuples is dead and loses every try; the others lose tries as their answered attempts did.

Twice the difference of the log likelihoods is a chi-square with one degree of freedom or zero, half each, because q = 0
lies on the edge (Self and Liang 1987). The sticky model is taken at a plain estimate, not at its best, which errs
towards loss. Then silence must be spread over the order of attempts as chance spreads it (runs test, Wald and Wolfowitz
1940), and over the second (phase test): silence that comes in blocks, evenly or in beats belongs to a time, not to a
4-tuple.

Limit: outages as short as one attempt, with no attempt answered meanwhile, look sticky; ``answered_meanwhile`` counts
the units during whose tries the same client was answered on another port, and ``answered_late`` the attempts that such
outages would have delayed.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.patterns.chance import log_choose

FEW = 4  # attempts of an address that say something about it alone
LEAST_SILENT_ADDRESSES = 5  # among addresses with few attempts: fewer may be clients with paths of their own
_PARTS_OF_A_SECOND = np.array([1, 2, 4, 5, 10])  # windows that a repeat after whole seconds meets at the same place
_BEGIN, _SILENT, _TRIES = attrgetter("begin"), attrgetter("silent"), attrgetter("tries")
_Z = 1.96  # two-sided 95 % of the normal distribution


class Try(NamedTuple):
    """One attempt: when it began and ended (ns), its client, whether it stayed silent, and how often it was sent.

    ``end`` is the time of the reply, or of the last repeat of a silent one. Attempts sort by time.
    """

    begin: int
    end: int
    client: str
    silent: bool
    tries: int


class Units(NamedTuple):
    """What is compared of one client address: the tries of silent units and of answered attempts."""

    silent: tuple[int, ...]
    answered: tuple[int, ...]
    answered_meanwhile: int  # silent units during which others were answered


class Stickiness(NamedTuple):
    """The test over all clients; ``ratio`` is twice the difference of the log likelihoods, 0 or less for loss."""

    ratio: float
    p_value: float  # of the ratio if loss were all there is
    by_time: float  # probability that chance alone orders silence in time as much as it is
    units: int
    answered_meanwhile: int
    answered_late: int  # attempts that had to repeat before they were answered


def stickiness(attempts: Iterable[Try]) -> Stickiness:
    """The test over attempts on one socket within the time of the silence."""
    clients = _clients(attempts)
    units = [_units(tries) for tries in clients]
    ratio = _ratio(units)
    orders: list[float] = []
    for tries in clients:
        fates = np.fromiter(map(_SILENT, tries), np.bool_, len(tries))
        if np.count_nonzero(fates) > 1:
            begins = np.fromiter(map(_BEGIN, tries), np.int64, len(tries))
            orders += (*_chances_of_runs(fates), _chance_of_phase(begins, fates))
    return Stickiness(
        ratio=ratio,
        p_value=0.5 * math.erfc(math.sqrt(ratio / 2)) if ratio > 0 else 1.0,
        by_time=min(1.0, min(orders, default=1.0) * len(orders)),  # Bonferroni
        units=sum(len(each.silent) for each in units),
        answered_meanwhile=sum(each.answered_meanwhile for each in units),
        answered_late=sum(len(each.answered) - each.answered.count(1) for each in units),
    )


def _clients(attempts: Iterable[Try]) -> list[list[Try]]:
    """The attempts of each address in order of time; those with few together, where enough of them are silent."""
    by_client: dict[str, list[Try]] = defaultdict(list)
    for attempt in sorted(attempts):
        by_client[attempt.client].append(attempt)
    own, few = [], []
    for tries in by_client.values():
        if len(tries) >= FEW:
            own.append(tries)
        elif all(map(_SILENT, tries)):
            few.append([max(tries, key=_TRIES)])
        else:
            few.append(tries)
    if sum(tries[0].silent and len(tries) == 1 for tries in few) >= LEAST_SILENT_ADDRESSES:
        own.append(sorted(itertools.chain.from_iterable(few)))
    return own


def _units(tries: Sequence[Try]) -> Units:
    """Runs of silent attempts, each with the tries of its longest, and the answered attempts."""
    heard = sorted([t.end for t in tries if not t.silent])
    silent: list[int] = []
    answered: list[int] = []
    meanwhile: list[bool] = []
    in_run = False
    for begin, end, _, is_silent, count in tries:
        if is_silent:
            during = bisect.bisect_left(heard, end) > bisect.bisect_right(heard, begin)
            if in_run:
                silent[-1], meanwhile[-1] = max(silent[-1], count), meanwhile[-1] or during
            else:
                silent.append(count)
                meanwhile.append(during)
        else:
            answered.append(count)
        in_run = is_silent
    return Units(tuple(silent), tuple(answered), sum(meanwhile))


def _ratio(clients: Sequence[Units]) -> float:
    """Twice the log likelihood of the sticky model less that of loss."""
    silent = sum(len(each.silent) for each in clients)
    attempts = silent + sum(len(each.answered) for each in clients)
    if not silent or silent == attempts:
        return 0.0
    dead = silent / attempts
    difference = 0.0
    for each in clients:
        answered, tries = len(each.answered), sum(each.answered)
        lost = sum(each.silent) + tries - answered
        difference -= _binomial(lost, answered)
        loss = (tries - answered) / tries if tries else 0.0
        difference += sum(math.log(dead + (1 - dead) * loss**k) for k in each.silent)
        difference += answered * math.log(1 - dead) + _binomial(tries - answered, answered)
    return 2 * difference


def _binomial(lost: int, kept: int) -> float:
    """Largest log likelihood of independent tries, of which some were lost and some kept; 0.0 for none."""
    return sum(n * math.log(n / (lost + kept)) for n in (lost, kept) if n)


def chance_of_blocks(fates: NDArray[np.bool_]) -> float:
    """Probability that as many silent attempts (true) among all form as few runs as these, or fewer, by chance."""
    return _chances_of_runs(fates)[0]


def _chances_of_runs(fates: NDArray[np.bool_]) -> tuple[float, float]:
    """Probability that the silent attempts of a random order form as few runs as these or fewer, and as many or more.

    A saturated limiter lets attempts pass at even distances: then there are more runs than by chance.
    """
    silent = int(np.count_nonzero(fates))
    runs = int(np.count_nonzero(fates[:1])) + int(np.count_nonzero(fates[1:] & ~fates[:-1]))
    counts = np.arange(1, silent + 1)
    ways = log_choose(max(silent - 1, 0), counts - 1) + log_choose(len(fates) - silent + 1, counts)
    chances = np.exp(ways - log_choose(len(fates), np.array([silent])))
    return min(1.0, float(chances[:runs].sum())), min(1.0, float(chances[max(runs - 1, 0) :].sum()))


def _chance_of_phase(begins: NDArray[np.int64], fates: NDArray[np.bool_]) -> float:
    """Probability that silent attempts lie as close together in the second, or in a part of it, by chance.

    A limiter that counts anew in each second drops what comes late in it, and repeats 1, 3 and 7 s later come as late.
    The vectors of the phases of silent attempts are held against those of all (Rayleigh 1880, without replacement).
    """
    silent, whole = int(np.count_nonzero(fates)), len(fates)
    if silent == whole:
        return 1.0
    seconds = begins % 1_000_000_000 / 1e9
    points = np.exp(2j * np.pi * _PARTS_OF_A_SECOND[:, None] * seconds)
    points -= points.mean(axis=1, keepdims=True)
    variances = silent * np.mean(np.abs(points) ** 2, axis=1) * (whole - silent) / max(whole - 1, 1)
    ways = np.abs(points[:, fates].sum(axis=1)) ** 2
    # Attempts at regular times have phases on a line, where the square is a chi-square with one degree of freedom.
    chances = [
        math.erfc(math.sqrt(away / (2 * variance))) if variance > 1e-9 else 1.0
        for away, variance in zip(ways.tolist(), variances.tolist(), strict=True)
    ]
    return min(1.0, min(chances) * len(chances))


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if not whole:
        return 0.0, 1.0
    p, z2 = part / whole, _Z * _Z
    middle, spread = p + z2 / (2 * whole), _Z * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole * whole))
    return max(0.0, (middle - spread) / (1 + z2 / whole)), min(1.0, (middle + spread) / (1 + z2 / whole))


def group_sizes(interval: tuple[float, float]) -> tuple[int, int]:
    """The least and the largest group of which one dead socket makes a share in the interval; (0, 0) for none."""
    low, high = interval
    least = max(2, math.ceil(1 / high - 1e-9)) if high > 0 else 0
    largest = math.floor(1 / low + 1e-9) if low > 0 else 0
    return (least, largest) if 2 <= least <= largest else (0, 0)


def time_of_silence(silent: Sequence[bool], by_loss: float) -> tuple[int, int]:
    """(first, last) index of the stretch, from one silent attempt to another, that parts the shares best.

    ``silent`` is in order of time and holds at least one; ``by_loss`` is the probability that loss alone silences an
    attempt, which is all that does so outside. The beginning is placed first, then the end.
    """
    sums = np.concatenate([[0], np.cumsum(silent)])
    places = np.flatnonzero(silent)
    chance = min(max(by_loss, 1e-12), 0.5)

    def likelihoods(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
        length, lost = last + 1 - first, sums[last + 1] - sums[first]
        beyond, outside = sums[-1] - lost, len(silent) - length
        kept = length - lost
        inside = lost * np.log(lost / length) + kept * np.log(np.maximum(kept, 1) / length)
        parted: NDArray[np.float64] = inside + beyond * math.log(chance) + (outside - beyond) * math.log1p(-chance)
        return parted

    first = int(places[np.argmax(likelihoods(places, np.array([len(silent) - 1])))])
    later = places[places >= first]
    return first, int(later[np.argmax(likelihoods(np.array([first]), later))])


def unlikely_count(share: float, doubt: float) -> int:
    """How many answers in a row have a chance below ``doubt`` where that share of attempts is silent."""
    return math.ceil(math.log(doubt) / math.log1p(-share)) if 0 < share < 1 else 1
