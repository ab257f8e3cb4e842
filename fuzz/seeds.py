"""Valid input that fuzzing begins with: from ``captures/``, and the files of ``fuzz/corpus/``."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from analyzer.capture.source import open_captures
from analyzer.events.saved import scan_to_bytes
from analyzer.events.scan import scan
from analyzer.wire.links import READ_LINK_TYPES
from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.quic.frames import Crypto, read_frames
from analyzer.wire.quic.header import read_datagram
from analyzer.wire.quic.protection import open_initial
from analyzer.wire.quic.split import INITIAL
from benchmarks.run import first_records
from fuzz.mutation import is_little_pcap
from tests.events.flow_plays import recorded_plays

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "captures"
CORPUS = ROOT / "fuzz" / "corpus"

MOST_DATAGRAMS = 12  # of a flow
_MOST_RECORDS = 40  # of a seed for the whole program
_MOST_OF_A_KIND = 6  # packets of a capture that have the same protocol and port
_TCP, _UDP, _DNS = 6, 17, 53
_IS_RAW_IP = bytes([sorted(READ_LINK_TYPES).index(101)])  # as the first byte of an input of ``packets``


class Packet(NamedTuple):
    """A packet from the IP (or ARP) header on; protocol and ports are -1 where it has none."""

    raw: bytes
    payload: bytes
    protocol: int
    port: int  # the smaller one


def seeds(target: str) -> Iterator[bytes]:
    """Valid input of a target, the same in every run."""
    yield from corpus(target)
    if target in ("capture", "program"):
        yield from small_captures()
    elif target == "saved_scan":
        yield from saved_scans()
    elif target == "frames":
        yield from clear_payloads()
    elif target == "hello":
        yield from filter(None, map(crypto_prefix, clear_payloads()))
    elif target in ("packets", "copies"):
        yield from (_IS_RAW_IP + packet.raw for packet in recorded() if packet.protocol >= 0)
    elif target == "flow":
        yield from flows()
    elif target in ("datagram", "opened"):
        yield from (packet.payload for packet in recorded() if packet.protocol == _UDP and packet.port != _DNS)
    elif target in ("records", "http"):
        yield from (packet.payload for packet in recorded() if packet.protocol == _TCP and packet.payload)
    elif target == "dns":
        yield from (packet.payload for packet in recorded() if packet.port == _DNS and packet.payload)
    elif target == "control":
        yield from (packet.raw for packet in recorded() if packet.protocol not in (_TCP, _UDP) or len(packet.raw) < 80)


def corpus(target: str) -> Iterator[bytes]:
    """What is kept of a target: messages made by hand, and mutations that led to new code or to a crash."""
    yield from (path.read_bytes() for path in sorted((CORPUS / target).glob("*")))


def small_captures() -> Iterator[bytes]:
    """The first records of each recorded capture, as a file."""
    for path in _captures():
        whole = path.read_bytes()
        yield first_records(whole, _MOST_RECORDS) if is_little_pcap(whole) else whole[:20_000]


def saved_scans() -> Iterator[bytes]:
    """Saved scans of a few small captures."""
    for path in sorted(_captures(), key=lambda path: path.stat().st_size)[:12:4]:
        captures = open_captures([str(path)])
        yield scan_to_bytes(scan(captures.batches(False), 1, compiled=False), captures.captures)


def flows() -> Iterator[bytes]:
    """The first datagrams of recorded QUIC flows, for kernels that are interpreted in one of eight."""
    names = [str(path.relative_to(CAPTURES)) for path in _captures() if path.name == "client.pcap"]
    for number, play in enumerate(recorded_plays(tuple(names[::5]))):
        pieces = (bytes([one.from_client]) + len(one.payload).to_bytes(2, "big") + one.payload for one in play)
        yield bytes([number % 8]) + b"".join(itertools.islice(pieces, MOST_DATAGRAMS))


def _captures() -> list[Path]:
    return sorted(path for path in CAPTURES.rglob("*.pcap*") if path.suffix in (".pcap", ".pcapng"))


@functools.cache
def recorded() -> list[Packet]:
    """The first selected packets of each kind of each capture."""
    found = set()
    for path in _captures():
        scanned = scan(open_captures([str(path)]).batches(False), 1, compiled=False, with_secrets=True)
        seen: dict[tuple[int, int], int] = {}
        for row in range(len(scanned.rows.time)):
            packet = _packet(scanned.row_bytes(row), int(scanned.rows.header[row]))
            kind = packet[2:]
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] <= _MOST_OF_A_KIND:
                found.add(packet)
    return sorted(found)


def _packet(raw: bytes, header: int) -> Packet:
    at, protocol = (40, raw[6]) if raw[0] >> 4 == 6 else ((raw[0] & 15) * 4, raw[9])
    if raw[0] >> 4 not in (4, 6) or protocol not in (_TCP, _UDP):
        return Packet(raw, raw[max(header, 0) :], protocol if raw[0] >> 4 in (4, 6) else -1, -1)
    ports = int.from_bytes(raw[at : at + 2], "big"), int.from_bytes(raw[at + 2 : at + 4], "big")
    return Packet(raw, raw[header:] if header > 0 else b"", protocol, min(ports))


@functools.cache
def clear_payloads() -> list[bytes]:
    """Clear payloads of clients' Initials, without padding."""
    payloads = (packet.payload for packet in recorded() if packet.protocol == _UDP)
    found = (clear.rstrip(b"\0") for payload in payloads for clear in clear_initials(payload))
    return [*dict.fromkeys(clear for clear in found if clear)]


def clear_initials(payload: bytes) -> Iterator[bytes]:
    """The clear payload of each Initial in a client's datagram, empty where it cannot be opened."""
    for packet in read_datagram(payload, 0, len(payload), len(payload)):
        if packet.kind == INITIAL:
            whole, at = payload[packet.start : packet.end], packet.payload_offset - packet.start
            yield open_initial(packet.version, packet.dcid, whole, at, from_server=False).payload


def crypto_prefix(clear: bytes) -> bytes:
    """The beginning of the crypto stream that the CRYPTO frames of one packet give."""
    stream = CryptoStream()
    for frame in read_frames(clear).frames:
        if type(frame) is Crypto:
            stream.add(frame.offset, frame.piece)
    stream.missing()
    return stream.prefix()
