"""Where a capture was made, inferred from handshakes: at the client, at the server, or not to be told.

A handshake passes the observer three times: the request, the reply, and the client's next packet. The time from request
to reply is the way from the observer to the server and back, the time from reply to the next packet the way to the
client and back. Where one is ``CLEARLY`` times the other the observer sits near one end. TCP handshakes are preferred:
hosts answer a SYN and a SYN/ACK at once, while a QUIC server computes before it answers.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from analyzer.columns import median
from analyzer.events.connection import Connection
from analyzer.events.selected import Selected
from analyzer.exchanges.attributes import Attributes

#: One way round must take this many times the other; scheduling alone makes equal ones differ by a factor of two.
CLEARLY = 5

#: Ways shorter than this are all within one host or link, and tell nothing.
LEAST_WAY_NS = 300_000

#: Handshakes looked at; more do not change a median.
MOST_HANDSHAKES = 200


#: Transports, and what is their servers' first reply, the better ones first.
_REPLIES = (("tcp", "SYN/ACK"), ("quic", "server's first datagram"))


class Vantage(NamedTuple):
    """client, server or unknown, and the reason in words."""

    word: str
    reason: str


UNKNOWN = Vantage("unknown", "no handshake shows which end is nearer")


def pieces_of(spans: Mapping[int, tuple[int, int]]) -> frozenset[int]:
    """The captures of one place that are pieces of one: all, as rotated files are, or none if two overlap in time.

    ``spans`` are the first and the last time of each capture, -1 where it has none.
    """
    timed = sorted(span for span in spans.values() if span[0] >= 0)
    apart = all(before[1] <= after[0] for before, after in itertools.pairwise(timed))
    return frozenset(spans if apart else ())


class Handshakes:
    """The connections of each capture, from which ``vantage`` is told."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes, self._connections = attributes, attributes.connections
        self._rows, self._captures = attributes.flows.scan.rows, len(attributes.flows.scan.ledger)

    def _numbers(self, transport: str) -> list[int]:
        numbers: list[int] = np.flatnonzero(self._attributes.words("transport").equal(transport)).tolist()
        return numbers

    @functools.cached_property
    def _by_capture(self) -> dict[tuple[str, int], list[int]]:
        found: dict[tuple[str, int], list[int]] = defaultdict(list)
        captures = self._rows.capture[self._attributes.first_rows].tolist()
        for transport, _ in _REPLIES:
            for number in self._numbers(transport):
                found[transport, captures[number]].append(number)
        return found

    def _in_order(self, transport: str, captures: frozenset[int]) -> Iterable[int]:
        if len(captures) == self._captures:
            return self._numbers(transport)
        return heapq.merge(*(self._by_capture.get((transport, capture), ()) for capture in captures))

    def vantage(self, captures: frozenset[int]) -> Vantage:
        """The vantage of the pieces of one capture from the handshakes in them."""
        for transport, name in _REPLIES:
            seen = (_ways(self._connections[number], self._rows) for number in self._in_order(transport, captures))
            ways = list(itertools.islice((way for way in seen if way is not None), MOST_HANDSHAKES))
            if ways:
                return _judge(ways, name)
        return UNKNOWN


def _ways(connection: Connection, rows: Selected) -> tuple[int, int] | None:
    """(to the server and back, to the client and back) in ns of one handshake without repeats."""
    requests, reply = connection.request_rows, connection.reply_row
    if reply < 0 or not requests or len(requests) > connection.first_repeat or len(connection.syn_ack_rows) > 1:
        return None
    after = [r for r in connection.rows if r > reply and rows.direction[r] == connection.client_direction]
    if not after or (connection.transport == "quic" and not connection.client_went_on):
        return None  # without a next step of the handshake, a later packet is only the client's own timer
    return int(rows.time[reply] - rows.time[requests[-1]]), int(rows.time[after[0]] - rows.time[reply])


def _judge(ways: list[tuple[int, int]], name: str) -> Vantage:
    to_server = median(way[0] for way in ways)
    to_client = median(way[1] for way in ways)
    words = (
        f"the {name} follows the request after {to_server / 1e6:.3g} ms and the client goes on {to_client / 1e6:.3g} ms"
        f" later, median of {len(ways)}"
    )
    if to_client >= max(LEAST_WAY_NS, CLEARLY * to_server):
        return Vantage("server", words)
    if to_server >= max(LEAST_WAY_NS, CLEARLY * to_client):
        return Vantage("client", words)
    return UNKNOWN
