"""UDP and TCP payloads for a copy, in two walks: ``learn`` sees all of them in order, then ``write`` gives each anew.

UDP payloads are read as DNS and DHCP by their ports and else as QUIC by their content; nothing of others is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from analyzer.anonymize.packets.dhcp import PORTS as DHCP_PORTS
from analyzer.anonymize.packets.dhcp import edit_dhcp
from analyzer.anonymize.packets.dns import edit_message
from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.packets.quic import Path, QuicCopies, Written
from analyzer.anonymize.packets.tcp import TcpCopies
from analyzer.wire.dns import PORT as DNS_PORT
from analyzer.wire.packets import TCP, UDP

#: DNS, multicast DNS (RFC 6762), link-local multicast name resolution (RFC 4795).
_DNS_PORTS = (DNS_PORT, 5353, 5355)


class Payload(NamedTuple):
    """A captured payload, both sockets of it (source first), and its length on the wire; TCP's number and flags."""

    kind: int
    octets: bytes
    path: Path
    length: int
    sequence: int = 0
    flags: int = 0


class Payloads:
    """The payloads of a copy."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._quic = QuicCopies(maps)
        self._tcp = TcpCopies(maps)
        self._jobs: deque[Callable[[], Written]] = deque()
        self._learning = True

    def learned(self) -> None:
        """The first walk is over, the second one begins."""
        self._learning = False
        self._quic.learned()

    def take(self, payload: Payload) -> Written:
        """In the first walk the payload itself; in the second, in the same order, what is written in its place."""
        if not self._learning:
            return self._jobs.popleft()()
        self._jobs.append(self._job(payload))
        return Written(payload.octets, True)

    def _job(self, payload: Payload) -> Callable[[], Written]:
        if payload.kind == TCP:
            segment = self._tcp.learn(payload.octets, payload.sequence, payload.flags, payload.path)
            return lambda: self._tcp.write(segment)
        if payload.kind == UDP and payload.octets:
            ports = {int.from_bytes(end[-2:], "big") for end in payload.path}
            if ports & set(_DNS_PORTS):
                return lambda: Written(edit_message(payload.octets, self._maps), True)
            if ports & set(DHCP_PORTS):
                return lambda: Written(edit_dhcp(payload.octets, self._maps), True)
            datagram = self._quic.learn(payload.octets, payload.length, payload.path)
            return lambda: self._quic.write(datagram)
        return lambda: Written(b"", not payload.octets)
