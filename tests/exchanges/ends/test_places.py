"""Which of many captures are looked at in pairs."""

from __future__ import annotations

import itertools

from analyzer.exchanges.ends.clock import Content, Proof, Seen
from analyzer.exchanges.ends.places import MOST_VIEWS, _in_common

SEEN = Seen(1, 64, True, Proof.LIKELY)


def holding(*contents: str) -> dict[Content, Seen]:
    return {("udp", 20, content): SEEN for content in contents}


def test_captures_with_a_packet_in_common() -> None:
    known = [holding("a", "b"), holding("c"), holding("b", "d"), holding("d", "a")]
    assert _in_common(known) == [(0, 2), (0, 3), (2, 3)]
    assert _in_common([holding("a")]) == _in_common([]) == []


def test_what_every_capture_holds_was_sent_again_and_again() -> None:
    """A keep-alive in each of a day's rotated files makes no pairs; a packet at as many places as there may be does."""
    assert _in_common([holding("keep-alive")] * (MOST_VIEWS + 1)) == []
    pairs = _in_common([holding("keep-alive")] * MOST_VIEWS)
    assert pairs == list(itertools.combinations(range(MOST_VIEWS), 2))
