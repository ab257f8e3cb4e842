"""Replies that came from a socket that was not asked, tied to the attempt that they belong to.

How it works
------------
Such a reply shares no 4-tuple with its request, so its flow begins with a long header that fits no attempt there: a
*stray*. Its DCID is the client's SCID (RFC 9000 §5.1; Retry: §17.2.5.1; Version Negotiation: RFC 8999 §6). A SCID of
``LEAST_CID`` bytes or more is proof enough. Shorter ones, and the empty one of Chromium, prove nothing; then the
packet itself must: an Initial that opens with the keys of the attempt (RFC 9001 §5.2), a Retry whose tag fits its
DCID (§5.8), a Version Negotiation that returns it.

The addressed socket stays without a reply: ``replied_from`` says who answered in its place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analyzer.events.connection import Connection, Flows, Socket
from analyzer.events.connections import Connections
from analyzer.wire.quic.header import QuicPacket, read_datagram
from analyzer.wire.quic.protection import Protection, initial_keys, is_retry_intact, open_initial
from analyzer.wire.quic.split import INITIAL, RETRY, VERSION_NEGOTIATION, Flaw

#: Random connection IDs of this length do not meet by chance among the attempts of one capture.
LEAST_CID = 4

#: Long headers of a stray that are tried: a flow may begin with packets of another kind.
_TRIED = 4


class _Attempts:
    """The attempts of all flows, by what their replies carry."""

    def __init__(self, connections: list[Connection]) -> None:
        self._by_cid: dict[bytes, list[Connection]] = {}
        self._by_client: dict[Socket, list[Connection]] = {}
        for connection in connections:
            if connection.transport != "quic" or not connection.client_dcid:
                continue
            if len(connection.client_scid) >= LEAST_CID:
                self._by_cid.setdefault(connection.client_scid, []).append(connection)
            else:
                self._by_client.setdefault(connection.client, []).append(connection)

    def of_client(self, cid: bytes, client: Socket, before: int) -> Connection | None:
        """The latest attempt with this SCID by this client address that had begun before a row."""
        # The port may differ: a translator may have given the client another.
        begun = [c for c in self._by_cid.get(cid, ()) if c.rows[0] < before and _same_host(c.client, client)]
        return begun[-1] if begun else None

    def proved(self, payload: bytes, packet: QuicPacket, client: Socket, before: int) -> Connection | None:
        """The latest attempt of a client socket without a SCID of use, whose secrets fit the packet."""
        for connection in reversed(self._by_client.get(client, ())):
            is_addressed = connection.rows[0] < before and packet.dcid == connection.client_scid
            if is_addressed and _fits(payload, packet, connection.client_dcid):
                return connection
        return None


def join_elsewhere(flows: Flows, connections: Connections) -> Connections:
    """The connections without the strays that were given back to their attempts."""
    each = zip(*connections.objects(), strict=True)
    strays = [(place, c) for place, c in each if c.transport == "quic" and not c.client_dcid]
    if not strays:
        return connections
    attempts = _Attempts(_attempts_of_hosts(flows, connections, [stray.flow for _, stray in strays]))
    return connections.without({int(place) for place, stray in strays if _join(flows, attempts, stray)})


def _attempts_of_hosts(flows: Flows, connections: Connections, strays: Sequence[int]) -> list[Connection]:
    """The connections whose client may be a host at an end of the flows of strays: the others can own none."""
    digests = _digests(flows.keys[:, 0:4]), _digests(flows.keys[:, 4:8])
    hosts = np.concatenate([each[strays] for each in digests])
    flow, client = connections.integers("flow"), connections.integers("client_direction")
    return connections.take(np.flatnonzero(np.isin(np.where(client == 0, digests[0][flow], digests[1][flow]), hosts)))


def _digests(addresses: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """A number of each address, the same for the same."""
    words = addresses.astype(np.uint64) * np.array([1, 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35], np.uint64)
    digests: NDArray[np.uint64] = words.sum(axis=1, dtype=np.uint64)
    return digests


def _join(flows: Flows, attempts: _Attempts, stray: Connection) -> bool:
    """Give a stray to its attempt; whether one was found."""
    rows = flows.scan.rows
    for row in [row for row in stray.rows if rows.quic[row]][:_TRIED]:
        payload = flows.payload(row)
        packets = read_datagram(payload, 0, len(payload), max(len(payload), int(rows.payload_length[row])))
        if not packets:
            continue
        packet, direction = packets[0], int(rows.direction[row])
        sender, receiver = flows.ends(stray.flow)[direction], flows.ends(stray.flow)[1 - direction]
        owner = attempts.of_client(packet.dcid, receiver, stray.rows[0])
        owner = owner or attempts.proved(payload, packet, receiver, stray.rows[0])
        if owner is not None:
            _give(owner, stray, sender, row)
            owner.unfit += _is_foreign(payload, packet, owner.client_dcid)
            return True
        owner = attempts.of_client(packet.scid, sender, stray.rows[0])
        if owner is not None and owner.server == receiver:  # the client itself went on from another port
            _give(owner, stray, None, row)
            return True
    return False


def _give(owner: Connection, stray: Connection, replier: Socket | None, row: int) -> None:
    """Add a stray's rows to its attempt; ``replier`` sent the row."""
    owner.elsewhere_rows += tuple(stray.rows)
    owner.paths += 1
    owner.last_time = max(owner.last_time, stray.last_time)
    if owner.reply_row >= 0 or replier is None:
        return
    if replier == owner.server:
        owner.reply_row = row
    elif owner.replied_from is None:
        owner.replied_from = replier


def _is_foreign(payload: bytes, packet: QuicPacket, dcid: bytes) -> bool:
    """Whether an Initial or Retry that could be checked is of nobody who saw the client's first Initial."""
    if packet.kind == RETRY:
        return is_retry_intact(packet.version, dcid, payload[packet.start : packet.end]) is False
    can_open = packet.kind == INITIAL and packet.flaw == Flaw.NONE and initial_keys(packet.version, dcid) is not None
    return can_open and not _fits(payload, packet, dcid)


def _fits(payload: bytes, packet: QuicPacket, dcid: bytes) -> bool:
    """Whether a server's packet answers the client whose first Initial carried ``dcid``."""
    whole = payload[packet.start : packet.end]
    if packet.flaw != Flaw.NONE:
        return False
    if packet.kind == INITIAL:
        opened = open_initial(packet.version, dcid, whole, packet.payload_offset - packet.start, from_server=True)
        return opened.flaw == Protection.NONE
    if packet.kind == RETRY:
        return is_retry_intact(packet.version, dcid, whole) is True
    return packet.kind == VERSION_NEGOTIATION and packet.scid == dcid


def _same_host(one: Socket, other: Socket) -> bool:
    return (one.family, one.address) == (other.family, other.address)
