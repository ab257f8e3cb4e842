"""Which captures were made at one place, and in which order the places lie between client and server.

Captures that do not overlap in time are pieces of one, as rotated files are. Captures of the same minutes with packets
in common were made at different places; without, at one place on several interfaces. A clock that is wrong by more than
the length of a capture makes two places look like pieces: packets that nothing else can be alike tell. They also tell
a clock that is wrong by more than packets lie in networks from a request that was repeated later, by another way.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from analyzer.capture.records import CaptureFacts
from analyzer.events.scan import Scan
from analyzer.exchanges.ends.clock import (
    LONGEST_WAY_NS,
    MOST_PACKETS,
    Clock,
    Content,
    Seen,
    compare,
    contents,
    packets_of,
)

#: Packets without a random number in them that must agree before they count as the same.
LEAST_ALIKE = 3

#: Packets that cannot be repeats, or SYNs of both directions, in common to two captures whose clocks are far apart.
LEAST_UNREPEATABLE = 3

#: Pieces of one capture whose records are not in order overlap by moments.
LEAST_OVERLAP = 0.1

#: Places at which one packet is captured, at most.
MOST_VIEWS = 16

_RANKS = {"client": 0, "middle": 1, "server": 2}


class Place(NamedTuple):
    """Where some captures were made: their indices, and how far their clock is ahead of the first place's (ns).

    ``within`` is how exact ``ahead`` is, -1 where that is unknown; ``packets`` how many told it.
    """

    captures: tuple[int, ...]
    ahead: int = 0
    within: int = -1
    packets: int = 0
    relative: tuple[str, str] | tuple[()] = ()  # vantage, where its order among the others tells, and that in words


def places_of(scan: Scan, facts: Sequence[CaptureFacts], given: Mapping[str, str]) -> tuple[Place, ...]:
    """The places of all captures, the one nearest the client first; a single one where all were made at one."""
    count = len(facts)
    words = [given.get(each.path) or given.get(each.name) or "" for each in facts]
    most = max(MOST_PACKETS // count, 200)
    known = [contents(scan, packets[:most]) for packets in packets_of(scan, count)]
    clocks = {
        (a, b): clock
        for a, b in _in_common(known)
        if (clock := compare(known[a], known[b])) is not None and _are_views(facts[a], facts[b], clock)
    }
    apart: dict[int, set[int]] = defaultdict(set)
    for a, b in clocks:
        apart[b].add(a)
    places: list[list[int]] = []
    for capture in range(count):
        word, others = words[capture], apart[capture]
        fitting = (
            place
            for place in places
            if others.isdisjoint(place) and not any(_differ(words[other], word) for other in (place if word else ()))
        )
        same = (place for place in places if words[capture] and words[place[0]] == words[capture])
        place = next(itertools.chain(same, fitting), None)
        if place is None:
            places.append(place := [])
        place.append(capture)
    return _ordered(places, words, clocks)


def _in_common(known: Sequence[Mapping[Content, Seen]]) -> list[tuple[int, int]]:
    """The pairs of captures that have packets in common.

    One that lies in more than ``MOST_VIEWS`` captures is none that was seen at so many places, but one that is often
    sent; and pairs would be too many.
    """
    holders: dict[Content, list[int]] = defaultdict(list)
    for capture, contents_of_it in enumerate(known):
        for content in contents_of_it:
            holders[content].append(capture)
    some = (captures for captures in holders.values() if 1 < len(captures) <= MOST_VIEWS)
    return sorted({pair for captures in some for pair in itertools.combinations(captures, 2)})


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)


def _are_views(a: CaptureFacts, b: CaptureFacts, clock: Clock) -> bool:
    """Whether two captures with packets in common were made at two places."""
    overlap = min(a.last_time, b.last_time) - max(a.first_time, b.first_time)
    shorter = min(a.last_time - a.first_time, b.last_time - b.first_time)
    is_common = overlap > 0 and overlap >= LEAST_OVERLAP * shorter
    if is_common and abs(clock.ahead) <= LONGEST_WAY_NS:
        return clock.certain > 0 or clock.packets >= LEAST_ALIKE
    # The clock is wrong, and by as much for most of what they have in common, or that was repeated after so long: then
    # the requests are there again, and hardly their replies.
    of_both_sides = is_common and clock.within >= 0 and clock.certain >= LEAST_UNREPEATABLE
    return (clock.unrepeatable >= LEAST_UNREPEATABLE or of_both_sides) and clock.ahead != 0


def _ordered(
    places: Sequence[Sequence[int]], words: Sequence[str], clocks: Mapping[tuple[int, int], Clock]
) -> tuple[Place, ...]:
    """The places from the client on, with the clock of each against the first."""
    score = [sum(_nearer(place, other, words, clocks) for other in places if other is not place) for place in places]
    order = sorted(range(len(places)), key=lambda i: (-score[i], i))
    chain, scores = [places[i] for i in order], [score[i] for i in order]
    tied = {0: Place(tuple(chain[0]))}
    while True:  # a place that shares nothing with the first is tied to one that is tied
        links = [
            (best.packets, -i, j, best)
            for i in range(len(chain))
            for j in tied
            if i not in tied and (best := _best(chain[j], chain[i], clocks)).packets
        ]
        if not links:
            break
        _, i, j, best = max(links, key=lambda link: link[:3])
        tied[-i] = Place(tuple(chain[-i]), tied[j].ahead + best.ahead, best.within, best.packets)
    return tuple(tied.get(i, Place(tuple(chain[i])))._replace(relative=_relative(i, scores)) for i in range(len(chain)))


def _nearer(a: Sequence[int], b: Sequence[int], words: Sequence[str], clocks: Mapping[tuple[int, int], Clock]) -> int:
    """1: place a is nearer the client than b, -1: b is, 0: nothing tells."""
    for one, other in itertools.product(a, b):
        if _differ(words[one], words[other]):
            return 1 if _RANKS[words[one]] < _RANKS[words[other]] else -1
    return next((order for one, other in itertools.product(a, b) if (order := _between(clocks, one, other).nearer)), 0)


def _best(a: Sequence[int], b: Sequence[int], clocks: Mapping[tuple[int, int], Clock]) -> Clock:
    """The clock of b against a's by the two captures that have most packets in common."""
    return max((_between(clocks, one, other) for one, other in itertools.product(a, b)), key=lambda c: c.packets)


def _relative(i: int, scores: Sequence[int]) -> tuple[str, str] | tuple[()]:
    """The vantage of the i-th place among all and why; () where nothing told their order.

    The first and the last are not at the ends themselves for that: routers may lie beyond.
    """
    if len(set(scores)) < len(scores):
        return ()
    if 0 < i < len(scores) - 1:
        return "middle", "between other captures, by TTL or by which packets pass here first"
    end = "server" if i else "client"
    return "unknown", f"nearer the {end} than the other captures, by TTL or by which packets pass here first"


_NOTHING = Clock(0, -1, 0, 0, 0, 0)


def _between(clocks: Mapping[tuple[int, int], Clock], a: int, b: int) -> Clock:
    """The clock of b against a's."""
    if (a, b) in clocks:
        return clocks[a, b]
    if (b, a) in clocks:
        found = clocks[b, a]
        return found._replace(ahead=-found.ahead, nearer=-found.nearer)
    return _NOTHING
