"""Protecting a packet again: what ``protection.open_packet`` undoes (RFC 9001 §5.3, §5.4).

For made traffic and for copies with other connection IDs; the observer's own path never seals.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.wire.quic.protection import Keys
from analyzer.wire.quic.split import INITIAL
from analyzer.wire.quic.versions import version_of

AEAD_TAG = 16


class InitialHeader(NamedTuple):
    """Header fields of an Initial; ``number_size`` and ``length_size`` are bytes on the wire (1 to 4; 1, 2, 4, 8)."""

    version: int
    dcid: bytes
    scid: bytes
    token: bytes = b""
    packet_number: int = 0
    number_size: int = 1
    length_size: int = 2


def write_varint(value: int, size: int = 0) -> bytes:
    """A variable-length integer of ``size`` bytes, or of the fewest that hold it (RFC 9000 §16)."""
    if not size:
        size = 1 if value < 1 << 6 else 2 if value < 1 << 14 else 4 if value < 1 << 30 else 8
    top = {1: 0, 2: 1, 4: 2, 8: 3}[size]
    return (value | top << (8 * size - 2)).to_bytes(size, "big")


def seal_packet(header: bytes, payload: bytes, keys: Keys, *, packet_number: int) -> bytes:
    """The protected packet of a clear header that ends with the packet number, and a clear payload.

    A payload too short for a header protection sample must be padded by the caller (RFC 9001 §5.4.2).
    """
    size = (header[0] & 3) + 1
    nonce = (keys.iv ^ packet_number).to_bytes(12, "big")
    sealed = keys.aead.encrypt(nonce, payload, header)
    mask = keys.mask(sealed[4 - size : 20 - size])
    number_offset = len(header) - size
    first = header[0] ^ (mask[0] & (0x0F if header[0] & 0x80 else 0x1F))
    number = int.from_bytes(header[number_offset:], "big") ^ int.from_bytes(mask[1 : size + 1], "big")
    return b"%c%b%b%b" % (first, header[1:number_offset], number.to_bytes(size, "big"), sealed)


def initial_header(fields: InitialHeader, payload_length: int) -> bytes:
    """The clear header of an Initial, its packet number included, for a payload of that many clear bytes."""
    size = fields.number_size
    bits = version_of(fields.version).packet_types.index(INITIAL)
    return b"".join(
        (
            bytes([0xC0 | bits << 4 | (size - 1)]),
            fields.version.to_bytes(4, "big"),
            bytes([len(fields.dcid)]) + fields.dcid,
            bytes([len(fields.scid)]) + fields.scid,
            write_varint(len(fields.token)) + fields.token,
            write_varint(size + payload_length + AEAD_TAG, fields.length_size),
            (fields.packet_number & ((1 << (8 * size)) - 1)).to_bytes(size, "big"),
        )
    )


def seal_initial(fields: InitialHeader, payload: bytes, keys: Keys) -> bytes:
    """One protected Initial. ``keys`` come from the DCID of the connection's first client Initial, not of this one."""
    return seal_packet(initial_header(fields, len(payload)), payload, keys, packet_number=fields.packet_number)
