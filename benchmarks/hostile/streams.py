"""QUIC and TCP conversations that have no end, or too many parts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from analyzer.wire.quic.protection import initial_keys
from analyzer.wire.quic.seal import InitialHeader, seal_initial, write_varint
from benchmarks.hostile.making import CLIENT, SERVER, ip4, pcap, tcp, udp


def _initial(dcid: bytes, frames: bytes, number: int = 0, size: int = 1162, scid: bytes = b"clientid") -> bytes:
    keys = initial_keys(1, dcid)
    assert keys is not None
    return seal_initial(InitialHeader(1, dcid, scid, packet_number=number), frames.ljust(size, b"\0"), keys.client)


def _from_client(payloads: Iterable[bytes]) -> Iterator[bytes]:
    return (ip4(CLIENT, SERVER, 17, udp((50000, 443), payload), ident=n & 0xFFFF) for n, payload in enumerate(payloads))


def one_dcid(path: Path, size: int) -> None:
    """``size`` Initials of one connection, 60 bytes each."""
    sealed = [_initial(b"onename8", b"\x01", n, size=20) for n in range(64)]
    pcap(path, _from_client(itertools.islice(itertools.cycle(sealed), size)), count=size)


def distinct_dcids(path: Path, size: int) -> None:
    """``size`` Initials between two sockets, each of another DCID and none to be opened, behind 100 that can."""
    sealed = [_initial(b"%08d" % n, b"\x01", size=20, scid=b"client%02d" % n) for n in range(100)]
    made = (b"\xc3\0\0\0\1\x08%08x\x08%08d\0\x40\x1e" % (n, n) + bytes(30) for n in range(size))
    pcap(path, _from_client(itertools.chain(sealed, made)), count=size)


def attempts_on_one_pair(path: Path, size: int) -> None:
    """``size`` connections between two sockets, their Initials sound and small."""
    sealed = (_initial(b"%08d" % n, b"\x01", size=20, scid=b"%08x" % n) for n in range(size))
    pcap(path, _from_client(sealed), count=size)


def crypto_offsets(path: Path, size: int) -> None:
    """``size`` Initials whose CRYPTO frames lie at 2^62 - 1 and at holes of one byte."""
    far = b"\x06" + write_varint((1 << 62) - 2, 8) + b"\x01x"

    def frames(n: int) -> bytes:
        holes = (b"\x06" + write_varint(2 * (200 * n + k) % 65536, 4) + b"\x01x" for k in range(150))
        return far + b"".join(holes)

    pcap(path, _from_client(_initial(b"onename8", frames(n), n) for n in range(size)), count=size)


def coalesced(path: Path, size: int) -> None:
    """``size`` datagrams of 65,507 bytes with 5,900 QUIC packets each."""
    one = b"\xc0\0\0\0\1\x00\x00\x00\x02ab"
    payload = one * (65507 // len(one))
    pcap(path, _from_client(b"%b" % payload for _ in range(size)), count=size)


def version_negotiation(path: Path, size: int) -> None:
    """``size`` Version Negotiations of 16,000 versions each."""
    payload = b"\x80\0\0\0\0\x08clientid\x08serverid" + bytes(range(256)) * 250
    sent = (ip4(SERVER, CLIENT, 17, udp((443, 50000), payload)) for _ in range(size))
    pcap(path, itertools.chain(_from_client([_initial(b"onename8", b"\x01")]), sent), count=size)


def giant_certificate(path: Path, size: int) -> None:
    """A TLS connection whose server sends a certificate of ``size`` MB."""

    def packets() -> Iterator[bytes]:
        yield ip4(CLIENT, SERVER, 6, tcp((50000, 443), 2, seq=99))
        yield ip4(SERVER, CLIENT, 6, tcp((443, 50000), 18, seq=199, ack=100))
        record = b"\x16\x03\x03\x40\x00" + b"\x0b\xff\xff\xff\xff\xff\xfc\xff\xff\xf9" + b"\x30" * 16374
        for at in range(0, size << 20, 1400):
            body = (record * 2)[at % len(record) :][:1400]
            yield ip4(SERVER, CLIENT, 6, tcp((443, 50000), 16, body, seq=200 + at, ack=100))

    pcap(path, packets(), count=(size << 20) // 1400)


def endless_head(path: Path, size: int) -> None:
    """An HTTP request whose head has no end, ``size`` MB of it."""

    def packets() -> Iterator[bytes]:
        yield ip4(CLIENT, SERVER, 6, tcp((50000, 80), 2, seq=99))
        yield ip4(SERVER, CLIENT, 6, tcp((80, 50000), 18, seq=199, ack=100))
        yield ip4(CLIENT, SERVER, 6, tcp((50000, 80), 16, b"GET / HTTP/1.1\r\n".ljust(1400, b"x"), seq=100, ack=200))
        for at in range(1400, size << 20, 1400):
            yield ip4(CLIENT, SERVER, 6, tcp((50000, 80), 16, b"X-A: 1\r\n" * 175, seq=100 + at, ack=200))

    pcap(path, packets(), count=(size << 20) // 1400)


def syns_on_one_pair(path: Path, size: int) -> None:
    """``size`` SYNs and RSTs between two sockets, each SYN of another sequence number."""

    def packets() -> Iterator[bytes]:
        for n in range(size):
            yield ip4(CLIENT, SERVER, 6, tcp((50000, 443), 2, seq=n * 100_000), ident=n & 0xFFFF)
            yield ip4(SERVER, CLIENT, 6, tcp((443, 50000), 20, ack=(n * 100_000 + 1) & 0xFFFFFFFF), ident=n & 0xFFFF)

    pcap(path, packets(), count=2 * size)
