"""Damage: one to four changes of some bytes, and captures that are damaged inside while their file stays sound.

What an authenticated packet would hide, frames and hellos, is damaged in the clear and sealed again, so that whoever
opens the packet reads the damage.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from analyzer.wire.quic.header import QuicPacket, read_datagram
from analyzer.wire.quic.protection import initial_keys, open_packet
from analyzer.wire.quic.seal import InitialHeader, seal_initial
from analyzer.wire.quic.split import INITIAL, Flaw
from analyzer.wire.quic.versions import version_of

ALPHABET = (0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xFF)
NUMBERS = (
    *(b"\xff\xff", b"\x00\x00", b"\x40\x00", b"\x7f\xff", b"\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\0\0\0"),
    *(b"\0\0\0\0", b"\xff" * 8, b"\xbf" * 4, b"\xc0\x0c", b"\xe2\x80\xae", b"\xed\xa0\x80", b"\r\n", b"\r\n\r\n"),
)


def is_little_pcap(capture: bytes) -> bool:
    """Whether this is a pcap file in little endian, whose records can be walked with a few lines."""
    return capture[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")


def mutated(original: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One to four changes; one in 32 puts a part of one of ``others`` in."""
    b = bytearray(original)
    number = chance.random
    for _ in range(1 + int(number() * 4)):
        if not b:
            break
        at = int(number() * (len(b) if number() < 0.5 else min(len(b), 64)))
        what = int(number() * 32)
        if what < 9:
            b[at] ^= 1 << int(number() * 8)
        elif what < 16:
            b[at] = ALPHABET[int(number() * len(ALPHABET))]
        elif what < 19:
            del b[at:]
        elif what < 23:
            b[at:at] = b[at : at + 1 + int(number() * 31)]
        elif what < 26:
            del b[at : at + 1 + int(number() * 15)]
        elif what < 31 or not others:
            wide = NUMBERS[int(number() * len(NUMBERS))]
            b[at : at + len(wide)] = wide
        else:
            other = others[int(number() * len(others))]
            begin = int(number() * len(other))
            b[at : at + 64] = other[begin : begin + 1 + int(number() * 200)]
    return bytes(b)


def mutated_capture(whole: bytes, chance: random.Random) -> bytes:
    """A capture with one in four records damaged inside, its file sound; one in ten has its file damaged as well."""
    if not is_little_pcap(whole):
        return mutated(whole, chance)
    out, at, dcids = bytearray(whole[:24]), 24, Dcids()
    while at + 16 <= len(whole):
        size = int.from_bytes(whole[at + 8 : at + 12], "little")
        raw = whole[at + 16 : at + 16 + size]
        if chance.random() < 0.25 and len(raw) > 14:
            raw = dcids.damaged_inside(raw, chance) or raw[:14] + mutated(raw[14:], chance)
        lengths = len(raw).to_bytes(4, "little") + max(len(raw), size).to_bytes(4, "little")
        out += whole[at : at + 8] + lengths + raw
        at += 16 + size
    return mutated(bytes(out), chance) if chance.random() < 0.1 else bytes(out)


class Dcids:
    """The connection IDs of a capture's clients, from which the keys of Initials are made."""

    def __init__(self) -> None:
        self._of_client: dict[bytes, bytes] = {}  # a client's SCID -> the DCID of its first Initial

    def damaged_inside(self, raw: bytes, chance: random.Random) -> bytes:
        """A record whose first Initial has other frames, sealed again; b"" where it has none that can be opened.

        Half of them: the others are to be damaged where their headers are.
        """
        payload = raw[_payload_offset(raw) :]
        for packet in read_datagram(payload, 0, len(payload), len(payload)):
            if packet.kind == INITIAL and packet.flaw == Flaw.NONE and chance.random() < 0.5:
                sealed = self._sealed(payload[packet.start : packet.end], packet, chance)
                if sealed:
                    changed = payload[: packet.start] + sealed + payload[packet.end :]
                    return _with_lengths(raw[: len(raw) - len(payload)], changed)
            break
        return b""

    def _sealed(self, whole: bytes, packet: QuicPacket, chance: random.Random) -> bytes:
        first = self._of_client.setdefault(packet.scid, packet.dcid)
        for dcid, from_server in ((first, False), (packet.dcid, False), (self._of_client.get(packet.dcid, b""), True)):
            keys = initial_keys(packet.version, dcid)
            if keys is None or not version_of(packet.version).packet_types:
                return b""
            side = keys.server if from_server else keys.client
            clear = open_packet(whole, packet.payload_offset - packet.start, side)
            if clear.payload:
                frames = mutated(clear.payload.rstrip(b"\0"), chance).ljust(chance.choice((20, 400, 1162)), b"\0")
                fields = InitialHeader(packet.version, packet.dcid, packet.scid, packet_number=clear.packet_number)
                return seal_initial(fields._replace(number_size=4), frames, side)
        return b""


def _payload_offset(raw: bytes) -> int:
    """Where the payload of a UDP datagram in an Ethernet frame begins, the length of the record for all others."""
    if raw[12:14] == b"\x08\x00" and raw[14:15] == b"\x45" and raw[23:24] == b"\x11":
        return 42
    return 62 if raw[12:14] == b"\x86\xdd" and raw[20:21] == b"\x11" else len(raw)


def _with_lengths(heads: bytes, payload: bytes) -> bytes:
    """The record of these headers and payload, its lengths right and its checksums left alone."""
    udp = len(heads) - 8
    b = bytearray(heads + payload)
    b[udp + 4 : udp + 6] = min(8 + len(payload), 0xFFFF).to_bytes(2, "big")
    at, length = (16, len(b) - 14) if udp == 34 else (18, len(b) - 54)
    b[at : at + 2] = min(length, 0xFFFF).to_bytes(2, "big")
    return bytes(b)
