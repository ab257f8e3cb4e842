"""A scan to its connections: every flow read by the reader of its transport, ICMP errors and stray replies tied."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analyzer.events.connection import TCP_PROTOCOL, UDP_PROTOCOL, Flows
from analyzer.events.connections import Connections
from analyzer.events.elsewhere import join_elsewhere
from analyzer.events.gquic import gquic_connections, may_be_gquic
from analyzer.events.icmp import tie_errors
from analyzer.events.lookups.dns import Lookup, lookups
from analyzer.events.lookups.neighbours import NeighbourLookup, neighbour_lookups
from analyzer.events.quic.plain import quic_connections_of
from analyzer.events.scan import Scan
from analyzer.events.story.paths import join_paths
from analyzer.events.story.story import tell_all
from analyzer.events.tcp.reader import tcp_connections
from analyzer.events.udp import group_askers, udp_conversation


@dataclass(frozen=True)
class Conversations:
    """The connections of a scan, its DNS lookups and its questions for link addresses, in the order of first rows."""

    flows: Flows
    connections: Connections
    lookups: list[Lookup] = field(default_factory=list)
    neighbours: list[NeighbourLookup] = field(default_factory=list)


def conversations(scan: Scan) -> Conversations:
    """All connections of a settled scan."""
    flows = Flows(scan)
    rows = scan.rows
    has_long_header = np.zeros(int(scan.table.size[0]), np.bool_)
    has_long_header[rows.flow[(rows.quic != 0) & (rows.flow >= 0)]] = True
    is_large, askers = may_be_gquic(flows), group_askers(flows)
    udp = list(flows.with_protocol(UDP_PROTOCOL))
    found, plain = quic_connections_of(flows, [flow for flow in udp if has_long_header[flow]])
    for flow in udp:
        if not has_long_header[flow]:
            found += (is_large[flow] and gquic_connections(flows, flow)) or udp_conversation(flows, flow, askers)
    for flow in flows.with_protocol(TCP_PROTOCOL):
        found += tcp_connections(flows, flow)
    connections = join_paths(flows, join_elsewhere(flows, Connections.of(found, plain)))
    tell_all(flows, connections)
    tie_errors(flows, connections)
    return Conversations(flows, connections, lookups(flows, connections), neighbour_lookups(flows))
