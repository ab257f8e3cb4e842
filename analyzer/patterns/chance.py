"""Whether random loss alone would leave as many attempts unheard.

The loss of one try is estimated from the attempts that were answered: a try of theirs that had to be repeated was lost
on the way out or back. An attempt stays unheard when all its tries are lost, each on its own. Limit: loss in bursts and
a server that is slower than the client's timer both look like more loss than there is, which errs towards "chance".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analyzer.patterns.finding import Threshold

FITS_CHANCE = Threshold(
    "fits-chance",
    0.05,
    "probability",
    "one-sided test at 5 %: loss as high as 95 % of such samples allow still explains it",
)
_Z = 1.645  # one-sided 95 % of the normal distribution


def loss_of_a_try(answered_tries: Sequence[int]) -> float:
    """Upper 95 % bound (Wilson) of the share of tries that are lost; 1.0 where nothing was answered."""
    tries = sum(answered_tries)
    if not tries:
        return 1.0
    lost = (tries - len(answered_tries)) / tries
    spread = _Z * math.sqrt(lost * (1 - lost) / tries + _Z * _Z / (4 * tries * tries))
    return min(1.0, (lost + _Z * _Z / (2 * tries) + spread) / (1 + _Z * _Z / tries))


def chance_of_silence(silent_tries: Sequence[int], answered_tries: Sequence[int]) -> float:
    """Probability that loss alone leaves at least ``len(silent_tries)`` of all attempts unheard after their tries."""
    loss = loss_of_a_try(answered_tries)
    unheard = sum(loss**tries for tries in silent_tries) / len(silent_tries)
    attempts = len(silent_tries) + len(answered_tries)
    return _at_least(len(silent_tries), attempts, unheard)


def fits_chance(silent_tries: Sequence[int], answered_tries: Sequence[int]) -> bool:
    """Most attempts were answered, and random loss explains those that were not."""
    if not silent_tries or len(silent_tries) >= len(answered_tries):
        return False
    return chance_of_silence(silent_tries, answered_tries) >= FITS_CHANCE.value


def _at_least(count: int, attempts: int, probability: float) -> float:
    """Upper tail of the binomial distribution."""
    if probability <= 0 or probability >= 1:
        return float(probability >= 1)
    fewer = np.arange(count)
    ways = log_choose(attempts, fewer)
    below = np.exp(ways + fewer * math.log(probability) + (attempts - fewer) * math.log1p(-probability)).sum()
    return max(0.0, 1.0 - float(below))


def log_choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logarithms of binomial coefficients, -inf for those that are 0."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    chosen = np.full(len(k), -np.inf)
    fits = (k >= 0) & (k <= n)
    chosen[fits] = factorials[-1] - factorials[k[fits]] - factorials[n - k[fits]]
    return chosen
