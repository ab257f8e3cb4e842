"""The table of selected packets: which record is what, and whose."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Maker, Table, Words
from analyzer.events.connection import Connection
from analyzer.events.flows import IS_DUPLICATE
from analyzer.events.selected import Selected
from analyzer.events.tcp.states import ACK, FIN, RST, SYN
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
_FAMILIES = ["", "ipv4", "ipv6"]
_FAMILY_CODES = np.array([0, 0, 0, 0, 1, 0, 2])  # by address family: 4, 6, or 0 where there is none
_DISCOVERY = {133: "router solicitation", 134: "router advertisement", 135: "neighbour solicitation"}
_DISCOVERY |= {136: "neighbour advertisement", 137: "redirect"}


def packets_table(judge: Judge) -> Table:
    """One row per selected packet, in the order of the records."""
    rows, flows = judge.rows, judge.flows
    owner = _owners(judge)
    kinds, plain = _words(Sight(rows, flows.family, flows.scan.row_bytes))
    names = [*(f"C{number}" for number in range(1, len(judge.connections) + 1)), ""]
    columns: dict[str, NDArray[Any] | Maker] = {
        "capture": rows.capture,
        "record": rows.record,
        "time": rows.time,
        "connection": lambda: Words(np.where(owner < 0, len(names) - 1, owner), names),
        "direction": functools.partial(_directions, judge, owner),
        "kind": lambda: kinds,
        # The last where there is no flow: -1.
        "family": lambda: Words(_FAMILY_CODES[np.append(flows.family, 0)[rows.flow]], _FAMILIES),
        "length": rows.original_length,
        "captured_length": rows.captured_length,
        "flaw": functools.partial(_flaws, judge),
        "position": rows.position,
        "payload": lambda: np.where((rows.kind == UDP) | (rows.kind == TCP), rows.payload_length, -1),
        "headers": lambda: plain,
    }
    lazy = {"detail": lambda index: _noted(judge, owner, [(row, plain.words[plain.codes[row]]) for row in index])}
    return Table.from_columns("packets", PACKETS, columns, lazy)


def _flaws(judge: Judge) -> NDArray[Any]:
    rows = judge.rows
    flaw = np.array(FLAW_NAMES, object)[rows.flaw]
    for row, word in judge.flows.fragments.flaw.items():
        if rows.flaw[row] == NO_FLAW:
            flaw[row] = word
    return flaw


def _owners(judge: Judge) -> NDArray[np.int64]:
    """By row the index of the connection that it belongs to, -1 for none; of several the last."""
    owner, held = np.full(len(judge.rows.record), -1, np.int64), judge.attributes
    own = held.lists("rows")
    owner[own.flat] = np.repeat(np.arange(len(held)), own.lengths)
    for place, connection in zip(*judge.connections.objects(), strict=True):
        for row in (*connection.elsewhere_rows, *connection.icmp_rows):
            owner[row] = max(owner[row], place)
    for first, later in judge.flows.fragments.later.items():
        if owner[first] >= 0:
            owner[list(later)] = owner[first]
    return owner


def _directions(judge: Judge, owner: NDArray[np.int64]) -> Words:
    """Who of its connection sent each packet; "" for ICMP and what belongs to none."""
    rows, held = judge.rows, judge.attributes
    chosen = np.flatnonzero((owner >= 0) & (rows.kind != ICMP))
    mine = owner[chosen]
    from_client = rows.direction[chosen] == held.integers("client_direction")[mine]
    for place in np.flatnonzero(rows.flow[chosen] != held.integers("flow")[mine]).tolist():
        from_client[place] = is_from_client(judge.flows, judge.connections[mine[place]], int(chosen[place]))
    codes = np.zeros(len(owner), np.int64)
    codes[chosen] = 1 + from_client
    return Words(codes, ["", "server", "client"])


def _words(sight: Sight) -> tuple[Words, Words]:
    """Kind and detail of all rows: UDP and TCP with the same headers share them, others are told by their bytes."""
    rows = sight.rows
    is_tcp = rows.kind == TCP
    is_shared = is_tcp | (rows.kind == UDP)
    shared, others = np.flatnonzero(is_shared), np.flatnonzero(~is_shared)
    bits = np.where(is_tcp, rows.tcp_flags, rows.quic).astype(np.int64) & 0xFFFF
    key = rows.payload_length.astype(np.int64) << 32 | bits << 16 | is_tcp << 1 | (rows.reason & IS_DUPLICATE > 0)
    _, first, same = np.unique(key[shared], return_index=True, return_inverse=True)
    told = [*shared[first].tolist(), *others.tolist()]
    place = np.empty(len(key), np.int64)
    place[shared], place[others] = same, len(first) + np.arange(len(others))
    kinds, details = (Words.of([word_of(sight, row) for row in told]) for word_of in (kind_of, detail_of))
    return kinds.take(place), details.take(place)


def _noted(judge: Judge, owner: NDArray[np.int64], plain: list[tuple[int, str]]) -> list[str]:
    """The details of some rows, with what their segments hold of requests and replies."""
    notes: dict[int, dict[int, str]] = {}
    told = []
    for (row, detail), mine in zip(plain, owner[np.array([row for row, _ in plain], np.int64)].tolist(), strict=True):
        if mine < 0 or judge.connections[mine].transport != "tcp":
            told.append(detail)
            continue
        if mine not in notes:
            notes[mine] = _notes(judge, judge.connections[mine])
        note = notes[mine].get(row, "")
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
