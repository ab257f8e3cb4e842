"""A ClientHello was acknowledged whole and no TLS record came back.

What it sees
    A TCP connection whose client sent a ClientHello; the server acknowledged all of it and sent no byte until the
    client gave up, or for `give-up`. One finding for each server socket and address family.

Why it matters
    The port looks open and nobody gets in. Plain TCP health checks stay green.

How it decides
    By acknowledgments and payload, as `tcp-request-no-response` does. Where a segment of the hello was never
    acknowledged, the path or its MTU is at fault (`pmtu-black-hole`, `tcp-data-unacknowledged`).

What it cannot know
    Whether the process hangs, waits for bytes that the hello does not bring (PROXY protocol), or inspects it for long.

Look-alikes
    pmtu-black-hole in the server's direction: at the client both look the same, unless a later segment of the server
    shows a hole. tcp-accept-queue-overflow.

What to do
    `openssl s_client -connect HOST:PORT -servername NAME`; look for a listener that expects PROXY protocol or plain
    HTTP; `ss -tnp` on the server shows whether anybody reads.

Seen in the wild
    A server stuck before accept(); listeners that wait for a PROXY header (vault#3195, istio#21059); inspection delays
    (haproxy-ingress#912).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import ERROR, LIKELY, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.segments import GIVE_UP, asked_in_vain, finding_of_segments, has_protocol, waited_in_vain
from analyzer.patterns.words import FAMILIES, counted, sentence, share

PATTERN = Pattern(
    "tls-no-server-hello",
    ERROR,
    "a ClientHello is acknowledged and no TLS record comes back",
    ("RFC 8446 §4.1", "RFC 9293 §3.8"),
    (GIVE_UP,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that takes ClientHellos and does not answer."""
    ended = (view.connections["server_fin"] >= 0) | (view.connections["server_rst"] >= 0)
    vain = asked_in_vain(view) & waited_in_vain(view) & has_protocol(view, "tls") & ~ended
    for attempts in attempts_by_socket(view, vain):
        yield finding_of_segments(PATTERN, attempts, argument=_no_hello(attempts))


def _no_hello(attempts: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    spoke = attempts.where(attempts.view.connections["server_bytes"] > 0)
    segments = sorted(attempts.distinct("hello_segments"))
    return Argument(
        severity=ERROR,
        confidence=LIKELY,
        title=f"TLS {attempts.words} over {family}: no ServerHello",
        because=sentence(
            f"{share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"sent a ClientHello ({' or '.join(str(n) for n in segments)} segments), which was acknowledged whole, and "
            f"got no TLS record before the client gave up or the capture ended; "
            f"{counted(len(spoke), 'other connection')} to it got an answer; the first is {first_request(attempts)}"
        ),
        limitations=(
            "Whether the process hangs or waits for more bytes (PROXY protocol): only the server shows.",
            "At the client, a ServerHello that is lost for its size on the way back looks the same.",
        ),
        look_alikes=(
            LookAlike("tcp-data-unacknowledged", True, "every byte of the hello was acknowledged"),
            LookAlike("pmtu-black-hole", False, "a ServerHello lost on the way back leaves no trace at the client"),
            LookAlike("tls-alert", True, "no alert in clear came back"),
        ),
        remedies=(
            f"`openssl s_client -connect {attempts.words} -servername NAME` on the server: does that hang too?",
            "See whether the listener expects a PROXY protocol header first (`accept-proxy`, `proxy_protocol`).",
        ),
    )
