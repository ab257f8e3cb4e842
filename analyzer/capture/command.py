"""The tcpdump command for a capture that can be judged: both families, both transports, and what explains silence.

The filter takes the ports asked for, DNS, ICMP and ICMPv6 (which holds Neighbour Discovery), ARP, and later fragments,
which carry no ports. Where hosts are named, only the ports are narrowed to them: errors come from routers, and names
are asked elsewhere.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.errors import UsageError

#: Bytes of each packet that are kept. RFC 9000 §14.1: an Initial fills 1,200 bytes or more, at most what the path
#: carries, and a ClientHello may take two of them, which segmentation offload shows as one packet.
SNAPLEN = 4096
DEFAULT_PORTS = (443,)

# Beside the ports. Later fragments: IPv4 by the offset, IPv6 by the fragment header.
_EXPLAINING = "port 53 or icmp or icmp6 or arp or (ip[6:2] & 0x1fff != 0) or ip6 proto 44"
# QUIC long headers (RFC 8999 §5.1), and TCP with SYN or RST: data without its acknowledgments would look unanswered.
# libpcap cannot look into UDP and TCP over IPv6 by name: offsets count from the IPv6 header, without extensions.
_HANDSHAKES = (
    "(udp and (udp[8] & 0x80 != 0 or ip6[48] & 0x80 != 0))",
    "(tcp and (tcp[13] & 6 != 0 or ip6[53] & 6 != 0))",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be captured; ``handshakes`` leaves out what follows them on established connections."""

    interface: str = "any"
    hosts: Sequence[str] = ()
    ports: Sequence[int] = DEFAULT_PORTS
    handshakes: bool = False
    vlan: bool = False
    filename: str = "halfshake.pcap"
    megabytes: int = 100  # of one file of the ring
    files: int = 20


def capture_command(wanted: Wanted) -> str:
    """The command in one line, quoted for a shell; raises UsageError for what tcpdump would refuse."""
    if wanted.vlan and wanted.interface == "any":
        raise UsageError("VLAN tags are not known on the interface 'any': name the one that carries the VLAN")
    words = ["tcpdump", "-i", wanted.interface, "-n", "-s", str(SNAPLEN), "-B", "8192"]
    words += ["-C", str(wanted.megabytes), "-W", str(wanted.files), "-w", wanted.filename, capture_filter(wanted)]
    return shlex.join(words)


def capture_filter(wanted: Wanted) -> str:
    """The filter in the language of libpcap; raises UsageError for what is no address or no port."""
    if not wanted.ports:
        raise UsageError("name at least one port")
    for port in wanted.ports:
        if not 0 < port < 65536:
            raise UsageError(f"{port} is not a port: ports are 1 to 65535")
    asked = _any([f"port {port}" for port in wanted.ports])
    terms = [_any([f"host {_address(host)}" for host in wanted.hosts])] if wanted.hosts else []
    terms += [asked, _any(_HANDSHAKES)] if wanted.handshakes else [asked]
    asked = f"({' and '.join(terms)})" if len(terms) > 1 else asked
    expression = f"{asked} or {_EXPLAINING}"
    # After "vlan" all offsets lie four bytes further on, so it comes last.
    return f"{expression} or (vlan and ({expression}))" if wanted.vlan else expression


def advice(wanted: Wanted) -> list[str]:
    """What the one who types the command should know."""
    sentences = []
    families = {ipaddress.ip_address(_address(host)).version for host in wanted.hosts}
    if len(families) == 1:
        missing = "IPv6" if families == {4} else "IPv4"
        sentences.append(f"only one address family is named; add the {missing} address of the host to compare both")
    if wanted.handshakes:
        sentences.append("handshakes alone: what happens to established connections cannot be seen")
    sentences.append("let it run for ten seconds after the last attempt; stop it with Ctrl-C")
    sentences.append(f"then: halfshake analyze {shlex.quote(wanted.filename)}*")
    return sentences


def _any(terms: Sequence[str]) -> str:
    return terms[0] if len(terms) == 1 else f"({' or '.join(terms)})"


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise UsageError(f"{text!r} is not an address; name IPv4 and IPv6 addresses, not host names") from None
