"""The report document: what ``report.json`` holds, of plain values only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from analyzer.columns import Column, Table, none_of
from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.finding import Finding
from analyzer.reports.text import utc
from analyzer.version import __version__

SCHEMA = "halfshake-report/1"


def document_of(view: View, findings: Sequence[Finding]) -> dict[str, Any]:
    """The document of an analysis; the same capture gives the same document. It has ``filter`` where one was given."""
    cited = {connection for finding in findings for connection in finding.connections}
    rows = sorted(view.row_of[connection] for connection in cited if connection in view.row_of)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "tool": {"name": "halfshake", "version": __version__},
        "captures": [_capture(view, capture) for capture in view.captures],
        "sockets": list(plain_rows(view.sockets)),
        "connections": list(plain_rows(view.connections, rows)),
        "findings": [_finding(finding) for finding in findings],
    }
    if view.filtered is not None:
        expression, kept, of = view.filtered
        document["filter"] = {"expression": expression, "connections": kept, "of": of}
    return document


def plain_rows(table: Table, index: Sequence[int] | None = None) -> Iterable[dict[str, Any]]:
    """The public columns of rows as JSON values: times as text, "none" as null."""
    public = table.public()
    names = [column.name for column in public]
    for block in table.blocks(index):
        values = [_plain(column, table.at(column.name, block)) for column in public]
        yield from (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))


def _plain(column: Column, values: list[Any]) -> list[Any]:
    if column.kind == "time":
        return [_time(value) for value in values]
    if column.kind == "float":
        return [None if math.isnan(value) else value for value in values]
    if column.kind in ("int", "text"):
        none = none_of(column)
        return [None if value == none else value for value in values]
    return values


def _time(value: int) -> str | None:
    return utc(value) if value >= 0 else None


def _capture(view: View, capture: CaptureView) -> dict[str, Any]:
    return {
        "name": capture.name,
        "format": capture.format,
        "link_types": list(capture.link_types),
        "records": capture.records,
        "first_time": _time(capture.first_time),
        "last_time": _time(capture.last_time),
        "snaplen": capture.snaplen or None,
        "vantage": capture.vantage,
        "vantage_reason": capture.vantage_reason,
        "visibility": view.once(_visibility),
        "ledger": dict(capture.ledger),
        "warnings": [*([capture.cut] if capture.cut else []), *capture.warnings],
    }


def _visibility(view: View) -> dict[str, Any]:
    """Per address family: how many hosts were seen sending, and how many only receiving."""
    hosts = view.hosts
    seen: dict[str, Any] = {}
    for family in ("ipv4", "ipv6"):
        mine = hosts.equal("family", family)
        sending = mine & (hosts["packets_from"] > 0)
        receiving = mine & (hosts["packets_to"] > 0)
        seen[family] = {
            "hosts_seen_sending": int(np.count_nonzero(sending)),
            "hosts_only_receiving": int(np.count_nonzero(receiving & ~sending)),
        }
    return seen


def _finding(finding: Finding) -> dict[str, Any]:
    bounds = finding.onset_bounds
    server = finding.server
    port = None if server is None or server[1] < 0 else server[1]
    return {
        "id": finding.id,
        "pattern": finding.pattern,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "title": finding.title,
        "because": finding.because,
        "transport": finding.transport or None,
        "family": finding.family or None,
        "server": None if server is None else {"address": server[0], "port": port},
        "name": finding.name or None,
        "clients": [{"address": address, "port": None if port < 0 else port} for address, port in finding.clients],
        "connections": list(finding.connections),
        "sums_up": list(finding.sums_up),
        "part_of": finding.part_of or None,
        "counts": dict(finding.counts),
        "first_time": _time(finding.first_time),
        "last_time": _time(finding.last_time),
        "onset": _time(finding.onset),
        "onset_bounds": None if bounds is None else [_time(bounds[0]), _time(bounds[1])],
        "records": [list(record) for record in finding.records],
        "display_filter": finding.display_filter,
        "limitations": list(finding.limitations),
        "look_alikes": [
            {"pattern": other.pattern, "ruled_out": other.ruled_out, "because": other.because}
            for other in finding.look_alikes
        ],
        "causes": [dict(cause) for cause in finding.causes],
        "remedies": list(finding.remedies),
    }


def findings_table_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The scalar fields of the findings, as rows of the table ``findings``."""
    same = ("id", "pattern", "severity", "confidence", "title", "because", "transport", "family", "name", "part_of")
    same += ("first_time", "last_time", "onset", "display_filter")  # type: ignore[assignment]
    return [
        {name: getattr(finding, name) for name in same}
        | {
            "server_address": finding.server[0] if finding.server else "",
            "server_port": finding.server[1] if finding.server else -1,
            "attempts": finding.counts["attempts"],
            "affected": finding.counts["affected"],
        }
        for finding in findings
    ]
