"""TCP connections of one flow, as far as the three-way handshake and its end tell (RFC 9293 §3.5, §3.6).

How it works
------------
A SYN with a new initial sequence number begins a connection and its sender is the client; the same SYN again is a
repeat of the request. A SYN/ACK from the other side is the reply. Where no SYN was seen the SYN/ACK tells the roles,
and where neither was, the ports do: such a connection began before the capture.

What the client sends beyond its SYN is proof that it got a reply, whether that was seen or not. How far a connection
got is told by the table in ``tcp.states``.
"""

from __future__ import annotations

from analyzer.events.connection import Connection, Flows, client_by_port
from analyzer.events.tcp.states import ACK, FIN, RST, SYN, kind_of, next_state
from analyzer.events.tcp.streams import first_bytes
from analyzer.wire.tls import read_records
from analyzer.wire.tls_hello import read_client_hello, read_server_hello
from analyzer.wire.web.openings import TLS, opening_of


class _FlowReader:
    def __init__(self, flows: Flows, flow: int) -> None:
        self.flows, self.flow = flows, flow
        rows = flows.scan.rows
        self.flags, self.sequence, self.length = rows.tcp_flags, rows.sequence, rows.payload_length
        self.acknowledgment = rows.acknowledgment
        self.connections: list[Connection] = []
        self.isn: dict[int, int] = {}  # of the current connection, by direction
        self.ended = False

    def read(self) -> list[Connection]:
        """The connections of the flow, in order."""
        listed = self.flows.rows(self.flow)
        for row, direction, length in zip(listed.row, listed.direction, listed.payload_length, strict=True):
            flags = int(self.flags[row])
            if flags & SYN and not flags & RST:
                self._syn(row, direction, is_reply=bool(flags & ACK))
            else:
                self._later(row, direction, flags)
            current = self.connections[-1]
            by_server, kind = direction != current.client_direction, kind_of(flags, length)
            current.tcp_state = next_state(current.tcp_state, by_server=by_server, kind=kind)
        self.flows.count(self.connections)
        for connection in self.connections:
            self._read_hellos(connection)
        return self.connections

    def _begin(self, direction: int, roles_from: str) -> Connection:
        self.isn, self.ended = {}, False
        connection = self.flows.new_connection("tcp", self.flow, direction, roles_from)
        self.connections.append(connection)
        return connection

    def _syn(self, row: int, direction: int, *, is_reply: bool) -> None:
        sequence = int(self.sequence[row])
        current = self.connections[-1] if self.connections else None
        if is_reply:
            if current is None or self._is_unasked(current, direction, sequence):
                current = self._begin(1 - direction, "syn")
            if direction != current.client_direction:
                current.syn_ack_rows += (row,)
                if current.reply_row < 0:
                    current.reply_row = row
        elif current is None or self._is_new(current, direction, sequence):
            current = self._begin(direction, "syn")
            current.request_rows.append(row)
        elif direction == current.client_direction:
            current.request_rows.append(row)
        self.isn[direction] = sequence
        current.rows.append(row)

    def _is_new(self, current: Connection, direction: int, sequence: int) -> bool:
        """Whether a SYN begins another connection on the same sockets."""
        if not current.request_rows:  # else the SYN/ACK was recorded before its SYN
            answers = (int(self.acknowledgment[row]) for row in current.syn_ack_rows)
            return direction != current.client_direction or (sequence + 1) & 0xFFFFFFFF not in answers
        if direction != current.client_direction:
            return bool(current.reply_row >= 0 or self.ended)  # else both sides open at once (RFC 9293 §3.5)
        return self.isn.get(direction) != sequence

    def _is_unasked(self, current: Connection, direction: int, sequence: int) -> bool:
        """Whether a SYN/ACK answers a SYN of another connection on the same sockets, which was not seen."""
        known = self.isn.get(direction)
        if direction == current.client_direction:  # its own, where both sides opened at once
            return known != sequence or not current.request_rows
        return known != sequence and (not current.request_rows or (self.ended and known is not None))

    def _later(self, row: int, direction: int, flags: int) -> None:
        """A segment that is no SYN."""
        if not self.connections:
            client, how = client_by_port(*self.flows.ends(self.flow), direction)
            self._begin(client, how)
        current = self.connections[-1]
        current.rows.append(row)
        is_client = direction == current.client_direction
        side = "client" if is_client else "server"
        if flags & RST:
            current.reset_rows += (row,)
            current.reset_by = current.reset_by or side
            self.ended = True
        elif flags & FIN:
            current.fin_rows += (row,)
            current.close_side = current.close_side or side
            self.ended = True
        if is_client and not flags & RST:
            if current.reply_row >= 0:
                current.handshake_acked = True
            elif current.request_rows:
                current.client_went_on = True
        elif not is_client and not flags & RST and self.length[row] > 0 and current.reply_row < 0:
            current.reply_row = row

    def _read_hellos(self, connection: Connection) -> None:
        """The TLS hellos among the first bytes of each direction."""
        stream = first_bytes(self.flows, connection, connection.client_direction)
        connection.opening, connection.proxy = opening_of(stream)
        if connection.opening != TLS:
            return
        if connection.proxy is not None:
            stream = stream[connection.proxy.length :]
        connection.hello = read_client_hello(read_records(stream).handshake)
        if connection.hello is not None:
            records = read_records(first_bytes(self.flows, connection, 1 - connection.client_direction))
            connection.server_hello = read_server_hello(records.handshake)


def tcp_connections(flows: Flows, flow: int) -> list[Connection]:
    """The TCP connections of a flow, in the order of their first rows."""
    return _FlowReader(flows, flow).read()
