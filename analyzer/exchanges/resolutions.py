"""The table of resolutions: what a client asked about a name, and which of the addresses it then tried.

How it works
------------
The A and AAAA questions of one client for one name are one *episode* where they belong together: another type, from the
same port or soon after. The same type again begins the next episode. Attempts are the connections that the client's
host begins, or goes on using, to an address of the answer until the next episode for that name.

A client that asks over IPv4 may connect over IPv6: an address of the other family is the client's too where ``hosts``
says so, or where neither is known to belong to another host.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from analyzer.columns import Table
from analyzer.events import flows as fl
from analyzer.events.connection import ICMP_PROTOCOL, ICMPV6_PROTOCOL
from analyzer.events.conversations import Conversations
from analyzer.events.lookups.dns import Lookup
from analyzer.events.lookups.neighbours import is_discovery
from analyzer.exchanges.connections import Judge, Judged
from analyzer.exchanges.judge import ANSWERED, REFUSED, SILENT, UNDETERMINED
from analyzer.exchanges.schemas import RESOLUTIONS
from analyzer.wire.dns import PORT

TOGETHER_NS = 10_000_000_000  # two tries of glibc, which asks for the other family again after 5 s
TRIED_WITHIN_NS = 120_000_000_000  # programs keep an answer for its TTL, which is often minutes

_TYPES = ("A", "AAAA")


@dataclass(slots=True)
class Episode:
    """The lookups of one client for one name that belong together, and what the client did then."""

    lookups: list[Lookup]
    first_time: int
    answer_time: int = -1  # of the first answer with addresses
    until: int = 0
    tries: list[Judged] = field(default_factory=list)
    reused: list[Judged] = field(default_factory=list)  # connections that had begun before
    touched: bool = False  # other packets went to one of the addresses

    def of(self, kind: str) -> list[Lookup]:
        """Its lookups of a type; a second one follows a truncated answer (RFC 7766 §5)."""
        return [lookup for lookup in self.lookups if lookup.kind == kind]

    def addresses(self, *kinds: str) -> tuple[str, ...]:
        """The addresses answered, in order."""
        answers = [each.answer for kind in kinds for each in self.of(kind) if each.answer is not None]
        return tuple(dict.fromkeys(address for answer in answers for address in answer.addresses))


def resolutions_table(judge: Judge, found: Conversations) -> Table:
    """One row per client, name and episode, in the order of the first questions."""
    episodes = _episodes(judge, found.lookups)
    if not episodes:
        return Table.from_rows("resolutions", RESOLUTIONS, [])
    _find_tries(judge, found, episodes)
    answering = {lookup.server.address for lookup in found.lookups if lookup.answer is not None}
    clients: dict[str, set[str]] = defaultdict(set)
    for lookup in found.lookups:
        clients[lookup.server.address].add(lookup.client.address)
    rows = []
    for number, episode in enumerate(episodes, start=1):
        first = episode.lookups[0]
        is_resolver = first.client.address in answering or not first.is_recursive
        rows.append(
            {"resolution": f"R{number}", "resolver_clients": len(clients[first.server.address])}
            | {"is_resolver": is_resolver}
            | _row(judge, episode)
        )
    return Table.from_rows("resolutions", RESOLUTIONS, rows)


def _episodes(judge: Judge, lookups: Iterable[Lookup]) -> list[Episode]:
    """Lookups for addresses, put together."""
    time = judge.rows.time
    episodes: list[Episode] = []
    recent: dict[tuple[str, str], list[Episode]] = defaultdict(list)
    for lookup in lookups:
        if lookup.kind not in _TYPES:
            continue
        asked = int(time[lookup.question_rows[0]])
        known = recent[lookup.client.address, lookup.name]
        fitting = [e for e in known[-4:] if asked - e.first_time <= TOGETHER_NS and _fits(e, lookup)]
        same_port = [e for e in fitting if e.lookups[0].client.port == lookup.client.port]
        if fitting:
            episode = (same_port or fitting)[-1]
            episode.lookups.append(lookup)
        else:
            episode = Episode([lookup], asked)
            episodes.append(episode)
            known.append(episode)
        if lookup.answer is not None and lookup.answer.addresses:
            answered = int(time[lookup.answer_row])
            episode.answer_time = answered if episode.answer_time < 0 else min(answered, episode.answer_time)
    for following in recent.values():
        for episode, after in pairwise(following):
            episode.until = after.answer_time if after.answer_time >= 0 else after.first_time
        following[-1].until = judge.capture_end + 1
    return episodes


def _fits(episode: Episode, lookup: Lookup) -> bool:
    """Whether a lookup belongs to an episode: a type not asked yet, or TCP after a truncated answer."""
    asked = episode.of(lookup.kind)
    truncated = [each for each in asked if each.answer is not None and each.answer.is_truncated]
    return not asked or (bool(truncated) and lookup.transport == "tcp")


def _find_tries(judge: Judge, found: Conversations, episodes: Sequence[Episode]) -> None:
    """Fill in which addresses were tried."""
    wanted = {address for episode in episodes for address in episode.addresses(*_TYPES)}
    attempts: dict[str, list[Judged]] = defaultdict(list)
    held = judge.attributes
    is_lookup = (held.ports(of_client=False) == PORT) & held.words("transport").equal("udp")
    for judged in judge.at(np.flatnonzero(held.servers.equal(*wanted) & ~is_lookup)):
        attempts[judged.connection.server.address].append(judged)
    other = _other_packets(found, wanted)
    for episode in episodes:
        client = episode.lookups[0].client.address
        if episode.answer_time < 0:
            continue
        for address in episode.addresses(*_TYPES):
            episode.touched |= any(judge.hosts.may_be_one(client, source) for source in other.get(address, ()))
            for judged in attempts.get(address, ()):
                if judge.hosts.may_be_one(client, judged.connection.client.address):
                    _add_try(judge, episode, judged)
        episode.tries.sort(key=lambda each: each.number)


def _add_try(judge: Judge, episode: Episode, judged: Judged) -> None:
    begun = int(judge.rows.time[judged.connection.rows[0]])
    latest = min(episode.until, episode.answer_time + TRIED_WITHIN_NS)
    if episode.answer_time <= begun < latest:
        episode.tries.append(judged)
    elif begun < episode.answer_time <= judged.connection.last_time:
        episode.reused.append(judged)


def _other_packets(found: Conversations, wanted: set[str]) -> dict[str, set[str]]:
    """For each wanted address the addresses that sent it ICMP, such as an echo request; Neighbour Discovery is none."""
    rows = found.flows.scan.rows
    discovery = np.flatnonzero(is_discovery(found.flows))
    packets = found.flows.scan.table.state[:, fl.RECORDS].reshape(-1, 2).copy()
    np.subtract.at(packets, (rows.flow[discovery], rows.direction[discovery]), 1)
    senders: dict[str, set[str]] = defaultdict(set)
    for protocol in (ICMP_PROTOCOL, ICMPV6_PROTOCOL):
        for flow in found.flows.with_protocol(protocol):
            ends = found.flows.ends(flow)
            for direction in np.flatnonzero(packets[flow] > 0).tolist():
                if ends[1 - direction].address in wanted:
                    senders[ends[1 - direction].address].add(ends[direction].address)
    return senders


def _row(judge: Judge, episode: Episode) -> dict[str, Any]:
    """The row of one episode."""
    first = episode.lookups[0]
    tries, times = episode.tries, [int(judge.rows.time[each.connection.rows[0]]) for each in episode.tries]
    families = [each.connection.server.family for each in tries]
    second = next((i for i, family in enumerate(families) if family != families[0]), -1)
    questions = sorted(row for lookup in episode.lookups for row in lookup.question_rows)
    answers = sorted(lookup.answer_row for lookup in episode.lookups if lookup.answer_row >= 0)
    return {
        "client_address": first.client.address,
        "resolver": first.server.address,
        "name": first.name,
        **_asked(episode),
        "addresses": ",".join(episode.addresses(*_TYPES)),
        "tried": ",".join(dict.fromkeys(each.connection.server.address for each in (*tries, *episode.reused))),
        "first_tried_family": f"ipv{families[0]}" if families else "",
        "second_family_delay_s": (times[second] - times[0]) / 1e9 if second > 0 else float("nan"),
        "outcome": _outcome(episode),
        "question_records": judge.records(questions),
        "answer_records": judge.records(answers),
        "first_question_time": episode.first_time,
        "answer_time": episode.answer_time,
        "connections": ",".join(f"C{each.number}" for each in (*tries, *episode.reused)),
        "first_family_unanswered": second > 0
        and all(not 0 <= each.reply_time <= times[second] for each in tries[:second]),
        "touched": episode.touched,
    }


def _asked(episode: Episode) -> dict[str, Any]:
    """What was asked and answered per family, and the addresses."""
    columns: dict[str, Any] = {}
    for kind, name in (("A", "a"), ("AAAA", "aaaa")):
        lookups = episode.of(kind)
        columns |= {
            f"asked_{name}": bool(lookups),
            f"answered_{name}": any(lookup.answer is not None for lookup in lookups),
            f"addresses_{name}": ",".join(episode.addresses(kind)),
        }
    return columns


def _outcome(episode: Episode) -> str:
    """The best outcome of what was tried, or why nothing was."""
    if episode.answer_time < 0:
        return "unresolved"
    if episode.reused or any(each.outcome == ANSWERED for each in episode.tries):
        return ANSWERED
    if not episode.tries:
        return ANSWERED if episode.touched else "not-tried"
    outcomes = {each.outcome for each in episode.tries}
    return next(word for word in (UNDETERMINED, SILENT, REFUSED) if word in outcomes)
