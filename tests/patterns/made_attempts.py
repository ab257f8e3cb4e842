"""Clients that try a server socket while something may be wrong: views for the socket patterns, made from a seed.

A world says for each try of a request whether it is answered. Clients repeat as aioquic does (0.2, 0.6, 1.4, 3.0 s) or
as RFC 9002 §6.2.2 advises (1, 3, 7 s); some close when they give up, which looks like one more repeat.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from analyzer.exchanges.view import View
from tests.patterns.tables import V4, V6, Row, connection, view

AIOQUIC, ADVISED = (0.0, 0.2, 0.6, 1.4, 3.0), (0.0, 1.0, 3.0, 7.0)
RTT = 0.02  # s


@dataclass
class Sent:
    """One try of a request."""

    time: float
    client: str
    port: int


#: Whether a try is answered.
World = Callable[[Sent], bool]


@dataclass
class Clients:
    """Who tries, and how: ``every`` s one attempt by one of ``addresses``, from a new port."""

    attempts: int = 120
    every: float = 0.2
    addresses: int = 1
    schedule: Sequence[float] = AIOQUIC
    closes: bool = False
    family: str = "ipv4"
    start: float = 0.0
    fixed: dict[str, object] = field(default_factory=dict)


def attempts(world: World, generator: random.Random, clients: Clients) -> list[Row]:
    """The rows of the connections table."""
    rows = []
    for i in range(clients.attempts):
        at = clients.start + i * clients.every + generator.uniform(0, clients.every / 2)
        number = generator.randrange(clients.addresses) + 10
        address = f"192.0.2.{number}" if clients.family == "ipv4" else f"2001:db8:1::{number}"
        port = generator.randrange(32768, 61000)
        tries = [Sent(at + wait, address, port) for wait in clients.schedule]
        answered = next((n for n, sent in enumerate(tries) if world(sent)), None)
        rows.append(_row(clients, tries, answered))
    return rows


def _row(clients: Clients, tries: list[Sent], answered: int | None) -> Row:
    server = V4 if clients.family == "ipv4" else V6
    own = {"client_address": tries[0].client, "client_port": tries[0].port} | clients.fixed
    if answered is not None:
        reply = tries[answered].time - tries[0].time + RTT
        return connection(server, tries[0].time, reply=reply, repeats=answered, bursts=answered + 1, **own)
    sent = len(tries) + clients.closes
    row = connection(server, tries[0].time, outcome="silent", repeats=sent - 1, bursts=sent, **own)
    last = row["request_time"] + round((tries[-1].time - tries[0].time + clients.closes * 0.5) * 1e9)
    return row | {"last_request_time": last, "last_time": last}


def seen(rows: list[Row]) -> View:
    """A view whose capture ran on long enough after the last of them."""
    ends = max(row["last_time"] for row in rows) - min(row["first_time"] for row in rows)
    return view(*rows, lasts=ends / 1e9 + 8)


def healthy(_: Sent) -> bool:
    """Everything is answered."""
    return True


def loss(generator: random.Random, share: float) -> World:
    """Each try, and its reply, is lost with the same probability."""
    return lambda _: generator.random() > share and generator.random() > share


def dead_member(
    generator: random.Random, *, of: int, since: float = 0.0, until: float = 1e9, lost: float = 0.0
) -> World:
    """One socket of a group is not read: the 4-tuples that hash to it hear nothing."""
    salt = generator.random()

    def world(sent: Sent) -> bool:
        if generator.random() < lost:
            return False
        member = random.Random(f"{salt}{sent.client}{sent.port}").randrange(of)
        return member != 0 or not since <= sent.time < until

    return world


def outages(*spans: tuple[float, float]) -> World:
    """Nobody answers within these spans of time: restarts, or a stopped process."""
    return lambda sent: not any(begin <= sent.time < end for begin, end in spans)


def bad_clients(*addresses: str, since: float = 0.0) -> World:
    """What these addresses send is filtered from a time on."""
    return lambda sent: sent.client not in addresses or sent.time < since


def lossy_clients(generator: random.Random, share: float, *addresses: str) -> World:
    """The paths of these addresses alone lose tries."""
    return lambda sent: sent.client not in addresses or generator.random() > share


def token_bucket(rate: float, burst: float, *, per_client: bool = False) -> World:
    """A rate limiter that lets ``rate`` tries a second pass; it must see them in order of time, or nearly."""
    buckets: dict[str, tuple[float, float]] = {}

    def world(sent: Sent) -> bool:
        key = sent.client if per_client else ""
        tokens, last = buckets.get(key, (burst, sent.time))
        tokens = min(burst, tokens + max(0.0, sent.time - last) * rate)
        buckets[key] = (tokens - 1 if tokens >= 1 else tokens, max(last, sent.time))
        return tokens >= 1

    return world


def fixed_window(limit: int, window: float) -> World:
    """A limiter that counts anew in each window and drops what is over the limit."""
    counts: dict[int, int] = {}

    def world(sent: Sent) -> bool:
        place = int(sent.time // window)
        counts[place] = counts.get(place, 0) + 1
        return counts[place] <= limit

    return world


def both(*worlds: World) -> World:
    """Answered only if each of them answers; all are asked, since some remember."""
    return lambda sent: min([world(sent) for world in worlds])


def in_order(world: World, generator: random.Random, clients: Clients) -> list[Row]:
    """The same as ``attempts`` for worlds with a memory: tries of all clients are asked in order of time."""
    plan = []
    for i in range(clients.attempts):
        at = clients.start + i * clients.every + generator.uniform(0, clients.every / 2)
        address, port = f"192.0.2.{generator.randrange(clients.addresses) + 10}", generator.randrange(32768, 61000)
        plan.append([Sent(at + wait, address, port) for wait in clients.schedule])
    answered: dict[int, int] = {}
    for _, i, n in sorted((sent.time, i, n) for i, tries in enumerate(plan) for n, sent in enumerate(tries)):
        if i not in answered and world(plan[i][n]):
            answered[i] = n
    return [_row(clients, tries, answered.get(i)) for i, tries in enumerate(plan)]
