"""QUIC connections of one flow, as a passive observer tells them apart.

How it works
------------
The rows of a flow are read in order. A client Initial whose keys come from its own DCID (RFC 9001 §5.2) begins an
*attempt*: its sender is the client, whatever the ports say. After that a client's packet belongs to an attempt if its
DCID is one that the attempt uses (its first, a Retry's, the server's own) or if its SCID is the attempt's; a server's
if its DCID is the client's SCID. Short headers carry no readable length of their CID and belong to the latest attempt.

Long headers that fit no attempt (the reply of a socket that was not asked, or a capture that began late) make a
connection of their own, whose roles are told by its ports; the exchanges room tries to join it by connection ID.
"""

from __future__ import annotations

from analyzer.events.connection import Connection, Flows, client_by_port
from analyzer.events.quic.attempt import Attempt
from analyzer.wire.quic.header import QuicPacket, read_datagram
from analyzer.wire.quic.protection import open_packet
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, OTHER_LONG, REST, RETRY, VERSION_NEGOTIATION, ZERO_RTT, Flaw
from analyzer.wire.quic.summary import LEAST_PACKET, SHORT_BIT
from analyzer.wire.tls_hello import client_hello_bytes

_INITIAL_BIT, _HANDSHAKE_BIT = 1 << INITIAL, 1 << HANDSHAKE
_REQUEST_BITS = _INITIAL_BIT | 1 << OTHER_LONG  # of an unknown version nothing else can be told
_READABLE_BITS = _INITIAL_BIT | 1 << RETRY | 1 << VERSION_NEGOTIATION

#: Attempts of one flow among which a packet's is looked for one by one, the latest first; older ones are found by CID.
_NEAR = 32
#: Attempts whose keys are tried on an Initial that no CID ties to one: each try costs a decryption.
_TRIED = 4

#: A client's first DCID is no shorter (RFC 9000 §7.2).
LEAST_DCID = 8

_NO_PACKET = QuicPacket(REST, -1, 0, b"", b"", b"", 0, 0, -1, Flaw.CUT_HEADER)


class _FlowReader:
    """Reads the rows of one flow into attempts; ``i`` is the place of a row among them."""

    def __init__(self, flows: Flows, flow: int) -> None:
        self.flows, self.flow = flows, flow
        self.listed = flows.rows(flow)
        self.attempts: list[Attempt] = []
        self.by_digest: dict[tuple[int, int], Attempt] = {}
        #: Of flows with more than _NEAR attempts, by (names a server, CID).
        self.by_cid: dict[tuple[bool, bytes], Attempt] = {}
        self.read_row, self.read_payload, self.read_packets = -1, b"", [_NO_PACKET]  # the row that was read last

    def read(self) -> list[Connection]:
        """The connections of the flow, in order."""
        attempts, only_repeats = self.attempts, self._has_only_repeats()
        for i, bits in enumerate(self.listed.quic):
            if bits:
                attempt = self._attempt_of(i)
            else:
                attempt = attempts[-1] if attempts else self._stranger(i)
            if self.listed.direction[i] == attempt.connection.client_direction:
                self._take_from_client(attempt, i)
            else:
                self._take_from_server(attempt, i)
            if len(attempts) > _NEAR:
                self._note_cids(attempt)
                self._forget_keys(attempt)
            if only_repeats and attempt.connection.hello_complete:
                self._take_repeats(attempt, i + 1)
                break
        for attempt in attempts:
            self._finish(attempt)
            attempt.keys.clear()
        connections = [attempt.connection for attempt in attempts]
        self.flows.count(connections)
        return connections

    def _has_only_repeats(self) -> bool:
        """Whether every row holds Initials alone, of one end and to one CID: most flows of a server that is silent."""
        listed, count = self.listed, len(self.listed.row)
        return (
            0 < listed.quic.count(_INITIAL_BIT) == count
            and listed.direction.count(listed.direction[0]) == count
            and listed.cid_digest.count(listed.cid_digest[0]) == count
        )

    def _take_repeats(self, attempt: Attempt, i: int) -> None:
        """Add the rows from ``i`` on, which repeat what was read, as ``_take_from_client`` would one by one."""
        connection, rows = attempt.connection, self.listed.row[i:]
        connection.rows += rows
        connection.request_rows += rows
        connection.largest_request = max([connection.largest_request, *self.listed.payload_length[i:]])

    def packets(self, i: int) -> tuple[bytes, list[QuicPacket]]:
        """The kept payload of a row and its QUIC packets, at least one."""
        if i != self.read_row:
            listed = self.listed
            payload = self.flows.scan.chunks[listed.chunk[i]][listed.begin[i] : listed.end[i]]
            packets = read_datagram(payload, 0, len(payload), listed.payload_length[i])
            self.read_row, self.read_payload, self.read_packets = i, payload, packets or [_NO_PACKET]
        return self.read_payload, self.read_packets

    def _attempt_of(self, i: int) -> Attempt:
        """The attempt that a long header row belongs to; a new one if none fits."""
        direction = self.listed.direction[i]
        key = direction, self.listed.cid_digest[i]
        attempt = self.by_digest.get(key)
        if attempt is not None and not (
            attempt.began_early and self.listed.quic[i] & _INITIAL_BIT and attempt.awaits_initial_of(direction)
        ):
            return attempt
        payload, packets = self.packets(i)
        packet = packets[0]
        attempt = self._known(packet, direction) if self.attempts else None
        if packet.kind in (INITIAL, OTHER_LONG) and (attempt is None or attempt.awaits_initial_of(direction)):
            attempt = self._begin(direction, payload, packet, early=attempt) or attempt
        if attempt is None:
            attempt = self.attempts[-1] if self._belongs_to_last(packet, direction) else self._stranger(i)
        is_client = direction == attempt.connection.client_direction
        if is_client or attempt.connection.client_scid:  # servers' packets to empty CIDs are the latest attempt's
            self.by_digest[key] = attempt
        return attempt

    def _known(self, packet: QuicPacket, direction: int) -> Attempt | None:
        """The attempt that uses the packet's CIDs, the latest first."""
        for attempt in reversed(self.attempts[-_NEAR:]):
            connection = attempt.connection
            if direction != connection.client_direction:
                if packet.dcid == connection.client_scid:
                    return attempt
            elif packet.dcid in attempt.dcids or (packet.scid and packet.scid == connection.client_scid):
                attempt.dcids.add(packet.dcid)
                return attempt
            elif connection.negotiated and packet.version != connection.version:
                connection.negotiated = False  # the client goes on in a version of the server's list
                attempt.dcids.add(packet.dcid)
                connection.client_scid = packet.scid
                return attempt
        return self._known_of_old(packet, direction) if self.by_cid else None

    def _note_cids(self, attempt: Attempt) -> None:
        """Let packets of an attempt be found by CID once it is none of the latest."""
        for one in (attempt,) if self.by_cid else self.attempts:
            connection = one.connection
            self.by_cid[False, connection.client_scid] = one
            for cid in (connection.client_dcid, one.key_dcid, connection.server_scid):
                self.by_cid[True, cid] = one

    def _forget_keys(self, attempt: Attempt) -> None:
        """Keep keys for the latest attempts alone: they take kilobytes, and can be derived again."""
        self.attempts[-_NEAR - 1].keys.clear()
        if attempt not in self.attempts[-_NEAR:]:
            attempt.keys.clear()

    def _known_of_old(self, packet: QuicPacket, direction: int) -> Attempt | None:
        """As ``_known``, among the attempts that are older; an empty CID names none of them."""
        for from_client, key in (
            (True, (True, packet.dcid)),
            (False, (False, packet.dcid)),
            (True, (False, packet.scid)),
        ):
            attempt = self.by_cid.get(key) if key[1] else None
            if attempt is not None and from_client == (direction == attempt.connection.client_direction):
                return attempt
        return None

    def _belongs_to_last(self, packet: QuicPacket, direction: int) -> bool:
        """Whether an unknown packet continues the latest attempt: of a client without SCID, its replies not seen.

        So does an Initial that is cut, if its DCID is too short for that of a new connection: the server gave it.
        """
        if not self.attempts:
            return False
        connection = self.attempts[-1].connection
        is_client = direction == connection.client_direction
        may = packet.kind != INITIAL or (packet.flaw != Flaw.NONE and len(packet.dcid) < LEAST_DCID)
        return is_client and may and packet.scid == connection.client_scid

    def _begin(self, direction: int, payload: bytes, packet: QuicPacket, *, early: Attempt | None) -> Attempt | None:
        """An attempt if the Initial is a client's: authentic by its own DCID, or not to be opened at all.

        ``early`` is what the client's 0-RTT packets made before, None for a new one.
        """
        attempt = early or Attempt(self.flows.new_connection("quic", self.flow, direction, "initial"))
        keys = attempt.keys_for(packet.version, packet.dcid)
        connection = attempt.connection
        how = "initial"
        if keys is not None and packet.flaw == Flaw.NONE:
            clear = open_packet(payload[packet.start : packet.end], packet.payload_offset - packet.start, keys.client)
            if not clear.payload:
                return self._continued(payload, packet, direction)
            attempt.opened = packet, clear.payload
        else:
            # Not to be opened: a cut record or a version without known keys.
            client, how = client_by_port(*self.flows.ends(self.flow), direction)
            if (
                client != direction
                or len(packet.dcid) < LEAST_DCID
                or (self.attempts and keys is not None and early is None)
            ):
                return None
            connection.hello_cut = keys is not None
        connection.roles_from, connection.server_scid = how, b""
        connection.client_dcid, connection.client_scid = packet.dcid, packet.scid
        connection.version_known = keys is not None
        attempt.key_dcid = packet.dcid
        attempt.dcids.add(packet.dcid)
        if early is None:
            self.attempts.append(attempt)
        return attempt

    def _continued(self, payload: bytes, packet: QuicPacket, direction: int) -> Attempt | None:
        """The attempt whose keys open an Initial with a DCID not seen before (the server's, unseen)."""
        for attempt in reversed(self.attempts[-_TRIED:]):
            from_server = direction != attempt.connection.client_direction
            if attempt.open(payload, packet, from_server=from_server):
                if not from_server:
                    attempt.dcids.add(packet.dcid)
                return attempt
        return None

    def _stranger(self, i: int) -> Attempt:
        """A connection of which no client Initial was seen."""
        direction, bits = self.listed.direction[i], self.listed.quic[i]
        if self.attempts and self.attempts[-1].is_nameless:
            attempt = self.attempts[-1]
        else:
            client, how = client_by_port(*self.flows.ends(self.flow), direction)
            attempt = Attempt(self.flows.new_connection("quic", self.flow, client, how))
            self.attempts.append(attempt)
        connection = attempt.connection
        if bits:
            packet = self.packets(i)[1][0]
            if direction == connection.client_direction:
                connection.client_scid, connection.server_scid = packet.scid, packet.dcid
            else:
                connection.client_scid, connection.server_scid = packet.dcid, packet.scid
        attempt.dcids.add(connection.server_scid)
        attempt.began_early = direction == connection.client_direction and bool(bits & 1 << ZERO_RTT)
        return attempt

    def _take_from_client(self, attempt: Attempt, i: int) -> None:
        """Add a row of the client to its attempt."""
        connection, row, bits = attempt.connection, self.listed.row[i], self.listed.quic[i]
        connection.rows.append(row)
        connection.client_kinds |= bits or SHORT_BIT
        if bits & _REQUEST_BITS and connection.client_dcid:
            if connection.reply_row < 0:
                connection.request_rows.append(row)
            connection.largest_request = max(connection.largest_request, self.listed.payload_length[i])
            if not connection.hello_complete and not attempt.is_beyond_its_hello:
                self._read_client(attempt, i)
        elif bits == 0 or bits & (_HANDSHAKE_BIT | SHORT_BIT):
            connection.client_went_on = True
        if bits & _HANDSHAKE_BIT:
            connection.client_went_on = True
        if connection.client_went_on and connection.went_on_row < 0:
            connection.went_on_row = row

    def _take_from_server(self, attempt: Attempt, i: int) -> None:
        """Add a row of the server to its attempt."""
        connection, row, bits = attempt.connection, self.listed.row[i], self.listed.quic[i]
        connection.rows.append(row)
        if self.listed.payload_length[i] < LEAST_PACKET and not bits & 1 << VERSION_NEGOTIATION:
            connection.unfit += 1
            return
        connection.server_kinds |= bits or SHORT_BIT
        if connection.reply_row < 0:
            connection.reply_row = row
            cid = connection.client_scid
            connection.strange_reply = not bits and self.packets(i)[0][1 : 1 + len(cid)] != cid
        if bits & _READABLE_BITS & ~_INITIAL_BIT or (bits & _INITIAL_BIT and not attempt.server_initials):
            self._read_server(attempt, i)
        elif bits & _INITIAL_BIT and attempt.wants_server:
            attempt.unread.append((i, attempt.key_dcid))
        elif bits and not connection.server_scid:
            self._note_server(attempt, self.packets(i)[1][0])
        if not bits & 1 << VERSION_NEGOTIATION:
            connection.negotiated = False

    def _read_client(self, attempt: Attempt, i: int) -> None:
        payload, packets = self.packets(i)
        for packet in packets:
            if packet.kind == INITIAL and packet.flaw == Flaw.NONE:
                attempt.read_client_initial(payload, packet)
            elif packet.kind == INITIAL:
                rows, row = self.flows.scan.rows, self.listed.row[i]
                attempt.connection.hello_cut |= bool(rows.payload_captured[row] < rows.payload_length[row])

    def _read_server(self, attempt: Attempt, i: int) -> None:
        """Take what a datagram of the server's says in clear, and its Initials."""
        payload, packets = self.packets(i)
        for packet in packets:
            if packet.kind == INITIAL:
                self._note_server(attempt, packet)
                if packet.flaw == Flaw.NONE and attempt.wants_server:
                    attempt.server_initials.append((payload, packet, attempt.key_dcid))
            elif packet.kind == RETRY:
                attempt.read_retry(payload, packet)
            elif packet.kind == VERSION_NEGOTIATION:
                attempt.connection.negotiated = True
            elif packet.kind == HANDSHAKE:
                self._note_server(attempt, packet)

    def _note_server(self, attempt: Attempt, packet: QuicPacket) -> None:
        """The server's own CID and version, from its first long header that is no Retry."""
        connection = attempt.connection
        if packet.kind in (INITIAL, HANDSHAKE) and not connection.server_scid:
            connection.server_scid, connection.server_version = packet.scid, packet.version
            attempt.dcids.add(packet.scid)

    def _finish(self, attempt: Attempt) -> None:
        """What is known at the end: a hello that stayed incomplete, the version of an Initial that stayed closed."""
        connection = attempt.connection
        for i, key_dcid in () if connection.client_kinds & _HANDSHAKE_BIT else attempt.unread:
            payload, packets = self.packets(i)
            initials = [p for p in packets if p.kind == INITIAL and p.flaw == Flaw.NONE]
            attempt.server_initials += [(payload, packet, key_dcid) for packet in initials]
        if attempt.server_initials:
            attempt.read_server_initials()
        if not connection.hello_complete:
            prefix = attempt.client_stream.prefix() if attempt.client_stream is not None else b""
            connection.hello_bytes = client_hello_bytes(prefix)
        if connection.version < 0 and connection.request_rows:
            connection.sealed = True
            i = self.listed.row.index(connection.request_rows[0])
            connection.version = self.packets(i)[1][0].version


def quic_connections(flows: Flows, flow: int) -> list[Connection]:
    """The QUIC connections of a UDP flow that has long headers, in the order of their first rows."""
    return _FlowReader(flows, flow).read()
