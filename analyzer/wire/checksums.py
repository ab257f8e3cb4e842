"""The checksum of a UDP datagram or TCP segment, for the few packets whose validity decides a verdict (RFC 1071).

Where a sender's interface computes checksums, a capture made before it shows only the sum of the pseudo-header. Such a
*partial* checksum is not wrong, and neither is a UDP checksum of 0 over IPv4 (RFC 768).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from analyzer.columns import grouped

_UDP, _TCP = 17, 6

#: Packets of one length that are summed up at once: few enough to stay in a processor's cache, many enough for numpy.
_MOST_AT_ONCE, _LEAST_AT_ONCE = 512, 8
_LEAST_LENGTH = 48  # bytes of IPv6 and UDP headers


def ones_sum(b: bytes) -> int:
    """One's complement sum of 16-bit words, folded to 16 bits; an odd last byte counts as its high byte."""
    # 2^16 is 1 modulo 2^16 - 1: the words of a number and the number itself leave the same rest.
    number = int.from_bytes(b, "big") << (8 if len(b) & 1 else 0)
    return number % 0xFFFF or (0xFFFF if number else 0)


def transport_checksum_wrong(packet: bytes) -> bool:
    """Whether the UDP or TCP checksum of an IP packet is wrong; False where it cannot be told.

    It cannot be told of a packet that was cut, of a fragment, of one with extension headers, or where it is partial.
    """
    summed = _summed(packet)
    if summed is None:
        return False
    written, pseudo, segment = summed
    if written == pseudo or (written == 0 and packet[0] >> 4 == 4 and packet[9] == _UDP):
        return False
    return ones_sum(pseudo.to_bytes(2, "big") + segment) != 0xFFFF


def transport_checksums_wrong(
    chunks: Sequence[bytes], chunk: NDArray[np.int64], start: NDArray[np.int64], length: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """What ``transport_checksum_wrong`` says of packets that lie in ``chunks``; UDP of one length is summed up at once.

    Sums modulo 2^16 - 1 are the same whichever byte of a word comes first: words are taken as this machine has them.
    """
    wrong = np.zeros(len(chunk), np.bool_)
    for rows in grouped([chunk, length]):
        held, size = chunks[int(chunk[rows[0]])], int(length[rows[0]])
        if len(rows) >= _LEAST_AT_ONCE and size >= _LEAST_LENGTH:
            packets = sliding_window_view(np.frombuffer(held, np.uint8), size)
            for block in np.split(rows, range(_MOST_AT_ONCE, len(rows), _MOST_AT_ONCE)):
                wrong[block] = _wrong_at_once(packets[start[block]])
        else:
            for row in rows.tolist():
                wrong[row] = transport_checksum_wrong(held[start[row] : start[row] + size])
    return wrong


def _wrong_at_once(packets: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The same of packets of one length, a row each; others than UDP behind a plain IP header are read one by one."""
    size = packets.shape[1]
    first, of_4 = packets[:, 0], (_u16(packets, 2) == size) & (_u16(packets, 6) & 0x3FFF == 0)
    plain_4 = (first == 0x45) & (packets[:, 9] == _UDP) & of_4
    plain_6 = (first >> 4 == 6) & (packets[:, 6] == _UDP) & (_u16(packets, 4) == size - 40)
    wrong, left = np.zeros(len(packets), np.bool_), np.ones(len(packets), np.bool_)
    for plain, addresses, start in ((plain_4, 12, 20), (plain_6, 8, 40)):
        chosen = plain & (_u16(packets, start + 4) == size - start)
        wrong[chosen] = _udp_wrong(packets[chosen], addresses, start)
        left &= ~chosen
    for row in np.flatnonzero(left).tolist():
        wrong[row] = transport_checksum_wrong(packets[row].tobytes())
    return wrong


def _udp_wrong(packets: NDArray[np.uint8], addresses: int, start: int) -> NDArray[np.bool_]:
    """The same of UDP datagrams from ``start`` to the end, with the IP addresses right before them."""
    size = packets.shape[1]
    even = np.zeros((len(packets), (size - addresses + 1) // 2 * 2), np.uint8)
    even[:, : size - addresses] = packets[:, addresses:]
    words, datagram = even.view(np.uint16), (start - addresses) // 2
    fixed = int(np.frombuffer(struct.pack("!HH", _UDP, size - start), np.uint16).sum(dtype=np.int64))
    pseudo = words[:, :datagram].sum(axis=1, dtype=np.int64) + fixed
    total = pseudo + words[:, datagram:].sum(axis=1, dtype=np.int64)
    written = words[:, datagram + 3]
    is_partial, is_none = written == (pseudo - 1) % 0xFFFF + 1, (written == 0) & (start == 20)
    return np.asarray((total % 0xFFFF != 0) & ~is_partial & ~is_none, np.bool_)


def _u16(packets: NDArray[np.uint8], at: int) -> NDArray[np.int64]:
    return packets[:, at].astype(np.int64) << 8 | packets[:, at + 1]


def transport_checksum_partial(packet: bytes) -> bool:
    """Whether the UDP or TCP checksum of an IP packet is that of the pseudo-header alone, and wrong on the wire."""
    summed = _summed(packet)
    if summed is None:
        return False
    written, pseudo, segment = summed
    return written == pseudo and ones_sum(pseudo.to_bytes(2, "big") + segment) != 0xFFFF


def _summed(packet: bytes) -> tuple[int, int, bytes] | None:
    """(checksum as written, sum of the pseudo-header, UDP datagram or TCP segment) of a packet that is whole."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        start, end = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
        protocol, addresses = packet[9], packet[12:20]
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            return None
    elif len(packet) >= 40 and packet[0] >> 4 == 6:
        start, end = 40, 40 + int.from_bytes(packet[4:6], "big")
        protocol, addresses = packet[6], packet[8:40]
    else:
        return None
    if protocol not in (_UDP, _TCP) or end > len(packet) or end - start < (8 if protocol == _UDP else 20):
        return None
    if protocol == _UDP:  # summed up by its own length (RFC 768); 0 is a jumbogram's or an offloaded one's
        end = start + (int.from_bytes(packet[start + 4 : start + 6], "big") or end - start)
        if not start + 8 <= end <= len(packet):
            return None
    segment = packet[start:end]
    at = 6 if protocol == _UDP else 16
    written = int.from_bytes(segment[at : at + 2], "big")
    pseudo = ones_sum(addresses + protocol.to_bytes(2, "big") + len(segment).to_bytes(4, "big"))
    return written, pseudo, segment
