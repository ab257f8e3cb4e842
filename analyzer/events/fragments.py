"""IP fragments put together again: the datagrams and segments that the sender wrote, as far as the capture has them.

How it works
------------
The first fragment has the transport header and belongs to the flow of its ports; the later ones have none and lie in a
flow of their addresses alone. The selection keeps the first ``FRAGMENTS_KEPT`` of either per direction. After the scan
the fragments of one packet are found by what RFC 791 §3.2 and RFC 8200 §4.5 name: family, addresses, identification
and, over IPv4, the protocol. A packet that is whole takes the place of its first fragment's row, bytes and all, so
that no later room knows of fragments; the rows of its later fragments are tied to that row.

Nothing is guessed. Fragments that overlap and differ, or that end in two places, are left as they were, since hosts
disagree about them (RFC 5722, RFC 1858); copies and overlaps with equal bytes are taken. A packet waits for its
fragments for ``REASSEMBLY_NS``, and takes no more than ``MOST_PIECES`` of them.

Not read here: fragments of a tunnel's outer packets; packets other than UDP and TCP are tied, not rewritten.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from analyzer.events import flows as fl
from analyzer.events.scan import Scan
from analyzer.events.selected import Selected
from analyzer.wire.packets import LATER_FRAGMENT, TCP, UDP
from analyzer.wire.quic.summary import datagram_kinds, quic_cid_digest

#: RFC 8200 §4.5: "If insufficient fragments are received to complete reassembly of a packet within 60 seconds".
REASSEMBLY_NS = 60_000_000_000
#: A packet of 64 KB over an MTU of 576 has 119.
MOST_PIECES = 128
#: RFC 791 §3.1: the total length is a 16-bit field.
MOST_BYTES = 65_535

#: Why a packet stayed in pieces: words of the column ``flaw``.
MISSING, CONTRADICTORY, CUT = "fragments-missing", "fragments-contradict", "fragments-cut"
FLAW_WORDS = {
    MISSING: "the others were not seen, as where a capture filter names a port, which only the first fragment has",
    CONTRADICTORY: "they overlap and differ, end in two places, or reach beyond 65,535 bytes",
    CUT: "the snapshot length cut them",
}

_IPV6_FRAGMENT, _EXTENSIONS, _MOST_EXTENSIONS = 44, (0, 43, 60, 51), 8


class Fragment(NamedTuple):
    """What an IP header says of a fragment. Offsets are into the packet, ``offset`` is into what was fragmented."""

    key: tuple[int, bytes, int, int]  # family, both addresses, protocol (IPv4; -1), identification
    offset: int
    is_last: bool
    start: int  # of the fragment's bytes
    length: int  # of them, as the header claims
    field: int  # where the IPv6 header field lies that names the Fragment header, -1 in IPv4


@dataclass(frozen=True, slots=True)
class Fragments:
    """``later`` maps the row of a first fragment to those of the others, ``flaw`` a row to why it stayed a piece."""

    later: dict[int, tuple[int, ...]] = field(default_factory=dict)
    flaw: dict[int, str] = field(default_factory=dict)


def read_fragment(packet: bytes) -> Fragment | None:
    """The fragment that an IP packet is; None if it is whole, or its headers are cut."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        word = int.from_bytes(packet[6:8], "big")
        start, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
        if not word & 0x3FFF or total < start:
            return None
        key = 4, packet[12:20], packet[9], int.from_bytes(packet[4:6], "big")
        return Fragment(key, (word & 0x1FFF) * 8, not word & 0x2000, start, total - start, -1)
    if len(packet) < 40 or packet[0] >> 4 != 6:
        return None
    end = 40 + int.from_bytes(packet[4:6], "big")
    at, naming = 40, 6
    for _ in range(_MOST_EXTENSIONS):
        following = packet[naming]
        if at + 8 > len(packet) or following not in (_IPV6_FRAGMENT, *_EXTENSIONS):
            return None
        if following == _IPV6_FRAGMENT:
            word = int.from_bytes(packet[at + 2 : at + 4], "big")
            key = 6, packet[8:40], -1, int.from_bytes(packet[at + 4 : at + 8], "big")
            return Fragment(key, word & 0xFFF8, not word & 1, at + 8, max(end - at - 8, 0), naming)
        size = (packet[at + 1] + 2) * 4 if following == 51 else (packet[at + 1] + 1) * 8
        naming, at = at, at + size
    return None


class _Packet:
    """The fragments of one packet as they come."""

    def __init__(self, addresses: bytes, time: int) -> None:
        self.addresses = addresses
        self.began = self.latest = time
        self.rows: list[int] = []
        self.first = -1  # row of the first fragment
        self.pieces: dict[int, bytes] = {}
        self.end = -1  # of the whole, once the last fragment was seen
        self.is_cut = self.contradicts = False

    def takes(self, time: int) -> bool:
        """Whether a fragment of this time may still belong here: a copy of one, if nothing is missing."""
        allowed = fl.DUPLICATE_WITHIN_NS if self.payload() else REASSEMBLY_NS
        return abs(time - self.latest) <= allowed and abs(time - self.began) <= REASSEMBLY_NS

    def add(self, row: int, time: int, fragment: Fragment, piece: bytes) -> None:
        """Take a fragment; ``piece`` is as much of its bytes as was kept."""
        self.latest = time
        self.rows.append(row)
        if fragment.offset == 0 and self.first < 0:
            self.first = row
        end = fragment.offset + fragment.length
        if fragment.is_last:
            self.contradicts |= self.end not in (-1, end)
            self.end = end
        known = self.pieces.get(fragment.offset, b"")
        common = min(len(known), len(piece))
        self.contradicts |= known[:common] != piece[:common] or fragment.start + end > MOST_BYTES
        self.is_cut |= len(piece) < fragment.length
        if len(self.pieces) < MOST_PIECES or known:
            self.pieces[fragment.offset] = max(known, piece, key=len)

    def payload(self) -> bytes:
        """All bytes from the transport header on; b"" while some are missing or contradict each other."""
        if self.end < 0 or self.contradicts or sum(map(len, self.pieces.values())) < self.end:
            return b""
        whole = bytearray()
        for offset in sorted(self.pieces):
            piece = self.pieces[offset]
            common = min(len(whole) - offset, len(piece))
            if common < 0:
                return b""
            self.contradicts |= whole[offset : offset + common] != piece[:common] or offset + len(piece) > self.end
            whole += piece[common:]
        return b"" if self.contradicts or len(whole) != self.end else bytes(whole)


class _Reassembly:
    """All packets of a scan that came in fragments."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.packets: list[_Packet] = []
        self.unread: set[bytes] = set()  # address pairs with more later fragments than are kept

    def collect(self, rows: Sequence[int]) -> None:
        """Sort the fragments in these rows into packets."""
        columns, state = self.scan.rows, self.scan.table.state
        waiting: dict[tuple[int, bytes, int, int], _Packet] = {}
        for row in rows:
            raw = self.scan.row_bytes(row)
            fragment = read_fragment(raw)
            if fragment is None:
                continue
            if columns.kind[row] == LATER_FRAGMENT:
                own = 2 * int(columns.flow[row]) + int(columns.direction[row])
                if state[own, fl.PAYLOADS] > fl.FRAGMENTS_KEPT:
                    self.unread.add(fragment.key[1])
            time = int(columns.time[row])
            packet = waiting.get(fragment.key)
            if packet is None or not packet.takes(time):
                packet = waiting[fragment.key] = _Packet(fragment.key[1], time)
                self.packets.append(packet)
            packet.add(row, time, fragment, raw[fragment.start : fragment.start + fragment.length])

    def flaws(self, packet: _Packet) -> Iterator[tuple[int, str]]:
        """The row of each fragment of a packet that stayed in pieces, and why; none where the pieces were not kept."""
        rows = self.scan.rows
        if packet.contradicts:
            word = CONTRADICTORY
        elif any(rows.captured_length[row] < rows.original_length[row] for row in packet.rows):
            word = CUT
        elif packet.is_cut or packet.addresses in self.unread:
            return
        elif packet.first < 0 and packet.addresses not in self._talking:
            return  # of a tunnel's outer packet: its first fragment was read as an inner one, of other addresses
        else:
            word = MISSING
        yield from ((row, word) for row in packet.rows)

    @functools.cached_property
    def _talking(self) -> set[bytes]:
        """Both addresses of the flows that have ports, in either order."""
        keys = self.scan.table.keys.reshape(-1, fl.KEY_WORDS)
        pairs = set()
        for key in keys[(keys[:, 8] != 0) & np.isin(keys[:, 9] >> 8, (6, 17))].astype(">u4"):
            words = slice(0, 4) if key[9] & 0xFF == 6 else slice(3, 4)
            a, b = key[0:4][words].tobytes(), key[4:8][words].tobytes()
            pairs |= {a + b, b + a}
        return pairs


def reassemble(scan: Scan) -> tuple[Scan, Fragments]:
    """A settled scan with the whole packet in the row of each first fragment, and what became of the others."""
    rows, found = scan.rows, Fragments()
    is_fragment = (rows.fragment != 0) & (rows.reason & fl.IS_DUPLICATE == 0)
    if not is_fragment.any():
        return scan, found
    work = _Reassembly(scan)
    work.collect(np.flatnonzero(is_fragment).tolist())
    whole: dict[int, bytes] = {}
    for packet in work.packets:
        later = tuple(row for row in packet.rows if row != packet.first)
        if packet.first >= 0 and later:
            found.later[packet.first] = later
        payload = packet.payload()
        if payload and packet.first >= 0 and rows.kind[packet.first] in (UDP, TCP) and rows.header[packet.first] >= 0:
            whole[packet.first] = payload
        elif not payload:
            found.flaw.update(work.flaws(packet))
    return (_with_whole(scan, whole) if whole else scan), found


def _with_whole(scan: Scan, whole: dict[int, bytes]) -> Scan:
    """The scan with whole packets in these rows; ``whole`` has their bytes from the transport header on."""
    changed = ("start", "kept", "transport", "header", "payload_length", "payload_captured", "quic", "cid_digest")
    counted = ("bytes_so_far", "other_bytes", "reason")
    copies: dict[str, Any] = {name: getattr(scan.rows, name).copy() for name in (*changed, *counted)}
    rows = scan.rows._replace(**copies)
    chunk, table = scan.chunk.copy(), scan.table._replace(state=scan.table.state.copy())
    keys = scan.table.keys.reshape(-1, fl.KEY_WORDS)
    added = bytearray()
    longer: dict[int, int] = {}
    for row, payload in whole.items():
        head = _unfragmented(scan.row_bytes(row), len(payload))
        header = len(head) + int(rows.header[row] - rows.transport[row])
        rows.start[row], rows.kept[row], chunk[row] = len(added), len(head) + len(payload), len(scan.chunks)
        rows.transport[row], rows.header[row] = len(head), header
        added += head + payload
        captured = rows.kept[row] - header
        length = int(captured)
        if rows.kind[row] == UDP:
            length = min(length, max(int.from_bytes(payload[4:6], "big") - 8, 0))
        longer[row] = length - int(rows.payload_length[row])
        rows.payload_length[row] = rows.payload_captured[row] = length
        ports = int(keys[rows.flow[row], 8])
        _tell_quic(rows, row, payload[8 : 8 + length], 443 in (ports >> 16, ports & 0xFFFF))
    _lengthen(rows, table.state, longer)
    return Scan(table, rows, chunk, (*scan.chunks, bytes(added)), scan.ledger)


def _unfragmented(packet: bytes, length: int) -> bytes:
    """The IP header of the whole packet (RFC 791 §3.2, RFC 8200 §4.5); the IPv4 checksum stays the fragment's."""
    fragment = read_fragment(packet)
    assert fragment is not None, "the row was read as a fragment before"
    head = bytearray(packet[: fragment.start])
    if fragment.field < 0:
        head[2:4], head[6:8] = (len(head) + length).to_bytes(2, "big"), bytes(2)
        return bytes(head)
    head[fragment.field] = head[-8]
    del head[-8:]
    head[4:6] = (len(head) - 40 + length).to_bytes(2, "big")
    return bytes(head)


def _lengthen(rows: Selected, state: Any, longer: Mapping[int, int]) -> None:
    """Count bytes that the headers of first fragments did not tell (TCP's has no length of the whole segment)."""
    own = 2 * rows.flow.astype(np.int64) + rows.direction
    changes: dict[int, list[tuple[int, int]]] = {}
    for row, more in longer.items():
        if more:
            changes.setdefault(int(own[row]), []).append((int(rows.ordinal[row]), more))
    order = np.argsort(own, kind="stable")
    ordered = own[order]
    for direction, found in changes.items():
        ordinals, more_bytes = zip(*sorted(found), strict=True)
        sums = np.cumsum([0, *more_bytes])
        state[direction, fl.BYTES] += sums[-1]
        for column, ordinal, side in (
            (rows.bytes_so_far, rows.ordinal, direction),
            (rows.other_bytes, rows.other_records, direction ^ 1),
        ):
            of_side = order[slice(*np.searchsorted(ordered, [side, side + 1]))]
            column[of_side] += sums[np.searchsorted(ordinals, ordinal[of_side], side="right")]


def _tell_quic(rows: Selected, row: int, payload: bytes, at_443: bool) -> None:
    """Read the QUIC packets of a whole datagram: the first fragment may have held none of them to the end."""
    kinds = datagram_kinds(payload, 0, len(payload), len(payload), at_443) if rows.kind[row] == UDP else 0
    if kinds == 0:
        return
    rows.quic[row] = kinds
    rows.cid_digest[row] = quic_cid_digest(payload, 0, len(payload))
    rows.reason[row] |= fl.ALWAYS | fl.IS_LONG | fl.WHOLE
