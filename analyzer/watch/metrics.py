"""Counters of what was watched, and their text for Prometheus (OpenMetrics 1.0).

A request is counted once: when its outcome is decided, or when the last file that could have shown a reply leaves the
window. Server sockets beyond the first ``MOST_SOCKETS`` share one entry, ``other``: whoever scans all ports of a
network does not fill a database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from analyzer.columns import Table
from analyzer.reports.text import visible

#: Kinds of requests that are counted (``exchanges.kind``).
KINDS = ("quic-initial", "tcp-syn", "tls-client-hello", "http", "ocsp", "dns")
OUTCOMES = ("answered", "refused", "silent", "undetermined")

#: Upper ends of the buckets of reply latency (s).
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

MOST_SOCKETS = 1000

_OTHER = ("other", "")
_NS = 1_000_000_000
_COLUMNS = ("kind", "family", "server_address", "server_port", "outcome", "reply_latency_s")

Counters = dict[str, int]


def key_of(name: str, **labels: str) -> str:
    """A counter's name and labels as one text."""
    return json.dumps([name, *sorted(labels.items())])


def add(counters: Counters, key: str, count: int = 1) -> None:
    """Count."""
    counters[key] = counters.get(key, 0) + count


def request_digest(kind: str, record: int, among: int) -> int:
    """A number for a request in its file: the n-th of its kind in its record."""
    return (record * len(KINDS) + KINDS.index(kind)) * 64 + min(among, 63)


def count_requests(exchanges: Table, counted: list[set[int]], counters: Counters, *, final: Iterable[int] = ()) -> None:
    """Count the requests of a window that were not counted before and whose outcome is decided.

    ``counted`` has a set per capture of the window, which grows; of the captures in ``final`` all are counted.
    """
    last = set(final)
    captures, records = exchanges["capture"].tolist(), exchanges["request_record"].tolist()
    kinds, outcomes = exchanges["kind"].tolist(), exchanges["outcome"].tolist()
    among: dict[tuple[int, int, str], int] = {}
    fresh = []
    for row, kind in enumerate(kinds):
        capture, record = captures[row], records[row]
        if kind not in KINDS or capture < 0:
            continue
        place = among[capture, record, kind] = among.get((capture, record, kind), -1) + 1
        digest = request_digest(kind, record, place)
        if digest not in counted[capture] and (outcomes[row] != "undetermined" or capture in last):
            counted[capture].add(digest)
            fresh.append(row)
    known = {_socket_of(**dict(json.loads(key)[1:])) for key in counters if key.startswith('["attempts"')}
    for values in zip(*(exchanges.at(name, np.array(fresh, np.int64)) for name in _COLUMNS), strict=True):
        _count(counters, known, *values)


def _socket_of(family: str, server: str, port: str, **_: str) -> tuple[str, str, str]:
    return family, server, port


def _count(counters: Counters, known: set[tuple[str, str, str]], *values: Any) -> None:
    kind, family, address, port, outcome, latency = values
    server, door = address, str(port) if port >= 0 else ""
    socket = family, server, door
    if socket not in known:
        if len(known) >= MOST_SOCKETS:
            server, door = _OTHER
        else:
            known.add(socket)
    labels = {"kind": kind, "family": family, "server": server, "port": door}
    add(counters, key_of("attempts", outcome=outcome, **labels))
    if outcome == "answered" and latency >= 0:
        bucket = next((f"{edge:g}" for edge in BUCKETS if latency <= edge), "+Inf")
        add(counters, key_of("reply", le=bucket, **labels))
        add(counters, key_of("reply_ns", **labels), round(latency * _NS))


def text_of(counters: Counters, findings: Iterable[dict[str, Any]], last_times: dict[str, int]) -> str:
    """The metrics as OpenMetrics text; the same state gives the same text."""
    groups: dict[str, list[tuple[dict[str, str], int]]] = {}
    for key in sorted(counters):
        name, *labels = json.loads(key)
        groups.setdefault(name, []).append((dict(labels), counters[key]))
    attempts = groups.get("attempts", [])
    lines = [
        *_family("attempts", "counter", "Requests by outcome: QUIC connections, TCP connections, DNS questions, ..."),
        *(_sample("attempts_total", labels, str(count)) for labels, count in attempts),
        *_family("quic_answered_ratio", "gauge", "QUIC connections answered, of those that could be judged."),
        *_ratios(attempts),
        *_family("ocsp_fetches", "counter", "OCSP fetches by outcome."),
        *(
            _sample("ocsp_fetches_total", {k: v for k, v in labels.items() if k != "kind"}, str(count))
            for labels, count in attempts
            if labels["kind"] == "ocsp"
        ),
        *_histograms(groups),
        *_family("files", "counter", "Capture files: taken, cut (read up to the cut), unreadable or vanished."),
        *(_sample("files_total", labels, str(count)) for labels, count in groups.get("files", [])),
        *_family("records", "counter", "Records of the files that were taken."),
        *(_sample("records_total", labels, str(count)) for labels, count in groups.get("records", [])),
        *_family("open_findings", "gauge", "Findings that the current window shows."),
        *(_sample("open_findings", labels, str(count)) for labels, count in _open(findings)),
        *_family("last_packet_timestamp_seconds", "gauge", "Time of the last record of a series.", "seconds"),
        *(
            _sample("last_packet_timestamp_seconds", {"series": name}, f"{time // _NS}.{time % _NS:09d}")
            for name, time in sorted(last_times.items())
            if time >= 0
        ),
        "# EOF",
    ]
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, meaning: str, unit: str = "") -> Iterator[str]:
    yield f"# TYPE halfshake_{name} {kind}"
    if unit:
        yield f"# UNIT halfshake_{name} {unit}"
    yield f"# HELP halfshake_{name} {meaning}"


def _sample(name: str, labels: dict[str, str], value: str) -> str:
    inside = ",".join(f'{label}="{escaped(labels[label])}"' for label in sorted(labels))
    return f"halfshake_{name}{{{inside}}} {value}" if inside else f"halfshake_{name} {value}"


def escaped(text: str) -> str:
    """The value of a label: no control characters, and what OpenMetrics escapes is escaped."""
    return visible(text)[:200].replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _ratios(attempts: list[tuple[dict[str, str], int]]) -> Iterator[str]:
    sums: dict[tuple[str, str, str], dict[str, int]] = {}
    for labels, count in attempts:
        if labels["kind"] == "quic-initial":
            socket = labels["family"], labels["port"], labels["server"]
            add(sums.setdefault(socket, {}), labels["outcome"], count)
    for (family, port, server), outcomes in sorted(sums.items()):
        judged = sum(outcomes.values()) - outcomes.get("undetermined", 0)
        if judged:
            labels = {"family": family, "port": port, "server": server}
            yield _sample("quic_answered_ratio", labels, f"{outcomes.get('answered', 0) / judged:.6g}")


def _histograms(groups: dict[str, list[tuple[dict[str, str], int]]]) -> Iterator[str]:
    yield from _family("reply_seconds", "histogram", "From a request to the first record of its reply.", "seconds")
    found: dict[str, dict[str, int]] = {}
    for labels, count in groups.get("reply", []):
        edge = labels.pop("le")
        found.setdefault(json.dumps(labels, sort_keys=True), {})[edge] = count
    sums = {json.dumps(labels, sort_keys=True): count for labels, count in groups.get("reply_ns", [])}
    for text, counts in sorted(found.items()):
        labels, total = json.loads(text), 0
        for edge in [*(f"{bucket:g}" for bucket in BUCKETS), "+Inf"]:
            total += counts.get(edge, 0)
            number = edge if edge == "+Inf" or "." in edge else f"{edge}.0"
            yield _sample("reply_seconds_bucket", labels | {"le": number}, str(total))
        yield _sample("reply_seconds_count", labels, str(total))
        yield _sample("reply_seconds_sum", labels, f"{sums.get(text, 0) / _NS:.9f}")


def _open(findings: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, str], int]]:
    counted: dict[str, int] = {}
    for finding in findings:
        names = ("pattern", "severity", "family", "server", "port", "name", "series")
        add(counted, json.dumps({name: finding[name] for name in names}, sort_keys=True))
    for text in sorted(counted):
        yield json.loads(text), counted[text]
