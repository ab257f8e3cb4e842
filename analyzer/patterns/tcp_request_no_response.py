"""A request was acknowledged by the server's kernel and never answered by its program.

What it sees
    The client's first bytes are a request, the server acknowledged all of them, and no byte of the server followed
    until the client gave up, or for `give-up`. One finding for each server socket and address family.

Why it matters
    The network is fine and the port is open: health checks that only connect stay green while nobody is served.

How it decides
    By acknowledgments and payload. It is an error for HTTP, OCSP and DNS, where the server owes an answer, and info for
    bytes of unknown protocols. A ClientHello is `tls-no-server-hello`.

What it cannot know
    Whether the program hangs, waits for something behind it, or never accepted the connection: a kernel completes the
    handshake and takes data before accept() is called.

Look-alikes
    tcp-accept-queue-overflow (new SYNs are dropped as well), tcp-zero-window (the server stopped taking data),
    pmtu-black-hole (the answer is lost for its size), a protocol that goes one way.

What to do
    On the server: `ss -tnp 'sport = :PORT'`: a Recv-Q that stays above 0 was not read; `strace -p PID` or a stack dump
    says what the process waits for.

Seen in the wild
    Worker pools exhausted by slow backends; SIGSTOPped or deadlocked processes.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import ERROR, INFO, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.segments import (
    GIVE_UP,
    asked_in_vain,
    asked_words,
    finding_of_segments,
    has_protocol,
    waited_in_vain,
)
from analyzer.patterns.words import FAMILIES, counted, sentence, share

PATTERN = Pattern(
    "tcp-request-no-response",
    ERROR,
    "a request is acknowledged and never answered",
    ("RFC 9293 §3.8", "RFC 9110 §3.7"),
    (GIVE_UP,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that takes requests and does not answer."""
    vain = asked_in_vain(view) & waited_in_vain(view) & (view.connections["server_fin"] < 0)
    vain &= view.connections["server_rst"] < 0
    known = has_protocol(view, "http", "ocsp", "dns")
    for attempts in attempts_by_socket(view, vain & known):
        yield finding_of_segments(PATTERN, attempts, argument=_no_response(attempts, known=True))
    for attempts in attempts_by_socket(view, vain & has_protocol(view, "") & (view.connections["request_time"] >= 0)):
        yield finding_of_segments(PATTERN, attempts, argument=_no_response(attempts, known=False))


def _no_response(attempts: Attempts, *, known: bool) -> Argument:
    family, port = FAMILIES[attempts.family], attempts.port
    spoke = attempts.where(attempts.view.connections["server_bytes"] > 0)
    return Argument(
        severity=ERROR if known else INFO,
        confidence=LIKELY if known else POSSIBLE,
        title=f"TCP {attempts.words} over {family} takes requests and does not answer",
        because=sentence(
            f"{share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"sent {asked_words(attempts)}, which was acknowledged, and got no byte of a response before the client "
            f"gave up or the capture ended; {counted(len(spoke), 'other connection')} to it got one; the first is "
            f"{first_request(attempts)}"
        ),
        limitations=("Whether the process hangs, waits or never accepted the connection: only the server shows.",),
        look_alikes=(
            LookAlike("tcp-accept-queue-overflow", True, "no SYN to this socket stays without an answer meanwhile"),
            LookAlike("tcp-zero-window", True, "all that the clients sent was acknowledged"),
        ),
        remedies=(
            f"On the server, `ss -tnp 'sport = :{port}'`: a Recv-Q that stays above 0 is a request that nobody reads.",
            "See what the process waits for: `strace -f -p PID`, a stack dump, the pools and backends behind it.",
        ),
    )
