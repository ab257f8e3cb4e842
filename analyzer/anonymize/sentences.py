"""Sentences of ours that tell what packets hold, with the addresses, names and paths in them replaced.

A word stays where it is one of those that such sentences are made of; it is replaced where it is an address, or a name
that the capture shows, and as a name is where it is neither.
"""

from __future__ import annotations

import re
from collections.abc import Set

from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.phrases import alpn, is_plain
from analyzer.wire.codes import ALERTS, GROUPS

ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")

_WORDS = """
-> + 0-RTT 1-RTT A ACK ACKs ALPN Alt-Svc CONNECT ClientHello DELETE EncryptedExtensions FIN GET HEAD HTTP/2
Handshake HelloRetryRequest Host HTTP Initial Negotiation OCSP OPTIONS PATCH POST PRI PROXY PUT RST Retry
SETTINGS SYN ServerHello TLS TRACE Version again all any admin-prohibited address-unreachable advertisement
alert's an before bytes captured client's closed code cut data end fragment good has header here internalError
host-unreachable ip later length line malformedRequest neighbour network-unreachable no-route only packet
packet-too-big parameter-problem payload port port-unreachable preface protected protocol-unreachable quotes
record redirect request response revoked router same serial server's signed sigRequired since size solicitation
stapled successful then there time-exceeded try-later tryLater type unauthorized unreachable unreadable until who
UTC be by cannot certificate chain chose from in issued key log more nobody of read that the to valid
"""
_OURS = frozenset(_WORDS.split()) | {
    word for names in (ALERTS, GROUPS) for name in names.values() for word in name.split()
}
_TOKEN = re.compile(r"[^\s,;]+")
_NUMBER = re.compile(r"[0-9]{1,5}|[0-9]{1,3}(,[0-9]{3})+|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{8,18}Z)?|1\.[0-3]")
_SERIAL = re.compile(r"(?<=\bserial )[0-9a-f]+")


class Sentences:
    """Sentences of an analysis, in which these names are known to occur."""

    def __init__(self, maps: Maps, names: Set[str]) -> None:
        self._maps = maps
        self._names = names

    def replaced(self, sentence: str) -> str:
        """The sentence without what is private in it."""
        serials = _SERIAL.findall(sentence)
        return _TOKEN.sub(lambda found: self._token(found[0], serials), sentence)

    def addresses(self, text: str) -> str:
        """A text that holds addresses and nothing else that is private."""
        return ADDRESS.sub(lambda found: self.address(found[0]), text)

    def address(self, text: str) -> str:
        """The replacement of an address; the text itself where it is none."""
        try:
            return self._maps.addresses.text(text)
        except ValueError:
            return text

    def serial(self, serial: str) -> str:
        """The replacement of a certificate's serial number in hexadecimal digits, which it stays."""
        made = self._maps.key.bytes_for(b"serial", serial.encode(), len(serial)).hex()
        return made[: len(serial)]

    def _token(self, token: str, serials: list[str]) -> str:
        if token in serials:
            return self.serial(token)
        core = token.strip("().:")
        if core.lower() not in self._names and (core in _OURS or _NUMBER.fullmatch(core)):
            return token
        mapped = self.addresses(token)
        if mapped != token or (ADDRESS.fullmatch(core) and self.address(core) == core):
            return mapped
        octets = token.encode("utf-8", "replace")
        if core.lower() not in self._names and (is_plain(octets) or alpn(octets, self._maps.names) == octets):
            return token
        return self._maps.names.text(token)
