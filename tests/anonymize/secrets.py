"""What a capture shows of the world, to be looked for in what is made of it: addresses and names in all their forms."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path

from analyzer.analysis import Analysis
from analyzer.capture.source import open_captures
from analyzer.capture.writer import NewInterface, NewRecord
from analyzer.wire.quic.frames import Crypto, read_frames
from analyzer.wire.quic.header import QuicPacket, read_datagram
from analyzer.wire.quic.protection import initial_keys, open_packet
from analyzer.wire.quic.split import INITIAL, Flaw

#: What stands in an address column and identifies nobody.
_KEPT = [ipaddress.ip_network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "ff00::/12", "::/127")]


def records_of(path: Path) -> list[NewRecord]:
    """All records of a capture."""
    captures, records = open_captures([str(path)]), []
    for batch in captures.batches(compiled=False):
        columns = [column.tolist() for column in batch.records[:5]]
        for offset, captured, original, time, link_type in zip(*columns, strict=True):
            octets = batch.buffer[offset : offset + captured].tobytes()
            records.append(NewRecord(NewInterface(link_type, 0, "eth7", "of the original"), time, original, octets))
    return records


def secrets_of(analysis: Analysis) -> dict[str, list[bytes]]:
    """Addresses, link addresses and names of an analysis, each with the forms in which it could be found."""
    found: dict[str, list[bytes]] = {}
    for address in analysis.hosts["address"].tolist():
        parsed = ipaddress.ip_address(address)
        if not any(parsed in network for network in _KEPT):
            found[address] = [address.encode(), parsed.exploded.encode(), parsed.packed]
    for link_address in filter(None, analysis.hosts["link_address"].tolist()):
        found[link_address] = [link_address.encode(), bytes.fromhex(link_address.replace(":", ""))]
    for name in _names(analysis):
        labels = name.encode().split(b".")
        found[name] = [name.encode(), b"".join(bytes([len(label)]) + label for label in labels)]
    return found


def _names(analysis: Analysis) -> set[str]:
    columns = [analysis.connections["sni"], analysis.hosts["name"], analysis.exchanges["name"]]
    columns.append(analysis.resolutions["name"])
    return {name.lower() for column in columns for name in column.tolist() if len(name) > 4}


def leaks(octets: bytes, secrets: dict[str, list[bytes]]) -> list[str]:
    """Which of the secrets some bytes hold, in upper or lower case."""
    lower = octets.lower()
    return [name for name, forms in secrets.items() if any(form.lower() in lower for form in forms)]


def clear_initials(payloads: Iterable[bytes]) -> Iterator[bytes]:
    """The clear payloads of all Initials that any DCID of these datagrams opens, and the crypto streams in order."""
    packets = [(payload, packet) for payload in payloads for packet in read_datagram(payload, 0, len(payload), 65535)]
    initials = [(payload, packet) for payload, packet in packets if packet.kind == INITIAL and packet.flaw is Flaw.NONE]
    streams: dict[tuple[bytes, bool], dict[int, bytes]] = {}
    for payload, packet in initials:
        for dcid, from_server in _keys(packet, [each for _, each in initials]):
            keys = initial_keys(packet.version, dcid)
            if keys is None:
                continue
            side = keys.server if from_server else keys.client
            octets = payload[packet.start : packet.end]
            clear = open_packet(octets, packet.payload_offset - packet.start, side).payload
            if clear:
                yield clear
                for frame in read_frames(clear).frames:
                    if type(frame) is Crypto:
                        streams.setdefault((dcid, from_server), {})[frame.offset] = frame.piece
                break
    for pieces in streams.values():
        yield b"".join(pieces[offset] for offset in sorted(pieces))


def _keys(packet: QuicPacket, initials: list[QuicPacket]) -> Iterator[tuple[bytes, bool]]:
    yield packet.dcid, False
    for dcid in {each.dcid for each in initials}:
        yield dcid, True
        yield dcid, False


def udp_payloads(records: Iterable[NewRecord]) -> Iterator[bytes]:
    """UDP payloads of records of Ethernet without tags, as the project's captures have."""
    for record in records:
        b = record.captured
        if b[12:14] == b"\x08\x00" and b[23:24] == b"\x11":
            yield b[14 + (b[14] & 15) * 4 + 8 :]
        elif b[12:14] == b"\x86\xdd" and b[20:21] == b"\x11":
            yield b[14 + 40 + 8 :]
