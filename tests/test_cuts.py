"""The most important property of the design: the result does not depend on where the captures were cut.

(a) scanned piece by piece, merged in any association and settled: the same document and tables, byte for byte;
(b) written as several files: the same findings, connections and sockets, once record numbers are counted on.
"""

from __future__ import annotations

import functools
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.analysis import Analysis, analyse
from analyzer.capture.records import Batch
from analyzer.events import flows as fl
from analyzer.events.scan import Scan, merge, scan, settle
from analyzer.fleet.limit import Bounded
from analyzer.reports.export import document_json, write_table
from tests.conftest import ROOT
from tests.crafted import (
    MS,
    SECOND,
    START,
    Captured,
    batch_of,
    batches_of,
    captured_of,
    ip,
    joined,
    pieces_of,
    tcp,
    udp,
    write_pcap,
)

CAPTURES = ROOT / "captures"
TABLES = ("connections", "sockets", "exchanges", "resolutions", "packets", "findings")
CUT = (
    "02-caddy-ipv4-silent/nft-output-drop/server.pcap",  # QUIC, one family silent
    "03-haproxy-ocsp-ipv6/noroute-prefer4/haproxy-side.pcap",  # HTTP on a connection that is kept
    "05-wrong-source-address/aioquic-v4/client.pcap",  # replies from elsewhere
    "06-version-negotiation/never-converges/client.pcap",
    "07-retry/aioquic-ok/server.pcap",
    "11-tcp-cases/synack-lost-path/server.pcap",  # TCP repeats
    "12-happy-eyeballs/v6-blackhole/client.pcap",
    "15-any-interface/dnat/host-3if.pcapng",  # duplicates, and time that runs backwards
    "15-any-interface/dnat/host-any.pcap",
    "21-asymmetric-route/asym-nginx/server-eth0.pcap",  # one direction only
)


class Whole:
    """A capture read once: its records, and what came of the whole."""

    def __init__(self, name: str) -> None:
        self.path = CAPTURES / name
        self.batch = joined(batches_of(self.path))
        self.count = len(self.batch.records.time)
        self.written = written(analyse([str(self.path)]))

    def cut(self, cuts: Sequence[int], join: Callable[[list[Scan]], Scan]) -> Analysis:
        """The analysis of the capture, scanned in pieces."""

        def scan_pieces(batches: Iterable[Batch], captures: int, **how: Any) -> Bounded:
            for _ in batches:
                pass  # the facts of a capture are complete once all of it was read
            return Bounded(
                join([scan([piece], captures, **how) for piece in pieces_of(self.batch, cuts)]), (0, 0, 0, 0)
            )

        with mock.patch("analyzer.analysis.scan_bounded", scan_pieces):
            return analyse([str(self.path)])

    def scanned(self, batch: Batch) -> Scan:
        return scan([batch], 1, compiled=False)


def written(analysis: Analysis) -> dict[str, str | bytes]:
    """The report document and every table, as they are written."""
    out: dict[str, str | bytes] = {"document": document_json(analysis.document)}
    for table in TABLES:
        file = io.BytesIO()
        write_table(getattr(analysis, table), "jsonl", file)
        out[table] = file.getvalue()
    return out


@functools.cache
def whole(name: str) -> Whole:
    return Whole(name)


def merged(scans: Sequence[Scan], draw: st.DrawFn) -> Scan:
    """The scans merged in a random association, their order kept."""
    scans = list(scans)
    while len(scans) > 1:
        at = draw(st.integers(0, len(scans) - 2))
        scans[at : at + 2] = [merge(scans[at], scans[at + 1])]
    return scans[0]


def cuts_of(draw: st.DrawFn, places: Sequence[int]) -> list[int]:
    return sorted(draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)))


@pytest.mark.parametrize("name", CUT)
@settings(max_examples=12)
@given(data=st.data())
def test_cut_anywhere_and_merged_in_any_order_gives_the_same_bytes(name: str, data: st.DataObject) -> None:
    capture = whole(name)
    cuts = cuts_of(data.draw, range(capture.count + 1))
    assert written(capture.cut(cuts, lambda pieces: merged(pieces, data.draw))) == capture.written


@pytest.mark.parametrize("name", CUT)
def test_cut_at_every_record_gives_the_same_scan(name: str) -> None:
    """Tables could hide a difference that a settled scan shows."""
    capture = whole(name)
    expected = plain(settle(capture.scanned(capture.batch)))
    for cut in range(0, capture.count + 1, 1 + capture.count // 40):
        first, second = (capture.scanned(piece) for piece in pieces_of(capture.batch, [cut]))
        assert plain(settle(merge(first, second))) == expected, cut


def test_cut_before_every_record_at_once() -> None:
    capture = whole("11-tcp-cases/synack-lost-path/server.pcap")
    cuts = range(1, capture.count)
    assert written(capture.cut(cuts, lambda pieces: functools.reduce(merge, pieces))) == capture.written


def plain(settled: Scan) -> dict[str, Any]:
    """A settled scan without what is only its storage, and without the CID runs that ``settle`` counts again."""
    state = np.delete(settled.table.state, [fl.CID_DIGEST, fl.CID_RUN], axis=1)
    rows = {name: column.tolist() for name, column in settled.rows._asdict().items() if name != "start"}
    kept = [settled.row_bytes(row) for row in range(len(settled.rows.time))]
    return {"rows": rows, "kept": kept, "keys": settled.table.keys.tolist()} | {
        "ledger": settled.ledger.tolist(),
        "state": state.tolist(),
    }


#: Initials (0xC0; after the CIDs an empty token and 100 bytes) and 0-RTT packets of two connections.
LONG_HEADERS = [
    bytes([first]) + bytes.fromhex("00000001 08") + bytes([cid]) * 8 + after + bytes(100)
    for first, after in ((0xC0, b"\0\0\x40\x64"), (0xD0, b"\0\x40\x64"))
    for cid in (1, 2)
]
POOL = [
    *(
        ip(*ends, 17, udp(ports, payload), ident=ident)
        for ends, ports in ((("192.0.2.1", "192.0.2.2"), (5000, 443)), (("192.0.2.2", "192.0.2.1"), (443, 5000)))
        for payload in (b"", b"x" * 40, *LONG_HEADERS)
        for ident in (1, 2)
    ),
    *(
        ip("192.0.2.1", "192.0.2.2", 6, tcp((5001, 80), flags, payload, seq=seq), ident=ident)
        for flags in (2, 16, 17)
        for payload in (b"", b"y")
        for seq in (1, 2)
        for ident in (0, 1)
    ),
    ip(
        "192.0.2.2",
        "192.0.2.1",
        1,
        bytes([3, 3, 0, 0, 0, 0, 0, 0]) + ip("192.0.2.1", "192.0.2.2", 17, udp((5000, 443))),
        ident=7,
    ),
    *(
        ip("192.0.2.1", "192.0.2.2", 17, udp((5000, 443), bytes([0x40, k]) + bytes(20) + tail * 16))  # resets end alike
        for k in (1, 2)
        for tail in (b"r", b"s")
    ),
    *(
        ip("192.0.2.1", "192.0.2.2", 17, udp((5000, 443), b"f" * 16), ident=ident, fragment=fragment)
        for ident in (1, 2)
        for fragment in (0x2000, 0x2003, 0x0006)
    ),
    ip("192.0.2.2", "192.0.2.1", 99, b"other"),
    b"\x4f" + ip("192.0.2.2", "192.0.2.1", 17, udp((443, 5000)))[1:],  # options that are not there
    ip("2001:db8::1", "2001:db8::2", 60, b""),  # an extension header that is not there
    b"\x00",
]
STEPS = (0, MS, 25 * MS, SECOND, 2 * SECOND, -MS)


@st.composite
def traffic(draw: st.DrawFn) -> list[Captured]:
    """Few different packets, many times: full of duplicates, repeats and pauses."""
    favourites = draw(st.lists(st.sampled_from(POOL), min_size=1, max_size=4))
    time, captured = START, []
    length = draw(st.integers(0, 40))
    steps = st.sampled_from(draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=3)))
    packets = st.tuples(st.sampled_from(favourites), steps)
    for raw, step in draw(st.lists(packets, min_size=length, max_size=length)):
        time += step
        captured.append(Captured(raw, time))
    return captured


@settings(max_examples=250)
@given(captured=traffic(), data=st.data())
def test_made_traffic_cut_anywhere_gives_the_same_scan(captured: list[Captured], data: st.DataObject) -> None:
    batch = batch_of(captured)
    cuts = cuts_of(data.draw, range(len(captured) + 1))
    how = {"compiled": False, "with_secrets": data.draw(st.booleans())}
    pieces = [scan([piece], 1, **how) for piece in pieces_of(batch, cuts)]
    assert plain(settle(merged(pieces, data.draw))) == plain(settle(scan([batch], 1, **how)))


def places_in_time(batch: Batch) -> list[int]:
    """Where the capture may be cut into files: nothing before is later than anything behind."""
    time = batch.records.time
    latest, earliest = np.maximum.accumulate(time), np.minimum.accumulate(time[::-1])[::-1]
    return [0, *(np.flatnonzero(latest[:-1] <= earliest[1:]) + 1).tolist(), len(time)]


#: What tells the files apart, and nothing else. A reply's record is a number in the file of the reply, which the
#: tables do not name: the reply is compared by its time.
OF_FILES = {"position", "captures", "capture", "tool", "reply_record"}
#: Findings about single files.
ABOUT_FILES = {"capture-duplicates", "capture-cut", "capture-truncated"}


def comparable(analysis: Analysis, firsts: Sequence[int]) -> list[str]:
    """Document and tables as lines, records numbered over all files: ``firsts`` are the records before each file."""

    def numbered(match: re.Match[str]) -> str:
        return f"record {firsts[int(match[2])] + int(match[1])}"

    def told(value: Any) -> Any:
        """The value without the names of files: ``0.pcap``, ``1.pcap``, ..."""
        return re.sub(r"record (\d+) of (\d+)\.pcap", numbered, value) if isinstance(value, str) else value

    def counted(row: dict[str, Any]) -> dict[str, Any]:
        out = {}
        for name, value in row.items():
            if name in ("first_record", "request_record", "record") and value != -1:
                out[name] = firsts[row["capture"]] + value
            elif name.endswith("records") and isinstance(value, list | tuple):
                out[name] = [firsts[capture] + record for capture, record in value]
            elif name not in OF_FILES:
                out[name] = told(value)
        return out

    document = {name: value for name, value in analysis.document.items() if name not in OF_FILES}
    for name in ("connections", "sockets", "findings"):
        document[name] = [counted(row) for row in document[name] if row.get("pattern") not in ABOUT_FILES]
    rows = {name: list(getattr(analysis, name).rows()) for name in TABLES}
    tables = {name: [counted(row) for row in rows[name] if row.get("pattern") not in ABOUT_FILES] for name in TABLES}
    return json.dumps(document | {f"table {name}": table for name, table in tables.items()}, indent=1).splitlines()


@pytest.mark.parametrize("name", CUT)
@settings(max_examples=6)
@given(data=st.data())
def test_cut_into_files_gives_the_same_findings(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    capture = whole(name)
    folder = tmp_path_factory.mktemp("files")
    cuts = cuts_of(data.draw, places_in_time(capture.batch))
    pieces = [piece for piece in pieces_of(capture.batch, cuts) if len(piece.records.time)]
    files = [str(write_pcap(folder / f"{k}.pcap", captured_of(piece))) for k, piece in enumerate(pieces)]
    firsts = np.cumsum([0, *(len(piece.records.time) for piece in pieces)]).tolist()
    one = write_pcap(folder / "one.pcap", captured_of(capture.batch))
    assert comparable(analyse(files), firsts) == comparable(analyse([str(one)]), [0])
