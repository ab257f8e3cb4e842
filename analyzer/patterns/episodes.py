"""Stretches of time in which a socket that answered before answers nobody, and how chance would make them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzer.patterns.chance import loss_of_a_try
from analyzer.patterns.evidence import Attempts, capture_end
from analyzer.patterns.stickiness import chance_of_blocks
from analyzer.patterns.words import FAMILIES, counted


@dataclass(frozen=True)
class Episode:
    """Silent attempts that follow one another. Times in ns; ``back`` is that of the next answer, -1 for none."""

    silent: Attempts
    last_good: int
    first_bad: int
    back: int
    by_loss: float  # probability that loss alone makes such a stretch somewhere among the attempts
    by_order: float  # probability that as many silent attempts, in random order, lie together as they do

    def lasted(self) -> int:
        """From the first silent attempt to the next answer, or to the capture's end."""
        return (self.back if self.back >= 0 else capture_end(self.silent.view)) - self.first_bad

    def others(self) -> list[int]:
        """Rows of attempts in that time on other sockets, by whomever."""
        table, silent = self.silent.view.connections, self.silent
        end = self.back if self.back >= 0 else np.iinfo(np.int64).max
        then = (table["request_time"] > self.first_bad) & (table["request_time"] < end)
        same = table.equal("server_address", silent.address) & (table["server_port"] == silent.port)
        same &= table.equal("transport", silent.transport)
        return np.flatnonzero(then & ~same).tolist()


def episodes(silent: Attempts, spoke: Attempts, *, least: float, by_order: float) -> list[Episode]:
    """The stretches after a first answer, in order of time; ``spoke`` are attempts answered or refused.

    Stretches of fewer than ``least`` attempts, and those that chance makes more often than ``by_order``, are left out.
    """
    begin = np.concatenate([silent.array("request_time"), spoke.array("request_time")])
    is_silent = np.arange(len(begin)) < len(silent)
    reply = np.concatenate([np.full(len(silent), -1), spoke.array("reply_time")])
    order = np.lexsort((is_silent, begin))
    begin, is_silent = begin[order], is_silent[order]
    rows = np.concatenate([silent.rows, spoke.rows])[order]
    spoken = np.maximum.accumulate(np.where(is_silent, -1, np.maximum(begin, reply[order])))
    edges = np.flatnonzero(np.diff(is_silent.astype(np.int8), prepend=0, append=0))
    runs = [(a, b) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True) if a > 0 and b - a >= least]
    if not runs:
        return []
    blocks, heard = chance_of_blocks(is_silent), _first_heard(silent, rows)
    found = []
    for first, after in runs:
        chance = _by_order((first, after), len(silent), len(begin), blocks)
        here = silent.of(np.sort(rows[first:after]))
        if chance > by_order or not any(heard.get(client, first) < first for client in here.clients):
            continue
        bad = int(begin[first])
        back = int(begin[after]) if after < len(begin) else -1
        by_loss = _by_loss(here, spoke, len(begin))
        found.append(Episode(here, min(int(spoken[first - 1]), bad), bad, back, by_loss, chance))
    return found


def _first_heard(silent: Attempts, rows: NDArray[np.int64]) -> dict[str, int]:
    """For each client address the place of its first answered attempt among ``rows``."""
    table = silent.view.connections
    places = np.flatnonzero(table.equal("outcome", "answered")[rows])[::-1]
    return dict(zip(table["client_address"][rows[places]].tolist(), places.tolist(), strict=True))


def _by_loss(silent: Attempts, spoke: Attempts, places: int) -> float:
    """Loss of a try as high as 95 % of such samples allow, for every try of the stretch, wherever it may lie."""
    loss = loss_of_a_try(spoke.tries)
    return min(1.0, places * loss ** sum(max(tries - 1, 1) for tries in silent.tries))


def _by_order(run: tuple[int, int], silent: int, attempts: int, blocks: float) -> float:
    """The larger of the chances that this stretch is silent throughout, and that all silence comes in so few blocks."""
    first, after = run
    length, at_end = after - first, after == attempts
    log = _choose(attempts - length, silent - length) - _choose(attempts, silent)
    stretch = min(1.0, math.exp(log) * (1 if at_end else attempts - length + 1))
    # A single stretch at the end is one order of all: no other is as telling.
    return stretch if at_end and length == silent else max(stretch, blocks)


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def clients_lived(episode: Episode) -> bool | None:
    """Whether the clients' own network worked in that time; None where they asked nobody else.

    It did where requests of theirs arrived at the server, where they were answered elsewhere, or where several asked.
    """
    view, table = episode.silent.view, episode.silent.view.connections
    clients = episode.silent.clients
    if len(clients) > 1 or {capture.vantage for capture in view.captures} == {"server"}:
        return True
    rows = [row for row in episode.others() if table["client_address"][row] in clients]
    if any(table["outcome"][row] in ("answered", "refused") for row in rows):
        return True
    host = view.host(episode.silent.address)
    return False if any(view.host(table["server_address"][row]) != host for row in rows) else None


def rest_of_host(episode: Episode) -> list[str]:
    """What the host answered on its other sockets in that time, by transport and family, in words."""
    silent, table = episode.silent, episode.silent.view.connections
    host = silent.view.host(silent.address)
    told = []
    rows = [row for row in episode.others() if silent.view.host(table["server_address"][row]) == host]
    for transport in ("tcp", "quic"):
        for family in ("ipv4", "ipv6"):
            here = [r for r in rows if (table["transport"][r], table["family"][r]) == (transport, family)]
            if here:
                heard = sum(table["outcome"][row] == "answered" for row in here)
                what = f"{transport.upper()} and {FAMILIES[family]}"
                told.append(f"{heard:,} of {counted(len(here), 'attempt')} over {what}")
    return told
