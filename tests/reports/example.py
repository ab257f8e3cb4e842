"""Analyses made by hand, as the front door would make them: what the doors of the reports are tested with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.columns import Table
from analyzer.exchanges.schemas import SCHEMAS
from analyzer.exchanges.view import HOSTS
from analyzer.reports.text import utc

#: A text that is trouble at every door at once.
HOSTILE = (
    '=cmd()<script>alert("x")</script>`|**b**\x1b[31m\u202egpj.exe\n| --- |\r# h @someone [a](http://e.example) &amp;'
)

SERVER = {"ipv4": "192.0.2.80", "ipv6": "2001:db8:1::80"}
CLIENT = {"ipv4": "192.0.2.10", "ipv6": "2001:db8:1::10"}
SECOND = 1_000_000_000
START = 1795302321_246008000
END = 1795302351_575337000

#: transport, family, client port, request records with times, reply record and latency in s: of the real capture.
QUIC, TCP = "quic", "tcp"
ATTEMPTS = [
    (QUIC, "ipv4", 59832, {7: 24_499449, 8: 24_677538, 9: 25_086378, 10: 25_880219, 11: 27_482997}, None),
    (QUIC, "ipv4", 41029, {12: 28_735741, 13: 28_937282, 14: 29_338203, 15: 30_139863, 16: 31_741970}, None),
    (QUIC, "ipv4", 60261, {17: 32_996724, 18: 33_196338, 19: 33_597643, 20: 34_399143, 21: 36_001864}, None),
    (QUIC, "ipv4", 33192, {22: 37_428907, 23: 38_429659, 24: 40_432114}, None),
    (QUIC, "ipv4", 37666, {25: 43_481609, 26: 43_481720, 27: 44_480679, 28: 46_480273}, None),
    (TCP, "ipv4", 49160, {29: 49_649599}, (30, 0.000021)),
    (QUIC, "ipv6", 53112, {60: 50_102065}, (61, 0.001075)),
    (QUIC, "ipv6", 41032, {71: 50_408220}, (72, 0.001357)),
    (QUIC, "ipv6", 42084, {83: 50_720130}, (84, 0.008506)),
    (QUIC, "ipv6", 57604, {95: 51_135568}, (96, 0.005807)),
    (QUIC, "ipv6", 55732, {112: 51_235151}, (113, 0.000433)),
    (TCP, "ipv6", 44840, {129: 51_481361}, (130, 0.000030)),
]


#: The recorded capture whose records the examples cite.
SILENT_CAPTURE = Path(__file__).parents[2] / "captures/02-caddy-ipv4-silent/nft-output-drop/server.pcap"
NO_HOSTS = Table.from_rows("hosts", HOSTS, [])


@dataclass(frozen=True)
class Example:
    """What an analysis looks like to the reports."""

    document: dict[str, Any]
    connections: Table
    exchanges: Table
    sockets: Table
    packets: Table
    findings: Table
    resolutions: Table
    hosts: Table = NO_HOSTS
    paths: Sequence[str] = (str(SILENT_CAPTURE),)
    anonymizer: None = None

    def position(self, capture: int, record: int) -> tuple[int, int, int] | None:
        """As if each record were 100 bytes long and the first began behind the header of a pcap file."""
        return (24 + 116 * (record - 1), 100, START) if capture == 0 else None


def packet_rows(connections: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The requests and replies of connections that have their request records, as selected packets."""
    rows = []
    for connection in connections:
        is_quic = connection["transport"] == QUIC
        same = {"capture": 0, "connection": connection["connection"], "family": connection["family"]}
        for _, record in connection.get("request_records", ()):
            kind, detail = (
                ("quic-initial", "Initial; 1200 bytes of payload") if is_quic else ("tcp-syn", "SYN; 0 bytes of data")
            )
            time = connection["request_time"] + SECOND * (record - connection["first_record"])
            row = {**same, "record": record, "time": time, "direction": "client", "kind": kind}
            rows.append({**row, "detail": detail, "headers": detail})
        if connection.get("reply_record") and connection.get("request_records"):
            kind, detail = (
                ("quic-initial", "Initial + Handshake; 1200 bytes of payload") if is_quic else ("tcp-syn-ack", "")
            )
            time = connection["reply_time"]
            rows.append(
                {**same, "record": connection["reply_record"], "time": time, "direction": "server", "kind": kind}
                | {"detail": detail, "headers": detail}
            )
    return rows


def history(transport: str, repeats: int, answered: bool) -> str:
    if not answered:
        return "I" + "Q" * repeats
    return "IihHOo" if transport == QUIC else "SaATtDdF"


def connection_rows(name: str = "example.com") -> list[dict[str, Any]]:
    rows = []
    for number, (transport, family, port, requests, reply) in enumerate(ATTEMPTS, 1):
        times = [1795302300 * SECOND + each * 1000 for each in requests.values()]
        row: dict[str, Any] = {
            "connection": f"C{number}",
            "capture": 0,
            "transport": transport,
            "family": family,
            "client_address": CLIENT[family],
            "client_port": port,
            "server_address": SERVER[family],
            "server_port": 443,
            "roles_from": "initial" if transport == QUIC else "syn",
            "first_record": min(requests),
            "first_time": times[0],
            "duration_s": (times[-1] - times[0]) / SECOND if reply is None else 0.054,
            "client_packets": len(requests) + (7 if reply else 0),
            "server_packets": 6 if reply else 0,
            "client_bytes": 1200 * len(requests),
            "server_bytes": 2290 if reply else 0,
            "history": "I" + "Q" * (len(requests) - 1)
            if reply is None
            else "IihHOo"
            if transport == QUIC
            else "SaATtDdF",
            "state": "closed" if reply else "silent",
            "outcome": "answered" if reply else "silent",
            "quic_version": "0x00000001" if transport == QUIC else "",
            "client_dcid": f"{port:016x}" if transport == QUIC else "",
            "sni": name,
            "alpn": "h3" if transport == QUIC else "h2,http/1.1",
            "request_records": tuple((0, record) for record in requests),
            "repeats": len(requests) - 1,
            "request_time": times[0],
            "last_request_time": times[-1],
        }
        if reply:
            row |= {"reply_record": reply[0], "reply_latency_s": reply[1], "reply_time": times[0] + int(reply[1] * 1e9)}
        rows.append(row)
    return rows


def socket_rows(connections: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str, int], list[dict[str, Any]]] = {}
    for row in connections:
        transport = "udp" if row["transport"] == QUIC else row["transport"]
        key = (transport, row["family"], row["server_address"], row["server_port"])
        groups.setdefault(key, []).append(row)
    rows = []
    for (transport, family, address, port), members in groups.items():
        counts = {each: sum(row["outcome"] == each for row in members) for each in OUTCOMES}
        judged = len(members) - counts["undetermined"]
        latencies = [row["reply_latency_s"] for row in members if row.get("reply_latency_s")] or [float("nan")]
        rows.append(
            {
                "transport": transport,
                "family": family,
                "address": address,
                "port": port,
                "clients": len({row["client_address"] for row in members}),
                "attempts": len(members),
                **counts,
                "answered_share": counts["answered"] / judged if judged else float("nan"),
                "median_reply_s": float(np.median(latencies)),
                "p99_reply_s": float(np.quantile(latencies, 0.99)),
                "first_attempt": members[0]["request_time"],
                "last_answer": max(row.get("reply_time", -1) for row in members),
                "onset": members[0].get("onset", -1),
            }
        )
    return rows


OUTCOMES = ("answered", "refused", "silent", "undetermined")


FIRST, LAST = utc(1795302324_499449000), utc(1795302346_480273000)
COMMON: dict[str, Any] = {
    "severity": "error",
    "confidence": "certain",
    "transport": "udp",
    "family": "ipv4",
    "server": {"address": "192.0.2.80", "port": 443},
    "name": "example.com",
    "clients": [{"address": "192.0.2.10", "port": port} for port in (59832, 41029, 60261, 33192, 37666)],
    "connections": ["C1", "C2", "C3", "C4", "C5"],
    "sums_up": [],
    "part_of": None,
    "counts": {
        "attempts": 5,
        "answered": 0,
        "refused": 0,
        "silent": 5,
        "undetermined": 0,
        "affected": 5,
        "clients": 5,
        "records": 22,
    },
    "first_time": FIRST,
    "last_time": LAST,
    "onset": None,
    "onset_bounds": None,
    "records": [[0, record] for record in range(7, 29)],
    "display_filter": "ip.addr == 192.0.2.80 && udp.port in {59832, 41029, 60261, 33192, 37666}",
    "causes": [],
}
WALL = (
    "Recorded at the server: a drop in the server's own firewall, a send that fails and a process that "
    "does not read look the same from here."
)
FAMILY_SILENT: dict[str, Any] = {
    **COMMON,
    "id": "F1",
    "pattern": "address-family-silent",
    "confidence": "likely",
    "title": "example.com answers UDP port 443 over IPv6 and never over IPv4",
    "because": "0 of 5 attempts on 192.0.2.80:443 were answered over IPv4 while 5 of 5 on [2001:db8:1::80]:443 "
    "were answered over IPv6, between 3.6 s before and 0.1 s after.",
    "sums_up": ["F2", "F3"],
    "limitations": [WALL],
    "look_alikes": [
        {
            "pattern": "reply-from-other-address",
            "ruled_out": True,
            "because": "No datagram from any other socket carries one of the five connection IDs.",
        },
        {
            "pattern": "capture-one-way",
            "ruled_out": True,
            "because": "14 TCP segments left 192.0.2.80 in this capture, so replies over IPv4 can be seen.",
        },
    ],
    "causes": [
        {
            "incident": "caddyserver/caddy#6073",
            "fit": "likely",
            "for": ["IPv4 alone is silent", "TCP 443 over IPv4 answers"],
            "against": [],
            "confirm": "nft list ruleset | grep -n 'udp sport 443'",
            "workaround": "Listen on udp4 and udp6 apart",
            "fix": "Update the server",
            "url": "https://github.com/caddyserver/caddy/issues/6073",
        }
    ],
    "remedies": [
        "On the server, run `ss -unlp 'sport = :443'`: is there a socket that is bound for IPv4?",
        "Run `nft list ruleset` and look for rules on UDP port 443 in the output hook.",
        "Run `strace -e sendmsg -p PID` while a client connects: EPERM or EINVAL names the cause.",
    ],
}
NO_REPLY: dict[str, Any] = {
    **COMMON,
    "id": "F2",
    "pattern": "quic-initial-no-reply",
    "title": "192.0.2.80:443 never answered a QUIC Initial",
    "because": "5 clients sent 22 Initials with a whole ClientHello in 1,200 bytes or more, and nothing came "
    "back within 3.0 s of any of them.",
    "part_of": "F1",
    "limitations": [WALL],
    "look_alikes": [
        {
            "pattern": "quic-client-hello-incomplete",
            "ruled_out": True,
            "because": "All five ClientHellos were read whole.",
        }
    ],
    "remedies": ["On the server, run `ss -unlp 'sport = :443'`: is there a socket that is bound for IPv4?"],
}
BLOCKED: dict[str, Any] = {
    **COMMON,
    "id": "F3",
    "pattern": "quic-blocked-tcp-answered",
    "severity": "warning",
    "confidence": "likely",
    "title": "QUIC to 192.0.2.80 is silent while TCP 443 answers",
    "because": "Clients fall back to HTTP/2: the one SYN to 192.0.2.80:443 was answered after 21 µs.",
    "records": [[0, 29], [0, 30]],
    "counts": {**COMMON["counts"], "records": 24},
    "part_of": "F1",
    "limitations": [],
    "look_alikes": [],
    "remedies": [],
}


def silent_findings() -> list[dict[str, Any]]:
    """The three findings of a server whose IPv4 socket never answers QUIC."""
    return [dict(finding) for finding in (FAMILY_SILENT, NO_REPLY, BLOCKED)]


def capture_fact(name: str = "server.pcap", records: int = 155) -> dict[str, Any]:
    return {
        "name": name,
        "format": "pcap",
        "link_types": ["EN10MB"],
        "records": records,
        "first_time": utc(START),
        "last_time": utc(END),
        "snaplen": 262144,
        "vantage": "server",
        "vantage_reason": "the first SYN/ACK follows its SYN after 21 µs",
        "visibility": {},
        "ledger": {"records": records, "decoded": records - 2, "not_ip": 2, "cut": 0, "truncated": 0},
    }


def analysis_of(
    connections: list[dict[str, Any]], findings: list[dict[str, Any]], *, captures: list[dict[str, Any]] | None = None
) -> Example:
    """An analysis with the sockets of these connections; the findings go into the document as they are."""
    sockets = Table.from_rows("sockets", SCHEMAS["sockets"], socket_rows(connections))
    document = {
        "schema": "halfshake-report/1",
        "tool": {"name": "halfshake", "version": "0.1.0"},
        "captures": [capture_fact()] if captures is None else captures,
        "sockets": list(sockets.rows()),
        "connections": [],
        "findings": findings,
    }
    flat = [
        {
            key: value
            for key, value in finding.items()
            if isinstance(value, str) and key not in ("first_time", "last_time")
        }
        for finding in findings
    ]
    tables = {
        "connections": connections,
        "findings": [{**row, "onset": -1} for row in flat],
        "exchanges": [],
        "packets": packet_rows(connections),
        "resolutions": [],
    }
    made = {name: Table.from_rows(name, SCHEMAS[name], rows) for name, rows in tables.items()}
    return Example(document=document, sockets=sockets, **made)


def silent() -> Example:
    """A server that never answers QUIC over IPv4, as recorded at the server."""
    return analysis_of(connection_rows(), silent_findings())


def healthy() -> Example:
    """The same server where only the attempts that were answered were made."""
    return analysis_of([row for row in connection_rows() if row["outcome"] == "answered"], [])


def empty() -> Example:
    """A capture with a valid header and no record."""
    facts = capture_fact("empty.pcap", 0)
    facts |= {"first_time": None, "last_time": None, "vantage": "unknown", "ledger": {"records": 0}}
    return analysis_of([], [], captures=[facts])


def hostile() -> Example:
    """Hostile text wherever a capture or a command line can put one."""
    findings = silent_findings()
    for finding in findings:
        finding |= {"name": HOSTILE, "title": f"{HOSTILE} is silent", "because": f"It is: {HOSTILE}"}
        finding |= {"limitations": [HOSTILE], "remedies": [HOSTILE], "display_filter": HOSTILE}
        finding["look_alikes"] = [{"pattern": HOSTILE, "ruled_out": False, "because": HOSTILE}]
        finding["causes"] = [{"incident": HOSTILE, "fit": HOSTILE, "confirm": HOSTILE, "url": f"javascript:{HOSTILE}"}]
    facts = capture_fact(HOSTILE) | {"format": HOSTILE, "vantage": HOSTILE, "vantage_reason": HOSTILE}
    rows = connection_rows(HOSTILE)
    for row in rows:
        row |= {"outcome_reason": HOSTILE, "close_reason": HOSTILE, "alpn": HOSTILE}
    return analysis_of(rows, findings, captures=[facts])


def flood(attempts: int = 40_000, *, sockets: int = 4) -> Example:
    """Many attempts on a few sockets within 10 minutes; each second socket falls silent half-way."""
    rows = []
    for number in range(attempts):
        which = number % sockets
        moment = START + number * (600 * SECOND // attempts)
        dead = which % 2 == 1 and number > attempts // 2
        family = ("ipv4", "ipv6")[which % 2]
        address = f"192.0.2.{80 + which}" if family == "ipv4" else f"2001:db8:1::{80 + which}"
        row = {
            "connection": f"C{number + 1}",
            "transport": QUIC,
            "family": family,
            "client_address": CLIENT[family],
            "client_port": 1024 + number % 60000,
            "server_address": address,
            "server_port": 443,
            "first_record": number * 10 + 1,
            "first_time": moment,
            "request_time": moment,
            "last_request_time": moment + (3 * SECOND if dead else 0),
            "outcome": "silent" if dead else "answered",
            "sni": "example.com",
            "onset": START + 300 * SECOND if which % 2 == 1 else -1,
        }
        if not dead:
            row |= {"reply_latency_s": 0.02, "reply_time": moment + 20_000_000, "reply_record": number * 10 + 2}
        rows.append(row)
    return analysis_of(rows, [])


def mixed() -> Example:
    """One socket with every outcome within 1.2 s, fallen silent near the end."""
    rows = connection_rows()[:1] * 8
    outcomes = ("answered", "refused", "answered", "undetermined", "answered", "answered", "silent", "silent")
    made = []
    for number, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
        moment = START + number * 160_000_000
        times = {"request_time": moment, "last_request_time": moment + 30_000_000, "first_time": moment}
        reason = "capture-ended" if outcome == "undetermined" else ""
        onset = START + 6 * 160_000_000
        made.append({**row, **times, "outcome": outcome, "outcome_reason": reason, "onset": onset})
    facts = capture_fact() | {"last_time": utc(START + 1_200_000_000)}
    return analysis_of(made, [], captures=[facts])


def with_findings(example: Example, findings: list[dict[str, Any]]) -> Example:
    """The same analysis with other findings in its document."""
    return replace(example, document={**example.document, "findings": findings})
