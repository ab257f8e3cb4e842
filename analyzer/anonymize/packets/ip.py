"""IP packets with other addresses: headers, what they quote and what tunnels carry; checksums follow.

Options of IPv4, IPv6 and TCP that are not known to be free of addresses become padding. A later fragment, and every
protocol that is not known here, ends behind its headers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from analyzer.anonymize.packets.checksums import adjusted, transport
from analyzer.anonymize.packets.edit import Edit, Maps
from analyzer.anonymize.packets.payloads import Payload
from analyzer.anonymize.packets.quic import Written
from analyzer.wire.links import ETHER_BRIDGED, ETHER_IPV4, ETHER_IPV6
from analyzer.wire.packets import TCP, UDP, read_tunnel

_ICMP, _TCP, _UDP, _ICMPV6, _FRAGMENT, _ROUTING = 1, 6, 17, 58, 44, 43
_OPTIONS = (0, 60)  # hop-by-hop and destination options
_NOP, _PAD_N = 1, 1
#: TCP options that hold sizes and times: end, NOP, MSS, window scale, SACK (RFC 2018), timestamps.
_TCP_OPTIONS = frozenset({0, 1, 2, 3, 4, 5, 8})
_TUNNELS = (4, 41, 47, _UDP)
_ECHOES = {4: (0, 8), 6: (128, 129)}
_REDIRECT, _PARAMETER_PROBLEM = 5, 12
_ND_SOLICITATION, _ND_ROUTER, _ND_NEIGHBOUR, _ND_ADVERTISEMENT, _ND_REDIRECT = 133, 134, 135, 136, 137
_MOST_NESTED = 8


class Ends(NamedTuple):
    """Addresses of a packet as they were and as they are written, source before destination."""

    before: bytes
    after: bytes

    @property
    def source(self) -> bytes:
        """The source as it was."""
        return self.before[: len(self.before) // 2]

    @property
    def destination(self) -> bytes:
        """The destination as it was."""
        return self.before[len(self.before) // 2 :]


class IpCopies:
    """Edits IP packets; ``payload`` gives what is written in place of a UDP or TCP payload, ``frame`` of a frame."""

    def __init__(
        self, maps: Maps, payload: Callable[[Payload], Written], frame: Callable[[bytes, int], Written]
    ) -> None:
        self._maps = maps
        self._payload = payload
        self._frame = frame
        self._depth = 0

    def packet(self, b: bytes, ether_type: int, *, quoted: bool = False) -> Written:
        """A packet of IPv4 or IPv6. Of a quoted one the payload is left out: it is part of another one's."""
        if self._depth > _MOST_NESTED:
            return Written(b"", False)
        self._depth += 1
        try:
            return (self._ipv4 if ether_type == ETHER_IPV4 else self._ipv6)(b, quoted=quoted)
        finally:
            self._depth -= 1

    def _ipv4(self, b: bytes, *, quoted: bool) -> Written:
        size = (b[0] & 15) * 4 if b else 0
        if len(b) < size or size < 20:
            return Written(b[:12], False)
        ends = self._ends(b[12:20])
        header = bytearray(b[:12] + ends.after + bytes([_NOP]) * (size - 20))
        header[10:12] = adjusted(int.from_bytes(b[10:12], "big"), b[:size], bytes(header)).to_bytes(2, "big")
        total = int.from_bytes(b[2:4], "big") or len(b)
        end = min(max(total, size), len(b))
        fragment = int.from_bytes(b[6:8], "big")
        if fragment & 0x1FFF:
            return Written(bytes(header), end == size)
        body = self._body(b[9], b[size:end], total - size, ends, quoted=quoted)
        return _joined(bytes(header), body, len(b) - end)

    def _ipv6(self, b: bytes, *, quoted: bool) -> Written:
        if len(b) < 40:
            return Written(b[:8], False)
        ends = self._ends(b[8:40])
        length = int.from_bytes(b[4:6], "big") or len(b) - 40
        end = min(40 + length, len(b))
        header, at, protocol = b[:8] + ends.after, 40, b[6]
        while protocol in (*_OPTIONS, _ROUTING, _FRAGMENT) and at + 8 <= end:
            size = 8 if protocol == _FRAGMENT else (b[at + 1] + 1) * 8
            if at + size > end:
                return Written(header, False)
            header += self._extension(protocol, b[at : at + size])
            if protocol == _FRAGMENT and int.from_bytes(b[at + 2 : at + 4], "big") & 0xFFF8:
                return Written(header, at + size == end)
            protocol, at = b[at], at + size
        body = self._body(protocol, b[at:end], 40 + length - at, ends, quoted=quoted)
        return _joined(header, body, len(b) - end)

    def _extension(self, protocol: int, b: bytes) -> bytes:
        if protocol == _FRAGMENT:
            return b
        if protocol in _OPTIONS:
            return b[:2] + _padding(len(b) - 2)
        addresses = (b[at : at + 16] for at in range(8, len(b) - 15, 16))
        return (b[:8] + b"".join(self._maps.addresses.packed(address) for address in addresses)).ljust(len(b), b"\0")

    def _ends(self, addresses: bytes) -> Ends:
        half = len(addresses) // 2
        mapped = self._maps.addresses.packed
        return Ends(addresses, mapped(addresses[:half]) + mapped(addresses[half:]))

    def _body(self, protocol: int, b: bytes, length: int, ends: Ends, *, quoted: bool) -> Written:
        """What an IP packet carries: ``length`` bytes on the wire, of which ``b`` were captured."""
        if protocol in _TUNNELS:
            ether_type, inner = read_tunnel(b, 0, len(b), protocol)
            if ether_type > 0 and inner <= len(b):
                return self._tunnel(protocol, b, inner, ether_type, ends)
        if protocol == _UDP and len(b) >= 8:
            return self._udp(b, length, ends, quoted=quoted)
        if protocol == _TCP and len(b) >= 20:
            return self._tcp(b, length, ends, quoted=quoted)
        if protocol in (_TCP, _UDP):
            # Ports, and the sequence number of a quoted segment (RFC 792 quotes eight bytes).
            return Written(b[:8], length <= 8)
        if protocol in (_ICMP, _ICMPV6) and not quoted:
            return self._icmp(protocol, b, length, ends)
        return Written(b"", not b)

    def _udp(self, b: bytes, length: int, ends: Ends, *, quoted: bool) -> Written:
        said = int.from_bytes(b[4:6], "big")
        end = min(said, len(b)) if said >= 8 else len(b)
        path = ends.source + b[:2], ends.destination + b[2:4]
        wire = max(said - 8 if said >= 8 else length - 8, 0)
        body = Written(b"", False) if quoted else self._payload(Payload(UDP, b[8:end], path, wire))
        made = _joined(b[:8], body, len(b) - end)
        return self._summed(_UDP, b, made, (6, said if said >= 8 else length), ends)

    def _tcp(self, b: bytes, length: int, ends: Ends, *, quoted: bool) -> Written:
        size = max((b[12] >> 4) * 4, 20)
        header = b[:20] + _tcp_options(b[20:size])
        path = ends.source + b[:2], ends.destination + b[2:4]
        sequence, flags = int.from_bytes(b[4:8], "big"), b[13]
        body = (
            Written(b"", False)
            if quoted or len(b) < size
            else self._payload(Payload(TCP, b[size:], path, max(length - size, 0), sequence, flags))
        )
        return self._summed(_TCP, b, _joined(header, body, 0), (16, length), ends)

    def _summed(self, protocol: int, b: bytes, made: Written, sums: tuple[int, int], ends: Ends) -> Written:
        """The segment with its checksum, which lies at the first of ``sums`` and covers as many bytes as the second."""
        at, length = sums
        written = int.from_bytes(b[at : at + 2], "big")
        after = made.payload + b[len(made.payload) :]
        checksum = transport(written, protocol, length, (ends.before, b), (ends.after, after))
        return Written(made.payload[:at] + checksum.to_bytes(2, "big") + made.payload[at + 2 :], made.whole)

    def _tunnel(self, protocol: int, b: bytes, inner: int, ether_type: int, ends: Ends) -> Written:
        """A packet or frame inside another; keys of GRE stay, options of Geneve do not."""
        is_frame = protocol == _UDP and (b[2:4] != b"\x17\xc1" or b[10:12] == ETHER_BRIDGED.to_bytes(2, "big"))
        is_frame |= protocol == 47 and b[2:4] == ETHER_BRIDGED.to_bytes(2, "big")
        if is_frame:
            inner = _frame_start(protocol, b)
            body = self._frame(b[inner:], 1)
        elif ether_type in (ETHER_IPV4, ETHER_IPV6):
            body = self.packet(b[inner:], ether_type)
        else:
            body = Written(b"", False)
        head = b[:16] + bytes(inner - 16) if protocol == _UDP else b[:inner]
        made = Written(head + body.payload, body.whole)
        return self._summed(_UDP, b, made, (6, int.from_bytes(b[4:6], "big")), ends) if protocol == _UDP else made

    def _icmp(self, protocol: int, b: bytes, length: int, ends: Ends) -> Written:
        family = 4 if protocol == _ICMP else 6
        if len(b) < 8:
            return Written(b[:4], False)
        made = self._icmp_body(family, b)
        after = made.payload + b[len(made.payload) :]
        written = int.from_bytes(b[2:4], "big")
        if family == 6:  # RFC 4443 §2.3: with a pseudo-header
            checksum = transport(written, protocol, length, (ends.before, b), (ends.after, after))
        else:
            checksum = adjusted(written, b, after)
        return Written(made.payload[:2] + checksum.to_bytes(2, "big") + made.payload[4:], made.whole)

    def _icmp_body(self, family: int, b: bytes) -> Written:
        kind, mapped = b[0], self._maps.addresses.packed
        if family == 6 and _ND_SOLICITATION <= kind <= _ND_REDIRECT:
            return Written(self._neighbour(b), True)
        head = b[:8]
        if family == 4 and kind == _REDIRECT:
            head = b[:4] + mapped(b[4:8])
        is_error = kind < 128 if family == 6 else kind in (3, 4, _REDIRECT, 11, _PARAMETER_PROBLEM)
        if is_error:
            quoted = self.packet(b[8:], ETHER_IPV4 if family == 4 else ETHER_IPV6, quoted=True)
            return Written(head + quoted.payload, quoted.whole and len(quoted.payload) == len(b) - 8)
        if kind in _ECHOES[family]:
            return Written(head, len(b) == 8)
        return Written(b[:4], False)

    def _neighbour(self, b: bytes) -> bytes:
        """Neighbour Discovery (RFC 4861 §4): addresses and link addresses mapped, options not known here emptied."""
        edit, addresses = Edit(b, self._maps), self._maps.addresses
        edit.keep(0, 8)
        at = 16 if b[0] == _ND_ROUTER else 8
        edit.keep(8, at)
        for _ in range({_ND_NEIGHBOUR: 1, _ND_ADVERTISEMENT: 1, _ND_REDIRECT: 2}.get(b[0], 0)):
            if at + 16 <= len(b):
                edit.put(at, addresses.packed(b[at : at + 16]))
            at += 16
        while at + 8 <= len(b) and b[at + 1]:
            size = 8 * b[at + 1]
            edit.put(at, bytes(size))
            edit.keep(at, at + 2)
            if b[at] in (1, 2) and size == 8:
                edit.put(at + 2, addresses.link(b[at + 2 : at + 8]))
            elif b[at] == 3 and at + 32 <= len(b):
                edit.keep(at, at + 16)
                edit.put(at + 16, addresses.packed(b[at + 16 : at + 32]))
            elif b[at] == 5:
                edit.keep(at, at + 8)
            at += size
        return bytes(edit.copy)


def _joined(header: bytes, body: Written, behind: int) -> Written:
    """A header and its body; ``behind`` bytes after the body are written as zero, where it is whole."""
    if not body.whole:
        return Written(header + body.payload, False)
    return Written(header + body.payload + bytes(behind), True)


def _padding(length: int) -> bytes:
    """PadN options of IPv6 that fill so many bytes, at least two (RFC 8200 §4.2)."""
    size = min(length, 257 if length != 258 else 256)
    option = bytes([_PAD_N, size - 2]) + bytes(size - 2)
    return option if size == length else option + _padding(length - size)


def _frame_start(protocol: int, b: bytes) -> int:
    """Where the frame inside GRE, VXLAN or Geneve begins; ``read_tunnel`` says where it leads."""
    if protocol == _UDP:
        return 16 if b[2:4] != b"\x17\xc1" else 16 + (b[8] & 0x3F) * 4
    return 4 + sum(4 for flag in (0x80, 0x20, 0x10) if b[0] & flag)


def _tcp_options(b: bytes) -> bytes:
    """The options with those that are not known replaced by NOP (MPTCP names addresses, Fast Open has cookies)."""
    made = bytearray(b)
    at = 0
    while at < len(b):
        kind = b[at]
        size = 1 if kind in (0, 1) else max(b[at + 1], 2) if at + 1 < len(b) else 1
        if kind not in _TCP_OPTIONS:
            made[at : at + size] = bytes([_NOP]) * len(made[at : at + size])
        if kind == 0:
            made[at:] = bytes(len(made) - at)
            break
        at += size
    return bytes(made)
