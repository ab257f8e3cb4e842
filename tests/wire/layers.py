"""Packets written by scapy, an independent writer, under every link layer and tunnel that is read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import GRE, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import HDLC, PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

V4 = {"src": "192.0.2.10", "dst": "198.51.100.80"}
V6 = {"src": "2001:db8:a::10", "dst": "2001:db8:b::80"}
OUTER_4 = {"src": "203.0.113.1", "dst": "203.0.113.2"}
OUTER_6 = {"src": "2001:db8:f::1", "dst": "2001:db8:f::2"}
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}

Wrap = Callable[[bytes, int], bytes]
ETHER_TYPE = {4: 0x0800, 6: 0x86DD}
PPP_PROTOCOL = {4: 0x21, 6: 0x57}


@dataclass(frozen=True)
class Inner:
    """An IP packet as scapy wrote it, and what its headers say."""

    packet: Packet
    transport: str
    header_bytes: int  # of IP and transport
    payload: bytes

    @property
    def raw(self) -> bytes:
        return bytes(self.packet)

    @property
    def family(self) -> int:
        return 4 if self.raw[0] >> 4 == 4 else 6


_TCP_OPTIONS = [("MSS", 1400), ("SAckOK", b""), ("Timestamp", (1, 2)), ("NOP", None), ("WScale", 7)]
_DATA = b"0123456789" * 4
_UDP = UDP(sport=50660, dport=443) / Raw(_DATA)
_TCP = TCP(sport=50661, dport=80, seq=0xFEDCBA98, ack=0x89ABCDEF, flags="PA", window=64240) / Raw(_DATA)

INNERS = {
    "udp4": Inner(IP(**V4, ttl=61, id=0xBEEF) / _UDP, "udp", 28, _DATA),
    "udp6": Inner(IPv6(**V6, hlim=62) / _UDP, "udp", 48, _DATA),
    "udp-empty": Inner(IP(**V4) / UDP(sport=1, dport=65535), "udp", 28, b""),
    "tcp4": Inner(IP(**V4, ttl=255) / _TCP, "tcp", 40, _DATA),
    "tcp6": Inner(IPv6(**V6, hlim=1) / _TCP, "tcp", 60, _DATA),
    "syn-options": Inner(IP(**V4) / TCP(sport=5, dport=6, flags="SEC", options=_TCP_OPTIONS), "tcp", 20 + 40, b""),
    "ip-options": Inner(IP(**V4, options=[IPOption(b"\x94\x04\0\0")] * 10) / _UDP, "udp", 60 + 8, _DATA),
    "icmp4": Inner(IP(**V4) / ICMP(type=8, code=0) / Raw(_DATA), "icmp", 28, _DATA),
    "icmp6": Inner(IPv6(**V6) / ICMPv6EchoRequest(id=7, data=_DATA), "icmp", 48, _DATA),
    "hop-by-hop": Inner(IPv6(**V6) / IPv6ExtHdrHopByHop() / _UDP, "udp", 56, _DATA),
    "extensions": Inner(
        IPv6(**V6)
        / IPv6ExtHdrHopByHop()
        / IPv6ExtHdrDestOpt()
        / IPv6ExtHdrRouting(addresses=["2001:db8::1"])
        / AH(spi=1, icv=bytes(12), nh=6, payloadlen=4)
        / _TCP,
        "tcp",
        40 + 8 + 8 + 24 + 24 + 20,
        _DATA,
    ),
    "atomic-fragment": Inner(IPv6(**V6) / IPv6ExtHdrFragment(id=9) / _UDP, "udp", 56, _DATA),
}


def _cooked(raw: bytes, family: int, version: type[Packet] = CookedLinux) -> bytes:
    return bytes(version(proto=ETHER_TYPE[family], src=b"\x02\0\0\0\0\x01", lladdrlen=6)) + raw


def _bare(raw: bytes, family: int) -> bytes:
    return raw


def _tagged(*tags: int) -> Wrap:
    """Ethernet with VLAN tags of these EtherTypes."""

    def wrap(raw: bytes, family: int) -> bytes:
        frame = Ether(**MACS, type=tags[0])
        for tag in range(len(tags)):
            following = tags[tag + 1] if tag + 1 < len(tags) else ETHER_TYPE[family]
            frame /= (Dot1AD if tags[tag] == 0x88A8 else Dot1Q)(vlan=100 + tag, type=following)
        return bytes(frame) + raw

    return wrap


def _labelled(under: Packet, labels: int) -> Wrap:
    """MPLS labels, the last with the bottom of stack bit."""
    stack = b"".join(struct.pack(">I", (16 + k) << 12 | (k == labels - 1) << 8 | 64) for k in range(labels))
    return lambda raw, _: bytes(under) + stack + raw


def _null(af: int, order: str) -> Wrap:
    return lambda raw, family: struct.pack(f"{order}I", 2 if family == 4 else af) + raw


#: Name -> (link type, link header around an IP packet of a family).
LINKS: dict[str, tuple[int, Wrap]] = {
    "ethernet": (1, lambda raw, family: bytes(Ether(**MACS, type=ETHER_TYPE[family])) + raw),
    "802.1q": (1, _tagged(0x8100)),
    "802.1ad": (1, _tagged(0x88A8)),
    "qinq": (1, _tagged(0x88A8, 0x8100)),
    "old-qinq": (1, _tagged(0x9100, 0x8100)),
    "three-tags": (1, _tagged(0x8100, 0x8100, 0x8100)),
    "mpls": (1, _labelled(Ether(**MACS, type=0x8847), 1)),
    "mpls-stack": (1, _labelled(Ether(**MACS, type=0x8847), 3)),
    "mpls-in-vlan": (1, _labelled(Ether(**MACS, type=0x8100) / Dot1Q(vlan=7, type=0x8848), 2)),
    "padded": (1, lambda raw, family: bytes(Ether(**MACS, type=ETHER_TYPE[family])) + raw + b"\xee" * 20),
    "pppoe": (
        1,
        lambda raw, family: (
            bytes(Ether(**MACS, type=0x8864) / PPPoE(len=len(raw) + 2) / PPP(proto=PPP_PROTOCOL[family])) + raw
        ),
    ),
    "cooked": (113, _cooked),
    "cooked-2": (276, lambda raw, family: _cooked(raw, family, CookedLinuxV2)),
    "cooked-vlan": (113, lambda raw, family: bytes(CookedLinux(proto=0x8100) / Dot1Q(type=ETHER_TYPE[family])) + raw),
    "cooked-2-vlan": (
        276,
        lambda raw, family: bytes(CookedLinuxV2(proto=0x8100) / Dot1Q(type=ETHER_TYPE[family])) + raw,
    ),
    "raw": (101, _bare),
    "raw-bsd": (12, _bare),
    "raw-openbsd": (14, _bare),
    "ppp": (9, lambda raw, family: bytes(PPP(proto=PPP_PROTOCOL[family])) + raw),
    "ppp-hdlc": (9, lambda raw, family: bytes(HDLC() / PPP(proto=PPP_PROTOCOL[family])) + raw),
    "ppp-compressed": (9, lambda raw, family: bytes([PPP_PROTOCOL[family]]) + raw),
    "ppp-serial": (50, lambda raw, family: bytes(HDLC() / PPP(proto=PPP_PROTOCOL[family])) + raw),
    "loop": (108, _null(24, ">")),
    **{f"null-{af}-{name}": (0, _null(af, order)) for af in (24, 28, 30) for name, order in (("be", ">"), ("le", "<"))},
}


def _vxlan(raw: bytes, family: int) -> bytes:
    inner = bytes(Ether(**MACS, type=ETHER_TYPE[family])) + raw
    return bytes(IP(**OUTER_4) / UDP(sport=40000, dport=4789) / VXLAN(vni=77, flags=8) / Raw(inner))


def _geneve(options: bytes, *, bridged: bool, over: Packet) -> Wrap:
    def wrap(raw: bytes, family: int) -> bytes:
        inner = bytes(Ether(**MACS, type=ETHER_TYPE[family])) + raw if bridged else raw
        proto = 0x6558 if bridged else ETHER_TYPE[family]
        header = bytes(GENEVE(vni=3, proto=proto, optionlen=len(options) // 4)) + options
        return bytes(over / UDP(sport=40001, dport=6081) / Raw(header + inner))

    return wrap


def _gre(*, bridged: bool = False, over: Packet | None = None, **fields: int) -> Wrap:
    def wrap(raw: bytes, family: int) -> bytes:
        inner = bytes(Ether(**MACS, type=ETHER_TYPE[family])) + raw if bridged else raw
        header = GRE(proto=0x6558 if bridged else ETHER_TYPE[family], **fields)
        return bytes((over or IP(**OUTER_4)) / header / Raw(inner))

    return wrap


def _ip_in_ip(over: Packet) -> Wrap:
    def wrap(raw: bytes, family: int) -> bytes:
        outer = over.copy()
        last = outer.lastlayer()
        setattr(last, "proto" if isinstance(last, IP) else "nh", 4 if family == 4 else 41)
        return bytes(outer / Raw(raw))

    return wrap


#: Name -> tunnel around an IP packet of a family; the result is an IP packet.
TUNNELS: dict[str, Wrap] = {
    "vxlan": _vxlan,
    "geneve": _geneve(b"", bridged=True, over=IP(**OUTER_4)),
    "geneve-options": _geneve(bytes.fromhex("0102000200000000aabbccdd"), bridged=True, over=IPv6(**OUTER_6)),
    "geneve-ip": _geneve(b"", bridged=False, over=IPv6(**OUTER_6)),
    "gre": _gre(),
    "gre-key": _gre(key_present=1, key=5),
    "gre-checksum": _gre(chksum_present=1),
    "gre-sequence": _gre(seqnum_present=1, sequence_number=9),
    "gre-all": _gre(chksum_present=1, key_present=1, key=5, seqnum_present=1, sequence_number=9),
    "gre-bridged": _gre(bridged=True, key_present=1, key=5),
    "gre-over-6": _gre(over=IPv6(**OUTER_6, nh=47)),
    "ip-in-4": _ip_in_ip(IP(**OUTER_4)),
    "ip-in-6": _ip_in_ip(IPv6(**OUTER_6)),
    "ip-in-6-options": _ip_in_ip(IPv6(**OUTER_6) / IPv6ExtHdrDestOpt()),
}


def family_of(raw: bytes) -> int:
    """The family of an IP packet."""
    return raw[0] >> 4
