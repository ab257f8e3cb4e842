"""Which records prove the findings, and why: what they cite, and the handshakes of the connections that they are about.

What findings cite comes first, then the selected packets of their connections and of those that they are held against,
in the order of the report; no more than ``MOST_RECORDS`` and ``MOST_BYTES``, so that the copy can be attached to a
ticket. What is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from analyzer.exchanges.schemas import PACKETS
from analyzer.reports.evidence.contrast import compared_with
from analyzer.reports.summary import Analysed, Finding, cited_connections
from analyzer.reports.text import visible

Record = tuple[int, int]  # (capture index, record number)

MOST_RECORDS = 20_000
MOST_BYTES = 64 << 20
MOST_OF_A_CONNECTION = 40  # selected packets; a handshake takes about ten
MOST_NAMED = 6  # findings in one comment

#: A key of a record is the capture's index and, in this many bits, the record number.
NUMBER_BITS = 40

_USED = ("capture", "record", "connection", "direction", "kind", "detail", "captured_length", "position")
_PACKETS = tuple(column for column in PACKETS if column.name in _USED)
_QUESTIONS = ("arp", "ndp", "dns")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The comment of each chosen record, how many records found no room, and where records lie, as far as is known."""

    comments: dict[Record, str]
    left_out: int
    places: dict[Record, int]


def chosen_records(analysis: Analysed, findings: Sequence[Finding]) -> Chosen:
    """The records that prove these findings, each with what it is to them."""
    compared = {finding["id"]: compared_with(analysis, finding) for finding in findings}
    named = cited_connections(findings).union(*compared.values())
    packets = _Packets(analysis, findings, named)
    reasons: dict[Record, list[str]] = {}
    size, left_out = 0, set()
    for record, label in _wanted(findings, packets, compared):
        if record not in reasons:
            length = packets.length(record)
            if len(reasons) >= MOST_RECORDS or size + length > MOST_BYTES:
                left_out.add(record)
                continue
            size += length
            reasons[record] = []
        if label not in reasons[record]:
            reasons[record].append(label)
    roles = _roles(analysis, findings, named)
    names = [capture["name"] for capture in analysis.document["captures"]]
    return Chosen(
        {
            record: _comment(record, reasons[record], roles.get(record) or packets.role(record), names)
            for record in sorted(reasons)
        },
        len(left_out),
        {record: place for record in reasons if (place := packets.place(record)) >= 0},
    )


def _comment(record: Record, reasons: Sequence[str], role: str, names: Sequence[str]) -> str:
    more = f" and {len(reasons) - MOST_NAMED} more" if len(reasons) > MOST_NAMED else ""
    name = names[record[0]] if record[0] < len(names) else f"capture {record[0]}"
    return visible(f"{', '.join(reasons[:MOST_NAMED])}{more}: {role} [{name}, record {record[1]}]")


def _wanted(
    findings: Sequence[Finding], packets: _Packets, compared: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Record, str]]:
    """Each record with the finding that it is for, the same again where it is for several."""
    labels = {finding["id"]: f"{finding['id']} {finding['pattern']}" for finding in findings}
    for finding in findings:
        for capture, number in finding.get("records") or []:
            yield (capture, number), labels[finding["id"]]
    for finding in findings:
        for name in finding.get("connections") or []:
            for record in packets.records_of(name):
                yield record, labels[finding["id"]]
        for name in compared[finding["id"]]:
            for record in packets.records_of(name):
                yield record, f"{labels[finding['id']]}, for comparison"


class _Packets:
    """The rows of the table of packets that matter to some findings."""

    def __init__(self, analysis: Analysed, findings: Sequence[Finding], named: Set[str]) -> None:
        cited = {(capture, number) for finding in findings for capture, number in finding.get("records") or []}
        self._rows: dict[Record, dict[str, Any]] = {}
        self._of: dict[str, list[Record]] = {}
        if not cited and not named:
            return
        table = analysis.packets
        is_cited = np.isin(table["capture"] << NUMBER_BITS | table["record"], [c << NUMBER_BITS | n for c, n in cited])
        is_named = table.equal("connection", *named)
        for row in table.rows(np.flatnonzero(is_cited | is_named), schema=_PACKETS):
            record = row["capture"], row["record"]
            self._rows.setdefault(record, row)
            if len(self._of.setdefault(row["connection"], [])) < MOST_OF_A_CONNECTION:
                self._of[row["connection"]].append(record)

    def records_of(self, connection: str) -> list[Record]:
        return self._of.get(connection, [])

    def length(self, record: Record) -> int:
        """Captured bytes; of a record that is not in the table the most that Ethernet carries."""
        row = self._rows.get(record)
        return row["captured_length"] if row else 1514

    def place(self, record: Record) -> int:
        """Byte offset of its header in the decompressed file, -1 where it is not known."""
        row = self._rows.get(record)
        return row["position"] if row else -1

    def role(self, record: Record) -> str:
        """What the packet is, for a record that is neither request nor reply."""
        row = self._rows.get(record)
        if row is None:
            return "cited"
        whose = f"{row['connection']} " if row["connection"] else ""
        if row["kind"] == "icmp":
            return f"{whose}ICMP: {row['detail']}"
        side = f"from the {row['direction']}: " if row["direction"] else ""
        return f"{whose}{side}{', '.join(filter(None, [row['kind'], row['detail']]))}"


def _roles(analysis: Analysed, findings: Sequence[Finding], named: Set[str]) -> dict[Record, str]:
    """Requests, their repeats and replies, of these connections and of questions that the findings cite."""
    roles: dict[Record, str] = {}
    table = analysis.connections
    rows = table.rows_with("connection", named)
    columns = ("connection", "capture", "reply_record", "request_records", "transport")
    for name, capture, reply, requests, transport in zip(*(table.at(column, rows) for column in columns), strict=True):
        _exchange(roles, f"{name} {transport} ", requests, (capture, reply))
    cited = {(capture, number) for finding in findings for capture, number in finding.get("records") or []}
    questions = analysis.exchanges
    rows = np.flatnonzero(questions.equal("kind", *_QUESTIONS)).tolist()
    columns = ("kind", "capture", "request_record", "reply_record", "request_records")
    for kind, capture, first, reply, requests in zip(*(questions.at(column, rows) for column in columns), strict=True):
        if (capture, first) in cited or (capture, reply) in cited:
            _exchange(roles, f"{kind} ", requests or ((capture, first),), (capture, reply))
    return roles


def _exchange(roles: dict[Record, str], whose: str, requests: Sequence[Record], reply: Record) -> None:
    for repeat, request in enumerate(requests):
        roles[tuple(request)] = f"{whose}request" + (f", repeat {repeat}" if repeat else "")  # type: ignore[index]
    if reply[1] > 0:
        roles[reply] = f"{whose}reply"
