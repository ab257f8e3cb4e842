"""The JSON Schema of ``report.json``, made from the schemas of the tables and the words of findings.

``python -m analyzer.reports.programs.schema > analyzer/reports/schemas/report.schema.json`` writes the published file,
and a test holds it against this module. Keys may be added within ``halfshake-report/1``: more than these are allowed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from analyzer.columns import Column, Schema
from analyzer.exchanges.schemas import CONNECTIONS, SOCKETS
from analyzer.patterns.finding import CONFIDENCES, COUNTS, MOST_ENTRIES, SEVERITIES
from analyzer.reports.document import SCHEMA

_ENUMS: dict[str, tuple[str, ...]] = {
    "transport": ("quic", "tcp", "udp"),
    "family": ("ipv4", "ipv6"),
    "outcome": ("answered", "refused", "silent", "undetermined"),
}
_TYPES = {"text": "string", "int": "integer", "float": "number", "bool": "boolean"}

Definition = dict[str, Any]


def report_schema() -> Definition:
    """The whole schema (JSON Schema 2020-12)."""
    parts = {
        "schema": {"const": SCHEMA},
        "tool": _object({"name": _text(), "version": _text()}),
        "captures": _list(_ref("capture")),
        "sockets": _list(_ref("socket"), "one per server socket and address family"),
        "connections": _list(_ref("connection"), "those that findings cite; `halfshake export connections` has all"),
        "findings": _list(_ref("finding"), "most important first"),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The report document of halfshake",
        **_object(parts, optional={"filter": _filter(), "anonymized": _anonymized()}),
        "$defs": {
            "time": {"type": "string", "pattern": r"^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$", "description": "UTC"},
            "capture": _capture(),
            "socket": _row(SOCKETS),
            "connection": _row(CONNECTIONS),
            "finding": _finding(),
            "look_alike": _object({"pattern": _text(), "ruled_out": {"type": "boolean"}, "because": _text()}),
            "cause": _cause(),
        },
    }


def _filter() -> Definition:
    counts = {"connections": _count("that were looked at"), "of": _count("connections in all")}
    return {**_object({"expression": _text(), **counts}), "description": "only where --filter was given"}


def _anonymized() -> Definition:
    counts = {"records": _count("that were written"), "cut": _count("that end early, to be safe to show")}
    dropped = {"type": "object", "additionalProperties": _count(), "description": "that are not safe to show, by kind"}
    evidence = _none_or({**_object({**counts, "dropped": dropped}), "description": "null: none was written"})
    return {
        **_object({"times": {"const": "kept"}, "evidence": evidence}),
        "description": "only where names and addresses were replaced",
    }


def _capture() -> Definition:
    ledger = (
        "records",
        "decoded",
        "not_ip",
        "fragments",
        "duplicates",
        "truncated",
        "flawed",
        "unread_link_type",
        "cut",
        "summarized_connections",
        "summarized_records",
    )
    seen = _object({"hosts_seen_sending": _count(), "hosts_only_receiving": _count()})
    return _object(
        {
            "name": _text("base name of the file, - for standard input"),
            "format": _text("pcap or pcapng, then one suffix per compression"),
            "link_types": _list(_text()),
            "records": _count(),
            "first_time": _none_or(_ref("time")),
            "last_time": _none_or(_ref("time")),
            "snaplen": {"type": ["integer", "null"], "description": "bytes; null: unlimited"},
            "vantage": {"enum": ["client", "server", "middle", "unknown"]},
            "vantage_reason": _text(),
            "visibility": _object({"ipv4": seen, "ipv6": seen}),
            "ledger": _object({name: _count() for name in ledger}),
            "warnings": _list(_text()),
        }
    )


def _finding() -> Definition:
    end = _object({"address": _text(), "port": {"type": ["integer", "null"]}})
    record = {"type": "array", "prefixItems": [_count("capture, from 0"), _count("record, from 1")], "minItems": 2}
    return _object(
        {
            "id": {"type": "string", "pattern": r"^F\d+$"},
            "pattern": _text("id of the pattern: `halfshake explain ID`"),
            "severity": {"enum": list(SEVERITIES)},
            "confidence": {"enum": list(CONFIDENCES)},
            "title": _text(),
            "because": _text("one sentence with its numbers"),
            "transport": {"enum": ["udp", "tcp", None]},
            "family": {"enum": ["ipv4", "ipv6", "both", None], "description": "the family that fails"},
            "server": {**_none_or(end), "description": "the socket that the client addressed"},
            "name": _none_or(_text()),
            "clients": _capped(end),
            "connections": _capped(_text()),
            "sums_up": _capped(_text("id of a finding")),
            "part_of": _none_or(_text("id of a finding")),
            "counts": _object({name: _count() for name in COUNTS}),
            "first_time": _none_or(_ref("time")),
            "last_time": _none_or(_ref("time")),
            "onset": {**_none_or(_ref("time")), "description": "since when"},
            "onset_bounds": _none_or({"type": "array", "items": _none_or(_ref("time")), "minItems": 2, "maxItems": 2}),
            "records": _capped({**record, "maxItems": 2}),
            "display_filter": {"type": "string", "maxLength": 1000, "description": "for Wireshark; may be broader"},
            "limitations": _list(_text()),
            "look_alikes": _list(_ref("look_alike")),
            "causes": _list(_ref("cause")),
            "remedies": _list(_text()),
        },
        optional={"accepted": _none_or(_text("the reason in the allow-list, where there is one; null: not accepted"))},
    )


def _cause() -> Definition:
    names = ("incident", "fit", "confirm", "workaround", "fix", "url")
    return _object(
        {name: {"type": ["string", "null"]} for name in names} | {"for": _list(_text()), "against": _list(_text())}
    )


def _row(schema: Schema) -> Definition:
    return _object({column.name: _value(column) for column in schema if column.public})


def _value(column: Column) -> Definition:
    about = {"description": f"{column.meaning} ({column.unit})" if column.unit not in ("", "ns") else column.meaning}
    if column.kind == "time":
        return {**_none_or(_ref("time")), **about}
    if column.name in _ENUMS:
        return {"enum": list(_ENUMS[column.name]), **about}
    kind = _TYPES[column.kind]
    return {"type": kind if kind == "boolean" else [kind, "null"], **about}


def _object(properties: Definition, *, optional: Definition | None = None) -> Definition:
    return {"type": "object", "properties": properties | (optional or {}), "required": list(properties)}


def _list(items: Definition, description: str = "") -> Definition:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


def _capped(items: Definition) -> Definition:
    return {"type": "array", "items": items, "maxItems": MOST_ENTRIES, "description": "the totals are in counts"}


def _text(description: str = "") -> Definition:
    return {"type": "string"} | ({"description": description} if description else {})


def _count(description: str = "") -> Definition:
    return {"type": "integer", "minimum": 0} | ({"description": description} if description else {})


def _ref(name: str) -> Definition:
    return {"$ref": f"#/$defs/{name}"}


def _none_or(definition: Definition) -> Definition:
    return {"anyOf": [definition, {"type": "null"}]}


def schema_json() -> str:
    """The text of the published file."""
    return json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_json())
