"""Which connections are one: at several places, or on both sides of a bridge or a translation in one capture.

The first packets of a connection are looked up among those of all others by their content (``clock.content_of``).
At one place copies follow within milliseconds, and a datagram whose content may be chance is a copy only between
4-tuples with an end in common, since a translation changes one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analyzer.events.connection import Connection
from analyzer.events.flows import DUPLICATE_WITHIN_NS
from analyzer.exchanges.connections import Judge
from analyzer.exchanges.ends.clock import LONGEST_WAY_NS, Content, Proof, content_of

#: Packets of a connection that are looked up: its request, repeats, and the first replies.
MOST_ROWS = 12

#: A packet is compared with so many later ones of the same content: a flood of equal datagrams takes no longer for it.
MOST_COPIES = 16


class Where(NamedTuple):
    """A row of the connections table of one place."""

    place: int
    row: int


class _Copy(NamedTuple):
    time: int
    proof: Proof
    where: Where


def clusters(judges: Sequence[Judge]) -> list[list[Where]]:
    """The connections of all places; those that are one together, each in the order of place and row."""
    copies: dict[Content, list[_Copy]] = defaultdict(list)
    for place, judge in enumerate(judges):
        for row, connection in enumerate(judge.connections):
            for time, content, proof in _contents(judge, connection):
                copies[content].append(_Copy(time, proof, Where(place, row)))
    groups = _Groups([Where(place, row) for place, judge in enumerate(judges) for row in range(len(judge.connections))])
    translated = []
    for same in copies.values():
        same.sort()
        for i, one in enumerate(same):
            for other in same[i + 1 : i + 1 + MOST_COPIES]:
                if one.where == other.where or not _are_one(judges, one, other):
                    continue
                a, b = (judges[copy.where.place].connections[copy.where.row] for copy in (one, other))
                if (a.client, a.server) == (b.client, b.server):
                    groups.join(one.where, other.where)
                else:
                    translated.append((one.where, other.where, a.client.port == b.client.port))
    for one_row, other_row, same_port in translated:
        # Other clients that send the same bytes were seen at the same places, each for itself.
        if same_port or groups.common_places(one_row, other_row) < 2:
            groups.join(one_row, other_row)
    return groups.all()


def _contents(judge: Judge, connection: Connection) -> Iterator[tuple[int, Content, Proof]]:
    for row in connection.rows[:MOST_ROWS]:
        content, proof = content_of(judge.flows.scan, row)
        if content:
            yield int(judge.rows.time[row]), content, proof


def _are_one(judges: Sequence[Judge], one: _Copy, other: _Copy) -> bool:
    a, b = (judges[copy.where.place].connections[copy.where.row] for copy in (one, other))
    if a.transport == "tcp" and b.transport != "tcp":
        return False
    is_copy = one.where.place == other.where.place
    if abs(one.time - other.time) > (DUPLICATE_WITHIN_NS if is_copy else LONGEST_WAY_NS):
        return False
    return one.proof >= Proof.CERTAIN or a.client == b.client or a.server == b.server


class _Groups:
    """Disjoint sets."""

    def __init__(self, members: list[Where]) -> None:
        self._above = {member: member for member in members}
        self._places = {member: {member.place} for member in members}

    def _top(self, member: Where) -> Where:
        while (above := self._above[member]) != member:
            self._above[member] = member = self._above[above]
        return member

    def join(self, one: Where, other: Where) -> None:
        low, high = sorted((self._top(one), self._top(other)))
        if low != high:
            self._above[high] = low
            self._places[low] |= self._places.pop(high)

    def common_places(self, one: Where, other: Where) -> int:
        """How many places saw a member of both groups; 0 for one group."""
        low, high = self._top(one), self._top(other)
        return len(self._places[low] & self._places[high]) if low != high else 0

    def all(self) -> list[list[Where]]:
        groups: dict[Where, list[Where]] = defaultdict(list)
        for member in self._above:
            groups[self._top(member)].append(member)
        return list(groups.values())
