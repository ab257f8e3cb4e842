"""A network in virtual time: hosts exchange IP packets over paths that lose, delay and reorder them, and taps record.

Nothing here waits: an event is a time and a callable, and the next one is always the earliest. The same seed gives the
same losses and delays at the same sends.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crafted import SECOND, START, Captured, ip, tcp, udp

UDP, TCP = 17, 6

Address = tuple[str, int]
Receiver = Callable[[Address, object], None]


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment as its ends see it."""

    flags: int
    seq: int
    ack: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Weather:
    """What a path does to packets, each direction for itself. Times are s."""

    loss: float = 0.0  # share
    delay: float = 0.02  # one way
    jitter: float = 0.0  # up to so much more, evenly
    reordered: float = 0.0  # share that takes another ``delay``


@dataclass
class Network:
    """Hosts on both sides of one path. The client's tap is before it, the server's behind it."""

    weather: Weather
    generator: random.Random
    now: float = 0.0
    at_client: list[Captured] = field(default_factory=list)
    at_server: list[Captured] = field(default_factory=list)
    lost: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _idents: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _receivers: dict[tuple[int, Address], Receiver] = field(default_factory=dict)

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Let something happen at a time, not before now."""
        heapq.heappush(self._events, (max(time, self.now), next(self._order), event))

    def run(self, until: float) -> None:
        """Let everything happen up to a time."""
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until

    def listen(self, protocol: int, address: Address, receiver: Receiver) -> None:
        """Hand what comes to a socket to ``receiver(sender, payload or segment)``."""
        self._receivers[protocol, address] = receiver

    def send(self, sender: Address, receiver: Address, body: bytes | Segment, *, from_client: bool) -> None:
        """Send a datagram or a segment; it may never arrive."""
        ports = sender[1], receiver[1]
        if isinstance(body, Segment):
            protocol, transport = TCP, tcp(ports, body.flags, body.payload, seq=body.seq, ack=body.ack)
        else:
            protocol, transport = UDP, udp(ports, body)
        ident = next(self._idents) & 0xFFFF
        raws = [ip(sender[0], receiver[0], protocol, transport, ident=ident, ttl=ttl) for ttl in (64, 63)]
        taps = (self.at_client, self.at_server) if from_client else (self.at_server, self.at_client)
        taps[0].append(Captured(raws[0], START + round(self.now * SECOND)))
        if self.generator.random() < self.weather.loss:
            self.lost += 1
            return
        way = self.weather.delay + self.generator.uniform(0, self.weather.jitter)
        if self.generator.random() < self.weather.reordered:
            way += self.weather.delay

        def arrive() -> None:
            taps[1].append(Captured(raws[1], START + round(self.now * SECOND)))
            if (known := self._receivers.get((protocol, receiver))) is not None:
                known(sender, body)

        self.at(self.now + way, arrive)
