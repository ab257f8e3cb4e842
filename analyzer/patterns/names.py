"""What patterns read off the table of resolutions: what a client asked about a name, and what it then tried."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import capture_end
from analyzer.patterns.finding import MOST_ENTRIES, Argument, Finding, Pattern, Record, Threshold
from analyzer.patterns.words import one_of_addresses

TIMES = Threshold(
    "times", 3, "answers", "once may be a prefetch or a person who typed a name; three times is a program"
)
AFTER_ANSWER = Threshold(
    "after-answer", 1.0, "s", "a program that has an address connects at once; RFC 8305 §3 waits 50 ms for the other"
)
POPULAR_RESOLVER = Threshold(
    "popular-resolver", 5, "clients", "a resolver that several ask: this capture was probably made beside it"
)


@dataclass(frozen=True)
class Asked:
    """The resolutions of one client for one name: rows of ``view.resolutions`` in order of time."""

    view: View
    client: str
    name: str
    rows: NDArray[np.int64]

    def column(self, name: str) -> list[Any]:
        """A column of these resolutions as plain Python values."""
        values: list[Any] = self.view.resolutions[name][self.rows].tolist()
        return values

    def where(self, mask: Sequence[bool]) -> Asked:
        """The resolutions that a mask over these rows chooses."""
        return replace(self, rows=self.rows[np.array(mask, np.bool_)])

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, name: str) -> bool:
        """Whether a bool column is true in one of them."""
        return True in self.column(name)

    def addresses(self, family: str) -> list[str]:
        """All addresses answered in a family, in order."""
        cells = self.column("addresses_a" if family == "ipv4" else "addresses_aaaa")
        return list(dict.fromkeys(address for cell in cells for address in cell.split(",") if address))

    @cached_property
    def tries(self) -> list[int]:
        """Rows of ``view.connections`` that tried or used an address, in order."""
        names = dict.fromkeys(name for cell in self.column("connections") for name in cell.split(",") if name)
        return sorted(self.view.row_of[name] for name in names if name in self.view.row_of)

    def of_tries(self, name: str) -> list[Any]:
        """A column of the connections that tried an address."""
        values: list[Any] = self.view.connections[name][self.tries].tolist()
        return values

    @property
    def span(self) -> int:
        """Time (ns) from the first to the last question."""
        times = self.column("first_question_time")
        return int(max(times) - min(times))

    @property
    def lasted(self) -> Asked:
        """Those after whose answer the capture ran on for ``AFTER_ANSWER``."""
        end = capture_end(self.view)
        return self.where([0 <= time <= end - AFTER_ANSWER.ns for time in self.column("answer_time")])


def asked_names(view: View) -> list[Asked]:
    """All clients and names, in order of the first question; those of resolvers, who ask for others, left out."""
    table = view.resolutions
    groups: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(table["client_address"].tolist(), table["name"].tolist(), strict=True)):
        groups.setdefault(key, []).append(row)
    asked = [Asked(view, *key, np.array(rows, np.int64)) for key, rows in groups.items()]
    return [each for each in asked if not each.has("is_resolver")]


def shows_more_than_dns(view: View) -> bool:
    """Whether the capture holds anything but DNS: a filter for port 53 would hide what a client then tried."""
    is_dns = view.connections["server_port"] == 53
    return bool((~is_dns).any()) or bool(view.hosts["neighbour_seen"].any())


def is_beside_resolver(asked: Asked) -> bool:
    """Whether several clients ask the same resolver here: what they try elsewhere does not pass by."""
    return bool(max(asked.column("resolver_clients")) >= POPULAR_RESOLVER.value)


def cited(asked: Asked) -> list[Record]:
    """The questions, the answers and the requests of what was tried, in order."""
    parts = [asked.column(name) for name in ("question_records", "answer_records")]
    parts += [asked.of_tries(name) for name in ("request_records", "evidence_records")]
    return sorted({(int(capture), int(record)) for part in parts for cell in part for capture, record in cell})


def finding_of_name(pattern: Pattern, asked: Asked, *, argument: Argument, family: str) -> Finding:
    """A finding about a client and a name. ``family`` is the one that fails; its socket is the server."""
    records, view = cited(asked), asked.view
    outcomes, ports = asked.of_tries("outcome"), set(asked.of_tries("server_port"))
    addresses = asked.addresses(family)
    times = [*asked.column("first_question_time"), *asked.column("answer_time"), *asked.of_tries("last_request_time")]
    clients = dict.fromkeys(zip(asked.of_tries("client_address"), asked.of_tries("client_port"), strict=True))
    transports = {"tcp" if transport == "tcp" else "udp" for transport in asked.of_tries("transport")}
    return Finding(
        pattern=pattern.id,
        severity=argument.severity,
        confidence=argument.confidence,
        title=argument.title,
        because=argument.because,
        transport=transports.pop() if len(transports) == 1 else "",
        family=family,
        server=(addresses[0], ports.pop() if len(ports) == 1 else -1) if len(addresses) == 1 else None,
        name=asked.name,
        clients=tuple(clients)[:MOST_ENTRIES] or ((asked.client, -1),),
        connections=tuple(view.connections["connection"][asked.tries].tolist()),
        counts={
            "attempts": len(outcomes),
            **{word: outcomes.count(word) for word in ("answered", "refused", "silent", "undetermined")},
            "affected": max(len(outcomes), len(asked)),
            "clients": 1,
            "records": len(records),
        },
        first_time=min(asked.column("first_question_time")),
        last_time=max(times),
        records=tuple(records[:MOST_ENTRIES]),
        display_filter=_filter(asked),
        limitations=argument.limitations,
        look_alikes=argument.look_alikes,
        remedies=argument.remedies,
    )


def _filter(asked: Asked) -> str:
    """A display filter for the client's DNS and for everything to and from the addresses of the name."""
    terms = [f"(dns && {one_of_addresses('ipv6' if ':' in asked.client else 'ipv4', [asked.client])})"]
    terms += [one_of_addresses(family, found) for family in ("ipv4", "ipv6") if (found := asked.addresses(family))]
    return " || ".join(terms)


def record_words(asked: Asked) -> str:
    """``record 7``, or ``record 7 of client.pcap`` where there are several captures: the first question."""
    capture, record = asked.column("question_records")[0][0]
    names = [known.name for known in asked.view.captures if known.index == capture]
    return f"record {record} of {names[0]}" if len(asked.view.captures) > 1 and names else f"record {record}"


def _rows_to(view: View) -> dict[str, list[int]]:
    """The rows of the connections by server address."""
    rows: dict[str, list[int]] = {}
    for row, address in enumerate(view.connections["server_address"].tolist()):
        rows.setdefault(address, []).append(row)
    return rows


def _is_of_client(asked: Asked, address: str) -> bool:
    """Whether the client's host has an address; in the other family, whether its host is not known to be another."""
    view = asked.view
    if view.host(address) == view.host(asked.client):
        return True
    return (":" in address) != (":" in asked.client) and not view.host_row(address).get("host_reason")


def _ports_tried(asked: Asked, family: str) -> Iterator[int]:
    """The server ports of the connections that the client began, at any time, to addresses of the name in a family."""
    table, rows = asked.view.connections, asked.view.once(_rows_to)
    for row in (row for address in asked.addresses(family) for row in rows.get(address, ())):
        if _is_of_client(asked, table["client_address"][row]):
            yield int(table["server_port"][row])


def tried_in(asked: Asked, family: str) -> bool:
    """Whether the client began a connection, at any time, to an address of the name in a family."""
    return any(True for _ in _ports_tried(asked, family))


def never_tried(asked: Asked) -> bool:
    """Whether the client sent none of the name's addresses a packet in the whole capture."""
    if asked.tries or asked.has("touched"):
        return False
    return all(port == 53 for family in ("ipv4", "ipv6") for port in _ports_tried(asked, family))


def is_ocsp(name: str) -> bool:
    """Whether a name is one that OCSP responders have: ocsp.example.com, ocsp2.example.com, r3-ocsp.example.com."""
    return any(re.fullmatch(r"(.*-)?ocsp[0-9]*(-.*)?", label) for label in name.split("."))


def remedies_for(asked: Asked, family: str) -> tuple[str, ...]:
    """What lets a client that insists on one address family use the other."""
    other = "ipv4" if family == "ipv6" else "ipv6"
    haproxy = (
        f"If the client is HAProxy (OCSP update, httpclient, Lua): `httpclient.resolvers.prefer {other}` in the global "
        "section; it asks for one family per try and never falls back. Look for the log line `Connect() failed for "
        "backend <OCSP-UPDATE>: no free ports.` or `SC--` with status 503 and the address in braces; if HAProxy logs "
        "neither, it is not the cause."
    )
    route = (
        f"On {asked.client}, `ip -{family[-1]} route get {(asked.addresses(family) or ['ADDRESS'])[0]}` says whether "
        f"the host has a way over IPv{family[-1]} at all."
    )
    nginx = "If it is nginx or OpenResty: `resolver ADDRESS ipv6=off;`." if family == "ipv6" else ""
    others = (
        "Elsewhere: a client library that races both families (RFC 8305), or `precedence ::ffff:0:0/96 100` in "
        "/etc/gai.conf, which prefers IPv4."
        if family == "ipv6"
        else "Elsewhere: a client library that races both families (RFC 8305)."
    )
    first = [haproxy, route] if is_ocsp(asked.name) or not asked.tries else [route, haproxy]
    return tuple(remedy for remedy in (*first, nginx, others) if remedy)
