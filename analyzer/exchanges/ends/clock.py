"""What two captures of the same minutes have in common, how far their clocks are apart, and which is nearer the client.

How it works
------------
A packet is known again by its content, since addresses may be translated on the way: a SYN by its numbers, a datagram
by its length and first bytes. What occurs once in each capture is a pair. The client's packets pass the capture nearer
the client first, the server's pass it last: with the clock of b ahead of a's by x and the ways w and v between them,

    client's packets:  time at b - time at a = x + w        server's packets:  time at b - time at a = x - v

so the smallest of the first and the largest of the second are apart by the round trip between both places, and x lies
half-way, give or take half of that round trip. Which is nearer the client is told by TTLs, which only fall, else by the
sign of that round trip.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import median
from analyzer.events.connection import Socket, client_by_port
from analyzer.events.flows import DUPLICATE_WITHIN_NS, KEY_WORDS
from analyzer.events.scan import Scan
from analyzer.wire.packets import TCP, UDP

#: Content by which packets are known again. Longer than any snaplen that cuts QUIC headers would allow.
CONTENT_BYTES = 32

#: Datagrams of fewer bytes are alike too often.
LEAST_CONTENT = 12

#: Packets of one capture that are compared; more do not change a median.
MOST_PACKETS = 20_000

#: Packets lie in networks for milliseconds, in full queues for seconds.
LONGEST_WAY_NS = 5_000_000_000

#: Shorter differences are those of interrupts and buffers, not of ways.
LEAST_WAY_NS = 50_000

#: Clocks that are synchronized are no farther apart than this within one site.
LEAST_AHEAD_NS = 1_000_000

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16

Content = tuple[object, ...]


class Proof(IntEnum):
    """How far equal content proves one packet."""

    LIKELY = 0  # data of TCP, any datagram: others may be alike
    CERTAIN = 1  # a SYN: random numbers, but the same in a repeat
    UNREPEATABLE = 2  # a QUIC long header or a SYN with a timestamp: a repeat has another packet number or time


class Seen(NamedTuple):
    """A packet that is known by its content: time (ns), TTL, whether the client sent it."""

    time: int
    ttl: int
    from_client: bool
    proof: Proof


class Clock(NamedTuple):
    """How the clock of capture b stands to that of a. Times are ns."""

    ahead: int  # of b before a; 0 where the difference may be nothing but the ways
    within: int  # how exact that is, -1 if only one direction is in both
    packets: int
    certain: int  # of these that nothing else but a repeat can be alike
    unrepeatable: int  # of these that no repeat can be alike either
    nearer: int  # 1: a is nearer the client, -1: b is, 0: not to be told


def packets_of(scan: Scan, captures: int) -> list[NDArray[np.int64]]:
    """Of each capture the rows of packets that may be known again, in their order."""
    rows = scan.rows
    known = np.flatnonzero((rows.flow >= 0) & ((rows.kind == TCP) | (rows.kind == UDP)))
    known = known[np.argsort(rows.capture[known], kind="stable")]
    return np.split(known, np.searchsorted(rows.capture[known], np.arange(1, captures)))


def contents(scan: Scan, packets: NDArray[np.int64]) -> dict[Content, Seen]:
    """The packets (rows of a capture) whose content occurs once among them, or again only as a copy a moment later."""
    rows = scan.rows
    found: dict[Content, Seen] = {}
    repeated: set[Content] = set()
    clients: dict[int, int] = {}
    ports = scan.table.keys.reshape(-1, KEY_WORDS)[:, 8]
    for row in packets.tolist():
        direction, flow = int(rows.direction[row]), int(rows.flow[row])
        if flow not in clients:
            clients[flow] = _client(int(ports[flow]), direction)
        content, proof = content_of(scan, row)
        if not content:
            continue
        seen = Seen(int(rows.time[row]), int(rows.ttl[row]), direction == clients[flow], proof)
        known = found.setdefault(content, seen)
        if seen.time - known.time > DUPLICATE_WITHIN_NS:
            repeated.add(content)
    return {content: seen for content, seen in found.items() if content not in repeated}


def _client(ports: int, first_sender: int) -> int:
    """The direction that is probably the client's; what matters is that it is the same in all captures."""
    a, b = Socket(0, "", ports >> 16), Socket(0, "", ports & 0xFFFF)
    return client_by_port(a, b, first_sender)[0]


def content_of(scan: Scan, row: int) -> tuple[Content, Proof]:
    """(what a packet is known by, how far that proves it); () for what tells nothing."""
    rows = scan.rows
    length, header = int(rows.payload_length[row]), int(rows.header[row])
    if rows.kind[row] == TCP:
        flags = int(rows.tcp_flags[row])
        if not flags & (_FIN | _SYN | _RST) and not length:
            return (), Proof.LIKELY
        content = "tcp", flags & (_FIN | _SYN | _RST | _ACK), int(rows.sequence[row])
        acknowledged = int(rows.acknowledgment[row]) if flags & _ACK else 0
        if not flags & _SYN:
            return (*content, acknowledged), Proof.LIKELY
        stamp = _timestamp(scan.row_bytes(row)[int(rows.transport[row]) + 20 : max(header, 0)])
        return (*content, acknowledged, stamp), Proof.UNREPEATABLE if stamp else Proof.CERTAIN
    if length < LEAST_CONTENT or header < 0:
        return (), Proof.LIKELY
    payload = scan.row_bytes(row)[header : header + CONTENT_BYTES]
    if len(payload) < LEAST_CONTENT:
        return (), Proof.LIKELY
    return ("udp", length, payload), Proof.UNREPEATABLE if rows.quic[row] else Proof.LIKELY


def _timestamp(options: bytes) -> bytes:
    """The sender's time in TCP options (RFC 7323 §3.2), b"" for none."""
    at = 0
    while at + 1 < len(options) and options[at]:
        if options[at] == 1:
            at += 1
        elif options[at] == 8:
            return options[at + 2 : at + 6]
        else:
            at += max(options[at + 1], 2)
    return b""


def compare(a: dict[Content, Seen], b: dict[Content, Seen]) -> Clock | None:
    """The clocks of two captures with packets in common, None where they have none, or none at a constant distance."""
    pairs = list(_pairs(a, b))
    if not pairs:
        return None
    middle = median(y.time - x.time for x, y in pairs)
    pairs = [(x, y) for x, y in pairs if abs(y.time - x.time - middle) <= LONGEST_WAY_NS]
    if not pairs:
        return None
    to_server = [y.time - x.time for x, y in pairs if x.from_client]
    to_client = [y.time - x.time for x, y in pairs if not x.from_client]
    hops = sum(np.sign(x.ttl - y.ttl) * (1 if x.from_client else -1) for x, y in pairs)
    proofs = [x.proof for x, _ in pairs]
    sure = sum(proof >= Proof.CERTAIN for proof in proofs), sum(proof >= Proof.UNREPEATABLE for proof in proofs)
    if not to_server or not to_client:
        ahead = round(median(to_server or to_client))
        return Clock(ahead if abs(ahead) > LONGEST_WAY_NS else 0, -1, len(pairs), *sure, int(np.sign(hops)))
    apart = median(to_server) - median(to_client)
    low, high = (min(to_server), max(to_client)) if apart >= 0 else (max(to_server), min(to_client))
    ahead, within = (low + high) // 2, abs(low - high) // 2
    nearer = int(np.sign(hops)) or (int(np.sign(apart)) if abs(apart) >= LEAST_WAY_NS else 0)
    ahead = ahead if abs(ahead) > max(within, LEAST_AHEAD_NS) else 0
    return Clock(ahead, within, len(pairs), *sure, nearer)


def _pairs(a: dict[Content, Seen], b: dict[Content, Seen]) -> Iterator[tuple[Seen, Seen]]:
    for content, seen in a.items():
        if (other := b.get(content)) is not None and other.from_client == seen.from_client:
            yield seen, other
