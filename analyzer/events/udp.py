"""UDP conversations that are not QUIC: who asked, and whether anything came back."""

from __future__ import annotations

from analyzer.events.connection import Connection, Flows, client_by_port


def udp_conversation(flows: Flows, flow: int) -> list[Connection]:
    """The one conversation of a UDP flow. Its roles are told by its ports, else by who was seen first."""
    listed = flows.rows(flow)
    client, how = client_by_port(*flows.ends(flow), listed.direction[0])
    connection = flows.new_connection("udp", flow, client, how)
    connection.rows = listed.row
    for row, direction in zip(listed.row, listed.direction, strict=True):
        if direction != client:
            connection.reply_row = row
            break
        connection.request_rows.append(row)
    flows.count([connection])
    return [connection]
