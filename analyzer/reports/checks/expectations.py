"""Expectations of ``halfshake check``: read from words, and held against an analysis.

    [SOCKETS] answered | silent | refused                   of all attempts that can be judged
    [SOCKETS] answered|silent|refused  >=|>|<=|<|==  99%
    [SOCKETS] reply median|p50|p99     >=|>|<=|<|==  200ms   (ns, us, ms, s)
    [SOCKETS] no error | no warning | no PATTERN            findings; a warning is no error, an error is also a warning

SOCKETS are words that must all fit: ``udp``, ``tcp``, ``udp/443``, ``ipv4``, ``ipv6``, an address, one with a port
(``192.0.2.80:443``, ``[2001:db8::80]:443``), a server name. An expectation holds if it does for each socket that fits;
it is undecided if the capture shows the outcome of no attempt on any of them.
"""

from __future__ import annotations

import ipaddress
import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analyzer.errors import UsageError, did_you_mean
from analyzer.patterns import catalogue
from analyzer.patterns.words import counted, listed
from analyzer.reports.summary import Analysed, Finding, SocketKey, SocketLine, socket_groups
from analyzer.reports.text import seconds

HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"

OUTCOMES = ("answered", "silent", "refused")
QUANTILES = {"median": "median_reply_s", "p50": "median_reply_s", "p99": "p99_reply_s"}
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}

_TOKEN = re.compile(r">=|<=|==|>|<|[^\s<>=]+")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_DURATION = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(UNITS)})")
_SERVICE = re.compile(r"(udp|tcp)(?:/(\d{1,5}))?")
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9_-]+(?:\.[a-z0-9_-]+)+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Selector:
    """Which sockets an expectation is about; "" and -1 fit all."""

    transport: str = ""
    family: str = ""
    address: str = ""
    port: int = -1
    name: str = ""

    def fits(self, line: SocketLine) -> bool:
        return all(not wanted or wanted == value for wanted, value in self._pairs(line)) and self.port in (
            -1,
            line.port,
        )

    def fits_finding(self, finding: Finding) -> bool:
        """Whether a finding is about such a socket; one that names none is about all."""
        server = finding.get("server") or {}
        pairs = [
            (self.transport, finding.get("transport")),
            (self.family, finding.get("family") if finding.get("family") != "both" else ""),
            (self.address, server.get("address")),
            (self.port if self.port >= 0 else "", server.get("port")),
            (self.name, (finding.get("name") or "").lower()),
        ]
        return all(wanted == "" or value in (None, "", wanted) for wanted, value in pairs)

    def _pairs(self, line: SocketLine) -> list[tuple[str, str]]:
        return [
            (self.transport, line.transport),
            (self.family, line.family),
            (self.address, line.address),
            (self.name, line.name.lower()),
        ]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of the sockets that fit. ``subject`` is an outcome, a quantile's name, or "no"."""

    text: str
    selector: Selector
    subject: str
    comparison: str = ">="
    bound: float = 1.0  # a share, or seconds
    pattern: str = ""  # of "no": error, warning or the id of a pattern


@dataclass(frozen=True, slots=True)
class Result:
    """Whether an expectation holds, and why."""

    expectation: Expectation
    verdict: str
    because: str


def read_expectation(text: str) -> Expectation:
    """The expectation that the words say; raises UsageError where they say none."""
    tokens = _TOKEN.findall(text)
    subjects = (*OUTCOMES, "reply", "no")
    for place, token in enumerate(tokens):
        if token in subjects:
            selector = _selector(text, tokens[:place])
            return _predicate(text, selector, token, tokens[place + 1 :])
    hint = next(filter(None, (did_you_mean(token, subjects) for token in tokens)), "")
    example = (
        "say what is expected, such as 'udp/443 ipv4 answered', 'answered >= 99%', 'reply p99 < 200ms' or 'no error'"
    )
    raise UsageError(f"cannot read the expectation {text!r}: {hint or example}")


def _selector(text: str, tokens: Sequence[str]) -> Selector:
    found: dict[str, Any] = {}
    for token in tokens:
        more = _selected(token)
        if more is None or set(more) & set(found):
            why = "is said twice" if more else "names no socket (udp/443, ipv4, an address, a name with a dot)"
            raise UsageError(f"cannot read the expectation {text!r}: {token!r} {why}")
        found |= more
    return Selector(**found)


def _selected(token: str) -> dict[str, Any] | None:
    if service := _SERVICE.fullmatch(token.lower()):
        return {"transport": service[1]} | ({"port": int(service[2])} if service[2] else {})
    if token.lower() in ("ipv4", "ipv6"):
        return {"family": token.lower()}
    host, separator, port = token.rpartition(":")
    if host.startswith("[") or (separator and host.count(":") == 0 and port.isdecimal()):
        address = _address(host.strip("[]"))
        return {"address": address, "port": int(port)} if address and port.isdecimal() else None
    if address := _address(token.strip("[]")):
        return {"address": address}
    return {"name": token.lower()} if _NAME.fullmatch(token) else None


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _predicate(text: str, selector: Selector, subject: str, rest: Sequence[str]) -> Expectation:
    if subject == "no":
        known = ["error", "warning", *catalogue.ids()]
        if len(rest) == 1 and rest[0] in known:
            return Expectation(text, selector, "no", pattern=rest[0])
        hint = did_you_mean(rest[0], known) if rest else ""
        raise UsageError(
            f"cannot read the expectation {text!r}: after 'no' comes error, warning or the id of a pattern"
            + (f"; {hint}" if hint else "")
        )
    if subject in OUTCOMES:
        if not rest:
            return Expectation(text, selector, subject)
        share = _PERCENT.fullmatch(rest[1]) if len(rest) == 2 and rest[0] in OPERATORS else None
        if share:
            return Expectation(text, selector, subject, rest[0], float(share[1]) / 100)
        raise UsageError(f"cannot read the expectation {text!r}: after {subject!r} comes nothing, or such as '>= 99%'")
    limit = _DURATION.fullmatch(rest[2]) if len(rest) == 3 and rest[0] in QUANTILES and rest[1] in OPERATORS else None
    if limit:
        return Expectation(text, selector, rest[0], rest[1], float(limit[1]) * UNITS[limit[2]])
    raise UsageError(
        f"cannot read the expectation {text!r}: after 'reply' comes such as 'p99 < 200ms' or 'median < 20ms'"
    )


def check(analysis: Analysed, expectation: Expectation) -> Result:
    """Hold an expectation against an analysis."""
    lines = [line for group in socket_groups(analysis) for line in group.lines if expectation.selector.fits(line)]
    judged = [line for line in lines if line.judged > 0]
    if expectation.subject == "no":
        return _no_finding(analysis, expectation, judged)
    if not judged:
        seen = f"{counted(len(lines), 'socket')} with no attempt that can be judged" if lines else "no such socket"
        return Result(expectation, UNDECIDED, f"{seen} in the capture")
    if expectation.subject in QUANTILES:
        return _latency(analysis, expectation, judged)
    compare = OPERATORS[expectation.comparison]
    shares = [(line, getattr(line, expectation.subject)) for line in judged]
    wrong = [(line, n) for line, n in shares if not compare(n / line.judged, expectation.bound)]
    words = [f"{line.words}: {n:,} of {line.judged:,} {expectation.subject}" for line, n in wrong or shares]
    return Result(expectation, FAILS if wrong else HOLDS, listed(words, most=5))


def _no_finding(analysis: Analysed, expectation: Expectation, judged: Sequence[SocketLine]) -> Result:
    severities = {"error": ("error",), "warning": ("error", "warning")}.get(expectation.pattern, ())
    found = [
        f"{finding['id']} {finding['pattern']}"
        for finding in analysis.document["findings"]
        if (finding["severity"] in severities or finding["pattern"] == expectation.pattern)
        and expectation.selector.fits_finding(finding)
        and not finding.get("accepted")
    ]
    if found:
        return Result(expectation, FAILS, listed(found, most=5))
    if not judged:
        return Result(expectation, UNDECIDED, "the capture shows the outcome of no attempt")
    attempts = sum(line.judged for line in judged)
    return Result(expectation, HOLDS, f"none in {counted(attempts, 'attempt')} on {counted(len(judged), 'socket')}")


def _latency(analysis: Analysed, expectation: Expectation, judged: Sequence[SocketLine]) -> Result:
    compare, measured = OPERATORS[expectation.comparison], dict(_latencies(analysis, QUANTILES[expectation.subject]))
    known = [(line, measured[line.key]) for line in judged if not math.isnan(measured.get(line.key, math.nan))]
    if not known:
        return Result(expectation, UNDECIDED, "no attempt was answered, so there is no time of a reply")
    wrong = [(line, value) for line, value in known if not compare(value, expectation.bound)]
    words = [f"{line.words}: {expectation.subject} {seconds(value)}" for line, value in wrong or known]
    return Result(expectation, FAILS if wrong else HOLDS, listed(words, most=5))


def _latencies(analysis: Analysed, column: str) -> Iterator[tuple[SocketKey, float]]:
    for row in analysis.sockets.rows():
        yield (row["transport"], row["family"], row["address"], row["port"]), row[column]


def verdict_of_all(results: Sequence[Result]) -> str:
    """One that fails decides; else one that is undecided leaves all undecided."""
    verdicts = {result.verdict for result in results}
    return FAILS if FAILS in verdicts else UNDECIDED if UNDECIDED in verdicts else HOLDS
