"""The server reset a connection on which it owed an answer.

What it sees
    A RST from the server after the client's request and before any byte of a response, or in answer to a request on a
    connection that had been quiet. One finding for each server socket and address family.

Why it matters
    The client cannot tell whether the request was carried out. Proxies turn it into 502.

How it decides
    By the order of data, FIN and RST. A RST to a first request is an error. A RST to a later request, after the
    connection was `quiet` or longer, is a warning: the server, or a box between, no longer knew the connection. After a
    response, after the client's own FIN or RST, or without a request, a RST is how connections are closed: no finding.

What it cannot know
    Whether the server's program, its kernel or a box on the way sent the RST: `tcp-reset-injected` looks at the TTL.

Look-alikes
    tls-alert (the RST only follows it), tcp-syn-refused (the RST answers the SYN), the keep-alive race: the server
    closes an idle connection in the moment in which the next request is on its way.

What to do
    Read the server's log for the time of the RST. Let the client's keep-alive end before the server's.

Seen in the wild
    Programs that exit or close with unread data (SO_LINGER 0); AWS NLB after 350 s idle (ingress-nginx#5695); Node.js
    with its 5 s keep-alive behind a proxy with 60 s (node#17749).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns import doubts
from analyzer.patterns.evidence import Attempts, Mask, attempts_by_socket, first_request
from analyzer.patterns.finding import CERTAIN, ERROR, LIKELY, WARNING, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.segments import asked_words, finding_of_segments, tcp_connections
from analyzer.patterns.words import FAMILIES, counted, seconds, sentence, share

QUIET = Threshold("quiet", 4.5, "s", "the shortest usual keep-alive of a server is 5 s (Node.js)")

PATTERN = Pattern(
    "tcp-reset",
    ERROR,
    "the server resets a connection on which it owes an answer",
    ("RFC 9293 §3.5.2", "RFC 9112 §9.6"),
    (QUIET,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that resets first requests, and one for requests after a pause."""
    first = _reset_after_data(view) & (view.connections["first_server_data"] < 0)
    for attempts in attempts_by_socket(view, first):
        yield finding_of_segments(PATTERN, attempts, argument=_first(attempts))
    for attempts in attempts_by_socket(view, _after_a_pause(view)):
        yield finding_of_segments(PATTERN, attempts, argument=_later(attempts))


def _reset_after_data(view: View) -> Mask:
    """The server's RST follows data of the client, and the client had not closed before."""
    table = view.connections
    reset, sent = table["server_rst"], table["first_client_data"]
    closed = [(table[name] >= 0) & (table[name] <= reset) for name in ("client_fin", "client_rst", "server_fin")]
    after = (reset >= 0) & (sent >= 0) & (sent <= reset) & ~closed[0] & ~closed[1] & ~closed[2]
    return np.asarray(tcp_connections(view) & after & table.equal("alert_by", ""), np.bool_)


def _after_a_pause(view: View) -> Mask:
    """The RST answers a request that came after a response and a pause."""
    table = view.connections
    answered = (table["last_server_data"] >= 0) & (table["last_client_data"] > table["last_server_data"])
    paused = table["last_client_data"] - table["last_server_data"] >= QUIET.ns
    return np.asarray(_reset_after_data(view) & answered & paused, np.bool_)


def _first(attempts: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    waits = [r - s for r, s in zip(attempts.column("server_rst"), attempts.column("first_client_data"), strict=True)]
    acked = sum(acked == "all" for acked in attempts.column("client_acked"))
    why = doubts.of_resets(attempts)
    return Argument(
        severity=ERROR,
        confidence=doubts.lowered(CERTAIN, why),
        title=f"TCP {attempts.words} over {family}: reset after the request, before any response",
        because=sentence(
            f"{share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"sent {asked_words(attempts)} ({acked:,} acknowledged whole) and got a RST from the server's address "
            f"{seconds(min(waits))} to {seconds(max(waits))} later, without a byte of a response; the first is "
            f"{first_request(attempts)}"
        ),
        limitations=(
            *why,
            "Whether the program, its kernel or a box on the way sent the RST: a capture there tells.",
        ),
        look_alikes=_look_alikes(attempts),
        remedies=(
            "Read the server's log for the time of the RST: a program that exits, crashes or closes with SO_LINGER 0.",
            f"`nstat -az TcpExtTCPAbortOnData TcpExtTCPAbortOnClose` on the server of {attempts.words} counts them.",
        ),
    )


def _later(attempts: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    sent, heard = attempts.column("last_client_data"), attempts.column("last_server_data")
    pauses = [s - h for s, h in zip(sent, heard, strict=True)]
    why = doubts.of_resets(attempts)
    return Argument(
        severity=WARNING,
        confidence=doubts.lowered(LIKELY, why),
        title=f"TCP {attempts.words} over {family}: a request after a pause is reset",
        because=sentence(
            f"{counted(len(attempts), 'connection')} to {attempts.words} over {family} had been answered, were quiet "
            f"for {seconds(min(pauses))} to {seconds(max(pauses))}, and got a RST for the next request without a FIN "
            f"before it; the first is {first_request(attempts)}"
        ),
        limitations=(
            *why,
            "Which of server, load balancer and firewall forgot the connection: a capture at each tells.",
        ),
        look_alikes=_look_alikes(attempts),
        remedies=(
            "Let clients close idle connections sooner than the shortest timer on the way, or send keep-alives.",
        ),
    )


def _look_alikes(attempts: Attempts) -> tuple[LookAlike, ...]:
    gap = max(attempts.column("reset_ttl_gap"))
    return (
        LookAlike("tcp-reset-injected", gap <= 3, f"the TTL of the RSTs differs from the server's other ones by {gap}"),
        LookAlike("tls-alert", True, "no alert in clear came before the RST"),
    )
