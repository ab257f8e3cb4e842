"""One side closes the QUIC connection with an error before the handshake completes.

What it sees
    CONNECTION_CLOSE in an Initial (or, with a key log, in a Handshake packet) with an error code, which is put into
    words; which side sent it. Without a key log also its shape: the server's whole flight, a few Handshake packets of
    the client sent once, and silence of both. One finding for each server socket and address family.

Why it matters
    The answer is there, in a packet that most tools do not open: no common application protocol, a certificate that
    the client does not trust, a parameter that the server refuses.

How it decides
    The code is neither NO_ERROR nor the application's, the handshake did not complete, and the other side had been
    heard. By shape alone it is only possible, and is not said of a client that had TCP to the same host within
    `race`.

What it cannot know
    Without a key log, the code in a Handshake packet.

Look-alikes
    A client that closes because it heard nothing (quic-initial-no-reply); an attempt that lost a race against TCP
    (APPLICATION_ERROR or NO_ERROR); INVALID_TOKEN (quic-retry-failed).

What to do
    0x178: make the ALPN lists meet. 0x12a to 0x130: install the chain, or trust its root in the client (browsers do
    not take roots that users added for QUIC).

Seen in the wild
    no_application_protocol (quinn#1134, neqo#555), certificate_unknown (aioquic#222), browsers that fall back to h2
    with a private root (openlitespeed#339).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, capture_end, finding_of, first_request
from analyzer.patterns.finding import CERTAIN, ERROR, POSSIBLE, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.told import Told, chosen, told, which
from analyzer.patterns.words import FAMILIES, listed, sentence

RACE = Threshold("race", 5.0, "s", "clients that race QUIC against TCP start both within a second or two (RFC 8305 §5)")
SILENCE = Threshold("silence", 1.0, "s", "RFC 9002 §6.2.2: a side that waits for the other probes within the first PTO")

NO_ERROR, INVALID_TOKEN, APPLICATION_ERROR = 0x00, 0x0B, 0x0C  # RFC 9000 §20.1
CRYPTO_ERRORS = range(0x100, 0x200)

Tcp = dict[tuple[str, str], list[int]]

PATTERN = Pattern(
    "quic-handshake-closed",
    ERROR,
    "CONNECTION_CLOSE with an error before the handshake completed",
    ("RFC 9000 §10.2.3", "RFC 9000 §20.1", "RFC 9001 §4.8"),
    (RACE, SILENCE),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket with closes that were read, and one for closes told by shape."""
    for attempts in attempts_by_socket(view, chosen(view, _is_closed)):
        yield finding_of(PATTERN, attempts, argument=_argument(attempts))
    if not view.story_of:
        return
    for attempts in attempts_by_socket(view, chosen(view, partial(_ends_like_closed, tcp=_answered_tcp(view)))):
        yield finding_of(PATTERN, attempts, argument=_by_shape(attempts))


def _is_closed(t: Told) -> bool:
    if not t["close_side"] or t["completed"] or t["close_by_application"] or t["reply_time"] < 0:
        return False
    return t["close_code"] not in (NO_ERROR, INVALID_TOKEN, APPLICATION_ERROR) and not t["close_reason"].startswith(
        "H3_"
    )


def _ends_like_closed(t: Told, *, tcp: Tcp) -> bool:
    if t["close_side"] or not t["close_shape"] or t["completed"] or not t["server_crypto"]:
        return False
    return capture_end(t.view) - t.last >= SILENCE.ns and not _was_raced(t, tcp)


def _answered_tcp(view: View) -> Tcp:
    """Times of answered TCP connections, by client address and server host."""
    table, found = view.connections, Tcp()
    rows = np.flatnonzero(table.equal("transport", "tcp") & table.equal("outcome", "answered"))
    names = ("client_address", "server_address", "request_time")
    for client, server, time in zip(*(table[name][rows].tolist() for name in names), strict=True):
        found.setdefault((client, view.host(server)), []).append(time)
    return found


def _was_raced(t: Told, tcp: Tcp) -> bool:
    """Whether the client had a TCP connection to the same host answered about the same time."""
    times = tcp.get((t["client_address"], t.view.host(t["server_address"])), ())
    return any(abs(time - t["request_time"]) <= RACE.ns for time in times)


def _argument(attempts: Attempts) -> Argument:
    stories = told(attempts)
    closes = Counter((t["close_side"], t["close_code"], t["close_reason"]) for t in stories).most_common()
    words = [f"{reason} (0x{code:x}) by the {side} ({count:,})" for (side, code, reason), count in closes]
    _, code, reason = closes[0][0]
    return Argument(
        severity=ERROR,
        confidence=CERTAIN,
        title=f"QUIC over {FAMILIES[attempts.family]} with {attempts.words}: closed with {reason or hex(code)}",
        because=sentence(
            f"{which(attempts)} met a close before the handshake completed: {listed(words)}; the first is "
            f"{first_request(attempts)}"
        ),
        limitations=("Why the side that closed decided so is in its log; the reason phrase is its own word for it.",),
        look_alikes=(LookAlike("quic-initial-no-reply", True, "the other side was heard before the close"),),
        remedies=_remedies(code),
    )


def _remedies(code: int) -> tuple[str, ...]:
    alert = code - CRYPTO_ERRORS.start if code in CRYPTO_ERRORS else -1
    if alert == 120:
        return ("Make the ALPN lists of client and server meet (h3 for HTTP/3).",)
    if 42 <= alert <= 48:
        return (
            "Serve the whole certificate chain for this name, valid now, and trust its root in the client.",
            "Browsers do not take roots for QUIC that users added; `curl --http3-only --cacert` does.",
        )
    return ("Read the log of the side that closed at the time of the cited record.",)


def _by_shape(attempts: Attempts) -> Argument:
    return Argument(
        severity=ERROR,
        confidence=POSSIBLE,
        title=f"QUIC over {FAMILIES[attempts.family]} with {attempts.words}: the client seems to close early",
        because=sentence(
            f"{which(attempts)} ended after the server's flight and a few Handshake packets of the client, sent once, "
            f"with silence of both sides: the shape of a CONNECTION_CLOSE; the first is {first_request(attempts)}"
        ),
        limitations=("The packet is under protection: with `--keylog` its code could be read.",),
        look_alikes=(LookAlike("quic-handshake-stalled", False, "a client that dies without a word looks alike"),),
        remedies=("Look at the client's log, first for errors about the certificate; or capture with its key log.",),
    )
