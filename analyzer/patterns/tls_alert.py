"""One side ended the TLS handshake with an alert in clear.

What it sees
    A TLS alert record in clear that is no close_notify: its description, which side sent it. One finding for each
    server socket, address family, side and alert.

Why it matters
    The handshake failed for a reason that the alert names: no common version or cipher, an unknown name, a certificate
    that is not trusted.

How it decides
    Alert records among the first bytes of each direction, or in a segment of their own. In TLS 1.3 most alerts are
    encrypted and look like application data: those are not seen.

What it cannot know
    More than the sender says: the detail is in its log.

Look-alikes
    tcp-reset and tcp-closed-without-response, which often follow an alert and are not reported beside it.

What to do
    Read the alert as the sender's words about the other side: `unknown_ca` from the client is about the server's chain.

Seen in the wild
    protocol_version after TLS 1.0 was switched off; unrecognized_name from default virtual hosts; no ALPN in common.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import CERTAIN, ERROR, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.segments import finding_of_segments
from analyzer.patterns.words import FAMILIES, sentence, share
from analyzer.wire.codes import alert_name

PATTERN = Pattern("tls-alert", ERROR, "a TLS alert in clear ends the handshake", ("RFC 8446 §6", "RFC 5246 §7.2"))

_NO_FAILURES = {90, 100}  # user_canceled and no_renegotiation are no failures of the handshake

_HINTS = {
    40: "no cipher suite, group or certificate in common: compare both configurations",
    42: "the certificate cannot be read: check the file and its key",
    43: "the kind of certificate is not supported",
    44: "the certificate is revoked",
    45: "the certificate has expired: renew it, and check the clock of the side that says so",
    46: "the certificate is not accepted: the log of the side that says so has the reason",
    48: "the chain does not lead to a trusted root: send the intermediate certificates, or install the root",
    70: "no TLS version in common: allow TLS 1.2 or 1.3 on the side that lacks it",
    71: "the parameters are too weak for the side that says so",
    80: "an error inside the side that says so: its log has the reason",
    112: "the server has no certificate for the name asked for: check server_name and virtual hosts",
    116: "the server wants a client certificate and got none",
    120: "no application protocol (ALPN) in common",
}


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket, side and alert."""
    table = view.connections
    codes = table["alert_code"]
    for side in ("server", "client"):
        told = table.equal("alert_by", side)
        for code in sorted({*codes[told].tolist()} - _NO_FAILURES):
            for attempts in attempts_by_socket(view, np.asarray(told & (codes == code), np.bool_)):
                yield finding_of_segments(PATTERN, attempts, argument=_alert(attempts, side, code))


def _alert(attempts: Attempts, side: str, code: int) -> Argument:
    family, name = FAMILIES[attempts.family], alert_name(code)
    other = "client" if side == "server" else "server"
    return Argument(
        severity=ERROR,
        confidence=CERTAIN,
        title=f"TLS {attempts.words} over {family}: the {side} sends the alert {name}",
        because=sentence(
            f"In {share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"the {side} ended the handshake with the alert {name} ({code}) in clear, which is about what the {other} "
            f"sent; the first is {first_request(attempts)}"
        ),
        limitations=("An alert names the reason in a word; the log of the side that sent it says more.",),
        look_alikes=(LookAlike("tcp-reset", True, "a FIN or RST that follows the alert only closes the connection"),),
        remedies=(sentence(_HINTS.get(code, "see the log of the side that sent it")),),
    )
