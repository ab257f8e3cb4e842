"""A RST does not fit its sender: somebody between sent it.

What it sees
    A RST from the server's address whose TTL differs by more than `ttl` from the server's other segments, or after
    which the server itself goes on with data.

Why it matters
    The server did not end the connection: a firewall, a filter or a middlebox did, in its name.

How it decides
    By the TTL (hop limit) of the RST against those of all other segments of that side, and by data of the server that
    arrives later than its own RST. One finding for each server socket and address family.

What it cannot know
    Who sent it: the difference of TTLs only says how much nearer or farther it is. Load balancers that answer for a
    server, and paths of different length, differ in TTL as well.

Look-alikes
    tcp-reset (the server's own), a RST of a load balancer on behalf of the server, multipath.

What to do
    A capture at the server shows whether it sent the RST. `traceroute` shows which hop is as far away as the TTL says.

Seen in the wild
    Filters that reset on a ClientHello's server name (naiveproxy#558, net4people/bbs#285).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import LIKELY, POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.segments import finding_of_segments, tcp_connections
from analyzer.patterns.words import FAMILIES, counted, sentence, share

TTL = Threshold("ttl", 3, "hops", "paths of one connection rarely differ by more")

PATTERN = Pattern(
    "tcp-reset-injected",
    WARNING,
    "a RST does not fit its sender",
    ("RFC 9293 §3.10.7", "RFC 5961 §3"),
    (TTL,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket whose RSTs do not fit it."""
    table = view.connections
    reset = tcp_connections(view) & (table["server_rst"] >= 0) & (table["client_rst"] < 0)
    before_close = (table["client_fin"] < 0) | (table["client_fin"] > table["server_rst"])
    foreign = table["reset_ttl_gap"] > TTL.value
    later = table["last_server_data"] > table["server_rst"]
    for attempts in attempts_by_socket(view, np.asarray(reset & before_close & (foreign | later), np.bool_)):
        yield finding_of_segments(PATTERN, attempts, argument=_injected(attempts))


def _injected(attempts: Attempts) -> Argument:
    family, gap = FAMILIES[attempts.family], max(attempts.column("reset_ttl_gap"))
    pairs = zip(attempts.column("last_server_data"), attempts.column("server_rst"), strict=True)
    went_on = sum(data > reset for data, reset in pairs)
    told = f" whose TTL differs by up to {gap} from the server's other segments" * (gap > TTL.value)
    return Argument(
        severity=WARNING,
        confidence=LIKELY if went_on else POSSIBLE,
        title=f"TCP {attempts.words} over {family}: RSTs that do not fit the server",
        because=sentence(
            f"In {share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"a RST of the server came{told}; "
            f"{counted(went_on, 'connection')} got data of the server after it; the first is {first_request(attempts)}"
        ),
        limitations=("A load balancer or another path of the same server has another TTL as well.",),
        look_alikes=(LookAlike("tcp-reset", went_on > 0, "a server that resets sends no more data"),),
        remedies=("Capture at the server: if it sent no RST, look for filters on the way, nearest hop first.",),
    )
