"""What conditions of known incidents may ask about a finding: words and numbers, each computed when first asked for.

A fact is about the finding, the connections that it cites, or the rest of the same host. ``FACTS`` is the list.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from analyzer.columns import median
from analyzer.exchanges.ends.sightings import AT_THE_SERVER, BEYOND, ON_THE_WAY, ON_THE_WAY_BACK, UNSEEN
from analyzer.exchanges.view import View
from analyzer.patterns.finding import Finding

Value = str | float

#: RFC 1918, RFC 6598, RFC 4193; ``is_private`` also holds for the ranges of documentation.
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)

_MOST_ADDRESSES = 16  # of one host that are looked up

ANSWERED, FAILED, UNTRIED = "answered", "failed", "untried"


class Facts:
    """The facts of one finding."""

    def __init__(self, finding: Finding, view: View) -> None:
        self.finding, self.view = finding, view
        self.rows = np.array([view.row_of[name] for name in finding.connections if name in view.row_of], np.int64)
        self._known: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._known:
            self._known[name] = FACTS[name].value(self)
        return self._known[name]

    def column(self, name: str) -> list[Any]:
        """A column of the connections that the finding cites."""
        return self.view.connections.at(name, self.rows)

    def median(self, name: str) -> float:
        """Median of a numeric column over the cited connections, -1 for none."""
        values = [value for value in self.column(name) if value == value and value >= 0]
        return float(median(values)) if values else -1.0

    def of_host(self, *, transport: str, family: str, port: int = -1) -> str:
        """Whether attempts on the finding's host were answered over a transport and family."""
        if self.finding.server is None:
            return UNTRIED
        view, address = self.view, self.finding.server[0]
        addresses = view.addresses_of.get(view.host(address), [])[:_MOST_ADDRESSES] or [address]
        outcomes = {
            outcome
            for each in addresses
            for found, of_family, of_port, outcome in view.outcomes_at.get(each, ())
            if found == transport and of_family == family and port in (-1, of_port) and outcome != "undetermined"
        }
        return ANSWERED if ANSWERED in outcomes else FAILED if outcomes else UNTRIED

    @property
    def transport(self) -> str:
        """The transport of the cited connections: quic, tcp or udp."""
        found = self.column("transport")
        return str(found[0]) if found else self.finding.transport


class Fact(NamedTuple):
    """What a fact is, which words it may be (empty: a number or free text), and how it is computed."""

    meaning: str
    words: tuple[str, ...]
    value: Callable[[Facts], Value]


def _yes(*, if_: bool) -> str:
    return "yes" if if_ else "no"


def _share(facts: Facts) -> float:
    counts = facts.finding.counts
    return counts["affected"] / counts["attempts"] if counts["attempts"] else 0.0


def _other_family(facts: Facts) -> str:
    other = {"ipv4": "ipv6", "ipv6": "ipv4"}.get(facts.finding.family, "")
    port = facts.finding.server[1] if facts.finding.server else -1
    return facts.of_host(transport=facts.transport, family=other, port=port)


def _vanished(facts: Facts) -> str:
    """Where most of the finding's connections lost their request or its reply, as captures of several places tell."""
    ends = facts.view.ends
    if ends is None:
        return "unknown"
    places = Counter(ends.vanished(connection) or "unknown" for connection in facts.finding.connections)
    return places.most_common(1)[0][0] if places else "unknown"


def _vantage(facts: Facts) -> str:
    """At the server also where captures of several places show that the requests arrived there."""
    if place := {AT_THE_SERVER: "server", ON_THE_WAY_BACK: "server", ON_THE_WAY: "client"}.get(_vanished(facts)):
        return place
    vantages = {capture.vantage for capture in facts.view.captures}
    return vantages.pop() if len(vantages) == 1 else "several"


def _server(facts: Facts, test: Callable[[ipaddress.IPv4Address | ipaddress.IPv6Address], bool]) -> str:
    try:
        return _yes(if_=test(ipaddress.ip_address(facts.finding.server[0]))) if facts.finding.server else "no"
    except ValueError:
        return "no"


def _is_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address in network for network in _PRIVATE)


def _repliers(facts: Facts) -> Iterable[tuple[str, str]]:
    for replier in facts.column("replied_from"):
        if replier:
            address, _, port = replier.rpartition(":")
            yield address.strip("[]"), port


def _replier_address(facts: Facts) -> str:
    addresses = {address for address, _ in _repliers(facts)}
    if not addresses or facts.finding.server is None:
        return "none"
    if addresses == {facts.finding.server[0]}:
        return "same"
    # Docker's default pools begin at 172.17.0.0/16; the bridge is the first address.
    return "bridge" if all(a.startswith("172.") and a.endswith(".0.1") for a in addresses) else "other"


def _replier_port(facts: Facts) -> str:
    ports = {port for _, port in _repliers(facts)}
    if not ports or facts.finding.server is None:
        return "none"
    return "same" if ports == {str(facts.finding.server[1])} else "other"


def _reply_kind(facts: Facts) -> str:
    steps = {letter for history in facts.column("history") for letter in history if letter in "ihorv"}
    return {"r": "retry", "v": "negotiation"}.get("".join(steps), "other" if steps else "none")


def _version(facts: Facts) -> str:
    versions = set(facts.column("quic_version")) - {""}
    if not versions:
        return "none"
    known = {"0x00000001": "v1", "0x6b3343cf": "v2"}
    return known.get(versions.pop(), "other") if len(versions) == 1 else "several"


def _same_port(facts: Facts) -> str:
    ends = list(zip(facts.column("client_address"), facts.column("client_port"), strict=True))
    return _yes(if_=len(set(ends)) < len(ends))


def _count(name: str) -> Callable[[Facts], Value]:
    return lambda facts: facts.finding.counts[name]


_OUTCOMES, _ANSWERS = (ANSWERED, FAILED, UNTRIED), ("yes", "no")

FACTS: dict[str, Fact] = {
    "pattern": Fact("id of the finding's pattern", (), lambda f: f.finding.pattern),
    "family": Fact("address family that fails", ("ipv4", "ipv6", "both", ""), lambda f: f.finding.family),
    "transport": Fact("of the cited connections", ("quic", "tcp", "udp", ""), lambda f: f.transport),
    "port": Fact("server port, -1 for none", (), lambda f: f.finding.server[1] if f.finding.server else -1),
    "name": Fact("name of the host", (), lambda f: f.finding.name),
    "title": Fact("what is seen, in a line", (), lambda f: f.finding.title),
    "because": Fact("the finding's sentence", (), lambda f: f.finding.because),
    "attempts": Fact("attempts on the socket", (), _count("attempts")),
    "answered": Fact("of these answered", (), _count("answered")),
    "refused": Fact("of these refused", (), _count("refused")),
    "affected": Fact("attempts that the finding is about", (), _count("affected")),
    "clients": Fact("client addresses among them", (), _count("clients")),
    "share": Fact("affected / attempts", (), _share),
    "onset": Fact("the finding says since when", _ANSWERS, lambda f: _yes(if_=f.finding.onset >= 0)),
    "other_family": Fact("the same host, transport and port over the other family", _OUTCOMES, _other_family),
    "tcp": Fact(
        "TCP to the same host over the same family",
        _OUTCOMES,
        lambda f: f.of_host(transport="tcp", family=f.finding.family),
    ),
    "quic": Fact(
        "QUIC to the same host over the same family",
        _OUTCOMES,
        lambda f: f.of_host(transport="quic", family=f.finding.family),
    ),
    "vantage": Fact("where the captures were made", ("client", "server", "middle", "unknown", "several"), _vantage),
    "vanished": Fact(
        "where captures of several places show that requests or replies were lost",
        (ON_THE_WAY, AT_THE_SERVER, BEYOND, ON_THE_WAY_BACK, UNSEEN, "unknown"),
        _vanished,
    ),
    "loopback": Fact("the server's address is a loopback", _ANSWERS, lambda f: _server(f, lambda a: a.is_loopback)),
    "private": Fact("the server's address is private", _ANSWERS, lambda f: _server(f, _is_private)),
    "replier_address": Fact("address that replied in place", ("none", "same", "bridge", "other"), _replier_address),
    "replier_port": Fact("port that replied in place", ("none", "same", "other"), _replier_port),
    "reply_kind": Fact("all that the server sent", ("none", "retry", "negotiation", "other"), _reply_kind),
    "icmp": Fact("ICMP errors that quote requests", (), lambda f: " ".join(sorted(set(f.column("icmp")) - {""}))),
    "close_code": Fact("median CONNECTION_CLOSE code, -1 for none", (), lambda f: f.median("close_code")),
    "version": Fact("QUIC version asked for", ("none", "v1", "v2", "other", "several"), _version),
    "retry": Fact("a Retry was seen", _ANSWERS, lambda f: _yes(if_=any(f.column("retry")))),
    "empty_scid": Fact(
        "a client without SCID, as Chromium is",
        _ANSWERS,
        lambda f: _yes(if_=f.transport == "quic" and "" in f.column("client_scid")),
    ),
    "same_port": Fact("clients tried again from one port", _ANSWERS, _same_port),
    "largest_request": Fact("median bytes of the largest Initial", (), lambda f: f.median("largest_request")),
    "repeats": Fact("median repeats of a request", (), lambda f: f.median("repeats")),
    "latency_s": Fact("median seconds until the reply, -1 for none", (), lambda f: f.median("reply_latency_s")),
}
