"""Ladders: the selected packets of one connection in order, each an arrow between client and server.

A ladder is data first (``ladders_of``), then text of a fixed width or a Mermaid ``sequenceDiagram``, which GitHub and
GitLab draw. Times are counted from the first step. Only selected packets are there, those that decide: bulk transfers
are not drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from analyzer.patterns.words import counted, socket_words
from analyzer.reports.summary import Analysed, Finding
from analyzer.reports.text import clipped, seconds, visible

MOST_STEPS = 40
NO_REPLY = "no reply of {} was seen"
_SECOND = 1_000_000_000
_ARROW_WIDTH = 24
_LABEL_WIDTH = 60

#: Characters that mean nothing to Mermaid in a name or a message; all others are written as numbers.
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:/()+=_-µ")


class Step(NamedTuple):
    """One record: when (ns since the first step), who sent it (client, server, or "" for a third) and what it is.

    ``of`` is the capture's name, "" where there is only one.
    """

    capture: int
    number: int
    of: str
    after: int
    sender: str
    what: str

    @property
    def record(self) -> str:
        """``7``, or ``7 of client.pcap``."""
        return f"{self.number} of {self.of}" if self.of else str(self.number)


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps of a connection, the first ``MOST_STEPS``; ``left_out`` more were selected. ``notes`` are sentences."""

    connection: str
    client: str
    server: str
    name: str
    outcome: str
    steps: tuple[Step, ...]
    left_out: int
    notes: tuple[str, ...] = ()


def telling_connections(analysis: Analysed) -> dict[str, str]:
    """For each finding that is about connections, by id, the one to look at: the earliest that it cites a record of."""
    findings = [finding for finding in analysis.document["findings"] if finding.get("connections")]
    if not findings:
        return {}
    first_of = dict(zip(*(analysis.connections[name].tolist() for name in ("connection", "first_record")), strict=True))
    telling = {}
    for finding in findings:
        cited = {record for _, record in finding.get("records") or []}
        names = finding["connections"]
        telling[finding["id"]] = next((name for name in names if first_of.get(name) in cited), names[0])
    return telling


def first_steps(ladder: Ladder, most: int) -> Ladder:
    """The ladder with no more steps than that."""
    return replace(ladder, steps=ladder.steps[:most], left_out=ladder.left_out + max(len(ladder.steps) - most, 0))


def ladders_of_findings(analysis: Analysed, findings: Sequence[Finding]) -> dict[str, Ladder]:
    """Ladders of telling connections, by the id of the first of these findings that each is for."""
    telling = telling_connections(analysis)
    ladders = ladders_of(analysis, {telling[finding["id"]] for finding in findings if finding["id"] in telling})
    first: dict[str, str] = {}
    for finding in findings:
        if finding["id"] in telling:
            first.setdefault(telling[finding["id"]], finding["id"])
    return {first[name]: ladder for name, ladder in ladders.items() if ladder.steps}


def ladders_of(analysis: Analysed, connections: Iterable[str]) -> dict[str, Ladder]:
    """The ladders of these connections, by name, read off the tables of packets and connections."""
    wanted = set(connections)
    if not wanted:
        return {}
    rows = analysis.connections.rows_with("connection", wanted)
    packets = _packets_of(analysis, wanted)
    names = [capture["name"] for capture in analysis.document["captures"]]
    of = names if len(names) > 1 else [""]
    shown = _rows(analysis, rows, (*_COLUMNS, *LADDER_NOTES))
    return {row["connection"]: _ladder(row, packets.get(row["connection"], []), of) for row in shown}


_COLUMNS = (
    *("connection", "client_address", "client_port", "server_address", "server_port", "sni", "outcome", "replied_from"),
    "request_records",
)
#: Columns of connections whose lines are sentences about them.
LADDER_NOTES = ("notes", "key_log_notes")
_PACKET_COLUMNS = ("capture", "record", "time", "direction", "kind", "detail")


def _rows(analysis: Analysed, rows: Sequence[int], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    columns = [analysis.connections.at(name, rows) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _packets_of(analysis: Analysed, wanted: set[str]) -> dict[str, list[tuple[Any, ...]]]:
    table = analysis.packets
    rows = table.rows_with("connection", wanted)
    columns = [table.at(name, rows) for name in ("connection", *_PACKET_COLUMNS)]
    packets: dict[str, list[tuple[Any, ...]]] = {}
    for name, *values in zip(*columns, strict=True):
        packets.setdefault(name, []).append(tuple(values))
    return packets


def _ladder(row: dict[str, Any], packets: Sequence[tuple[Any, ...]], of: Sequence[str]) -> Ladder:
    begin = packets[0][2] if packets else 0
    requests = row["request_records"]
    repeats = {tuple(request): number for number, request in enumerate(requests) if number} if len(requests) > 1 else {}
    steps = []
    for capture, record, time, direction, kind, detail in packets[:MOST_STEPS]:
        what = step_words(kind, detail)
        if repeats and (repeat := repeats.get((capture, record))):
            what += f", repeat {repeat}"
        elif direction == "server" and row["replied_from"]:
            what += f", from {row['replied_from']}"
        steps.append(Step(capture, record, of[capture], time - begin, direction, what))
    return Ladder(
        connection=row["connection"],
        client=socket_words(row["client_address"], row["client_port"]),
        server=socket_words(row["server_address"], row["server_port"]),
        name=row["sni"],
        outcome=row["outcome"],
        steps=tuple(steps),
        left_out=max(len(packets) - MOST_STEPS, 0),
        notes=tuple(line for name in LADDER_NOTES for line in row[name].split("\n") if line),
    )


def step_words(kind: str, detail: str) -> str:
    """``Initial, 1200 B``; ``SYN``; ``ICMP port-unreachable, quotes ...``."""
    head, _, size = detail.rpartition("; ")
    if kind == "icmp" or not size:
        return f"{kind.upper() if kind in ('icmp', 'arp', 'udp', 'tcp') else kind} {detail}".strip()
    number = size.split(" ")[0]
    if not number.isdecimal():
        return detail
    return ", ".join(filter(None, [head or kind.upper(), "" if number == "0" else f"{number} B"]))


def after(step: Step) -> str:
    """``0 s`` or ``+178 ms``."""
    if step.after == 0:
        return "0 s"
    return ("+" if step.after > 0 else "-") + seconds(abs(step.after) / _SECOND)


def ending(ladder: Ladder) -> str:
    """What to say under the last step; "" where the packets say it all."""
    if ladder.left_out:
        return f"{counted(ladder.left_out, 'more selected packet')}"
    return NO_REPLY.format(ladder.server) if ladder.outcome == "silent" else ""


def mermaid(ladder: Ladder) -> Iterator[str]:
    """The lines of a ``sequenceDiagram``; no text of a capture can end a line or begin a statement."""
    server = f"{ladder.server} {ladder.name}".strip()
    yield "sequenceDiagram"
    yield f"  participant C as client {_mermaid_text(ladder.client)}"
    yield f"  participant S as server {_mermaid_text(server)}"
    arrows = {"client": "C->>S", "server": "S->>C"}
    for step in ladder.steps:
        what = f": {_mermaid_text(f'record {step.record}, {after(step)}, {step.what}')}"
        yield f"  {arrows.get(step.sender, 'Note over C,S')}{what}"
    if ending(ladder):
        yield f"  Note over C,S: {_mermaid_text(ending(ladder))}"


def _mermaid_text(text: str) -> str:
    shown = clipped(visible(text), 120)
    return "".join(c if c in _PLAIN else f"#{ord(c)};" for c in shown)


def text_lines(ladder: Ladder) -> Iterator[str]:
    """The ladder in printable lines of fixed width."""
    server = f"{ladder.server} {ladder.name}".strip()
    yield visible(f"{ladder.connection}: client {ladder.client}, server {server}")
    yield from (f"  {visible(note)}" for note in ladder.notes)
    width = max(8, *(len(visible(step.record)) for step in ladder.steps))
    yield f"{'record':>{width}}  {'time':>9}  {'client':<{_ARROW_WIDTH - 6}}server"
    arrows = {"client": "─" * (_ARROW_WIDTH - 1) + ">", "server": "<" + "─" * (_ARROW_WIDTH - 1)}
    for step in ladder.steps:
        arrow = arrows.get(step.sender, " " * _ARROW_WIDTH)
        yield f"{visible(step.record):>{width}}  {after(step):>9}  {arrow}  {clipped(visible(step.what), _LABEL_WIDTH)}"
    if ending(ladder):
        yield f"{'':>{width}}  {'':>9}  {ending(ladder)}"
