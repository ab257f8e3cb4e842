"""A response began and stopped with bytes owed.

What it sees
    A response whose announced length never came, or the server's data sent again and again without an acknowledgment
    after earlier data had been acknowledged. One finding for each server socket and address family.

Why it matters
    Downloads hang at the same place or at a random one, and the client waits for its read timeout.

How it decides
    The first response of a connection with one request announced more bytes (Content-Length) than came, nothing came
    for `give-up` or until the client gave up, and the connection was neither reset nor closed by the server. Or one
    segment was repeated `repeats` times over `wait`, and it is not the large ones alone that vanish.

What it cannot know
    What an encrypted response owes: there only repeats tell.

Look-alikes
    tcp-zero-window (the client does not read), pmtu-black-hole (only large segments vanish), event streams and idle
    keep-alive connections, which owe nothing.

What to do
    A capture at the other end tells whether the server sends on. Look for proxies that buffer, for a stateful firewall
    with strict window checks, for a backend that died in mid-response.

Seen in the wild
    conntrack that marks segments invalid (kubernetes#74839); proxies whose backend stops in mid-stream.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import WAIT, Attempts, Mask, attempts_by_socket, capture_end, first_request
from analyzer.patterns.finding import ERROR, INFO, LIKELY, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.segments import GIVE_UP, finding_of_segments, has_protocol, tcp_connections
from analyzer.patterns.words import FAMILIES, counted, sentence, share

REPEATS = Threshold("repeats", 3, "repeats", "RFC 6298 §5: random loss rarely takes four transmissions in a row")

PATTERN = Pattern(
    "tcp-response-stalled",
    ERROR,
    "a response stops with bytes owed",
    ("RFC 9112 §8", "RFC 6298 §5"),
    (GIVE_UP, REPEATS, WAIT),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket whose responses stop."""
    stalled = tcp_connections(view) & (_owed(view) | _repeated(view)) & view.connections.equal("zero_window_by", "")
    known = has_protocol(view, "http", "ocsp", "tls", "dns")
    for mask, severity in ((stalled & known, ERROR), (stalled & ~known, INFO)):
        for attempts in attempts_by_socket(view, np.asarray(mask, np.bool_)):
            yield finding_of_segments(PATTERN, attempts, argument=_stalled(attempts, severity))


def _owed(view: View) -> Mask:
    """Bytes of the response are missing, nothing came for long, and the server did not end the connection."""
    table = view.connections
    left = np.where(table["client_fin"] >= 0, table["client_fin"], table["client_rst"])
    until = np.where(left >= 0, left, capture_end(view))
    waited = until - table["last_server_data"] >= GIVE_UP.ns
    went_on = (table["server_fin"] < 0) & (table["server_rst"] < 0)
    return np.asarray((table["owed"] > 0) & (table["last_server_data"] >= 0) & waited & went_on, np.bool_)


def _repeated(view: View) -> Mask:
    """The server repeats a segment that nobody acknowledges, after others were acknowledged."""
    table = view.connections
    again = table.equal("stuck_by", "server") & table.equal("server_acked", "some")
    long = (table["stuck_repeats"] >= REPEATS.value) & (table["stuck_ns"] >= WAIT.ns)
    by_size = (table["stuck_length"] >= 1000) & table["small_passed"]
    return np.asarray(again & long & ~by_size & (table["client_rst"] < 0), np.bool_)


def _stalled(attempts: Attempts, severity: str) -> Argument:
    family = FAMILIES[attempts.family]
    owed = [owed for owed in attempts.column("owed") if owed > 0]
    stuck = zip(attempts.column("stuck_repeats"), attempts.column("stuck_by"), strict=True)
    repeated = [repeats for repeats, side in stuck if side == "server"]
    seen = []
    if owed:
        seen.append(f"{counted(len(owed), 'response')} lacked up to {max(owed):,} bytes of the announced length")
    if repeated:
        seen.append(
            f"{counted(len(repeated), 'server segment')} came again up to {max(repeated)} times, unacknowledged"
        )
    return Argument(
        severity=severity,
        confidence=LIKELY,
        title=f"TCP {attempts.words} over {family}: responses stop in the middle",
        because=sentence(
            f"In {share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"the response began and stopped: {'; '.join(seen)}; the first is {first_request(attempts)}"
        ),
        limitations=("Whether the server stopped sending or its segments are lost: a capture at the server tells.",),
        look_alikes=(
            LookAlike("tcp-zero-window", True, "no window of zero was seen"),
            LookAlike("pmtu-black-hole", not repeated, "the segments that are missing may be the large ones"),
        ),
        remedies=(
            "Capture at the server in the same minutes: does it send on, and are its segments acknowledged?",
            "Look for a proxy or backend that stops, and for firewalls with strict window tracking on the way.",
        ),
    )
