"""The PROXY protocol header that a load balancer puts in front of a connection's bytes: the client that it serves.

    version 1 | PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\\r\\n                     at most 107 bytes
    version 2 | signature (96) | version, command (8) | family, protocol (8) | length (16) | addresses, TLVs |

"The PROXY protocol, versions 1 & 2" (HAProxy documentation), §2.1 and §2.2. A header without addresses (``UNKNOWN``,
``LOCAL``, Unix sockets) is a header as well.

Not read here: TLVs, and the checksum among them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ipaddress

_WORD = b"PROXY "
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_MOST_LINE = 107  # bytes of a version 1 header, line end included
_FIXED = 16  # bytes of a version 2 header before its addresses
_ADDRESS_BYTES = {1: 4, 2: 16}  # by address family


class ProxyFlaw(IntEnum):
    """Why a header tells no addresses although it should."""

    NONE = 0
    INCOMPLETE = 1  # its end is not there
    MALFORMED = 2


class ProxyHeader(NamedTuple):
    """A header of ``length`` bytes (0: its end is not there); ports are -1 and addresses empty where it names none."""

    version: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    length: int
    flaw: ProxyFlaw


def is_proxy(stream: bytes) -> bool:
    """Whether a stream can begin with such a header, as far as its first bytes are there."""
    return bool(stream) and (stream[:6] == _WORD[: len(stream)] or stream[:12] == _SIGNATURE[: len(stream)])


def read_proxy(stream: bytes) -> ProxyHeader | None:
    """The header that a stream begins with; None if it begins with something else."""
    if stream[:12] == _SIGNATURE:
        return _read_binary(stream)
    if stream[:6] == _WORD:
        return _read_line(stream)
    return _none(0, 0, ProxyFlaw.INCOMPLETE) if is_proxy(stream) else None


def _address(text_or_bytes: str | bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    import ipaddress  # few captures hold such headers

    return ipaddress.ip_address(text_or_bytes)


def _none(version: int, length: int, flaw: ProxyFlaw) -> ProxyHeader:
    return ProxyHeader(version, "", -1, "", -1, length, flaw)


def _read_line(stream: bytes) -> ProxyHeader:
    """Version 1."""
    end = stream.find(b"\r\n", 0, _MOST_LINE)
    if end < 0:
        return _none(1, 0, ProxyFlaw.INCOMPLETE if len(stream) < _MOST_LINE else ProxyFlaw.MALFORMED)
    length, words = end + 2, stream[:end].decode("ascii", "backslashreplace").split(" ")
    if words[1] == "UNKNOWN":
        return _none(1, length, ProxyFlaw.NONE)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        return _none(1, length, ProxyFlaw.MALFORMED)
    family, addresses, ports = int(words[1][3]), words[2:4], words[4:6]
    try:
        parsed = [_address(address) for address in addresses]
    except ValueError:
        return _none(1, length, ProxyFlaw.MALFORMED)
    is_number = all(port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536 for port in ports)
    if any(address.version != family for address in parsed) or not is_number:
        return _none(1, length, ProxyFlaw.MALFORMED)
    return ProxyHeader(1, str(parsed[0]), int(ports[0]), str(parsed[1]), int(ports[1]), length, ProxyFlaw.NONE)


def _read_binary(stream: bytes) -> ProxyHeader:
    """Version 2."""
    if len(stream) < _FIXED:
        return _none(2, 0, ProxyFlaw.INCOMPLETE)
    length = _FIXED + int.from_bytes(stream[14:16], "big")
    if len(stream) < length:
        return _none(2, 0, ProxyFlaw.INCOMPLETE)
    version, command, family, protocol = stream[12] >> 4, stream[12] & 15, stream[13] >> 4, stream[13] & 15
    if version != 2 or command > 1 or family > 3 or protocol > 2:
        return _none(2, length, ProxyFlaw.MALFORMED)
    size = _ADDRESS_BYTES.get(family, 0)
    if command == 0 or not size:
        return _none(2, length, ProxyFlaw.NONE)
    body = stream[_FIXED:length]
    if len(body) < 2 * size + 4:
        return _none(2, length, ProxyFlaw.MALFORMED)
    source, destination = (str(_address(body[k * size : (k + 1) * size])) for k in (0, 1))
    ports = [int.from_bytes(body[2 * size + 2 * k : 2 * size + 2 * k + 2], "big") for k in (0, 1)]
    return ProxyHeader(2, source, ports[0], destination, ports[1], length, ProxyFlaw.NONE)
