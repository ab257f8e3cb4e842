"""What patterns read off the segments of TCP connections, and how a finding about them is built."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, Mask, capture_end, cited_records, finding_of, latest
from analyzer.patterns.finding import Argument, Finding, Pattern, Threshold

GIVE_UP = Threshold(
    "give-up", 5.0, "s", "a request that a server works on is answered within it; clients wait 5 to 60 s"
)

#: Protocols in which the server owes the client an answer.
ANSWERED_PROTOCOLS = {
    "tls": "a TLS ClientHello",
    "http": "an HTTP request",
    "ocsp": "an OCSP request",
    "dns": "a DNS question",
}


def tcp_connections(view: View) -> Mask:
    """TCP connections that are not silent, of servers whose packets can be seen here."""
    table = view.connections
    return np.asarray(table.equal("transport", "tcp") & ~table.equal("outcome", "silent") & ~table["one_way"], np.bool_)


def asked_in_vain(view: View) -> Mask:
    """The client sent data, all of it was acknowledged, and no byte of the server followed."""
    table = view.connections
    acked = table.equal("client_acked", "all")
    heard = (table["first_server_data"] >= 0) | (table["server_bytes"] > 0)
    return np.asarray(tcp_connections(view) & acked & (table["first_client_data"] >= 0) & ~heard, np.bool_)


def waited_in_vain(view: View) -> Mask:
    """The client waited for an answer until it gave up after a second or more, or for ``GIVE_UP``."""
    table = view.connections
    ends = np.where(table["client_fin"] >= 0, table["client_fin"], table["client_rst"])
    ends = np.where(ends >= 0, ends, capture_end(view))
    gave_up = (table["client_fin"] >= 0) | (table["client_rst"] >= 0)
    least = np.where(gave_up, 1_000_000_000, GIVE_UP.ns)
    return np.asarray(ends - table["last_client_data"] >= least, np.bool_)


def has_protocol(view: View, *names: str) -> Mask:
    """The client's first bytes are of one of these protocols."""
    return view.connections.equal("protocol", *names)


def asked_words(attempts: Attempts) -> str:
    """``an HTTP request``: what most of the clients sent."""
    kinds = Counter(attempts.column("protocol"))
    return ANSWERED_PROTOCOLS.get(kinds.most_common(1)[0][0], "data")


def finding_of_segments(pattern: Pattern, affected: Attempts, *, argument: Argument) -> Finding:
    """A finding about these connections, with the records of the segments that tell."""
    finding = finding_of(pattern, affected, argument=argument)
    count, records = cited_records(affected, "tcp_records")
    names = ("last_client_data", "last_server_data", "server_rst", "client_rst", "server_fin", "client_fin")
    counts = {**finding.counts, "records": count}
    return replace(finding, records=records, counts=counts, last_time=max(finding.last_time, latest(affected, *names)))
