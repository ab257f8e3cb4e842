"""Many flows, IP packets in one another and in pieces, errors about them, names that are asked for."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

from benchmarks.hostile.making import CLIENT, CLIENT_6, ETHERNET, SERVER, SERVER_6, address, ip4, ip6, pcap, tcp, udp


def distinct_flows(path: Path, size: int) -> None:
    """``size`` SYNs, each of another client."""
    packets = (ip4(address(n), SERVER, 6, tcp((1024 + n % 60000, 443), 2, seq=n)) for n in range(size))
    pcap(path, packets, count=size)


def distinct_servers(path: Path, size: int) -> None:
    """``size`` SYNs, each to another server."""
    pcap(path, (ip4(CLIENT, address(n), 6, tcp((1024, 443), 2, seq=n)) for n in range(size)), count=size)


def distinct_udp(path: Path, size: int) -> None:
    """``size`` datagrams, each of another client to another port."""
    pcap(path, (ip4(address(n), SERVER, 17, udp((1024, 1024 + n % 60000), b"x" * 8)) for n in range(size)), count=size)


_GOLDEN, _MASK = 0x9E3779B1, 0xFFFFFFFF


def _mix(h: int, word: int) -> int:
    h = ((h ^ word) * _GOLDEN) & _MASK
    return h ^ (h >> 15)


def hash_flood(path: Path, size: int) -> None:
    """``size`` SYNs whose flow keys have one hash under a hash function without a secret."""
    server = struct.unpack(">I", SERVER)[0]

    def packets() -> Iterator[bytes]:
        # words of the key: 0 0 0 a 0 0 0 b ports protocol; the ports undo what the address did
        target = None
        for n in itertools.count():
            h = 0x2545F491
            address = 0x0A000000 + n
            for word in (0, 0, 0, address, 0, 0, 0, server):
                h = _mix(h, word)
            if target is None:
                target = h ^ 0x04000_1BB
            ports = h ^ target
            if ports >> 16 >= 1024 and ports & 0xFFFF >= 1:
                yield ip4(struct.pack(">I", address), SERVER, 6, tcp((ports >> 16, ports & 0xFFFF), 2))

    pcap(path, itertools.islice(packets(), size), count=size)


def nested_tunnels(path: Path, size: int) -> None:
    """``size`` packets of 3,200 IP headers in one another, and of 8,000 extension headers."""
    inner = ip4(CLIENT, SERVER, 17, udp((1024, 443), b"x"))
    heads = [
        struct.pack(">BBHHHBBH", 0x45, 0, 20 * n + len(inner), 0, 0, 64, 4, 0) + CLIENT + SERVER
        for n in range(3200, 0, -1)
    ]
    tunnel = b"".join(heads) + inner
    extensions = ip6(CLIENT_6, SERVER_6, 0, b"\x00\x00\x01\x04\0\0\0\0" * 8000)
    pcap(path, itertools.islice(itertools.cycle([tunnel, extensions]), size), count=size)


def endless_fragments(path: Path, size: int) -> None:
    """``size`` fragments of one packet that never ends, and as many first fragments that are never followed."""
    ends = ((CLIENT, n) for n in range(size))
    first = (ip4(c, SERVER, 17, udp((1024, 443), b"x" * 1192), ident=n & 0xFFFF, fragment=0x2000) for c, n in ends)
    later = (ip4(CLIENT, SERVER, 17, b"x" * 1200, ident=7, fragment=0x2000 | n * 150 % 8000) for n in range(size))
    pcap(path, (each for pair in zip(first, later, strict=True) for each in pair), count=2 * size)


def whole_fragments(path: Path, size: int) -> None:
    """``size`` TCP segments of other clients, each in two fragments."""

    def packets() -> Iterator[bytes]:
        for n in range(size):
            segment = tcp((1024, 443), 24, b"x" * 580)
            yield ip4(address(n), SERVER, 6, segment[:304], ident=1, fragment=0x2000)
            yield ip4(address(n), SERVER, 6, segment[304:], ident=1, fragment=304 // 8)

    pcap(path, packets(), count=2 * size)


def overlapping_fragments(path: Path, size: int) -> None:
    """``size`` packets in 120 fragments that overlap by half."""

    def packets() -> Iterator[bytes]:
        for n in range(size):
            for k in range(120):
                more = 0x2000 if k < 119 else 0
                body = udp((1024, 443), b"x" * 1016) if k == 0 else b"x" * 1024
                yield ip4(address(n), SERVER, 17, body, ident=n & 0xFFFF, fragment=more | k * 64)

    pcap(path, packets(), count=120 * size)


def icmp_errors(path: Path, size: int) -> None:
    """``size`` ICMP errors that quote one datagram."""
    asked = ip4(CLIENT, SERVER, 17, udp((50000, 443), b"x" * 40))
    quoting = struct.pack(">BBHI", 3, 3, 0, 0) + asked
    sent = (ip4(SERVER, CLIENT, 1, quoting, ident=n & 0xFFFF) for n in range(size))
    pcap(path, itertools.chain([asked], sent), count=size)


def icmp_of_many(path: Path, size: int) -> None:
    """``size`` TCP connections of one pair of sockets, and as many ICMP errors that quote them."""

    def packets() -> Iterator[bytes]:
        for n in range(size):
            syn = ip4(CLIENT, SERVER, 6, tcp((1024, 443), 2, seq=n * 100_000), ident=n & 0xFFFF)
            yield syn
            yield ip4(SERVER, CLIENT, 1, struct.pack(">BBHI", 3, 3, 0, 0) + syn, ident=n & 0xFFFF)

    pcap(path, packets(), count=2 * size)


def arp_questions(path: Path, size: int) -> None:
    """``size`` ARP questions for as many addresses."""
    client = b"\2\0\0\0\0\1"
    head = b"\xff" * 6 + client + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + client + CLIENT + bytes(6)
    pcap(path, (head + address(n) for n in range(size)), count=size, link_type=ETHERNET)


def dns_loops(path: Path, size: int) -> None:
    """``size`` DNS answers of 60,000 bytes whose names point at themselves and at one another."""
    head = struct.pack(">HHHHHH", 7, 0x8180, 1, 4000, 0, 0)
    loop = b"\xc0\x0c\x00\x01\x00\x01"
    chain = b"".join(
        b"\x01a" + struct.pack(">H", 0xC000 | 12 + 2 * (k % 4000)) + b"\0\1\0\1\0\0\0\0\0\0" for k in range(4000)
    )
    sent = (
        ip4(SERVER, CLIENT, 17, udp((53, 50000), struct.pack(">H", n & 0xFFFF) + head[2:] + loop + chain))
        for n in range(size)
    )
    pcap(path, sent, count=size)


def dns_pointer_chain(path: Path, size: int) -> None:
    """``size`` DNS answers with 1,000 records whose names take 100 pointers each, to labels in a record before them."""
    question = b"\x01a\0\0\1\0\1"
    begin = 12 + len(question) + 11  # of the labels, behind the fixed part of their record
    labels = b"\x01a\xc0\x0c" + b"".join(b"\x01a" + struct.pack(">H", 0xC000 | begin + 4 * k) for k in range(98))
    chain = b"\0" + struct.pack(">HHIH", 0xFF00, 1, 0, len(labels)) + labels  # of a type for private use
    records = (struct.pack(">H", 0xC000 | begin + 4 * 98) + b"\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1") * 1000
    head = struct.pack(">HHHHHH", 7, 0x8180, 1, 1001, 0, 0)
    sent = (
        ip4(SERVER, CLIENT, 17, udp((53, 50000), struct.pack(">H", n & 0xFFFF) + head[2:] + question + chain + records))
        for n in range(size)
    )
    pcap(path, sent, count=size)


def dns_questions(path: Path, size: int) -> None:
    """``size`` DNS questions for as many names."""
    tail = b"\x07example\0\0\1\0\1"
    sent = (
        ip4(
            CLIENT,
            SERVER,
            17,
            udp((50000, 53), struct.pack(">HHHHHH", n & 0xFFFF, 0x100, 1, 0, 0, 0) + b"\x08%08d" % n + tail),
        )
        for n in range(size)
    )
    pcap(path, sent, count=size)
