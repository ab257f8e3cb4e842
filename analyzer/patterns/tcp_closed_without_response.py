"""The server closed the connection after the request, without a byte of a response.

What it sees
    The client's request, then the server's FIN before any data of the server, and before the client closed. One
    finding for each server socket and address family.

Why it matters
    Proxies turn it into 502 or "empty reply from server".

How it decides
    By the order of data and FIN. An error for HTTP, TLS, OCSP and DNS, where the server owes an answer; info otherwise.

What it cannot know
    Why the program closed: its log does.

Look-alikes
    tls-alert (the FIN follows an alert), tcp-reset, a client that closed first, an idle connection that times out.

What to do
    Read the server's log; see whether the listener expects another protocol (TLS on a plain port, PROXY protocol).

Seen in the wild
    Listeners that want a PROXY header and get none (haproxy#2904); workers that crash on a request.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import CERTAIN, ERROR, INFO, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.segments import asked_words, finding_of_segments, has_protocol, tcp_connections
from analyzer.patterns.words import FAMILIES, seconds, sentence, share

PATTERN = Pattern(
    "tcp-closed-without-response",
    ERROR,
    "the server closes after the request without a response",
    ("RFC 9293 §3.6", "RFC 9112 §9.5"),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that closes connections in place of an answer."""
    table = view.connections
    sent, fin = table["first_client_data"], table["server_fin"]
    first = (fin >= 0) & (sent >= 0) & (sent <= fin) & (table["first_server_data"] < 0) & (table["server_bytes"] == 0)
    for name in ("client_fin", "client_rst"):
        first &= (table[name] < 0) | (table[name] > fin)
    closed = np.asarray(tcp_connections(view) & first & table.equal("alert_by", ""), np.bool_)
    known = has_protocol(view, "http", "tls", "ocsp", "dns")
    for mask, severity in ((closed & known, ERROR), (closed & ~known, INFO)):
        for attempts in attempts_by_socket(view, mask):
            yield finding_of_segments(PATTERN, attempts, argument=_closed(attempts, severity))


def _closed(attempts: Attempts, severity: str) -> Argument:
    family = FAMILIES[attempts.family]
    waits = [f - s for f, s in zip(attempts.column("server_fin"), attempts.column("first_client_data"), strict=True)]
    return Argument(
        severity=severity,
        confidence=CERTAIN,
        title=f"TCP {attempts.words} over {family} closes without a response",
        because=sentence(
            f"{share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"sent {asked_words(attempts)} and got the server's FIN {seconds(min(waits))} to {seconds(max(waits))} "
            f"later, without a byte of a response; the first is {first_request(attempts)}"
        ),
        limitations=("Why the program closed: its log tells.",),
        look_alikes=(LookAlike("tls-alert", True, "no alert in clear came before the FIN"),),
        remedies=(
            "Read the server's log for the time of the FIN.",
            "See whether the listener expects another protocol on that port: TLS, plain HTTP, a PROXY header.",
        ),
    )
