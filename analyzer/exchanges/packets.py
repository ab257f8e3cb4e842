"""The table of selected packets: which record is what, and whose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Table
from analyzer.events.connection import Connection
from analyzer.events.flows import IS_DUPLICATE
from analyzer.events.selected import Selected
from analyzer.events.tcp.reader import ACK, FIN, RST, SYN
from analyzer.exchanges.connections import Judge
from analyzer.exchanges.history import is_from_client
from analyzer.exchanges.schemas import PACKETS
from analyzer.wire.icmp import error_name, read_quoted
from analyzer.wire.neighbours import read_arp
from analyzer.wire.packets import ARP, FLAW_NAMES, ICMP, LATER_FRAGMENT, NO_FLAW, OTHER_IP, TCP, UDP
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, RETRY, VERSION_NEGOTIATION, ZERO_RTT
from analyzer.wire.quic.summary import SHORT_BIT

_QUIC_KINDS = (
    (INITIAL, "quic-initial"),
    (RETRY, "quic-retry"),
    (VERSION_NEGOTIATION, "quic-version-negotiation"),
    (ZERO_RTT, "quic-0rtt"),
    (HANDSHAKE, "quic-handshake"),
)
_COALESCED = ((INITIAL, "Initial"), (ZERO_RTT, "0-RTT"), (HANDSHAKE, "Handshake"), (RETRY, "Retry"))
_FLAGS = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (ACK, "ACK"))
_DISCOVERY = {133: "router solicitation", 134: "router advertisement", 135: "neighbour solicitation"}
_DISCOVERY |= {136: "neighbour advertisement", 137: "redirect"}


def packets_table(judge: Judge) -> Table:
    """One row per selected packet, in the order of the records."""
    owner: dict[int, tuple[str, Connection]] = {}
    for judged in judge.judged:
        c = judged.connection
        owner.update(dict.fromkeys((*c.rows, *c.elsewhere_rows, *c.icmp_rows), (f"C{judged.number}", c)))
    fragments = judge.flows.fragments
    for first, later in fragments.later.items():
        if first in owner:
            owner.update(dict.fromkeys(later, owner[first]))
    rows, count = judge.rows, len(judge.rows.record)
    columns: dict[str, list[object]] = {
        "capture": rows.capture.tolist(),
        "record": rows.record.tolist(),
        "time": rows.time.tolist(),
        "length": rows.original_length.tolist(),
        "captured_length": rows.captured_length.tolist(),
        "position": rows.position.tolist(),
        "payload": np.where((rows.kind == UDP) | (rows.kind == TCP), rows.payload_length, -1).tolist(),
        "flaw": [FLAW_NAMES[flaw] for flaw in rows.flaw.tolist()],
    }
    for row, word in fragments.flaw.items():
        if rows.flaw[row] == NO_FLAW:
            columns["flaw"][row] = word
    columns |= {name: [""] * count for name in ("connection", "direction", "kind", "family", "detail")}
    families = [f"ipv{family}" for family in judge.flows.family.tolist()]
    sight = Sight(rows, judge.flows.family, judge.flows.scan.row_bytes)
    told: dict[tuple[int, ...], tuple[str, str]] = {}
    names = ("kind", "quic", "tcp_flags", "payload_length", "reason")
    keys = zip(*(getattr(rows, name).tolist() for name in names), strict=True)
    for row, (key, flow, direction) in enumerate(zip(keys, rows.flow.tolist(), rows.direction.tolist(), strict=True)):
        words = told.get(key)
        if words is None:
            words = kind_of(sight, row), detail_of(sight, row)
            if key[0] in (UDP, TCP):  # what other packets say is in their bytes
                told[key] = words
        columns["kind"][row], columns["detail"][row] = words
        columns["family"][row] = families[flow] if flow >= 0 else ""
        name, connection = owner.get(row, ("", None))
        columns["connection"][row] = name
        if connection is not None and key[0] != ICMP:
            from_client = direction == connection.client_direction
            if flow != connection.flow:
                from_client = is_from_client(judge.flows, connection, row)
            columns["direction"][row] = "client" if from_client else "server"
    plain = columns["headers"] = columns.pop("detail")
    owners = {row: connection for row, (_, connection) in owner.items() if connection.transport == "tcp"}
    lazy = {"detail": lambda index: _noted(judge, owners, [(row, str(plain[row])) for row in index])}
    return Table.from_columns("packets", PACKETS, columns, lazy)


def _noted(judge: Judge, owners: Mapping[int, Connection], plain: list[tuple[int, str]]) -> list[str]:
    """The details of some rows, with what their segments hold of requests and replies."""
    notes: dict[int, dict[int, str]] = {}
    told = []
    for row, detail in plain:
        connection = owners.get(row)
        if connection is not None and id(connection) not in notes:
            notes[id(connection)] = _notes(judge, connection)
        note = notes[id(connection)].get(row) if connection is not None else ""
        flags, _, length = detail.rpartition("; ")
        told.append(f"{flags}, {note}; {length}" if note else detail)
    return told


def _notes(judge: Judge, connection: Connection) -> dict[int, str]:
    """What segments of a connection hold, in words, by row."""
    notes: dict[int, list[str]] = {}
    for request in judge.requests.by_connection.get(id(connection), ()):
        for row, words in request.details.notes:
            notes.setdefault(row, []).append(words)
    return {row: ", ".join(dict.fromkeys(words)) for row, words in notes.items()}


class Sight(NamedTuple):
    """Rows of packets, the address family (4 or 6) of each flow, and the kept bytes of each row."""

    rows: Selected
    family: NDArray[np.int64]
    row_bytes: Callable[[int], bytes]


def kind_of(sight: Sight, row: int) -> str:
    """What a packet is, in a word."""
    rows = sight.rows
    kind, bits = int(rows.kind[row]), int(rows.quic[row])
    if kind == TCP:
        flags = int(rows.tcp_flags[row])
        if flags & RST:
            return "tcp-rst"
        if flags & SYN:
            return "tcp-syn-ack" if flags & ACK else "tcp-syn"
        return "tcp-fin" if flags & FIN else "tcp"
    if kind == UDP:
        if bits:
            return next((name for quic_kind, name in _QUIC_KINDS if bits & 1 << quic_kind), "quic")
        return "udp"
    names = {ARP: "arp", ICMP: "icmp", LATER_FRAGMENT: "fragment", OTHER_IP: "ip"}
    return names.get(kind, "")


def detail_of(sight: Sight, row: int) -> str:
    """What a packet holds, in words."""
    rows = sight.rows
    kind, bits = int(rows.kind[row]), int(rows.quic[row])
    if rows.reason[row] & IS_DUPLICATE:
        return "the same packet captured again"
    if kind == TCP:
        flags = ", ".join(name for flag, name in _FLAGS if rows.tcp_flags[row] & flag)
        return f"{flags}; {rows.payload_length[row]} bytes of data"
    if kind == UDP:
        words = [name for quic_kind, name in _COALESCED if bits & 1 << quic_kind]
        words += ["1-RTT"] if bits & SHORT_BIT else []
        return f"{' + '.join(words) + '; ' if words else ''}{rows.payload_length[row]} bytes of payload"
    packet = sight.row_bytes(row)
    if kind == ARP:
        neighbour = read_arp(packet)
        if neighbour is None:
            return ""
        return f"who has {neighbour.target}" if neighbour.is_question else f"{neighbour.address} is here"
    if kind == ICMP:
        icmp, family = int(rows.icmp[row]), int(sight.family[rows.flow[row]])
        quoted = read_quoted(packet[int(rows.header[row]) :])
        name = error_name(family, icmp)
        if name:
            return f"{name}, quotes {quoted}" if quoted is not None else name
        return _DISCOVERY.get(icmp >> 8, f"type {icmp >> 8}, code {icmp & 0xFF}")
    return ""
