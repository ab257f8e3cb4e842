"""DNS messages, opened with dnspython: the question, the answer's code, addresses, aliases and HTTPS records.

    message    id (16) | QR (1) opcode (4) AA TC RD RA (1 each) Z (3) rcode (4) | counts of the four sections (16 each)
    question   name | type (16) | class (16)
    record     name | type (16) | class (16) | TTL (32) | length (16) | data

Sources: RFC 1035 §4.1, RFC 3596 §2 (AAAA), RFC 6891 §6.1.3 (extended rcode), RFC 9460 §2 (HTTPS, SVCB). Read are
queries (opcode 0) of class IN with one question, and of an answer the answer section. Not read here: DNSSEC, authority
and additional sections, updates, notifications.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

HEADER = 12
PORT = 53

_ADDRESS_KINDS = ("A", "AAAA")
_MOST_ALIASES = 16  # longer chains of CNAME records are not followed
_PLAIN = re.compile(rb"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
#: Type and class IN of the usual questions.
_KINDS = {
    number.to_bytes(2, "big") + b"\0\x01": name
    for number, name in ((1, "A"), (28, "AAAA"), (65, "HTTPS"), (12, "PTR"), (16, "TXT"), (33, "SRV"), (15, "MX"))
}
_ALPN, _IPV4_HINT, _IPV6_HINT = 1, 4, 6  # RFC 9460 §14.3.2


class Message(NamedTuple):
    """What a DNS query or answer says.

    ``name`` is the name asked for in lower case without its final dot, in the presentation form of RFC 1035 §5.1;
    ``kind`` the type asked for (A, AAAA, HTTPS, TYPE65400), ``code`` the response code in words, ``addresses`` those
    that the question leads to, ``aliases`` the names on the way, ``alpn`` and ``hints`` those of HTTPS and SVCB
    records. ``is_cut`` says that bytes are missing or make no sense; what stands before them was read.
    """

    is_answer: bool
    is_truncated: bool
    is_recursive: bool
    code: str
    name: str
    kind: str
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    alpn: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    is_cut: bool = False


def read_message(b: bytes) -> tuple[int, Message] | None:
    """(id, message) of a DNS query or an answer to one; None for other bytes."""
    if len(b) < HEADER + 5 or (b[2] >> 3) & 15 or b[4:6] != b"\x00\x01":
        return None
    message = (_read_question(b) if b[2] < 128 else None) or _read(b[2:])
    return (int.from_bytes(b[:2], "big"), message) if message is not None else None


def _read_question(b: bytes) -> Message | None:
    """A query for a usual type and a name of letters, digits and hyphens, as ``_read`` reads it but ten times faster.

    None for any other, and where records other than one of EDNS without options follow: dnspython opens those.
    """
    if b[6:10] != b"\0\0\0\0" or b[10] or b[11] > 1:
        return None
    at, labels = HEADER, []
    while at < len(b) and 0 < b[at] < 64:
        labels.append(b[at + 1 : at + 1 + b[at]])
        at += 1 + b[at]
    kind = _KINDS.get(b[at + 1 : at + 5])
    rest = b[at + 5 :]
    # RFC 6891 §6.1.2: root name, type 41, size (16), extended rcode and flags (32), length of the options: none
    is_whole = len(rest) == 11 and rest[:3] == b"\0\0\x29" and rest[9:] == b"\0\0" if b[11] else not rest
    name = b".".join(labels)
    if kind is None or b[at] or not is_whole or not _PLAIN.fullmatch(name) or len(name) > 253:
        return None
    return Message(False, bool(b[2] & 2), bool(b[2] & 1), "", name.decode("ascii").lower(), kind)


def read_stream(stream: bytes) -> Iterator[bytes]:
    """The messages of one direction of a TCP connection, each behind its 16-bit length (RFC 1035 §4.2.2)."""
    at = 0
    while at + 2 < len(stream):
        length = int.from_bytes(stream[at : at + 2], "big")
        yield stream[at + 2 : at + 2 + length]
        at += 2 + length


@functools.lru_cache(maxsize=4096)
def _read(behind_id: bytes) -> Message | None:
    """A message without its id: retries and popular names have the same bytes."""
    import dns.exception
    import dns.flags
    import dns.message
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype

    try:
        parsed = dns.message.from_wire(b"\0\0" + behind_id, ignore_trailing=True, continue_on_error=True)
        [question] = parsed.question
        if question.rdclass != dns.rdataclass.IN:
            return None
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
    except (dns.exception.DNSException, ValueError, IndexError):  # bytes that are no message, or hold no whole question
        return None
    is_answer = bool(parsed.flags & dns.flags.QR)
    found = _answers(parsed, name, kind) if is_answer else _Answers()
    return Message(
        is_answer,
        bool(parsed.flags & dns.flags.TC),
        bool(parsed.flags & dns.flags.RD),
        dns.rcode.to_text(parsed.rcode()) if is_answer else "",
        name,
        kind,
        *found,
        is_cut=bool(parsed.errors),
    )


class _Answers(NamedTuple):
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    alpn: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def _answers(parsed: object, name: str, kind: str) -> _Answers:
    """What the answer section says of a name, through its aliases."""
    import dns.rdatatype

    by_owner: dict[tuple[str, str], list[object]] = {}
    for rrset in getattr(parsed, "answer", ()):
        owner = rrset.name.to_text(omit_final_dot=True).lower()
        by_owner.setdefault((owner, dns.rdatatype.to_text(rrset.rdtype)), []).extend(rrset)
    aliases: list[str] = []
    while (name, kind) not in by_owner and (name, "CNAME") in by_owner and len(aliases) < _MOST_ALIASES:
        name = str(getattr(by_owner[name, "CNAME"][0], "target", "")).lower().rstrip(".")
        aliases.append(name)
    records = by_owner.get((name, kind), [])
    if kind in _ADDRESS_KINDS:
        return _Answers(tuple(str(getattr(each, "address", "")) for each in records), tuple(aliases))
    alpn, hints = [], []
    for each in records if kind in ("HTTPS", "SVCB") else []:
        parameters = getattr(each, "params", {})
        alpn += [one.decode("ascii", "backslashreplace") for one in getattr(parameters.get(_ALPN), "ids", ())]
        for key in (_IPV4_HINT, _IPV6_HINT):
            hints += [str(one) for one in getattr(parameters.get(key), "addresses", ())]
    return _Answers((), tuple(aliases), tuple(alpn), tuple(hints))
