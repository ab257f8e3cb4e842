"""Clients and servers for ``benchmarks.network``: QUIC by aioquic, TCP as a small model of what Linux does, DNS.

The TCP ends know retransmission timers that double, cumulative acknowledgments, fast retransmission and a window of ten
segments; the client asks once by HTTP/1.1 and closes when it has the whole response.
"""

from __future__ import annotations

import datetime
import functools
import struct
from dataclasses import dataclass, field
from typing import Any

from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived
from aioquic.quic.packet import pull_quic_header
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.network import TCP, UDP, Address, Network, Segment

SEGMENT = 1400
WINDOW = 10  # segments
GIVES_UP_S = 15.0
LEAST_WAIT_S = 0.001  # a timer that is overdue, by rounding, is taken a moment later
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


@functools.cache
def certificate() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """A self-signed certificate of example.com, and its key: RSA, whose signatures are all of one length."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.com")])
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    end, number = begin.replace(year=2036), x509.random_serial_number()
    return x509.CertificateBuilder(name, name, key.public_key(), number, begin, end).sign(key, hashes.SHA256()), key


@dataclass
class QuicEnd:
    """One side of a QUIC connection."""

    network: Network
    connection: QuicConnection
    own: Address
    peer: Address
    is_client: bool
    asks: int = 200
    answers: int = 20_000
    received: int = 0
    done: bool = False
    _timer: int = 0

    def receive(self, payload: bytes) -> None:
        self.connection.receive_datagram(payload, self.peer, self.network.now)
        self.act()

    def act(self) -> None:
        """Take what happened, send what is due, and wake up when the next timer is."""
        while (event := self.connection.next_event()) is not None:
            self._take(event)
        for payload, _ in self.connection.datagrams_to_send(self.network.now):
            self.network.send(self.own, self.peer, payload, from_client=self.is_client)
        due = self.connection.get_timer()
        self._timer += 1
        if due is not None:
            number = self._timer
            self.network.at(max(due, self.network.now + LEAST_WAIT_S), lambda: self._wake(number))

    def _wake(self, number: int) -> None:
        if number == self._timer:
            self.connection.handle_timer(self.network.now)
            self.act()

    def _take(self, event: Any) -> None:
        if isinstance(event, HandshakeCompleted) and self.is_client:
            self.connection.send_stream_data(0, b"q" * self.asks, end_stream=True)
        elif isinstance(event, StreamDataReceived):
            self.received += len(event.data)
            if event.end_stream and not self.is_client:
                self.connection.send_stream_data(event.stream_id, b"a" * self.answers, end_stream=True)
            elif event.end_stream:
                self.done = True
                self.connection.close()
        elif isinstance(event, ConnectionTerminated):
            self.done = True


class QuicServer:
    """A QUIC server socket."""

    def __init__(self, network: Network, own: Address, answers: int) -> None:
        self.network, self.own, self.answers = network, own, answers
        self._ends: dict[Address, QuicEnd] = {}
        network.listen(UDP, own, self._receive)

    def _receive(self, sender: Address, payload: object) -> None:
        assert isinstance(payload, bytes)
        if sender not in self._ends:
            header = pull_quic_header(Buffer(data=payload), host_cid_length=8)
            if header.packet_type.name != "INITIAL" or len(payload) < 1200:
                return
            chain, key = certificate()
            own = QuicConfiguration(is_client=False, alpn_protocols=["h3"], certificate=chain, private_key=key)
            connection = QuicConnection(configuration=own, original_destination_connection_id=header.destination_cid)
            self._ends[sender] = QuicEnd(self.network, connection, self.own, sender, False, answers=self.answers)
        self._ends[sender].receive(payload)


def quic_client(network: Network, own: Address, server: Address, *, first_pto: float) -> QuicEnd:
    """A client that begins now, asks once, takes the answer and closes; it gives up after ``GIVES_UP_S``."""
    wanted = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="example.com", verify_mode=0)
    wanted.initial_rtt = first_pto / 2
    end = QuicEnd(network, QuicConnection(configuration=wanted), own, server, True)
    network.listen(UDP, own, lambda _, payload: end.receive(payload))  # type: ignore[arg-type]
    end.connection.connect(server, network.now)

    def give_up() -> None:
        if not end.done:
            end.connection.close()
            end.act()

    network.at(network.now + GIVES_UP_S, give_up)
    end.act()
    return end


@dataclass
class TcpEnd:
    """One side of a TCP connection; ``outgoing`` is what is left to send, and a FIN behind it where ``closing``."""

    network: Network
    own: Address
    peer: Address
    is_client: bool
    isn: int
    outgoing: bytes = b""
    closing: bool = False
    syn_flags: int = SYN
    una: int = 0  # relative to the ISN, as all numbers here
    sent: int = 0
    expected: int = 0
    peer_isn: int = 0
    early: dict[int, Segment] = field(default_factory=dict)
    incoming: bytes = b""
    peer_closed: bool = False
    established: bool = False
    timeout: float = 1.0
    tries: int = 0
    duplicates: int = 0
    _timer: int = 0

    @property
    def end(self) -> int:
        """The number behind all that is to be sent."""
        return 1 + len(self.outgoing) + self.closing

    def push(self) -> None:
        """Send what the window allows."""
        if self.sent == 0:
            self._emit(0)
            self.sent = 1
        while self.established and self.sent < self.end and self.sent - self.una < WINDOW * SEGMENT:
            self.sent += self._emit(self.sent)
        self._arm()

    def _emit(self, number: int) -> int:
        """Send the segment that begins at a number; how many numbers it takes."""
        if number == 0:
            self._say(self.syn_flags, 0, b"")
            return 1
        part = self.outgoing[number - 1 : number - 1 + SEGMENT]
        is_last = self.closing and number + len(part) >= self.end - 1
        self._say(ACK | (PSH if part else 0) | (FIN if is_last else 0), number, part)
        return len(part) + is_last

    def _say(self, flags: int, number: int, payload: bytes) -> None:
        ack = (self.peer_isn + self.expected) & 0xFFFFFFFF if flags & ACK else 0
        segment = Segment(flags, (self.isn + number) & 0xFFFFFFFF, ack, payload)
        self.network.send(self.own, self.peer, segment, from_client=self.is_client)

    def _arm(self) -> None:
        self._timer += 1
        if self.una < self.sent:
            number = self._timer
            self.network.at(self.network.now + self.timeout, lambda: self._late(number))

    def _late(self, number: int) -> None:
        if number == self._timer and self.tries < 10:
            self.tries += 1
            self.timeout *= 2
            self._emit(self.una)
            self._arm()

    def receive(self, segment: Segment) -> None:
        """Take a segment: its acknowledgment, then what it carries."""
        if segment.flags & SYN:
            self.peer_isn = segment.seq
            self.expected = max(self.expected, 1)
        if segment.flags & ACK:
            self._acknowledged((segment.ack - self.isn) & 0xFFFFFFFF, is_bare=not segment.payload)
        number = (segment.seq - self.peer_isn) & 0xFFFFFFFF
        carries = segment.payload or segment.flags & (FIN | SYN)
        if segment.payload or segment.flags & FIN:
            self.early[number] = segment
            while (known := self.early.pop(self.expected, None)) is not None:
                self.incoming += known.payload
                self.expected += len(known.payload) + bool(known.flags & FIN)
                self.peer_closed |= bool(known.flags & FIN)
        if carries and (self.established or self.is_client):
            self._say(ACK, self.sent, b"")

    def _acknowledged(self, number: int, *, is_bare: bool) -> None:
        if number > self.sent:
            return
        if number > self.una:
            self.una, self.tries, self.duplicates = number, 0, 0
            self.established, self.timeout = True, 0.3
        elif is_bare and self.una < self.sent:
            self.duplicates += 1
            if self.duplicates == 3:
                self._emit(self.una)
        self.push()


def tcp_client(network: Network, own: Address, server: Address, *, isn: int) -> TcpEnd:
    """A client that begins now, asks by HTTP/1.1 and closes when it has the response."""
    end = TcpEnd(network, own, server, True, isn, b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")

    def take(_: Address, segment: object) -> None:
        assert isinstance(segment, Segment)
        end.receive(segment)
        head, parted, body = end.incoming.partition(b"\r\n\r\n")
        if parted and len(body) >= int(head.rpartition(b" ")[2]) and not end.closing:
            end.closing = True
            end.push()

    network.listen(TCP, own, take)
    end.push()
    return end


class TcpServer:
    """A TCP server socket that answers each request with ``answers`` bytes."""

    def __init__(self, network: Network, own: Address, answers: int) -> None:
        self.network, self.own, self.answers = network, own, answers
        self._ends: dict[Address, TcpEnd] = {}
        network.listen(TCP, own, self._receive)

    def _receive(self, sender: Address, segment: object) -> None:
        assert isinstance(segment, Segment)
        if sender not in self._ends:
            if not segment.flags & SYN:
                return
            isn = self.network.generator.randrange(1 << 32)
            self._ends[sender] = TcpEnd(self.network, self.own, sender, False, isn, syn_flags=SYN | ACK)
        end = self._ends[sender]
        end.receive(segment)
        if segment.flags & SYN and end.una == 0:
            if end.sent == 0:
                end.push()
            else:
                end._emit(0)
        if b"\r\n\r\n" in end.incoming and not end.outgoing:
            end.outgoing = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.answers + b"a" * self.answers
            end.push()
        if end.peer_closed and not end.closing:
            end.closing = True
            end.push()


def dns_client(network: Network, own: Address, resolver: Address, *, number: int, kind: int) -> None:
    """Ask for an address of example.com, again after 5 s as resolvers of glibc do, twice at most."""
    question = (
        struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + b"\x07example\x03com\0" + struct.pack(">HH", kind, 1)
    )
    state = {"answered": False}
    network.listen(UDP, own, lambda _sender, _payload: state.update(answered=True))

    def ask(tries: int) -> None:
        if not state["answered"] and tries:
            network.send(own, resolver, question, from_client=True)
            network.at(network.now + 5.0, lambda: ask(tries - 1))

    ask(3)


class DnsServer:
    """A resolver that knows both addresses of example.com."""

    def __init__(self, network: Network, own: Address, addresses: dict[int, bytes]) -> None:
        self.network, self.own, self.addresses = network, own, addresses
        network.listen(UDP, own, self._receive)

    def _receive(self, sender: Address, payload: object) -> None:
        assert isinstance(payload, bytes)
        kind = struct.unpack(">H", payload[-4:-2])[0]
        address = self.addresses[kind]
        answer = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(address)) + address
        head = payload[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
        self.network.send(self.own, sender, head + payload[12:] + answer, from_client=False)
