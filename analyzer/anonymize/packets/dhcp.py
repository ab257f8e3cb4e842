"""DHCP for IPv4 (RFC 2131 §2, RFC 2132) with other addresses, link addresses and names.

op htype hlen hops (8 each) | xid (32) | secs flags (16 each) | ciaddr yiaddr siaddr giaddr (32 each) |
chaddr (128) | sname (512) | file (1024) | cookie (32) | options: code (8), length (8), value
"""

from __future__ import annotations

from analyzer.anonymize.packets.edit import Edit, Maps

PORTS = (67, 68)
_ADDRESSES, _CHADDR, _SNAME, _OPTIONS = 12, 28, 44, 240
_COOKIE = b"\x63\x82\x53\x63"
_PAD, _END = 0, 255
#: Options that hold addresses, names, link addresses, or what may stay: masks, times, types, what is asked for.
_WITH_ADDRESSES = frozenset({3, 4, 5, 6, 7, 8, 9, 28, 41, 42, 44, 50, 54, 150})
_NAMES = frozenset({12, 15})
_CLIENT_ID = 61
_KEPT = frozenset({1, 2, 13, 19, 20, 22, 23, 24, 26, 27, 29, 31, 35, 36, 37, 38, 51, 52, 53, 55, 57, 58, 59, 116})


def edit_dhcp(b: bytes, maps: Maps) -> bytes:
    """A copy of a message; what cannot be read in it looks random."""
    edit = Edit(b, maps)
    edit.keep(0, _ADDRESSES)
    for at in range(_ADDRESSES, _CHADDR, 4):
        _address(edit, at)
    if b[1:3] == b"\x01\x06" and len(b) >= _SNAME:
        edit.put(_CHADDR, maps.addresses.link(b[_CHADDR : _CHADDR + 6]) + bytes(10))
    edit.put(_SNAME, bytes(_OPTIONS - 4 - _SNAME))
    if b[_OPTIONS - 4 : _OPTIONS] != _COOKIE:
        return bytes(edit.copy)
    edit.keep(_OPTIONS - 4, _OPTIONS)
    at = _OPTIONS
    while at < len(b):
        code = b[at]
        edit.keep(at, at + 1)
        if code in (_PAD, _END):
            at += 1
            continue
        start, end = edit.vector(at + 1, 1)
        _option(edit, code, start, end)
        at = max(end, at + 1)
    return bytes(edit.copy)


def _option(edit: Edit, code: int, start: int, end: int) -> None:
    if code in _WITH_ADDRESSES:
        for at in range(start, end - 3, 4):
            _address(edit, at)
    elif code in _NAMES:
        edit.put(start, edit.maps.names.name(edit.b[start:end]))
    elif code == _CLIENT_ID and end - start == 7 and edit.b[start] == 1:
        edit.keep(start, start + 1)
        edit.put(start + 1, edit.maps.addresses.link(edit.b[start + 1 : end]))
    elif code in _KEPT:
        edit.keep(start, end)


def _address(edit: Edit, at: int) -> None:
    if at + 4 <= len(edit.b):
        edit.put(at, edit.maps.addresses.packed(edit.b[at : at + 4]))
