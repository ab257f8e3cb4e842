"""The table of server sockets, and the table of exchanges, both made from judged connections."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from analyzer.columns import Table
from analyzer.exchanges.connections import Judge
from analyzer.exchanges.judge import ANSWERED, SILENT
from analyzer.exchanges.schemas import EXCHANGES, SOCKETS

_OUTCOMES = ("answered", "refused", "silent", "undetermined")


_AS_IN_CONNECTIONS = (
    "connection",
    "capture",
    "family",
    "client_address",
    "client_port",
    "server_address",
    "server_port",
    "request_time",
    "repeats",
    "outcome",
    "outcome_reason",
    "reply_record",
    "reply_latency_s",
    "replied_from",
)


def is_attempt(connections: Table) -> Any:
    """Which connections are attempts: their request was seen, or an ICMP error refused what they sent."""
    refused_udp = (connections["transport"] == "udp") & (connections["outcome"] == "refused")
    return (connections["request_time"] >= 0) | refused_udp


def sockets_table(connections: Table) -> Table:
    """One row per server socket and family that was asked, in the order of transport, address family, address, port."""
    groups: dict[tuple[str, str, str, int], list[int]] = defaultdict(list)
    columns = [connections[name] for name in ("transport", "family", "server_address", "server_port")]
    attempts = np.flatnonzero(is_attempt(connections)).tolist()
    for row in attempts:
        transport, family, address, port = (column[row] for column in columns)
        groups["udp" if transport == "quic" else transport, family, address, int(port)].append(row)
    rows = [_socket(connections, key, members) for key, members in sorted(groups.items())]
    return Table.from_rows("sockets", SOCKETS, rows)


def _socket(connections: Table, key: tuple[str, str, str, int], members: list[int]) -> dict[str, Any]:
    """The row of one socket."""
    transport, family, address, port = key
    index = np.array(members)
    outcome, request = connections["outcome"][index], connections["request_time"][index]
    counts = {name: int(np.count_nonzero(outcome == name)) for name in _OUTCOMES}
    decided = len(members) - counts["undetermined"]
    latency = connections["reply_latency_s"][index][outcome == ANSWERED]
    latency = latency[~np.isnan(latency)]
    replies = connections["reply_time"][index][outcome == ANSWERED]
    return {
        "transport": transport,
        "family": family,
        "address": address,
        "port": port,
        "clients": len(set(connections["client_address"][index])),
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
    """Time of the first attempt of the silence that lasts to the end, -1 if answers did not come before it."""
    answered, silent = request[outcome == ANSWERED], request[outcome == SILENT]
    if not len(answered) or not len(silent):
        return -1
    after = silent[silent > answered.max()]
    return int(after.min()) if len(after) else -1


def exchanges_table(judge_: Judge, connections: Table) -> Table:
    """One row per request that begins a connection, in the order of the request records."""
    rows = np.flatnonzero((connections["request_time"] >= 0) & (connections["transport"] != "udp")).tolist()
    kinds = {"quic": "quic-initial", "tcp": "tcp-syn"}
    columns: dict[str, list[Any]] = {name: connections[name][rows].tolist() for name in _AS_IN_CONNECTIONS}
    transports = connections["transport"][rows].tolist()
    columns["exchange"] = [f"E{number}" for number in range(1, len(rows) + 1)]
    columns["kind"] = [kinds[transport] for transport in transports]
    columns["transport"] = ["udp" if transport == "quic" else transport for transport in transports]
    columns["name"] = connections["sni"][rows].tolist()
    requests = (judge_.judged[row].connection.request_rows[0] for row in rows)
    columns["request_record"] = [int(judge_.rows.record[request]) for request in requests]
    return Table.from_columns("exchanges", EXCHANGES, columns)
