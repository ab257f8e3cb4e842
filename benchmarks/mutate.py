"""Mutated datagrams against every decoder: none may raise, and the kernel must equal the plain reader.

    python benchmarks/mutate.py [--count 10000000] [--seed 1]

The originals are the packets of ``captures/``. A mutation flips bits, cuts, repeats a part, or writes a length that
lies. Each mutated packet goes through the QUIC headers (plain and, in batches, compiled), the keys of its own DCID,
frames, TLS records and hellos, ICMP quotes, ARP and NDP, checksums, key logs. What an authenticated packet would
hide from mutation, frames and hellos, is mutated in the clear as well.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from analyzer.capture.source import open_captures
from analyzer.events.scan import scan
from analyzer.wire.certificates import read_certificate
from analyzer.wire.keylog import read_keylog
from analyzer.wire.neighbours import read_ndp
from analyzer.wire.quic.header import read_datagram
from analyzer.wire.quic.split import Datagrams, quic_packets
from analyzer.wire.tls import read_records
from fuzz.targets import CAPTURES, clear_initials, control, frames, hello

BATCH = 2000
ALPHABET = (0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xFF)


def originals() -> tuple[list[bytes], list[bytes]]:
    """Packets from the IP header on, and clear payloads of Initials, of all captures."""
    packets: set[bytes] = set()
    clear: set[bytes] = set()
    for capture in sorted(CAPTURES.rglob("*.pcap*")):
        opened = open_captures([str(capture)])
        scanned = scan(opened.batches(False), 1, compiled=False, with_secrets=True)
        for row in range(len(scanned.rows.time)):
            packet = scanned.row_bytes(row)
            packets.add(packet)
            payload = packet[max(int(scanned.rows.header[row]), 0) :]
            clear.update(each.rstrip(b"\0") for each in clear_initials(payload))
    return sorted(packets), sorted(clear - {b""})


def mutated(original: bytes, chance: random.Random) -> bytes:
    """One to four changes."""
    b = bytearray(original)
    for _ in range(chance.randint(1, 4)):
        if not b:
            break
        at = chance.randrange(len(b)) if chance.random() < 0.5 else chance.randrange(min(len(b), 64))
        what = chance.randrange(5)
        if what == 0:
            b[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            b[at] = chance.choice(ALPHABET)
        elif what == 2:
            del b[at:]
        elif what == 3:
            b[at:at] = b[at : at + chance.randrange(1, 32)]
        else:
            b[at : at + 2] = chance.choice((b"\xff\xff", b"\x00\x00", b"\x40\x00", b"\x7f\xff"))
    return bytes(b)


def read_packet(packet: bytes) -> None:
    """What reads packets as they are on the wire, at a few places where a header may begin."""
    control(packet)
    for header in (20, 28, 40, 48, 60):
        payload = packet[header:]
        read_ndp(135, "::", payload)
        hello(read_records(payload).handshake)
    for header in (28, 48):
        for clear in clear_initials(packet[header:]):
            frames(clear)
    read_keylog(packet)
    if packet[:1] == b"\x30":
        read_certificate(packet)


def same_from_the_kernel(batch: list[bytes]) -> None:
    """The compiled splitting of a batch of datagrams has a row for each packet that the plain reader finds."""
    joined = np.frombuffer(bytearray(b"".join(batch)), np.uint8)
    ends = np.cumsum([len(b) for b in batch])
    starts = ends - np.array([len(b) for b in batch])
    table = quic_packets(joined, Datagrams(starts, ends, ends), compiled=True)
    expected = [packet for b in batch for packet in read_datagram(b, 0, len(b), len(b))]
    assert table.kind.tolist() == [packet.kind for packet in expected]
    assert table.version.tolist() == [packet.version for packet in expected]
    assert (table.end - table.start).tolist() == [packet.end - packet.start for packet in expected]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=10_000_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    chance = random.Random(given.seed)
    packets, clear = originals()
    kinds: list[tuple[list[bytes], Callable[[bytes], None]]] = [(packets, read_packet), (clear, frames)]
    print(f"{len(packets)} packets and {len(clear)} clear payloads to mutate, seed {given.seed}")
    begun, done = time.monotonic(), 0
    while done < given.count:
        batch: list[bytes] = []
        for _ in range(min(BATCH, given.count - done)):
            sources, read = chance.choice(kinds)
            b = mutated(chance.choice(sources), chance)
            try:
                read(b)
            except Exception:
                print(f"raised on {b.hex()}")
                raise
            batch.append(b[28:] if sources is packets else b)
        same_from_the_kernel(batch)
        done += len(batch)
        if done % 100_000 < BATCH:
            print(f"{done:,} in {time.monotonic() - begun:,.0f} s", flush=True)
    print(f"{done:,} mutated datagrams, no exception, {time.monotonic() - begun:,.0f} s")


if __name__ == "__main__":
    main()
