"""Where a handshake stood still at the anti-amplification limit (RFC 9000 §8.1).

Until a client's address is validated a server may send three times the bytes that it received. The address is valid
with the first Handshake packet of the client, or with a token.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.events.story.steps import HANDSHAKE_BIT, Step
from analyzer.wire.quic.summary import SHORT_BIT

#: The server is taken to stand at the limit from here: another full datagram would not fit.
_AT_LIMIT = 2.5
#: Above it, the client's bytes were not all seen here, or the server does not keep to the limit.
_BEYOND_LIMIT = 3.3


class Stall(NamedTuple):
    """The longest pause at the limit; ``fed`` counts the client's datagrams that met the server at its limit."""

    pause: int  # ns; of the last one, if nothing followed, -1
    time: int  # when the server fell silent
    row: int  # the server's last before it
    client_bytes: int
    server_bytes: int
    fed: int
    client_spoke: bool  # the client had sent something after the server's first packet


NO_STALL = Stall(0, -1, -1, 0, 0, 0, False)


def stall_of(steps: list[Step]) -> Stall:
    """The longest pause of the server at the limit before the client's first Handshake packet."""
    longest, fed, spoke = NO_STALL, 0, False
    last: Step | None = None  # the server's latest
    for step in steps:
        if not step.is_client:
            last = step
            continue
        if last is not None and _is_at_limit(step.before.client_bytes, step.before.server_bytes):
            fed += 1
            pause = step.time - last.time
            if pause > longest.pause:
                before = step.before
                longest = Stall(pause, last.time, last.row, before.client_bytes, before.server_bytes, 0, spoke)
        if step.kinds & (HANDSHAKE_BIT | SHORT_BIT):
            return longest._replace(fed=fed)
        spoke |= last is not None
    if last is not None and last is steps[-1]:
        client, server = last.before.client_bytes, last.before.server_bytes + last.length
        if _is_at_limit(client, server):
            return Stall(-1, last.time, last.row, client, server, fed, spoke)
    return longest._replace(fed=fed)


def _is_at_limit(client_bytes: int, server_bytes: int) -> bool:
    return client_bytes > 0 and _AT_LIMIT * client_bytes <= server_bytes <= _BEYOND_LIMIT * client_bytes
