"""The cases: a name, what the big version is, its size, and what makes it of any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.hostile import files, flows, streams


class Case(NamedTuple):
    """A hostile capture. ``make`` writes it in a size whose unit its docstring gives; ``big`` is that of the table."""

    name: str
    what: str
    big: int
    make: Callable[[Path, int], None]


CASES = (
    Case("giant-lengths", "a record that claims 4 GB behind 100,000 sound ones", 100_000, files.giant_lengths),
    Case("zero-records", "10,000,000 records of no bytes", 10_000_000, files.zero_records),
    Case("bomb-gz", "gzip of 20 GB", 20_000, files.bomb_gz),
    Case("bomb-gz-gz", "gzip in gzip of 20 GB", 20_000, files.bomb_gz_gz),
    Case("bomb-zst", "Zstandard of 20 GB", 20_000, files.bomb_zst),
    Case("bomb-xz", "xz of 2 GB", 2_000, files.bomb_xz),
    Case("bomb-lz4", "LZ4 of 2 GB", 2_000, files.bomb_lz4),
    Case("pcapng-options", "2,000 packets with 4,000 comments each, without an end mark", 2_000, files.pcapng_options),
    Case("pcapng-blocks", "100,000 interfaces, names, secrets and statistics", 100_000, files.pcapng_blocks),
    Case("distinct-flows", "10,000,000 SYNs of as many clients", 10_000_000, flows.distinct_flows),
    Case("distinct-servers", "50,000 SYNs to as many servers", 50_000, flows.distinct_servers),
    Case("distinct-udp", "2,000,000 datagrams of as many clients", 2_000_000, flows.distinct_udp),
    Case("hash-flood", "200,000 SYNs whose keys collide under a plain hash", 200_000, flows.hash_flood),
    Case("one-dcid", "1,000,000 Initials of one connection", 1_000_000, streams.one_dcid),
    Case(
        "distinct-dcids",
        "1,000,000 Initials that nobody can open, of as many DCIDs, on one pair of sockets",
        1_000_000,
        streams.distinct_dcids,
    ),
    Case(
        "attempts-on-one-pair", "50,000 QUIC connections on one pair of sockets", 50_000, streams.attempts_on_one_pair
    ),
    Case("crypto-offsets", "20,000 Initials with CRYPTO at 2^62 and at holes", 20_000, streams.crypto_offsets),
    Case("coalesced", "2,000 datagrams of 5,900 QUIC packets each", 2_000, streams.coalesced),
    Case("version-negotiation", "2,000 Version Negotiations of 16,000 versions", 2_000, streams.version_negotiation),
    Case("nested-tunnels", "10,000 packets of 3,200 tunnels or 8,000 extension headers", 10_000, flows.nested_tunnels),
    Case("endless-fragments", "100,000 fragments that are never whole", 50_000, flows.endless_fragments),
    Case("whole-fragments", "30,000 TCP segments in two fragments", 30_000, flows.whole_fragments),
    Case("overlapping-fragments", "3,000 packets in 120 fragments that overlap", 3_000, flows.overlapping_fragments),
    Case("icmp-errors", "200,000 ICMP errors about one datagram", 200_000, flows.icmp_errors),
    Case(
        "icmp-of-many",
        "30,000 connections of one pair of sockets, with an ICMP error each",
        30_000,
        flows.icmp_of_many,
    ),
    Case("arp-questions", "200,000 ARP questions for as many addresses", 200_000, flows.arp_questions),
    Case("dns-loops", "2,000 DNS answers of 4,000 names that point at one another", 2_000, flows.dns_loops),
    Case("dns-pointer-chain", "2,000 DNS answers of 1,000 names of 100 pointers", 2_000, flows.dns_pointer_chain),
    Case("dns-questions", "100,000 DNS questions for as many names", 100_000, flows.dns_questions),
    Case("giant-certificate", "a certificate of 100 MB", 100, streams.giant_certificate),
    Case("endless-head", "an HTTP head of 100 MB", 100, streams.endless_head),
    Case("syns-on-one-pair", "100,000 SYNs and RSTs on one pair of sockets", 100_000, streams.syns_on_one_pair),
)
