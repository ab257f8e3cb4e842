"""The table of server sockets, made from judged connections and DNS questions."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Table, Words, grouped
from analyzer.exchanges.judge import ANSWERED, SILENT
from analyzer.exchanges.schemas import SOCKETS

_OUTCOMES = ("answered", "refused", "silent", "undetermined")


_KEY = ("transport", "family", "server_address")
_TEXTS = (*_KEY, "client_address", "outcome")
_NUMBERS = ("server_port", "request_time", "reply_time", "reply_latency_s")


#: Silent attempts behind the last answer that are called a silence since then.
LEAST_SILENCE = 2
#: Probability that the last attempts are all silent where each is as likely so as those before.
BY_CHANCE = 0.01


def is_attempt(connections: Table) -> Any:
    """Which connections are attempts: their request was seen, or an ICMP error refused what they sent."""
    refused_udp = connections.equal("transport", "udp") & connections.equal("outcome", "refused")
    return (connections["request_time"] >= 0) | refused_udp


def sockets_table(connections: Table, exchanges: Table) -> Table:
    """One row per server socket and family that was asked, in the order of transport, address family, address, port.

    A DNS question over UDP is an attempt of its own; its conversation is none besides.
    """
    questions = np.flatnonzero(exchanges.equal("kind", "dns") & exchanges.equal("transport", "udp"))
    chosen = np.flatnonzero(is_attempt(connections))
    if len(questions):
        asking = set(exchanges["connection"][questions].tolist())
        chosen = chosen[[name not in asking for name in connections["connection"][chosen].tolist()]]
    parts = [(table, rows) for table, rows in ((connections, chosen), (exchanges, questions)) if len(rows)]
    if not parts:
        return Table.from_rows("sockets", SOCKETS, [])
    texts = {name: Words.joined([table.words(name).take(rows) for table, rows in parts]) for name in _TEXTS}
    numbers = {name: np.concatenate([table[name][rows] for table, rows in parts]) for name in _NUMBERS}
    texts["transport"] = texts["transport"].renamed(lambda transport: "tcp" if transport == "tcp" else "udp")
    keys = [*(texts[name].codes for name in _KEY), numbers["server_port"]]
    rows = [_socket(texts, numbers, members) for members in grouped(keys)]
    return Table.from_rows("sockets", SOCKETS, sorted(rows, key=itemgetter("transport", "family", "address", "port")))


def _socket(
    texts: Mapping[str, Words], numbers: Mapping[str, NDArray[Any]], members: NDArray[np.int64]
) -> dict[str, Any]:
    """The row of one socket."""
    transport, family, address = (texts[name].words[texts[name].codes[members[0]]] for name in _KEY)
    outcome, request = texts["outcome"].take(members), numbers["request_time"][members]
    counts = {name: int(np.count_nonzero(outcome.equal(name))) for name in _OUTCOMES}
    decided = len(members) - counts["undetermined"]
    is_answered = outcome.equal(ANSWERED)
    latency = numbers["reply_latency_s"][members][is_answered]
    latency = latency[~np.isnan(latency)]
    replies = numbers["reply_time"][members][is_answered]
    return {
        "transport": transport,
        "family": family,
        "address": address,
        "port": int(numbers["server_port"][members[0]]),
        "clients": len(set(texts["client_address"].codes[members].tolist())),
        "attempts": len(members),
        **counts,
        "answered_share": counts["answered"] / decided if decided else float("nan"),
        "median_reply_s": float(np.median(latency)) if len(latency) else float("nan"),
        "p99_reply_s": float(np.percentile(latency, 99)) if len(latency) else float("nan"),
        "first_attempt": int(request[request >= 0].min()) if (request >= 0).any() else -1,
        "last_answer": int(replies.max()) if len(replies) else -1,
        "onset": _onset(request[is_answered], request[outcome.equal(SILENT)]),
    }


def _onset(answered: NDArray[np.int64], silent: NDArray[np.int64]) -> int:
    """Time of the first attempt of the silence that lasts to the end; of when answered and silent ones were made.

    -1 if answers did not come before it, or fewer than ``LEAST_SILENCE`` attempts make it: one alone may be a lost one.
    So may several be where others were silent before: then there must be more than ``BY_CHANCE`` allows.
    """
    if not len(answered) or not len(silent):
        return -1
    after = silent[silent > answered.max()]
    before = len(silent) - len(after)
    by_chance = (before / (before + len(answered))) ** len(after)
    return int(after.min()) if len(after) >= LEAST_SILENCE and by_chance <= BY_CHANCE else -1
