"""TCP connections of one flow, as far as the three-way handshake and its end tell (RFC 9293 §3.5, §3.6).

How it works
------------
A SYN with a new initial sequence number begins a connection and its sender is the client; the same SYN again is a
repeat of the request. A SYN/ACK from the other side is the reply. Where no SYN was seen the SYN/ACK tells the roles,
and where neither was, the ports do: such a connection began before the capture.

A SYN/ACK that acknowledges another number than that of the SYN is no reply: the client must ignore it (RFC 9293
§3.10.7.3). A RST whose numbers are as wrong is counted as well, since who forges one can rarely see the others.

What the client sends beyond its SYN is proof that it got a reply, whether that was seen or not. How far a connection
got is told by the table in ``tcp.states``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from analyzer.events.connection import Connection, Flows, client_by_port
from analyzer.events.tcp.states import ACK, FIN, RST, SYN, code_of, first_step
from analyzer.events.tcp.streams import MOST_BYTES, ROWS, beginning
from analyzer.wire.tls import RECORD_HEADER, read_records, whole_message
from analyzer.wire.tls_hello import client_hello_bytes, server_hello_bytes
from analyzer.wire.web.openings import TLS, opening_of

#: Bytes that may come with a SYN and be acknowledged by its SYN/ACK (RFC 7413), and that a RST may lie behind what was
#: seen of its sender: what was sent and not captured is less.
_MOST_IN_SYN, _MOST_UNSEEN = 1500, 16 << 20


class _FlowReader:
    def __init__(self, flows: Flows, flow: int) -> None:
        self.flows, self.flow = flows, flow
        rows = flows.scan.rows
        self.sequence, self.acknowledgment = rows.sequence, rows.acknowledgment
        self.listed = flows.rows(flow)
        low, high = flows.bounds(flow)
        index = flows.order[low:high]
        self.flags, self.numbers = rows.tcp_flags[index].tolist(), rows.sequence[index].tolist()
        self.connections: list[Connection] = []
        self.begins: list[int] = []  # where the rows of each begin among those of the flow
        self.isn: dict[int, int] = {}  # of the current connection, by direction
        self.ended = False
        self.passed_over = -1  # the last row that changes nothing

    def read(self) -> list[Connection]:
        """The connections of the flow, in order."""
        listed, connections, step = self.listed, self.connections, first_step()
        turns = [at for at, flags in enumerate(self.flags) if flags & (SYN | FIN | RST)]
        current: Connection | None = None
        at, count, turn = 0, len(self.flags), 0
        while at < count:
            row, direction, length, flags = (
                listed.row[at],
                listed.direction[at],
                listed.payload_length[at],
                self.flags[at],
            )
            if flags & SYN and not flags & RST:
                self._syn(row, direction, is_reply=bool(flags & ACK))
            else:
                self._later(row, direction, length, flags)
            if connections[-1] is not current:
                current, step = connections[-1], first_step()
                self.begins.append(at)
            if self.passed_over != row:
                step = step.next[code_of(flags, length, direction != current.client_direction)]
                current.tcp_state = step.state
            at += 1
            if current.handshake_acked and step.is_settled:  # so that only a SYN, FIN or RST changes anything
                turn = bisect_left(turns, at, turn)
                until = turns[turn] if turn < len(turns) else count
                current.rows += listed.row[at:until]
                at = until
        self.flows.count(connections)
        for connection, begin, end in zip(connections, self.begins, [*self.begins[1:], len(self.flags)], strict=True):
            self._read_hellos(connection, range(begin, end))
        return connections

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
            if direction != current.client_direction and not self._acknowledges(row, 1 - direction):
                current.rows.append(row)
                current.unfit += 1
                self.passed_over = row
                return
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

    def _acknowledges(self, row: int, client: int) -> bool:
        """Whether a segment of the server acknowledges the client's SYN, and no more than can have come with it."""
        isn = self.isn.get(client)
        return isn is None or (int(self.acknowledgment[row]) - isn - 1) & 0xFFFFFFFF <= _MOST_IN_SYN

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

    def _later(self, row: int, direction: int, length: int, flags: int) -> None:
        """A segment that is no SYN."""
        if not self.connections:
            client, how = client_by_port(*self.flows.ends(self.flow), direction)
            self._begin(client, how)
        current = self.connections[-1]
        current.rows.append(row)
        is_client = direction == current.client_direction
        if flags & (RST | FIN):
            if flags & RST and not is_client and not self.ended:
                current.unfit += not self._may_reset(current, row, flags)
            self._end(current, row, "client" if is_client else "server", is_reset=bool(flags & RST))
            if flags & RST:
                return
        if is_client:
            if current.reply_row >= 0:
                current.handshake_acked = True
            elif current.request_rows:
                current.client_went_on = True
        elif length > 0 and current.reply_row < 0:
            current.reply_row = row

    def _end(self, current: Connection, row: int, side: str, *, is_reset: bool) -> None:
        """A segment with RST or FIN."""
        if is_reset:
            current.reset_rows += (row,)
            current.reset_by = current.reset_by or side
        else:
            current.fin_rows += (row,)
            current.close_side = current.close_side or side
        self.ended = True

    def _may_reset(self, current: Connection, row: int, flags: int) -> bool:
        """Whether a client may take this RST of the server (RFC 9293 §3.10.7.3, RFC 5961 §3.2), as far as is known."""
        if current.reply_row < 0:
            asked = bool(current.request_rows)
            return not asked or (bool(flags & ACK) and self._acknowledges(row, current.client_direction))
        isn = self.isn.get(1 - current.client_direction)
        sent = self.flows.before(row)[3 - current.client_direction]
        return isn is None or (int(self.sequence[row]) - isn) & 0xFFFFFFFF <= sent + _MOST_UNSEEN

    def _read_hellos(self, connection: Connection, places: range) -> None:
        """The TLS hellos among the first bytes of each direction; ``places`` are those of the connection's rows."""
        client = connection.client_direction
        begun = self._first_message(connection, places, client)
        if begun:
            connection.opening = TLS
        else:
            stream = self._joined(self._pieces(connection, places, client))
            connection.opening, connection.proxy = opening_of(stream)
            if connection.opening != TLS:
                return
            if connection.proxy is not None:
                stream = stream[connection.proxy.length :]
            begun = read_records(stream).handshake
        connection.hello_bytes = client_hello_bytes(begun)
        if connection.hello_bytes:
            answer = self._first_message(connection, places, 1 - client)
            if not answer:
                answer = read_records(self._joined(self._pieces(connection, places, 1 - client))).handshake
            connection.server_hello_bytes = server_hello_bytes(answer)

    def _first_message(self, connection: Connection, places: range, direction: int) -> bytes:
        """The handshake messages of the first record if the first of them is whole, as most hellos are, or b""."""
        at = next(self._with_payload(places, direction), -1)
        if at < 0:
            return b""
        begin, listed = beginning(self.flows, connection, direction), self.listed
        if begin < 0 or begin == self._number(at) & 0xFFFFFFFF:
            # What comes first begins the stream, so that nothing else is needed where the message is whole in it.
            first = self.flows.scan.chunks[listed.chunk[at]][listed.begin[at] : listed.end[at]]
            if message := whole_message(first):
                return message
        pieces = self._pieces(connection, places, direction)
        stream = self._joined(pieces, RECORD_HEADER)
        need = RECORD_HEADER + int.from_bytes(stream[3:RECORD_HEADER], "big")
        return whole_message(stream if len(stream) >= need else self._joined(pieces, need))

    def _with_payload(self, places: range, direction: int) -> Iterator[int]:
        """The places of a direction's rows with payload."""
        lengths, directions = self.listed.payload_length, self.listed.direction
        return (at for at in places if lengths[at] > 0 and directions[at] == direction and self._has_header(at))

    def _number(self, at: int) -> int:
        """The sequence number of a row's first byte: data in a SYN stands behind it (RFC 7413)."""
        number: int = self.numbers[at] + (self.flags[at] & SYN > 0)
        return number

    def _pieces(self, connection: Connection, places: range, direction: int) -> list[tuple[int, int]]:
        """The first rows with payload of a direction: (offset, place), for ``_joined``."""
        begin = beginning(self.flows, connection, direction)
        pieces: dict[int, int] = {}
        for at in self._with_payload(places, direction):
            begin = begin if begin >= 0 else self._number(at)
            pieces.setdefault((self._number(at) - begin) & 0xFFFFFFFF, at)
            if len(pieces) == ROWS:
                break
        return sorted(pieces.items())

    def _joined(self, pieces: list[tuple[int, int]], most: int = MOST_BYTES) -> bytes:
        """``streams.first_bytes`` as far as so many bytes need it."""
        listed, chunks, stream = self.listed, self.flows.scan.chunks, b""
        for offset, at in pieces:
            if offset > len(stream) or len(stream) >= most:
                break
            stream += chunks[listed.chunk[at]][listed.begin[at] + len(stream) - offset : listed.end[at]]
        return stream

    def _has_header(self, at: int) -> bool:
        """Whether the headers of a row were captured whole."""
        listed = self.listed
        return listed.end[at] > listed.begin[at] or bool(self.flows.scan.rows.header[listed.row[at]] >= 0)


def tcp_connections(flows: Flows, flow: int) -> list[Connection]:
    """The TCP connections of a flow, in the order of their first rows."""
    return _FlowReader(flows, flow).read()
