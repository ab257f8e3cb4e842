"""Whole connections read from the real captures of ``captures/``, as templates of generated traffic.

What is read: classic pcap files, microseconds, little endian, Ethernet, IPv4 without options and IPv6 without
extension headers. A connection counts when its first packet was seen: a SYN, or a client Initial of QUIC v1.
Datagrams and segments that the recording host had merged (UDP GSO, TSO) are cut again as the wire carries them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

UDP, TCP = 17, 6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
#: Payload bytes of a full segment with timestamps at an MTU of 1500 (RFC 9293 §3.7.1, RFC 7323 §3.2).
SEGMENT_BYTES = {4: 1448, 6: 1428}
MTU_PAYLOAD = 1472


class Packet(NamedTuple):
    """One datagram or segment of a conversation."""

    at_us: int  # microseconds since the first packet of the conversation
    from_client: bool
    body: bytes  # UDP payload; TCP: header with options, then payload


@dataclass(slots=True)
class Conversation:
    """One connection as recorded, packets in the order of the file."""

    protocol: int  # UDP or TCP
    family: int  # 4 or 6
    packets: list[Packet] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        """Whether any packet of the server was recorded."""
        return any(not packet.from_client for packet in self.packets)


class _Seen(NamedTuple):
    time_us: int
    family: int
    protocol: int
    source: bytes  # address and port
    destination: bytes
    body: bytes


def read_conversations(filename: Path) -> list[Conversation]:
    """All connections of the file whose first packet is in it, in order of that packet."""
    found: dict[tuple[int, bytes, bytes], tuple[Conversation, int]] = {}
    for seen in _transport_packets(filename.read_bytes()):
        forward = (seen.protocol, seen.source, seen.destination)
        key = (seen.protocol, seen.destination, seen.source)
        from_client = key not in found
        if from_client:
            key = forward
            if key not in found:
                if not _opens(seen):
                    continue
                found[key] = (Conversation(seen.protocol, seen.family), seen.time_us)
        conversation, began_us = found[key]
        conversation.packets.append(Packet(seen.time_us - began_us, from_client, seen.body))
    conversations = [conversation for conversation, _ in found.values()]
    for conversation in conversations:
        _cut_merged(conversation)
    return conversations


def tcp_header_bytes(segment: bytes) -> int:
    """Length of the TCP header with its options."""
    return (segment[12] >> 4) * 4


def _opens(seen: _Seen) -> bool:
    """Whether this packet begins a connection: a SYN without ACK, or a client Initial of QUIC v1."""
    if seen.protocol == TCP:
        return seen.body[13] & (SYN | ACK) == SYN
    return len(seen.body) >= 1200 and seen.body[0] & 0xF0 == 0xC0 and seen.body[1:5] == b"\x00\x00\x00\x01"


def _transport_packets(capture: bytes) -> list[_Seen]:
    """UDP and TCP packets of a capture; a file of another kind gives none."""
    if capture[:4] != b"\xd4\xc3\xb2\xa1" or capture[20:24] != b"\x01\x00\x00\x00":
        return []
    packets, at = [], 24
    while at + 16 <= len(capture):
        seconds, micros, captured, original = struct.unpack_from("<IIII", capture, at)
        record = capture[at + 16 : at + 16 + captured]
        at += 16 + captured
        if captured == original:
            seen = _transport_packet(record, seconds * 1_000_000 + micros)
            if seen:
                packets.append(seen)
    return packets


def _transport_packet(record: bytes, time_us: int) -> _Seen | None:
    ethertype = record[12:14]
    if ethertype == b"\x08\x00" and record[14] == 0x45:
        family, protocol, at, addresses, width = 4, record[23], 34, 26, 4
        end = 14 + int.from_bytes(record[16:18])
    elif ethertype == b"\x86\xdd":
        family, protocol, at, addresses, width = 6, record[20], 54, 22, 16
        end = 54 + int.from_bytes(record[18:20])
    else:
        return None
    if protocol not in (UDP, TCP):
        return None
    source = record[addresses : addresses + width] + record[at : at + 2]
    destination = record[addresses + width : addresses + 2 * width] + record[at + 2 : at + 4]
    body = record[at + 8 : end] if protocol == UDP else record[at:end]
    return _Seen(time_us, family, protocol, source, destination, body)


def _cut_merged(conversation: Conversation) -> None:
    """Replace merged datagrams and segments by those that the wire carried, one microsecond apart."""
    whole = max((len(packet.body) for packet in conversation.packets if len(packet.body) <= MTU_PAYLOAD), default=0)
    packets: list[Packet] = []
    now_us = 0
    for packet in conversation.packets:
        if conversation.protocol == TCP:
            bodies = _cut_segment(packet.body, SEGMENT_BYTES[conversation.family])
        else:
            bodies = _cut_datagram(packet.body, whole)
        now_us = max(now_us, packet.at_us)
        packets += [Packet(now_us + i, packet.from_client, body) for i, body in enumerate(bodies)]
        now_us += len(bodies) - 1
    conversation.packets = packets


def _cut_datagram(body: bytes, whole: int) -> list[bytes]:
    """Datagrams of the size at which the connection ID of the first comes again, or of ``whole`` bytes."""
    if len(body) <= MTU_PAYLOAD:
        return [body]
    again = body.find(body[1:9], 9) - 1
    size = again if 0 < again <= MTU_PAYLOAD else whole
    return [body[i : i + size] for i in range(0, len(body), size)]


def _cut_segment(segment: bytes, size: int) -> list[bytes]:
    """Segments of at most ``size`` payload bytes; PSH and FIN stay with the last."""
    header, payload = segment[: tcp_header_bytes(segment)], segment[tcp_header_bytes(segment) :]
    if len(payload) <= size:
        return [segment]
    sequence = int.from_bytes(header[4:8])
    cut = []
    for start in range(0, len(payload), size):
        flags = header[13] if start + size >= len(payload) else header[13] & ~(PSH | FIN)
        numbered = ((sequence + start) & 0xFFFFFFFF).to_bytes(4)
        cut.append(header[:4] + numbered + header[8:13] + bytes([flags]) + header[14:] + payload[start : start + size])
    return cut
