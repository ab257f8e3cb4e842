"""Phrases that peers send (reasons of closes, HTTP reasons): words of protocols stay, all others are scrambled.

A phrase may hold a name, an address or a path, so only words that are listed here stay, and short numbers that stand
alone.
"""

from __future__ import annotations

import re

from analyzer.anonymize.names import Names

_TEXT = """
a ack aead alert algorithm alpn an and any application are as at auth authentication authority bad bind bug by
ca cannot certificate chain cid cipher client close closed code config connection context control crypto data
decode decrypt denied done early ech encrypt encryption end error errors excessive expired extension fail failed
failure fatal final finished flow for format found frame from going graceful h2 h3 handshake hello help host http
id idle illegal in incompatible inappropriate insufficient internal into invalid is issuer key keys length level
limit load local lost malformed max message mismatch missing name negotiate negotiated negotiation new no none not
of ok on or out packet padding parameter parameters parse path peer please policy present private protected
protocol protocols psk public quic quiet read reason received record refused rejected request required reset
retry sent server session shut shutdown shutting signature size snd state status stream supported the ticket tag
timed timeout tls to token too transport type unable unavailable unexpected unknown unrecognized unsupported
update usage user validate validation value verification verify version was while wire with without wrong x509 zero
accepted allowed content created forbidden gateway large many method moved multiple multi partial
payload permanently precondition proxy range redirect requests see service switching temporarily
temporary timeout unauthorized unprocessable uri used
"""
_WORDS = frozenset(_TEXT.split())
_PART = re.compile(rb"[A-Za-z]+[0-9]{0,3}(?![0-9A-Za-z])|0x[0-9A-Fa-f]{1,4}(?![0-9A-Za-z])|[0-9]{1,4}(?![0-9A-Za-z])")
_TOKEN = re.compile(rb"[^\s]+")
_AROUND = b"()[]{}<>\"',:;.!?"

#: Application protocols by the registry of IANA and their drafts; others may name a product or its user.
_ALPN = re.compile(
    rb"h3(-[A-Z]?[0-9]+)?|hq-(interop|[0-9]+)|h2c?|http/[0-9]\.[0-9]|doq(-i[0-9]+)?|dot|smb|imap|pop3|ftp|mqtt"
    rb"|spdy/[0-9](\.[0-9])?|acme-tls/1|webrtc|c-webrtc|stun\.(turn|nat-discovery)|perf|coap|ntske/1|sunrpc|irc|nntp"
    rb"|managesieve|xmpp-(client|server)|radius/1\.[01]|postgresql|tds/8\.0"
)

_ALTERNATIVE = re.compile(rb'([A-Za-z0-9.%-]+)="([A-Za-z0-9_.-]*)(:[0-9]{1,5}")')
_ALTERNATIVES = re.compile(rb"(?:%b(?: *; *(?:ma|persist)=[0-9]{1,9})*(?: *, *|$))+" % _ALTERNATIVE.pattern)


def phrase(text: bytes, names: Names) -> bytes:
    """A phrase of the same length without what may be private."""
    return _TOKEN.sub(lambda found: _token(found[0], names), text)


def alpn(protocol: bytes, names: Names) -> bytes:
    """An application protocol, scrambled unless it is a registered one or GREASE (RFC 8701 §2)."""
    if _ALPN.fullmatch(protocol) or (len(protocol) == 2 and all(octet & 0x0F == 0x0A for octet in protocol)):
        return protocol
    return names.scrambled(protocol)


def alt_svc(value: bytes, names: Names) -> bytes:
    """An Alt-Svc field (RFC 7838 §3): hosts are names, what is not of its usual form is scrambled."""
    if value == b"clear" or not _ALTERNATIVES.fullmatch(value):
        return value if value == b"clear" else names.scrambled(value)
    return _ALTERNATIVE.sub(
        lambda found: b'%b="%b%b' % (alpn(found[1], names), names.name(found[2]), found[3]),
        value,
    )


def is_plain(word: bytes) -> bool:
    """Whether a word between spaces is one of protocols, or a short number."""
    return all(not part or _is_plain(part) for part in re.split(rb"[-_/]", word.strip(_AROUND)))


def _token(token: bytes, names: Names) -> bytes:
    """What stands between spaces: kept where all its parts are words of protocols."""
    return token if is_plain(token) else names.scrambled(token)


def _is_plain(part: bytes) -> bool:
    if not _PART.fullmatch(part):
        return False
    word = part.lower()
    return word.decode("ascii") in _WORDS or word[:1].isdigit()
