"""TCP as tshark analyses it, connection by connection: handshake, round trip, repeats, retransmissions, who reset.

Compared are every third of the project's own captures, and of the public ones those with a known difference and every
``EVERY``-th other; HALFSHAKE_EVERY_CAPTURE=1 takes all (two minutes). What differs is explained by one of the rules or
listed in ``EXPLAINED``, and an explanation that nothing needs fails.

Rules, in each of which this project's side is the one that the records bear out:

* *copies*: where a capture holds packets twice, tshark takes the copies for retransmissions, repeats and reordering,
  and counts the round trip from the last copy of a SYN.
* *round trip*: tshark's is the time from the last SYN to the first answer of any kind, a RST or data included. Here it
  is that of a three-way handshake in which nothing was sent again (Karn's algorithm), and none where all times are
  equal: such a file was made. Under 10 µs tshark has none.
* *handshake*: tshark counts a SYN/ACK only behind a SYN in the file.
* *zero window*: a RST's window says nothing, and here a window that opens at once is no pause. tshark calls the probes
  of Linux, which carry no byte, keep-alives; they are no data and not compared.
* *holes*: tshark also names what is missing at the end or comes later; here a hole is what was acknowledged, with data
  before and behind.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from analyzer.capture.source import open_captures
from analyzer.events.connection import Connection
from analyzer.events.conversations import Conversations, conversations
from analyzer.events.scan import LEDGER, scan, settle
from analyzer.events.tcp.facts import TcpFacts, sent_by_both, tcp_facts
from analyzer.events.tcp.runs import round_trip_of
from tests.conftest import ROOT
from tests.test_public import FOLDER, NO_CAPTURES

EVERY = 1 if os.environ.get("HALFSHAKE_EVERY_CAPTURE") else 16
_FIELDS = (
    *("tcp.stream", "frame.number", "ip.src", "ipv6.src", "tcp.srcport", "tcp.flags", "tcp.len", "tcp.completeness"),
    *("frame.time_epoch", "tcp.seq", "tcp.ack"),
    *("tcp.analysis.retransmission", "tcp.analysis.out_of_order", "tcp.analysis.initial_rtt"),
    *("tcp.analysis.zero_window", "tcp.analysis.lost_segment"),
)
FIN, SYN, RST, ACK = 1, 2, 4, 16
Facts = dict[str, Any]

#: By capture, or capture and first record of the connection: the facts that differ, and why. "missing": a connection
#: that only one side has.
EXPLAINED: dict[str, tuple[set[str], str]] = {
    "ja4/browsers-x509.pcapng#1": (
        {"server_retransmitted"},
        (
            "bytes 11811 to 11995 come by in records 92 and 94 for the first time; tshark knows of them by the number "
            "of the bare ACK 89, here data is compared with data alone"
        ),
    ),
    "zeek/http/connect-with-smtp.pcap#1": (
        {"client_retransmitted"},
        "the same: the ACK 10 stands behind bytes 104 to 124, which record 11 brings for the first time",
    ),
    "zeek/erspan.pcap#275": (
        {"server_holes"},
        (
            "tshark is right: record 281 is put together from fragments of the tunnel's outer packets, which are not "
            "read here; therefore capture-drops is not told of captures with fragments"
        ),
    ),
    **{
        f"zeek/{name}": (
            {"handshake"},
            (
                "the data connection of an FTP control connection in the same file: tshark makes up its conversation "
                "from the PORT or PASV line and misses the SYN, which is the record named here"
            ),
        )
        for name in (
            *("ftp/bigtransfer.pcap#22", "ftp/bigtransfer.pcap#45", "ftp/ipv4.pcap#22", "ftp/ipv4.pcap#40"),
            *("ftp/ipv6.pcap#30", "ftp/ipv6.pcap#47", "ftp/ipv6.pcap#70", "ftp/retr.pcap#26", "pe/pe-single.pcap#51"),
        )
    },
    **{
        f"zeek/ipv4/{name}": (
            {"missing"},
            (
                "the first segment comes in fragments: here it has the record of the first, in tshark that of the "
                "last, or it is no segment at all where the others are missing"
            ),
        )
        for name in (
            *("fragmented-3.pcap#1", "fragmented-4.pcap#2", "fragmented-4.pcap#5"),
            *("fragmented-syn.pcap#1", "fragmented-syn.pcap#2"),
        )
    },
    "zeek/ipv6-http-atomic-frag.pcap#3": (
        {"handshake", "client_retransmitted"},
        (
            "recorded out of order: the SYN (4) behind its SYN/ACK (3), the request (8) behind its acknowledgment (6), "
            "so that tshark misses the one and takes the other for a spurious retransmission; each came once"
        ),
    ),
    "zeek/tcp/handshake-reorder.pcap#1": ({"handshake"}, "the SYN is recorded behind its SYN/ACK, as above"),
    "zeek/modbus/fuzz-1011.pcap#1": (
        {"server_reordered", "server_retransmitted"},
        "a fuzzer's sequence numbers: neither tells of a sender",
    ),
    "zeek/modbus/fuzz-72.pcap#1": (
        {"close_side", "server_reordered", "server_retransmitted"},
        "the same; record 1 has SYN and FIN, which is no end here",
    ),
    "zeek/pppoe-over-qinq.pcap#1": (
        {"server_retransmitted"},
        (
            "the IP headers of the server's bare ACKs claim six bytes of Ethernet padding (record 19: total length "
            "46), which tshark leaves out; by the headers they are data that comes again"
        ),
    ),
    "zeek/smtp.pcap#3": (
        {"client_reordered", "client_retransmitted"},
        "all five segments bring bytes that had come by before; tshark calls one of them out of order",
    ),
    "zeek/tcp/rst-inject-rae.pcap#1": (
        {"round_trip"},
        "the injected RST (2) is no answer to the handshake, which takes 1.27 s (4)",
    ),
    "zeek/trunc/ip-discarder-truncated-tcp-oob.pcapng#1": (
        {"missing"},
        "the TCP header is cut: the ports are known and the flow is counted here; tshark does not read it",
    ),
}


class Segment(NamedTuple):
    """What tshark says of one segment."""

    number: int
    time: float
    source: tuple[str, int]
    flags: int
    length: int
    numbers: tuple[int, int]
    completeness: int
    again: bool
    out_of_order: bool
    round_trip: float
    zero_window: bool
    after_hole: bool


def streams(path: Path) -> Iterator[list[Segment]]:
    """tshark's TCP streams, in two passes; segments that an ICMP error quotes are none."""
    fields = [part for name in _FIELDS for part in ("-e", name)]
    command = ["tshark", "-2", "-n", "-r", str(path), "-Y", "tcp && !icmp && !icmpv6", "-T", "fields"]
    command += ["-E", "occurrence=l", *fields]
    found: dict[str, list[Segment]] = {}
    for line in subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout.splitlines():
        values = dict(zip(_FIELDS, line.split("\t"), strict=True))
        found.setdefault(values["tcp.stream"], []).append(segment(values))
    yield from found.values()


def segment(values: dict[str, str]) -> Segment:
    def has(name: str) -> bool:
        return values[f"tcp.analysis.{name}"] not in ("", "0", "False")

    return Segment(
        number=int(values["frame.number"]),
        time=float(values["frame.time_epoch"]),
        source=(values["ip.src"] or values["ipv6.src"], int(values["tcp.srcport"])),
        flags=int(values["tcp.flags"], 16),
        length=int(values["tcp.len"] or 0),
        numbers=(int(values["tcp.seq"] or 0), int(values["tcp.ack"] or 0)),
        completeness=int(values["tcp.completeness"] or 0),
        again=has("retransmission"),
        out_of_order=has("out_of_order"),
        round_trip=float(values["tcp.analysis.initial_rtt"] or -1),
        zero_window=has("zero_window"),
        after_hole=has("lost_segment"),
    )


def is_plain(stream: list[Segment]) -> bool:
    """Whether a stream begins with SYN, SYN/ACK and the ACK of that, each once."""
    flags = [each.flags & (SYN | ACK | RST | FIN) for each in stream]
    if flags[:3] != [SYN, SYN | ACK, ACK] or any(each & SYN for each in flags[3:]):
        return False
    request, answer, last = stream[:3]
    is_later = request.source == last.source and request.time < last.time
    return is_later and last.numbers == (answer.numbers[1], 1 + answer.length)


def theirs(stream: list[Segment], client: tuple[str, int]) -> Facts:
    """The facts of a stream in this project's words."""
    sides = [("client" if each.source == client else "server", each) for each in stream]
    facts: Facts = {
        "round_trip": next((each.round_trip for each in stream if each.round_trip >= 0), -1.0),
        "repeats": sum(each.again and each.flags & (SYN | ACK) == SYN for each in stream),
        "reset_by": next((side for side, each in sides if each.flags & RST), ""),
        "close_side": next((side for side, each in sides if each.flags & FIN), ""),
        "zero_window": any(each.zero_window for each in stream),
        "handshake": stream[0].completeness & 3,
        "plain": is_plain(stream),
    }
    for name in ("client", "server"):
        own = [each for side, each in sides if side == name]
        facts[f"{name}_retransmitted"] = sum(each.again and each.length > 0 for each in own)
        facts[f"{name}_reordered"] = sum(each.out_of_order for each in own)
        facts[f"{name}_holes"] = any(each.after_hole for each in own)
    return facts


def ours(found: Conversations, connection: Connection, facts: TcpFacts, following: Connection | None) -> Facts:
    """The same facts as this project tells them."""
    resets = {side: time for side, time in (("client", facts.client_rst), ("server", facts.server_rst)) if time >= 0}
    told: Facts = {
        "round_trip": round_trip_of(found.flows, connection) / 1e9,
        "repeats": max(len(connection.request_rows) - connection.first_repeat, 0),
        "reset_by": connection.reset_by,
        "close_side": connection.close_side,
        "zero_window": facts.zero_window_by != "",
        "handshake": bool(connection.request_rows) + 2 * bool(connection.syn_ack_rows),
    }
    assert not resets or connection.reset_by in resets
    for name, sent in zip(("client", "server"), sent_by_both(found.flows, connection, following), strict=True):
        told[f"{name}_retransmitted"], told[f"{name}_reordered"] = sent.retransmitted, sent.reordered
        told[f"{name}_holes"] = sent.unseen > 0
    return told


def agrees(name: str, mine: Facts, tshark: Facts, *, has_copies: bool) -> bool:
    """Whether both say the same, or differ by one of the rules."""
    here, there = mine[name], tshark[name]
    if name == "round_trip":
        close = abs(here - there) < 2e-6 or (here < 0 and there < 1e-5) or (there < 0 and here < 1e-5)
        return bool(close or (has_copies and here > there) or (here < 0 and not tshark["plain"]))
    if name == "handshake":
        return bool(here == there or (here == 2 and there == 0))
    if name == "zero_window":
        return bool(here <= there)  # a RST's window says nothing, and a window that opens at once is no pause
    if name.endswith("_holes"):
        return bool(here <= there)  # tshark also names what is missing at the end, and what comes later
    if has_copies and (name == "repeats" or name.endswith(("_retransmitted", "_reordered"))):
        return bool(here <= there)
    return bool(here == there)


def differences(path: Path, name: str) -> dict[str, set[str]]:
    """By connection, the facts that differ."""
    capture_set = open_captures([str(path)])
    found = conversations(settle(scan(capture_set.batches(compiled=False), 1, compiled=False)))
    has_copies = bool(found.flows.scan.ledger[0, LEDGER.index("duplicates")])
    record = found.flows.scan.rows.record
    mine, following = {}, dict[int, Connection]()
    facts = tcp_facts(found.flows, found.connections)
    for connection, fact in zip(reversed(found.connections), reversed(facts), strict=True):
        if connection.transport == "tcp":
            told = ours(found, connection, fact, following.get(connection.flow))
            mine[int(record[connection.rows[0]])] = connection, told
            following[connection.flow] = connection
    if not mine:
        return {}
    differing: dict[str, set[str]] = {}
    seen = set()
    for stream in streams(path):
        first = stream[0].number
        seen.add(first)
        if first not in mine:
            differing[f"{name}#{first}"] = {"missing"}
            continue
        connection, told = mine[first]
        other = theirs(stream, connection.client[1:])
        if wrong := {fact for fact in told if not agrees(fact, told, other, has_copies=has_copies)}:
            differing[f"{name}#{first}"] = wrong
    return differing | {f"{name}#{first}": {"missing"} for first in mine if first not in seen}


def public() -> list[Path]:
    """The public captures that are compared."""
    if not FOLDER.is_dir():
        return []
    every = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in NO_CAPTURES)
    known = {name.split("#")[0] for name in EXPLAINED}
    return [p for k, p in enumerate(every) if k % EVERY == 0 or str(p.relative_to(FOLDER)) in known]


def test_our_captures_as_tshark_sees_them(tshark: str) -> None:
    differing: dict[str, set[str]] = {}
    for path in sorted((ROOT / "captures").rglob("*.pcap*"))[:: 3 if EVERY > 1 else 1]:
        differing |= differences(path, str(path.relative_to(ROOT)))
    assert differing == {}


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no public captures in {FOLDER}: set HALFSHAKE_PUBLIC")
def test_public_captures_as_tshark_sees_them(tshark: str) -> None:
    differing: dict[str, set[str]] = {}
    for path in public():
        differing |= differences(path, str(path.relative_to(FOLDER)))
    assert differing == {name: facts for name, (facts, _) in EXPLAINED.items()}
