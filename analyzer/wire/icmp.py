"""ICMP errors: what they say, and the packet that they quote.

    type (8) | code (8) | checksum (16) | unused or MTU (32) | the IP packet that caused it, as much as fits

The quoted packet is evidence about another flow. It is read apart and never mixed with the packet that carries it.
Sources: RFC 792, RFC 4443 §3, RFC 1812 §5.2.7.1 and the IANA registries of codes.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.wire.addresses import address_of

#: (family, type, code) -> what it says. A code of -1 stands for any.
ERRORS: dict[tuple[int, int, int], str] = {
    (4, 3, 0): "network-unreachable",
    (4, 3, 1): "host-unreachable",
    (4, 3, 2): "protocol-unreachable",
    (4, 3, 3): "port-unreachable",
    (4, 3, 4): "packet-too-big",
    (4, 3, 9): "admin-prohibited",
    (4, 3, 10): "admin-prohibited",
    (4, 3, 13): "admin-prohibited",
    (4, 3, -1): "unreachable",
    (4, 11, -1): "time-exceeded",
    (4, 12, -1): "parameter-problem",
    (6, 1, 0): "no-route",
    (6, 1, 1): "admin-prohibited",
    (6, 1, 3): "address-unreachable",
    (6, 1, 4): "port-unreachable",
    (6, 1, 5): "admin-prohibited",
    (6, 1, 6): "no-route",
    (6, 1, -1): "unreachable",
    (6, 2, -1): "packet-too-big",
    (6, 3, -1): "time-exceeded",
    (6, 4, -1): "parameter-problem",
}

#: Errors after which a request will not be answered; the others leave that open.
REFUSALS = frozenset(
    {
        "network-unreachable",
        "host-unreachable",
        "protocol-unreachable",
        "port-unreachable",
        "admin-prohibited",
        "no-route",
        "address-unreachable",
        "unreachable",
    }
)


class Quoted(NamedTuple):
    """The packet inside an ICMP error: protocol number, both addresses as packed bytes, both ports.

    ``mark`` is what else tells it from others that its first 8 bytes hold: the UDP length, or the sequence number of
    TCP; -1 where they are cut.
    """

    family: int
    protocol: int
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    mark: int = -1

    def __str__(self) -> str:
        ends = (self.source, self.source_port), (self.destination, self.destination_port)
        return " -> ".join(f"{f'[{a}]' if ':' in a else a}:{port}" for a, port in ((address_of(b), p) for b, p in ends))


def error_name(family: int, icmp: int) -> str:
    """Name of an ICMP error (``icmp`` is type << 8 | code), "" if it is none."""
    kind, code = icmp >> 8, icmp & 0xFF
    return ERRORS.get((family, kind, code)) or ERRORS.get((family, kind, -1), "")


def read_quoted(b: bytes) -> Quoted | None:
    """The packet that begins at the start of ``b``; None if its addresses and ports are not all there.

    A quoted fragment other than the first has no ports, and is None as well. Extension headers are passed.
    """
    if len(b) >= 20 and b[0] >> 4 == 4:
        at = (b[0] & 15) * 4
        if at < 20 or int.from_bytes(b[6:8], "big") & 0x1FFF:
            return None
        family, protocol, source, destination = 4, b[9], b[12:16], b[16:20]
    elif len(b) >= 40 and b[0] >> 4 == 6:
        family, protocol, source, destination, at = 6, b[6], b[8:24], b[24:40], 40
        while protocol in (0, 43, 60, 44):
            if at + 8 > len(b) or (protocol == 44 and int.from_bytes(b[at + 2 : at + 4], "big") & 0xFFF8):
                return None
            following, size = b[at], 8 if protocol == 44 else (b[at + 1] + 1) * 8
            protocol, at = following, at + size
    else:
        return None
    if protocol not in (6, 17) or at + 4 > len(b):
        return None
    ports = int.from_bytes(b[at : at + 2], "big"), int.from_bytes(b[at + 2 : at + 4], "big")
    mark = b[at + 4 : at + (6 if protocol == 17 else 8)] if at + 8 <= len(b) else b""
    return Quoted(
        family, protocol, source, ports[0], destination, ports[1], int.from_bytes(mark, "big") if mark else -1
    )
