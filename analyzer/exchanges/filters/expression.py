"""Filter expressions, such as ``host 192.0.2.80 and not port 53``: read by hand, for errors that say where.

    any     = all ("or" all)*
    all     = one ("and" one)*
    one     = "not" one | "(" any ")" | term
    term    = host ADDRESS | client ADDRESS | server ADDRESS | net ADDRESS/LENGTH    either end, or that one
            | port NUMBER | port NUMBER-NUMBER                                      either end
            | tcp | udp | quic | ipv4 | ipv6 | transport WORD | family WORD         udp holds quic
            | sni NAME                                                              * stands for any characters
            | after TIME | before TIME                                              was there after, began before

``&&``, ``||`` and ``!`` are the same as the words. TIME is ``2026-11-21T23:05:30Z``, a time of day in UTC on the day of
the first record, or a time since the first record: ``12.5s``, ``3m``, ``1h``.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from analyzer.errors import UsageError

Mask = NDArray[np.bool_]
#: Columns by name: transport, family, client_address, client_port, server_address, server_port, name, begin, end (ns).
Rows = Mapping[str, NDArray[Any]]
#: Which rows fit, given the time (ns) of the first record.
Test = Callable[[Rows, int], Mask]

_TOKEN = re.compile(r"""\s*(?:(\(|\)|&&|\|\||!)|"([^"]*)"|'([^']*)'|([^\s()!&|"']+))""")
_SAME = {"&&": "and", "||": "or", "!": "not", "ip": "ipv4", "ip6": "ipv6", "name": "sni", "since": "after"}
_TRANSPORTS = {"tcp": ("tcp",), "udp": ("udp", "quic"), "quic": ("quic",)}
_FAMILIES = ("ipv4", "ipv6")
_TERMS = ("host", "net", "client", "server", "port", "sni", "after", "before", "transport", "family")
_WORDS = (*_TERMS, *_TRANSPORTS, *_FAMILIES, "not")
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_MOST_CHARACTERS = 4_000
_DEEPEST = 60


class _Token(NamedTuple):
    text: str
    at: int
    quoted: bool

    @property
    def word(self) -> str:
        """The keyword that it is, in one spelling; "" for a quoted text."""
        lower = self.text.lower()
        return "" if self.quoted else _SAME.get(lower, lower)


@dataclass(frozen=True, slots=True)
class Filter:
    """An expression that was read; ``fits`` tells of rows which of them it wants."""

    text: str
    fits: Test


def read_filter(text: str) -> Filter:
    """The filter of an expression; raises UsageError with the place and what to try where it cannot be read."""
    if len(text) > _MOST_CHARACTERS:
        raise UsageError(f"filter: longer than {_MOST_CHARACTERS:,} characters")
    reader = _Reader(text)
    test = reader.any_of(0)
    if not reader.is_done():
        token = reader.next()
        if token.text == ")":
            reader.fail(token, "this parenthesis was never opened", "remove it, or open it before")
        reader.fail(token, f"{token.text!r} follows without a word between", "join with 'and' or 'or'")
    return Filter(text, test)


class _Reader:
    """Reads tokens from the left; every method takes what it reads."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[_Token] = []
        self._next = 0
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                what = "a quotation mark that is never closed" if text[at] in "\"'" else f"{text[at]!r} alone"
                self.fail(_Token(text[at], at, False), what, "close it" if text[at] in "\"'" else "write 'and' or 'or'")
            mark, double, single, bare = found.groups()
            quoted = double if double is not None else single
            shown = next(each for each in (mark, quoted, bare) if each is not None)
            self._tokens.append(_Token(shown, found.start(found.lastindex or 0), quoted is not None))
            at = found.end()

    def is_done(self) -> bool:
        return self._next >= len(self._tokens)

    def next(self) -> _Token:
        """The next token; at the end an empty one."""
        token = _Token("", len(self._text), False) if self.is_done() else self._tokens[self._next]
        self._next += 1
        return token

    def takes(self, word: str) -> bool:
        """Take the next token if it is this word."""
        taken = not self.is_done() and self._tokens[self._next].word == word
        self._next += taken
        return taken

    def fail(self, token: _Token, what: str, hint: str) -> NoReturn:
        place = f"{self._text[: token.at]}>>>{self._text[token.at :]}"
        raise UsageError(f"filter: {what}, at character {token.at + 1} ({place}); {hint}")

    def any_of(self, depth: int) -> Test:
        tests = [self.all_of(depth)]
        while self.takes("or"):
            tests.append(self.all_of(depth))
        return (
            tests[0] if len(tests) == 1 else lambda rows, first: np.logical_or.reduce([t(rows, first) for t in tests])
        )

    def all_of(self, depth: int) -> Test:
        tests = [self.one(depth)]
        while self.takes("and"):
            tests.append(self.one(depth))
        return (
            tests[0] if len(tests) == 1 else lambda rows, first: np.logical_and.reduce([t(rows, first) for t in tests])
        )

    def one(self, depth: int) -> Test:
        token = self.next()
        if depth > _DEEPEST:
            self.fail(token, f"more than {_DEEPEST} levels", "write it flatter")
        if token.word == "not":
            test = self.one(depth + 1)
            return lambda rows, first: ~test(rows, first)
        if token.word == "(":
            test = self.any_of(depth + 1)
            if not self.takes(")"):
                self.fail(token, "this parenthesis is never closed", "close it with ')'")
            return test
        return self.term(token)

    def term(self, token: _Token) -> Test:
        word = token.word
        if word in ("transport", "family"):
            token = self.next()
            if token.word not in (_TRANSPORTS if word == "transport" else _FAMILIES):
                known = " or ".join(_TRANSPORTS if word == "transport" else _FAMILIES)
                self.fail(token, f"no {word} {token.text!r}", f"write '{word}' with {known}")
            word = token.word
        if word in _TRANSPORTS:
            wanted = _TRANSPORTS[word]
            return lambda rows, _: np.logical_or.reduce([rows["transport"] == name for name in wanted])
        if word in _FAMILIES:
            return lambda rows, _: np.asarray(rows["family"] == word, np.bool_)
        readers = {"port": self.port, "sni": self.name, "after": self.time, "before": self.time}
        if word in _TERMS:
            return readers.get(word, self.address)(word)
        self.fail(token, *_unknown(token))

    def address(self, word: str) -> Test:
        token = self.next()
        try:
            wanted = ipaddress.ip_network(token.text, strict=False)
        except ValueError:
            hint = f"'{word} 192.0.2.80', '{word} 2001:db8::/32'"
            hint += ", or 'sni NAME' for a server name" if re.fullmatch(r"[\w*.-]*[a-z][\w*.-]*", token.text) else ""
            self.fail(token, f"{_shown(token)} is no address", f"try {hint}")
        names = {"client": ("client_address",), "server": ("server_address",)}
        columns = names.get(word, ("client_address", "server_address"))
        return lambda rows, _: np.logical_or.reduce([_inside(rows[name], wanted) for name in columns])

    def port(self, word: str) -> Test:
        token = self.next()
        found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", token.text)
        low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not 0 <= low <= high <= 65_535:
            self.fail(token, f"{_shown(token)} is no port", "try 'port 443' or 'port 8000-8999'")
        ends = ("client_port", "server_port")
        return lambda rows, _: np.logical_or.reduce([(rows[end] >= low) & (rows[end] <= high) for end in ends])

    def name(self, word: str) -> Test:
        token = self.next()
        if not token.text:
            self.fail(token, f"a name is missing after '{word}'", "try 'sni www.example.com' or 'sni *.example.com'")
        wanted = re.compile(fnmatch.translate(token.text.lower().rstrip(".")))
        return lambda rows, _: _where(rows["name"], lambda name: bool(wanted.match(name.lower().rstrip("."))))

    def time(self, word: str) -> Test:
        token = self.next()
        moment = _moment(token.text)
        if moment is None:
            hint = "try '2026-11-21T23:05:30Z', '23:05:30' (UTC), or '12.5s', '3m' after the first record"
            self.fail(token, f"{_shown(token)} is no time", hint)
        if word == "after":
            return lambda rows, first: np.asarray(rows["end"] >= moment(first), np.bool_)
        return lambda rows, first: np.asarray(rows["begin"] < moment(first), np.bool_)


def _shown(token: _Token) -> str:
    return repr(token.text) if token.text else "the end"


def _unknown(token: _Token) -> tuple[str, str]:
    """What is wrong where a term should begin, and what to try."""
    if not token.text:
        return "something is missing at the end", "add a term such as 'port 443'"
    if token.word in ("and", "or", ")"):
        return f"a term is missing before {token.text!r}", "add one such as 'port 443'"
    import difflib

    near = difflib.get_close_matches(token.word, _WORDS, 1)
    try:
        ipaddress.ip_network(token.text, strict=False)
        near = [f"host {token.text}"]
    except ValueError:
        if token.text.isdecimal():
            near = [f"port {token.text}"]
    return (
        f"{token.text!r} is not known here",
        f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_WORDS)}",
    )


def _where(column: NDArray[Any], fits: Callable[[str], bool]) -> Mask:
    """Rows whose text fits; each different text is looked at once."""
    known: dict[str, bool] = {}
    return np.array([known[text] if text in known else known.setdefault(text, fits(text)) for text in column], np.bool_)


def _inside(column: NDArray[Any], wanted: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Mask:
    def fits(text: str) -> bool:
        try:
            return ipaddress.ip_address(text) in wanted
        except ValueError:
            return False

    return _where(column, fits)


def _moment(text: str) -> Callable[[int], int] | None:
    """The time in ns, given that of the first record; None where the text is no time."""
    since = re.fullmatch(r"\+?(\d+(?:\.\d+)?)(s|min|m|h)", text.lower())
    if since is not None:
        after = round(float(since[1]) * _SECONDS[since[2]] * 1e9)
        return lambda first: first + after
    found = re.fullmatch(r"(?:(\d{4}-\d\d-\d\d)[Tt])?(\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)[Zz]?", text)
    if found is None:
        return None
    day, clock = found.groups()
    try:
        of_day = int(np.datetime64(f"1970-01-01T{clock}", "ns").astype(np.int64))
        begin = None if day is None else int(np.datetime64(day, "ns").astype(np.int64))
    except ValueError:
        return None
    one_day = 86_400_000_000_000
    return lambda first: of_day + (first // one_day * one_day if begin is None else begin)
