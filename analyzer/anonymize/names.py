"""Names and other texts replaced by ones of the same length and shape.

A name is replaced label by label: letters by letters, digits by digits, hyphens stay. What a label becomes depends on
the labels behind it, so that names below one domain stay below one domain, and not on upper and lower case, which is
kept. Two labels below one domain never become the same: three passes over the symbols, forward, back and forward, shift
each by what the key makes of those that came before it in the pass, which can be undone step by step.

Kept are labels that begin with an underscore (``_443._tcp``), and the word ``ocsp``, which tells what a server is for.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from analyzer.anonymize.key import Key

_LOWER = string.ascii_lowercase.encode()
_UPPER = string.ascii_uppercase.encode()
_DIGITS = string.digits.encode()
#: What gives a text its form stays.
_FORM = b"-_.* /?&=:;,()[]{}<>\"'%+@#!|~\\\r\n\t"
_SIGNS = bytes(c for c in range(33, 127) if c not in _LOWER + _UPPER + _DIGITS + _FORM)
_HIGH = bytes(range(128, 256))
_CONTROL = bytes(c for c in [*range(33), 127] if c not in _FORM)
_ALPHABETS = {symbol: alphabet for alphabet in (_LOWER, _DIGITS, _SIGNS, _HIGH, _CONTROL) for symbol in alphabet}
_PASSES = 3
#: RFC 1035 §2.3.4; what is longer is no label, and only scrambled.
_LONGEST_LABEL = 63
_ROLE = re.compile(rb"ocsp[0-9]*")
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|[0-9]{3}|.)", re.DOTALL)


class Names:
    """The mapping of names and texts that a key makes."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._labels: dict[tuple[bytes, bytes], bytes] = {}

    def labels(self, labels: Sequence[bytes]) -> list[bytes]:
        """The labels of a name, the leftmost first, each replaced by one of its length."""
        lower = [label.lower() for label in labels]
        return [
            _in_case_of(label, self._label(lower[place], b".".join(lower[place + 1 :])))
            for place, label in enumerate(labels)
        ]

    def name(self, name: bytes) -> bytes:
        """A name whose labels stand between dots, replaced by one of its length."""
        return b".".join(self.labels(name.split(b".")))

    def text(self, name: str) -> str:
        r"""A name as tables show it, where ``\x`` and two digits, or ``\`` and three, stand for a byte."""
        octets = _ESCAPE.sub(lambda found: chr(_code(found[1])), name).encode("latin-1", "replace")
        return self.name(octets).decode("ascii", "backslashreplace")

    def scrambled(self, text: bytes) -> bytes:
        """Any text with its letters and digits replaced by others, the same for the same text."""
        shifts = self._key.bytes_for(b"text", text, len(text))
        return bytes(_shifted(symbol, shift) for symbol, shift in zip(text, shifts, strict=True))

    def _label(self, label: bytes, domain: bytes) -> bytes:
        if label.startswith(b"_"):
            return label
        found = self._labels.get((label, domain))
        if found is None:
            found = b"-".join(self._word(word, domain) for word in label.split(b"-"))
            self._labels[label, domain] = found
        return found

    def _word(self, word: bytes, domain: bytes) -> bytes:
        """A word between hyphens; walked on where the replacement would be a word that is kept."""
        if len(word) > _LONGEST_LABEL:
            return self.scrambled(word)
        if _ROLE.fullmatch(word):
            return word
        word = self._permuted(word, domain)
        while _ROLE.fullmatch(word):
            word = self._permuted(word, domain)
        return word

    def _permuted(self, word: bytes, domain: bytes) -> bytes:
        symbols = bytearray(word)
        for turn in range(_PASSES):
            before = bytearray()
            for place in range(len(symbols)) if turn % 2 == 0 else reversed(range(len(symbols))):
                alphabet = _ALPHABETS.get(symbols[place])
                if alphabet is not None:
                    content = b"%c%b\0%b" % (turn, domain, bytes(before))
                    shift = int.from_bytes(self._key.bytes_for(b"name", content, 4), "big")
                    symbols[place] = alphabet[(alphabet.index(symbols[place]) + shift) % len(alphabet)]
                before.append(symbols[place])
        return bytes(symbols)


def _shifted(symbol: int, shift: int) -> int:
    if symbol in _FORM:
        return symbol
    alphabet = _UPPER if symbol in _UPPER else _ALPHABETS[symbol]
    return alphabet[(alphabet.index(symbol) + shift) % len(alphabet)]


def _in_case_of(original: bytes, lower: bytes) -> bytes:
    if original == original.lower():
        return lower
    pairs = zip(original, lower, strict=True)
    return bytes(new ^ 0x20 if old in _UPPER and new in _LOWER else new for old, new in pairs)


def _code(escaped: str) -> int:
    if escaped[0] == "x" and len(escaped) == 3:
        return int(escaped[1:], 16)
    return min(int(escaped), 255) if len(escaped) == 3 else ord(escaped)
