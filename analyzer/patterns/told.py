"""What the patterns of QUIC share: a connection with its story, and which connections a question chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import WAIT, Attempts, Mask, capture_end
from analyzer.patterns.finding import Finding, Threshold
from analyzer.patterns.words import FAMILIES, conversation_filter, counted, one_of_addresses, one_of_ports, share

SECOND = 1_000_000_000

RARE = Threshold("rare", 0.1, "of the attempts", "loss that a tenth of all first tries meets leaves a few unlucky ones")


@dataclass(frozen=True, slots=True)
class Told:
    """One connection: a row of the table of connections and its story."""

    view: View
    row: int
    story: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name in self.story:
            return self.story[name]
        value = self.view.connections[name][self.row]
        return value.item() if isinstance(value, np.generic) else value

    def has_sent(self, side: str, *kinds: str) -> bool:
        """Whether a side was seen to send a packet of one of these kinds."""
        return not set(kinds).isdisjoint(self.story[f"{side}_sent"].split(","))

    @property
    def waited(self) -> int:
        """ns for which the capture ran on after the first request."""
        return capture_end(self.view) - int(self["request_time"])

    @property
    def is_watched(self) -> bool:
        """The request was seen, and the capture ran on for ``WAIT`` after it."""
        return int(self["request_time"]) >= 0 and self.waited >= WAIT.ns

    @property
    def was_ended(self) -> bool:
        """A side closed, and it was no client that had waited in vain for ``WAIT``."""
        return bool(self["close_side"]) and (
            self["close_side"] == "server" or self.last - int(self["request_time"]) < WAIT.ns
        )

    @property
    def last(self) -> int:
        """Time of the connection's last record, ns."""
        return int(self["last_time"])


def chosen(view: View, fits: Callable[[Told], bool]) -> Mask:
    """A mask over the connections: those with a story that fits."""
    mask = np.zeros(len(view.connections), np.bool_)
    mask[[each.row for each in view.once(_all_told) if fits(each)]] = True
    return mask


def _all_told(view: View) -> list[Told]:
    known = view.row_of if view.story_of else {}
    return [Told(view, known[name], story) for name, story in view.story_of.items() if name in known]


def told(attempts: Attempts) -> list[Told]:
    """The stories of attempts that all have one."""
    names = attempts.column("connection")
    rows = attempts.rows.tolist()
    return [Told(attempts.view, row, attempts.view.story_of[name]) for row, name in zip(rows, names, strict=True)]


def which(attempts: Attempts) -> str:
    """``2 of 5 QUIC attempts to 192.0.2.80:443 over IPv4``."""
    part = share(len(attempts), len(attempts.socket_rows), "QUIC attempt")
    return f"{part} to {attempts.words} over {FAMILIES[attempts.family]}"


def to_the_end(finding: Finding, attempts: Attempts) -> Finding:
    """The finding with the last record of its connections as its end."""
    return replace(finding, last_time=max(attempts.column("last_time")))


def filter_of_all_paths(attempts: Attempts, span: tuple[int, int]) -> str:
    """A display filter that leaves the clients' ports open, for connections that changed theirs."""
    addresses, ports = sorted(attempts.distinct("server_address")), sorted(attempts.distinct("server_port"))
    terms = [one_of_addresses(attempts.family, addresses), one_of_ports("udp", ports)]
    if len(clients := attempts.clients) == 1:
        terms.append(one_of_addresses(attempts.family, sorted(clients)))
    return conversation_filter(" && ".join(terms), "udp", ports=(), span=span)


def may_be_loss(attempts: Attempts) -> bool:
    """Whether these are few among many attempts on their socket, of which others had to be sent again."""
    tries = attempts.of(attempts.socket_rows).tries
    lossy = sum(n > 1 for n in tries) >= RARE.value * len(tries)
    return lossy and len(attempts) <= RARE.value * len(tries)


def between(values: list[float], unit: str) -> str:
    """``0.204 s``, ``0.204 to 3.1 s``: the smallest and largest of some values."""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def total(stories: list[Told], column: str, noun: str) -> str:
    """``12 packets``: a column summed over stories."""
    return counted(sum(int(story[column]) for story in stories), noun)
