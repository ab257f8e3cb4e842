"""DNS messages with other names and addresses, of the same length, byte for byte in their places.

    message | header (96) | questions | records |      RFC 1035 §4.1; a name is labels, or ends in a pointer to others

A name is read through its pointers, replaced as a whole, and each label written where it stands; what a label becomes
depends on the labels behind it alone, so every name that points to it gets the same. Data of records that are not known
here, cookies and the keys of Encrypted Client Hello become bytes that look random.
"""

from __future__ import annotations

from analyzer.anonymize.packets.edit import Edit, Maps
from analyzer.anonymize.phrases import alpn
from analyzer.wire.dns import HEADER

_A, _AAAA, _OPT = 1, 28, 41
_ONE_NAME = (2, 5, 12, 39)  # NS, CNAME, PTR, DNAME
#: Type -> bytes before the name in its data: MX; SRV; SVCB and HTTPS.
_NAME_BEHIND = {15: 2, 33: 6, 64: 2, 65: 2}
_SOA, _RRSIG, _NSEC, _NSEC3, _NAPTR, _TSIG, _CAA = 6, 46, 47, 50, 35, 250, 257
_STRINGS = (13, 16, 99)  # HINFO, TXT, SPF: texts of at most 255 bytes, each behind its length
_FIXED = {43: 4, 44: 2, 48: 4, 52: 3}  # DS, SSHFP, DNSKEY, TLSA: bytes of numbers before keys and digests
_SVCB = (64, 65)
_MANDATORY, _ALPN, _NO_DEFAULT_ALPN, _PORT, _IPV4_HINT, _ECH, _IPV6_HINT = range(7)
_CLIENT_SUBNET, _PADDING = 8, 12
_MOST_LABELS = 128


def edit_message(b: bytes, maps: Maps) -> bytes:
    """A copy of a message; what cannot be read in it looks random."""
    edit = Edit(b, maps)
    edit.keep(0, HEADER)
    at = HEADER
    for _ in range(max(edit.number(4, 2), 0)):
        if at >= len(b):
            break
        at = _name(edit, at)
        edit.keep(at, at + 4)
        at += 4
    for _ in range(sum(max(edit.number(place, 2), 0) for place in (6, 8, 10))):
        if at >= len(b):
            break
        at = _record(edit, at)
    return bytes(edit.copy)


def _name(edit: Edit, at: int) -> int:
    """Replace the name at ``at``; returns the offset behind it, the end of the message where it makes no sense."""
    places: list[tuple[int, int]] = []
    behind, end, limit = -1, len(edit.b), at
    while at < end and len(places) < _MOST_LABELS:
        length = edit.b[at]
        if length >= 0xC0:
            edit.keep(at, at + 2)
            behind = at + 2 if behind < 0 else behind
            target = edit.number(at, 2) & 0x3FFF
            if not HEADER <= target < limit:  # a pointer leads back (RFC 1035 §4.1.4); anything else may never end
                break
            at = limit = target
        elif length == 0 or length > 63:
            edit.keep(at, at + 1 if length == 0 else at)
            behind = (at + 1 if length == 0 else end) if behind < 0 else behind
            break
        else:
            edit.keep(at, at + 1)
            places.append((at + 1, min(at + 1 + length, end)))
            at += 1 + length
    for (start, stop), label in zip(
        places, edit.maps.names.labels([edit.b[start:stop] for start, stop in places]), strict=True
    ):
        edit.put(start, label[: stop - start])
    return behind if behind >= 0 else end


def _record(edit: Edit, at: int) -> int:
    if edit.b[at : at + 1] == b"\0":
        edit.keep(at, at + 1)
        at += 1
    else:
        at = _name(edit, at)
    kind, length = edit.number(at, 2), edit.number(at + 8, 2)
    edit.keep(at, at + 10)
    start, end = at + 10, min(at + 10 + max(length, 0), len(edit.b))
    if length < 0:
        return len(edit.b)
    if kind in (_A, _AAAA) and end - start in (4, 16):
        edit.put(start, edit.maps.addresses.packed(edit.b[start:end]))
    elif kind in _ONE_NAME:
        _name(edit, start)
    elif kind in _NAME_BEHIND:
        edit.keep(start, start + _NAME_BEHIND[kind])
        behind = _name(edit, start + _NAME_BEHIND[kind])
        if kind in _SVCB:
            _parameters(edit, behind, end)
    elif kind == _SOA:
        behind = _name(edit, _name(edit, start))
        edit.keep(behind, min(behind + 20, end))
    elif kind == _OPT:
        _options(edit, start, end)
    elif kind in _FIXED:
        edit.keep(start, min(start + _FIXED[kind], end))
    else:
        _other(edit, kind, start, end)
    return end


def _other(edit: Edit, kind: int, start: int, end: int) -> None:
    """Data of the rarer kinds, so far that it is read as the original was."""
    if kind in _STRINGS:
        _strings(edit, start, end)
    elif kind == _RRSIG:
        edit.keep(start, min(start + 18, end))
        _name(edit, start + 18)
    elif kind == _NSEC:
        edit.keep(_name(edit, start), end)
    elif kind == _NSEC3:
        edit.keep(start, min(start + 4, end))
        _, behind = edit.vector(start + 4, 1)
        _, behind = edit.vector(behind, 1)
        edit.keep(behind, end)
    elif kind == _NAPTR:
        edit.keep(start, min(start + 4, end))
        _name(edit, _strings(edit, start + 4, end, most=3))
    elif kind == _TSIG:  # RFC 8945 §4.2: algorithm, time (48), fudge (16), MAC <16>, id, error, length (16 each)
        at = _name(edit, start)
        edit.keep(at, min(at + 8, end))
        _, behind = edit.vector(at + 8, 2)
        edit.keep(behind, min(behind + 6, end))
    elif kind == _CAA:
        edit.keep(start, min(start + 1, end))
        tag, behind = edit.vector(start + 1, 1)
        edit.keep(tag, behind)
        edit.put(behind, edit.maps.names.scrambled(edit.b[behind:end]))


def _strings(edit: Edit, at: int, end: int, *, most: int = 255) -> int:
    """Scramble texts, each behind its length in 8 bits; returns the offset behind the last of them."""
    while at < end and most:
        start, behind = edit.vector(at, 1)
        edit.put(start, edit.maps.names.scrambled(edit.b[start : min(behind, end)]))
        at, most = min(behind, end), most - 1
    return at


def _parameters(edit: Edit, at: int, end: int) -> None:
    """RFC 9460 §2.2: key (16), length (16), value."""
    while at + 4 <= end:
        key, length = edit.number(at, 2), edit.number(at + 2, 2)
        edit.keep(at, at + 4)
        start, stop = at + 4, min(at + 4 + length, end)
        if key in (_MANDATORY, _NO_DEFAULT_ALPN, _PORT):
            edit.keep(start, stop)
        elif key == _ALPN:
            place = start
            while place < stop:
                first, behind = place + 1, min(place + 1 + edit.b[place], stop)
                edit.keep(place, first)
                edit.put(first, alpn(edit.b[first:behind], edit.maps.names))
                place = behind
        elif key in (_IPV4_HINT, _IPV6_HINT):
            size = 4 if key == _IPV4_HINT else 16
            for place in range(start, stop - size + 1, size):
                edit.put(place, edit.maps.addresses.packed(edit.b[place : place + size]))
        at = stop


def _options(edit: Edit, at: int, end: int) -> None:
    """RFC 6891 §6.1.2: code (16), length (16), data; a client's subnet (RFC 7871 §6) is mapped as its address is."""
    while at + 4 <= end:
        code, length = edit.number(at, 2), edit.number(at + 2, 2)
        edit.keep(at, at + 4)
        start, stop = at + 4, min(at + 4 + length, end)
        if code == _PADDING:
            edit.keep(start, stop)
        elif code == _CLIENT_SUBNET and stop - start >= 4:
            edit.keep(start, start + 4)
            size = {1: 4, 2: 16}.get(edit.number(start, 2), 0)
            given = edit.b[start + 4 : stop]
            if 0 < len(given) <= size:
                mapped = edit.maps.addresses.packed(given.ljust(size, b"\0"))
                bits = edit.b[start + 2] - 8 * (len(given) - 1)
                last = mapped[len(given) - 1] & (0xFF00 >> max(0, min(bits, 8)) & 0xFF)
                edit.put(start + 4, mapped[: len(given) - 1] + bytes([last]))
        at = stop
