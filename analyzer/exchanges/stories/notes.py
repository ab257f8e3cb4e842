"""Notes about one connection: what its handshake agreed on and what came again, one sentence each.

They are made for the few connections that a reader looks at, and never for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.events.connection import Connection, Flows
from analyzer.events.tcp.facts import options_of, sent_by_both
from analyzer.events.tcp.options import Options
from analyzer.events.tcp.runs import Sent, round_trip_of
from analyzer.events.tcp.segments import JUMPS
from analyzer.events.tcp.states import ACK, SYN, State

MOST_NAMES = 4  # of a certificate
_SECOND = 1_000_000_000

if TYPE_CHECKING:
    from analyzer.wire.certificates import Certificate


def notes_of(flows: Flows, connection: Connection, following: Connection | None) -> list[str]:
    """The notes of a TCP connection, words and numbers of ours; ``following`` is the next one on the same sockets."""
    if connection.transport != "tcp":
        return []
    return [*_handshake(flows, connection), *_transfer(flows, connection, following)]


def key_log_notes(connection: Connection) -> Iterator[str]:
    """What only secrets show; names and words in them come from the capture, and a report escapes them."""
    if connection.chosen_alpn:
        yield f"the server chose ALPN {connection.chosen_alpn} (key log)"
    if connection.certificates:
        chain = connection.certificates
        size = sum(certificate.size for certificate in chain)
        yield f"certificate of {_certificate(chain[0])}; {len(chain)} in the chain, {size:,} bytes (key log)"


def _certificate(certificate: Certificate) -> str:
    if certificate.flaw:
        return f"{certificate.size:,} bytes that cannot be read ({certificate.flaw})"
    names = list(certificate.names) or [certificate.subject]
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    words = f"{', '.join(names[:MOST_NAMES])}{more}, issued by {certificate.issuer or 'nobody'}"
    if certificate.not_before is None or certificate.not_after is None:
        return words
    return f"{words}, valid from {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d} UTC"


def _handshake(flows: Flows, connection: Connection) -> Iterator[str]:
    """What SYN and SYN/ACK say, and how the handshake went."""
    c, openings = connection, (("client", connection.request_rows), ("server", connection.syn_ack_rows))
    for side, rows in openings:
        if rows:
            yield f"{side}: {_options(options_of(flows, rows[0]))}"
    if not c.request_rows and not c.syn_ack_rows:
        yield "began before the capture: options, window scale and who is the client were not seen"
    if c.request_rows:
        early, cookie = (
            int(flows.scan.rows.payload_length[c.request_rows[0]]),
            options_of(flows, c.request_rows[0]).cookie,
        )
        if early or cookie is not None:
            yield f"TCP Fast Open: {f'the SYN carried {early:,} bytes' if early else 'the client asked for a cookie'}"
    flags, direction = flows.scan.rows.tcp_flags, flows.scan.rows.direction
    if any(direction[row] != c.client_direction and flags[row] & (SYN | ACK) == SYN for row in c.rows):
        yield "both sides opened at once"
    if c.tcp_state is State.HALF_OPEN:
        yield "half-open: that the client took the SYN/ACK was not seen"
    if c.tcp_state is State.WENT_ON:
        yield "the client went on as after a SYN/ACK, which was not seen"
    if (round_trip := round_trip_of(flows, c)) >= 0:
        yield f"round trip of the handshake {round_trip / _SECOND * 1000:.3g} ms"


def _options(options: Options) -> str:
    """``MSS 1460, window scale 7, SACK, timestamps``."""
    named = [
        f"MSS {options.mss}" if options.mss >= 0 else "no MSS",
        f"window scale {options.window_scale}" if options.window_scale >= 0 else "no window scale",
        "SACK" if options.sack_permitted else "no SACK",
        "timestamps" if options.timestamps is not None else "no timestamps",
    ]
    return ", ".join(named)


def _transfer(flows: Flows, connection: Connection, following: Connection | None) -> Iterator[str]:
    """What came again, late or never, for each side: nothing where all data followed the data before it."""
    if not flows.scan.table.state[2 * connection.flow : 2 * connection.flow + 2, JUMPS].any():
        return
    for side, sent in zip(("client", "server"), sent_by_both(flows, connection, following), strict=True):
        if words := _sent(sent):
            yield f"of the {side}: {', '.join(words)}"


def _sent(sent: Sent) -> list[str]:
    counts = (
        (sent.retransmitted, "{:,} of the data segments sent again"),
        (sent.reordered, "{:,} in another order"),
        (sent.probes, "{:,} keep-alives or window probes with a byte"),
        (sent.unseen, "{:,} bytes acknowledged and never seen here"),
    )
    return [words.format(count) for count, words in counts if count]
