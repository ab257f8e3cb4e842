"""UDP conversations that are not QUIC: who asked, and whether anything came back."""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from analyzer.events.connection import UDP_PROTOCOL, Connection, Flows, Socket, client_by_port


def group_askers(flows: Flows) -> frozenset[Socket]:
    """The sockets that sent to a multicast or broadcast address (RFC 5771, RFC 919 §7, RFC 4291 §2.7): LLMNR, SSDP."""
    askers = set()
    first, last = flows.keys[:, [0, 4]], flows.keys[:, [3, 7]]
    to_group = np.where((flows.family == 6)[:, None], first >> 24 == 0xFF, (last >> 28 == 0xE) | (last == 0xFFFFFFFF))
    for flow in np.flatnonzero(to_group.any(axis=1) & (flows.protocol == UDP_PROTOCOL)).tolist():
        askers.add(flows.ends(flow)[0 if to_group[flow, 1] else 1])
    return frozenset(askers)


def udp_conversation(flows: Flows, flow: int, askers: Container[Socket] = ()) -> list[Connection]:
    """The one conversation of a UDP flow. Its roles are told by its ports, else by who was seen first.

    A datagram to one of ``askers``, which had asked a group, answers it: its sender is no client.
    """
    listed = flows.rows(flow)
    ends = flows.ends(flow)
    client, how = client_by_port(*ends, listed.direction[0])
    if how == "first-seen" and ends[1 - client] in askers and ends[client] not in askers:
        client = 1 - client
    connection = flows.new_connection("udp", flow, client, how)
    connection.rows = listed.row
    for row, direction in zip(listed.row, listed.direction, strict=True):
        if direction != client:
            connection.reply_row = row
            break
        connection.request_rows.append(row)
    flows.count([connection])
    return [connection]
