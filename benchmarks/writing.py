"""Writing packets to a pcap file from columns, many at once.

Packets of one family, protocol and size are rows of one matrix: headers, addresses, numbers and checksums are
written column by column, then the rows are laid at their places of the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

UDP, TCP = 17, 6
RECORD, ETHERNET = 16, 14
ADDRESSES = {4: RECORD + ETHERNET + 12, 6: RECORD + ETHERNET + 8}
ADDRESS_BYTES = {4: 4, 6: 16}
TRANSPORT = {4: RECORD + ETHERNET + 20, 6: RECORD + ETHERNET + 40}
_MACS = bytes.fromhex("020000000002020000000001")  # to the server; the last bytes are swapped for the client
HEADERS = {  # Ethernet and IP; lengths, protocol, identification, checksum and addresses are filled in
    4: _MACS + bytes.fromhex("0800 4500 0000 0000 4000 40 00 0000") + bytes(8),
    6: _MACS + bytes.fromhex("86dd 60000000 0000 00 40") + bytes(32),
}
SERVER_HOPS = 9  # routers between the server and the point where the capture is made
PACKETS_AT_ONCE = 40_000
FRESH_BYTES = 4  # of a repeated 1-RTT datagram, where its protected packet number begins


class Packets(NamedTuple):
    """One entry per packet, in the order of the file."""

    time_us: NDArray[np.int64]
    connection: NDArray[np.int32]
    from_client: NDArray[np.bool_]
    body: NDArray[np.int32]  # index in Bodies
    sequence: NDArray[np.uint32]  # TCP
    acknowledged: NDArray[np.uint32]  # TCP
    repeated: NDArray[np.bool_]  # QUIC: the body is shared; connection ID and packet number are written over it


@dataclass(slots=True)
class Connections:
    """One row per connection; in pairs, the client comes first."""

    family: NDArray[np.int8]
    protocol: NDArray[np.int8]
    address4: NDArray[np.uint8]  # (n, 2, 4)
    address6: NDArray[np.uint8]  # (n, 2, 16)
    port: NDArray[np.uint16]  # (n, 2)
    clock: NDArray[np.int64]  # (n, 2) timestamp value of TCP at the epoch of the workload, milliseconds
    cid: NDArray[np.uint8]  # (n, 2, 20) connection ID in the 1-RTT datagrams of this end
    cid_bytes: NDArray[np.int8]  # (n, 2)


class Bodies:
    """UDP payloads and TCP segments, end to end."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._begins: list[int] = []
        self._sizes: list[int] = []

    def add(self, body: bytes) -> int:
        """Keep a body; returns its index."""
        self._begins.append(len(self._bytes))
        self._sizes.append(len(body))
        self._bytes += body
        return len(self._begins) - 1

    def columns(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """All bytes, where each body begins, its size."""
        return np.frombuffer(self._bytes, np.uint8), np.array(self._begins), np.array(self._sizes)


def write_pcap(filename: Path, packets: Packets, connections: Connections, bodies: Bodies) -> None:
    """Write a pcap file: little endian, microseconds, Ethernet; every checksum right."""
    store, begins, sizes = bodies.columns()
    fresh = np.random.default_rng(7)
    with filename.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        for start in range(0, len(packets.time_us), PACKETS_AT_ONCE):
            part = Packets(*(column[start : start + PACKETS_AT_ONCE] for column in packets))
            family = connections.family[part.connection].astype(np.int64)
            protocol = connections.protocol[part.connection].astype(np.int64)
            size = sizes[part.body]
            whole = np.where(family == 4, TRANSPORT[4], TRANSPORT[6]) + np.where(protocol == UDP, 8, 0) + size
            places = np.cumsum(whole) - whole
            laid = np.empty(int(whole.sum()) + 1, np.uint8)
            kind = (size * 2 + (protocol == TCP)) * 2 + (family == 6)
            order = np.argsort(kind, kind="stable")
            cuts = np.flatnonzero(np.diff(kind[order])) + 1
            for members in np.split(order, cuts):
                chosen = Packets(*(column[members] for column in part))
                one = int(members[0])
                maker = _Rows(int(family[one]), int(protocol[one]), int(size[one]))
                payloads = sliding_window_view(store, int(size[one]))[begins[chosen.body]]
                rows = maker.make(chosen, connections, payloads, fresh)
                maker.identify(start + members)
                maker.sum_up()
                sliding_window_view(laid, int(whole[one]), writeable=True)[places[members]] = rows[:, : whole[one]]
            file.write(memoryview(laid)[:-1])


class _Rows:
    """Records of one family, protocol and size."""

    def __init__(self, family: int, protocol: int, size: int) -> None:
        self.family, self.protocol = family, protocol
        self.at = TRANSPORT[family]
        self.body_at = self.at + (8 if protocol == UDP else 0)
        self.whole = self.body_at + size

    def make(
        self, packets: Packets, connections: Connections, payloads: NDArray[np.uint8], fresh: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Rows complete but for identification and checksums; one byte wider where the size is odd."""
        self.rows = rows = np.zeros((len(payloads), self.whole + self.whole % 2), np.uint8)
        rows[:, :RECORD] = (
            np.column_stack(
                [packets.time_us // 1_000_000, packets.time_us % 1_000_000]
                + 2 * [np.full(len(rows), self.whole - RECORD)]
            )
            .astype("<u4")
            .view(np.uint8)
        )
        ip_at = RECORD + ETHERNET
        rows[:, RECORD : RECORD + len(HEADERS[self.family])] = np.frombuffer(HEADERS[self.family], np.uint8)
        if self.family == 4:
            self._put(ip_at + 2, np.full(len(rows), self.whole - ip_at), 2)
            rows[:, ip_at + 9] = self.protocol
            rows[:, ip_at + 8] -= np.where(packets.from_client, 0, SERVER_HOPS).astype(np.uint8)
        else:
            self._put(ip_at + 4, np.full(len(rows), self.whole - self.at), 2)
            rows[:, ip_at + 6] = self.protocol
            rows[:, ip_at + 7] -= np.where(packets.from_client, 0, SERVER_HOPS).astype(np.uint8)
        self._address(packets, connections)
        rows[:, self.body_at : self.whole] = payloads
        if self.protocol == UDP:
            self._put(self.at + 4, np.full(len(rows), self.whole - self.at), 2)
            self._rename(packets, connections, fresh)
        else:
            self._put(self.at + 4, packets.sequence, 4)
            self._put(self.at + 8, packets.acknowledged, 4)
            self._tell_time(packets, connections)
        self._put(self.at, connections.port[packets.connection, self._sender], 2)
        self._put(self.at + 2, connections.port[packets.connection, 1 - self._sender], 2)
        return rows

    def _put(self, at: int, values: NDArray[np.generic], width: int) -> None:
        """Write a column of integers in network byte order."""
        self.rows[:, at : at + width] = values.astype(f">u{width}").view(np.uint8).reshape(-1, width)

    def _address(self, packets: Packets, connections: Connections) -> None:
        self._sender = np.where(packets.from_client, 0, 1)
        table = connections.address4 if self.family == 4 else connections.address6
        at, width = ADDRESSES[self.family], ADDRESS_BYTES[self.family]
        self.rows[:, at : at + width] = table[packets.connection, self._sender]
        self.rows[:, at + width : at + 2 * width] = table[packets.connection, 1 - self._sender]
        to_client = self._sender == 1
        self.rows[to_client, RECORD + 5], self.rows[to_client, RECORD + 11] = 1, 2

    def _rename(self, packets: Packets, connections: Connections, fresh: np.random.Generator) -> None:
        """Connection ID and protected packet number of repeated 1-RTT datagrams."""
        size = connections.cid_bytes[packets.connection, self._sender]
        for width in np.unique(size[packets.repeated]):
            which = np.flatnonzero(packets.repeated & (size == width))
            cids = connections.cid[packets.connection[which], self._sender[which], :width]
            at = self.body_at + 1
            self.rows[which, at : at + width] = cids
            at += int(width)
            self.rows[which, at : at + FRESH_BYTES] = fresh.integers(0, 256, (len(which), FRESH_BYTES), np.uint8)

    def _tell_time(self, packets: Packets, connections: Connections) -> None:
        """Timestamps option (RFC 7323 §3): alone after two NOPs, or of a SYN after MSS and SACK permitted."""
        now = packets.time_us // 1000
        own = (connections.clock[packets.connection, self._sender] + now).astype(np.uint32)
        other = (connections.clock[packets.connection, 1 - self._sender] + now).astype(np.uint32)
        other[self.rows[:, self.at + 13] & 0x10 == 0] = 0
        for at in (self.at + 22, self.at + 26):
            if at + 10 > self.rows.shape[1]:
                continue
            header = (self.rows[:, self.at + 12] >> 4) * 4
            has = (self.rows[:, at] == 8) & (self.rows[:, at + 1] == 10) & (header + self.at >= at + 10)
            self.rows[has, at + 2 : at + 6] = own[has].astype(">u4").view(np.uint8).reshape(-1, 4)
            self.rows[has, at + 6 : at + 10] = other[has].astype(">u4").view(np.uint8).reshape(-1, 4)

    def identify(self, numbers: NDArray[np.int64]) -> None:
        """IPv4 identification: the low bits of the record number."""
        if self.family == 4:
            self._put(RECORD + ETHERNET + 4, numbers & 0xFFFF, 2)

    def sum_up(self) -> None:
        """Checksums of IPv4, UDP and TCP (RFC 1071; RFC 8200 §8.1)."""
        if self.family == 4:
            ip_at = RECORD + ETHERNET
            self.rows[:, ip_at + 10 : ip_at + 12] = _checksum(self.rows[:, ip_at : self.at], 0)
        size = self.whole - self.at
        pseudo = int.from_bytes(size.to_bytes(2), "little") + (self.protocol << 8)
        at = self.at + (6 if self.protocol == UDP else 16)
        self.rows[:, at : at + 2] = 0
        checksum = _checksum(self.rows[:, ADDRESSES[self.family] :], pseudo)
        if self.protocol == UDP:
            checksum[(checksum == 0).all(axis=1)] = 0xFF
        self.rows[:, at : at + 2] = checksum


def _checksum(rows: NDArray[np.uint8], extra: int) -> NDArray[np.uint8]:
    """Internet checksum of each row, two bytes; one's complement sums do not mind the byte order (RFC 1071 §2)."""
    total = rows.view("<u2").sum(axis=1, dtype=np.uint32) + np.uint32(extra)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return (~total).astype("<u2").reshape(-1, 1).view(np.uint8)
