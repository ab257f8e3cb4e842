"""The table of server sockets, made from judged connections and DNS questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from analyzer.columns import Table
from analyzer.exchanges.judge import ANSWERED, SILENT
from analyzer.exchanges.schemas import SOCKETS

_OUTCOMES = ("answered", "refused", "silent", "undetermined")


_TRANSPORTS = {"quic": "udp", "udp": "udp", "tcp": "tcp"}
_COLUMNS = ("family", "server_address", "server_port", "client_address", "request_time", "outcome", "reply_latency_s")


#: Silent attempts behind the last answer that are called a silence since then.
LEAST_SILENCE = 2


def is_attempt(connections: Table) -> Any:
    """Which connections are attempts: their request was seen, or an ICMP error refused what they sent."""
    refused_udp = connections.equal("transport", "udp") & connections.equal("outcome", "refused")
    return (connections["request_time"] >= 0) | refused_udp


def sockets_table(connections: Table, exchanges: Table) -> Table:
    """One row per server socket and family that was asked, in the order of transport, address family, address, port.

    A DNS question over UDP is an attempt of its own; its conversation is none besides.
    """
    questions = np.flatnonzero(exchanges.equal("kind", "dns") & exchanges.equal("transport", "udp"))
    asking = set(exchanges["connection"][questions])
    chosen = np.flatnonzero(is_attempt(connections))
    if asking:
        chosen = chosen[[name not in asking for name in connections["connection"][chosen].tolist()]]
    columns = {name: connections[name][chosen] for name in (*_COLUMNS, "reply_time", "transport")}
    if len(questions):
        columns = {name: np.concatenate([values, exchanges[name][questions]]) for name, values in columns.items()}
    groups: dict[tuple[str, str, str, int], list[int]] = defaultdict(list)
    keys = zip(*(columns[name].tolist() for name in ("transport", *_COLUMNS[:3])), strict=True)
    for row, (transport, family, address, port) in enumerate(keys):
        groups[_TRANSPORTS[transport], family, address, port].append(row)
    rows = [_socket(columns, key, members) for key, members in sorted(groups.items())]
    return Table.from_rows("sockets", SOCKETS, rows)


def _socket(columns: Mapping[str, Any], key: tuple[str, str, str, int], members: list[int]) -> dict[str, Any]:
    """The row of one socket."""
    transport, family, address, port = key
    index = np.array(members)
    outcome, request = columns["outcome"][index], columns["request_time"][index]
    counts = {name: int(np.count_nonzero(outcome == name)) for name in _OUTCOMES}
    decided = len(members) - counts["undetermined"]
    latency = columns["reply_latency_s"][index][outcome == ANSWERED]
    latency = latency[~np.isnan(latency)]
    replies = columns["reply_time"][index][outcome == ANSWERED]
    return {
        "transport": transport,
        "family": family,
        "address": address,
        "port": port,
        "clients": len(set(columns["client_address"][index])),
        "attempts": len(members),
        **counts,
        "answered_share": counts["answered"] / decided if decided else float("nan"),
        "median_reply_s": float(np.median(latency)) if len(latency) else float("nan"),
        "p99_reply_s": float(np.percentile(latency, 99)) if len(latency) else float("nan"),
        "first_attempt": int(request[request >= 0].min()) if (request >= 0).any() else -1,
        "last_answer": int(replies.max()) if len(replies) else -1,
        "onset": _onset(request, outcome),
    }


def _onset(request: Any, outcome: Any) -> int:
    """Time of the first attempt of the silence that lasts to the end.

    -1 if answers did not come before it, or fewer than ``LEAST_SILENCE`` attempts make it: one alone may be a lost one.
    """
    answered, silent = request[outcome == ANSWERED], request[outcome == SILENT]
    if not len(answered) or not len(silent):
        return -1
    after = silent[silent > answered.max()]
    return int(after.min()) if len(after) >= LEAST_SILENCE else -1
