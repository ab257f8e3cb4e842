"""A QUIC connection goes on from a new address or port of the client, and the server does not answer there.

What it sees
    Short header packets with the server's connection ID from a 4-tuple that is not the handshake's, several over more
    than a few probes, and no packet of the server on that 4-tuple. One finding for each server socket and family.

Why it matters
    NAT rebinds ports and phones change networks all the time; QUIC is made to survive it. A server that ignores the
    new path, or a kernel that hands it to another worker, kills every such connection.

How it decides
    The first short header packet begins with a connection ID that the server chose in its handshake. The client sent
    `least-packets` or more there over `least-span`, and nothing came back on that path. Packets of the server on the
    old path do not count. Stateless resets are replies of a kind, and another pattern's.

What it cannot know
    Connection IDs that were issued later are under protection: a change that also changes the ID is seen with a
    key log alone.

Look-alikes
    quic-stateless-reset (the server answers with resets), quic-connection-silent (no new path), a migration that
    works.

What to do
    Let all workers find a connection by its ID (nginx: `quic_bpf on`), and follow the peer's address.

Seen in the wild
    HAProxy's connected sockets ignore rebinding (haproxy#3329); reload or several workers behind SO_REUSEPORT
    (quiche#900).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from analyzer.exchanges.view import View
from analyzer.patterns import advice
from analyzer.patterns.evidence import Attempts, attempts_by_socket, finding_of, first_request
from analyzer.patterns.finding import ERROR, LIKELY, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.told import SECOND, Told, between, chosen, filter_of_all_paths, told, total, which
from analyzer.patterns.words import FAMILIES, listed, sentence

LEAST_PACKETS = Threshold("least-packets", 3, "packets", "RFC 9002 §6.2: a request and two probes")
LEAST_SPAN = Threshold("least-span", 1.0, "s", "RFC 9002 §6.2.1: three PTO at a round trip of 100 ms")

PATTERN = Pattern(
    "quic-path-change-silent",
    ERROR,
    "a connection goes on from a new 4-tuple and gets no reply there",
    ("RFC 9000 §9", "RFC 9000 §9.3", "RFC 9312 §2.6"),
    (LEAST_PACKETS, LEAST_SPAN),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket whose new paths stay silent."""
    for attempts in attempts_by_socket(view, chosen(view, _is_silent)):
        finding = finding_of(PATTERN, attempts, argument=_argument(attempts))
        onset = min(t["silent_path_from"] for t in told(attempts))
        last = max(t["silent_path_until"] for t in told(attempts))
        shown = filter_of_all_paths(attempts, (finding.first_time, last))
        yield replace(finding, last_time=last, onset=onset, display_filter=shown)


def _is_silent(t: Told) -> bool:
    span = t["silent_path_until"] - t["silent_path_from"]
    return bool(t["silent_path"]) and t["silent_path_packets"] >= LEAST_PACKETS.value and span >= LEAST_SPAN.ns


def _argument(attempts: Attempts) -> Argument:
    stories = told(attempts)
    spans = between([(t["silent_path_until"] - t["silent_path_from"]) / SECOND for t in stories], "s")
    paths = listed([t["silent_path"] for t in stories])
    old = [t for t in stories if t["server_last_time"] > t["silent_path_from"]]
    still = f"; on the old path the server went on in {len(old):,} of them" if old else ""
    return Argument(
        severity=ERROR,
        confidence=LIKELY,
        title=f"QUIC over {FAMILIES[attempts.family]} to {attempts.words}: no reply on the client's new path",
        because=sentence(
            f"{which(attempts)} went on from another socket of the client ({paths}) with "
            f"{total(stories, 'silent_path_packets', 'packet')} over {spans} and got no reply there{still}; the "
            f"first is {first_request(attempts)}"
        ),
        limitations=advice.vantage_limits(attempts.view),
        look_alikes=(
            LookAlike("quic-stateless-reset", True, "no datagram of the server came on the new path"),
            LookAlike("quic-connection-silent", True, "the silence begins with the change of the 4-tuple"),
        ),
        remedies=(
            "Make every packet of a connection reach the worker that owns it (nginx: `quic_bpf on`).",
            "Update servers that bind one connected socket to each connection.",
        ),
    )
