"""``report.sarif``: the findings in SARIF 2.1.0, for what shows the results of analysers beside code and in pipelines.

A result lies where its first cited record lies: the base name of the capture, with byte offset and length of the
record's header and captured bytes. Offsets count the bytes of the decompressed file. Severity becomes the level (info
is ``note``); confidence, record numbers and the display filter are properties. Rules are the pages of the patterns
that were found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analyzer.capture.pcap import RECORD_HEADER_BYTES
from analyzer.capture.pcapng import PACKET_BYTES, SIMPLE_BYTES
from analyzer.patterns import catalogue
from analyzer.patterns.words import socket_words
from analyzer.reports.summary import Analysed, Finding
from analyzer.reports.text import json_text, visible

VERSION = "2.1.0"
SCHEMA_URI = "https://json.schemastore.org/sarif-2.1.0.json"

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_MEDIA_TYPES = {"pcap": "application/vnd.tcpdump.pcap", "pcapng": "application/x-pcapng"}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 §2.3
_BLOCK_END_BYTES = 4  # the length at the end of a pcapng block, behind captured bytes and options


def sarif_json(analysis: Analysed) -> str:
    """The text of ``report.sarif``."""
    return json_text(sarif_of(analysis)) + "\n"


def sarif_of(analysis: Analysed) -> dict[str, Any]:
    """The SARIF log of an analysis: one run, a result per finding in report order."""
    document = analysis.document
    patterns = sorted({finding["pattern"] for finding in document["findings"]})
    driver = {
        "name": document["tool"]["name"],
        "version": document["tool"]["version"],
        "rules": [_rule(name) for name in patterns],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": list(_notifications(document))}],
        "artifacts": [_artifact(capture) for capture in document["captures"]],
        "results": [_result(analysis, finding, patterns) for finding in document["findings"]],
    }
    return {"$schema": SCHEMA_URI, "version": VERSION, "runs": [run]}


def _rule(name: str) -> dict[str, Any]:
    pattern = catalogue.pattern(name)
    return {
        "id": name,
        "shortDescription": {"text": _text(pattern.summary)},
        "help": {"text": catalogue.explain(name)},
        "defaultConfiguration": {"level": _LEVELS[pattern.severity]},
    }


def _notifications(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the reading of the captures warned of."""
    for index, capture in enumerate(document["captures"]):
        for warning in capture.get("warnings") or []:
            location = {"physicalLocation": {"artifactLocation": _artifact_location(capture, index)}}
            yield {"level": "warning", "message": {"text": _text(warning)}, "locations": [location]}


def _artifact(capture: Mapping[str, Any]) -> dict[str, Any]:
    kind, _, packing = str(capture.get("format") or "").partition(".")
    artifact: dict[str, Any] = {"location": {"uri": _uri(capture["name"])}, "roles": ["analysisTarget"]}
    if kind in _MEDIA_TYPES and not packing:
        artifact["mimeType"] = _MEDIA_TYPES[kind]
    if packing:
        artifact["description"] = {"text": f"compressed ({_text(packing)}); offsets count decompressed bytes"}
    return artifact


def _result(analysis: Analysed, finding: Finding, patterns: Sequence[str]) -> dict[str, Any]:
    server = finding.get("server") or {}
    port = server.get("port")
    socket = socket_words(server["address"], -1 if port is None else port) if server else ""
    where = "/".join(filter(None, [finding.get("transport"), socket]))
    identity = "|".join([finding["pattern"], where, finding.get("family") or "", finding.get("name") or ""])
    location = _location(analysis, finding)
    if where:
        location["logicalLocations"] = [{"fullyQualifiedName": visible(where), "kind": "resource"}]
    accepted = finding.get("accepted")
    suppressions = [{"kind": "external", "justification": _text(accepted)}] if accepted else []
    return {
        "ruleId": finding["pattern"],
        "ruleIndex": patterns.index(finding["pattern"]),
        "level": _LEVELS[finding["severity"]],
        "message": {"text": _text(f"{finding['title']}. {finding['because']}")},
        "locations": [location] if location else [],
        **({"suppressions": suppressions} if accepted else {}),
        "partialFingerprints": {"finding/v1": hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()},
        "properties": {
            "id": finding["id"],
            "confidence": finding["confidence"],
            "family": finding.get("family"),
            "counts": finding.get("counts"),
            "records": finding.get("records"),
            "displayFilter": finding.get("display_filter"),
        },
    }


def _location(analysis: Analysed, finding: Finding) -> dict[str, Any]:
    """Where the first cited record lies, or the first capture where no record is cited or its place is not known."""
    captures = analysis.document["captures"]
    records = finding.get("records") or []
    index = records[0][0] if records else 0
    if index >= len(captures):
        return {}
    physical: dict[str, Any] = {"artifactLocation": _artifact_location(captures[index], index)}
    place = analysis.position(*records[0]) if records else None
    if place is not None:
        offset, captured, time = place
        length = _header_bytes(captures[index].get("format") or "", timed=time >= 0) + captured
        physical["region"] = {"byteOffset": offset, "byteLength": length}
    return {"physicalLocation": physical}


def _header_bytes(file_format: str, *, timed: bool) -> int:
    """Bytes from the begin of a record to its first captured byte; in pcapng a record without a time is an SPB."""
    if file_format.startswith("pcapng"):
        return (PACKET_BYTES if timed else SIMPLE_BYTES) - _BLOCK_END_BYTES
    return RECORD_HEADER_BYTES


def _artifact_location(capture: Mapping[str, Any], index: int) -> dict[str, Any]:
    return {"uri": _uri(capture["name"]), "index": index}


def _uri(name: str) -> str:
    """A base name as a relative reference (RFC 3986 §4.2): everything that is not unreserved is percent-encoded."""
    octets = name.encode("utf-8", "backslashreplace")
    return "".join(chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in octets)


def _text(text: str) -> str:
    # SARIF 2.1.0 §3.11.6: a message may hold links as Markdown writes them; ours come from nobody but a hostile name.
    return visible(text).replace("](", "] (")
