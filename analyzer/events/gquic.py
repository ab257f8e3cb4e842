"""gQUIC connections with public headers (Q025 to Q043), of flows that hold no QUIC long header.

How it works
------------
A client names version and CID in each packet until it has heard from the server, and its first packet carries the CHLO
in clear. So a packet of ``LEAST_CHLO`` bytes or more with both tells the connection and who is the client; a version
and another CID from the same side begin the next connection. The server's packets have no version, unless they list the
versions that it speaks. Later versions have long headers and are read with QUIC's (``analyzer.events.quic``).

Not read here: what is encrypted, which is all but the CHLO, the server's REJ and the packets named above.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analyzer.events import flows as fl
from analyzer.events.connection import Connection, Flows
from analyzer.wire.packets import UDP
from analyzer.wire.quic.gquic import RESET_FLAG, VERSION_FLAG, Chlo, find_chlo, read_public_header
from analyzer.wire.quic.summary import SHORT_BIT

#: Chromium pads a CHLO to this many bytes (kClientHelloMinimumSize).
LEAST_CHLO = 1024


def may_be_gquic(flows: Flows) -> NDArray[np.bool_]:
    """The flows without long headers whose first packets may hold a CHLO: one as large as it must be."""
    rows = flows.scan.rows
    found = np.zeros(int(flows.scan.table.size[0]), np.bool_)
    is_large = (rows.kind == UDP) & (rows.payload_length >= LEAST_CHLO) & (rows.ordinal <= fl.HEAD)
    found[rows.flow[is_large & (rows.flow >= 0)]] = True
    found[rows.flow[(rows.quic != 0) & (rows.flow >= 0)]] = False
    return found


def note_chlo(connection: Connection, chlo: Chlo | None) -> None:
    """Take a client's hello, the first that is whole."""
    if chlo is not None and not connection.hello_complete:
        connection.chlo, connection.hello_complete = chlo, chlo.is_whole
        connection.first_repeat = max(len(connection.request_rows), 1)


def gquic_connections(flows: Flows, flow: int) -> list[Connection]:
    """The gQUIC connections of a flow in the order of their first rows, none if no client's packet names a version."""
    listed = flows.rows(flow)
    found: list[Connection] = []
    early: list[int] = []  # rows before the first that tells
    for row, direction in zip(listed.row, listed.direction, strict=True):
        payload = flows.payload(row)
        is_client = direction == found[-1].client_direction if found else True
        header = read_public_header(payload, 0, len(payload)) if is_client else None
        if header is not None and (not found or header.cid != found[-1].client_dcid):
            connection = flows.new_connection("quic", flow, direction, "initial")
            connection.client_dcid, connection.version = header.cid, header.version
            connection.rows, early = early, []
            found.append(connection)
        if not found:
            early.append(row)
            continue
        connection = found[-1]
        connection.rows.append(row)
        if direction != connection.client_direction:
            _from_server(connection, row, payload)
            continue
        if header is not None and header.version != connection.version:
            connection.negotiated = False  # the client goes on in a version of the server's list
        _from_client(flows, connection, row, payload)
    if found:
        flows.count(found)
    return found


def _from_client(flows: Flows, connection: Connection, row: int, payload: bytes) -> None:
    rows = flows.scan.rows
    if connection.reply_row < 0:
        connection.request_rows.append(row)
        connection.largest_request = max(connection.largest_request, int(rows.payload_length[row]))
        connection.hello_cut |= bool(rows.payload_captured[row] < rows.payload_length[row])
    if not payload or not payload[0] & VERSION_FLAG:
        connection.client_kinds |= SHORT_BIT
        connection.client_went_on = True
    note_chlo(connection, find_chlo(payload))


def _from_server(connection: Connection, row: int, payload: bytes) -> None:
    first = payload[0] if payload else 0
    if first & RESET_FLAG:
        if not connection.close_side:
            connection.close_side, connection.close_reason = "server", "public reset"
    elif first & VERSION_FLAG:
        connection.negotiated = True
    else:
        connection.negotiated, connection.server_crypto = False, True
        connection.server_kinds |= SHORT_BIT
    if connection.reply_row < 0:
        connection.reply_row = row
