"""Questions for a link address by ARP (RFC 826) and Neighbour Discovery (RFC 4861 §7.2), and whether answers came.

A question and its repeats are one lookup of an asker for a target, until it is answered or left alone for
``LEFT_ALONE_NS``. Probes for a duplicate address (RFC 5227, RFC 4862 §5.4) and gratuitous ARP are no questions: silence
is what they hope for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analyzer.events.connection import Flows
from analyzer.events.flows import DUPLICATE_WITHIN_NS
from analyzer.wire.neighbours import Neighbour, read_arp, read_ndp
from analyzer.wire.packets import ARP, ICMP

LEFT_ALONE_NS = 5_000_000_000  # repeats are 1 s apart (RFC 4861 §10, Linux retrans_time_ms), 3 of them

_ROUTER_AND_NEIGHBOUR = range(133, 138)  # ICMPv6 types of Neighbour Discovery


@dataclass(slots=True)
class NeighbourLookup:
    """An asker's question for the link address of a target. Rows are indices of selected rows, -1 for none."""

    kind: str  # arp or ndp
    asker: str
    target: str
    question_rows: list[int] = field(default_factory=list)
    answer_row: int = -1


def is_discovery(flows: Flows) -> NDArray[np.bool_]:
    """Which rows are Neighbour or Router Discovery (RFC 4861)."""
    rows = flows.scan.rows
    discovery: NDArray[np.bool_] = (rows.kind == ICMP) & np.isin(rows.icmp >> 8, _ROUTER_AND_NEIGHBOUR)
    discovery[discovery] = flows.family[rows.flow[discovery]] == 6
    return discovery


def neighbour_messages(flows: Flows) -> Iterator[tuple[int, Neighbour]]:
    """(row, what it says) of every ARP packet, Neighbour Solicitation and Neighbour Advertisement."""
    rows = flows.scan.rows
    for row in np.flatnonzero((rows.kind == ARP) | is_discovery(flows)).tolist():
        neighbour = None
        if rows.kind[row] == ARP:
            neighbour = read_arp(flows.scan.row_bytes(row))
        elif rows.transport[row] >= 0:
            source = flows.ends(int(rows.flow[row]))[int(rows.direction[row])]
            message = flows.scan.row_bytes(row)[int(rows.transport[row]) :]
            neighbour = read_ndp(int(rows.icmp[row]) >> 8, source.address, message)
        if neighbour is not None:
            yield row, neighbour


def neighbour_lookups(flows: Flows) -> list[NeighbourLookup]:
    """The questions of all askers, in the order of their first packets."""
    rows = flows.scan.rows
    found: list[NeighbourLookup] = []
    open_: dict[str, dict[str, NeighbourLookup]] = {}  # target -> asker -> lookup
    for row, neighbour in neighbour_messages(flows):
        if not neighbour.is_question:
            for lookup in open_.pop(neighbour.address, {}).values():
                lookup.answer_row = row
            continue
        asker, target = neighbour.address, neighbour.target
        if not asker or asker == target:
            continue
        asking = open_.setdefault(target, {})
        current = asking.get(asker)
        since = int(rows.time[row] - rows.time[current.question_rows[-1]]) if current is not None else 0
        if current is None or since > LEFT_ALONE_NS:
            kind = "arp" if rows.kind[row] == ARP else "ndp"
            current = asking[asker] = NeighbourLookup(kind, asker, target, [row])
            found.append(current)
        elif since > DUPLICATE_WITHIN_NS:  # else a copy of it from another interface
            current.question_rows.append(row)
    return found
