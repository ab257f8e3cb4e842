"""Large segments vanish while small ones pass, and nobody says so: a path MTU black hole.

What it sees
    A large segment sent again and again and never acknowledged, while smaller segments of the same side got through;
    or, at the other end, a hole of that size before a smaller segment that did arrive. One finding for each server
    socket, address family and direction.

Why it matters
    Pings, handshakes and small requests work, and whatever is larger than the narrowest link hangs until a timeout.
    Post-quantum ClientHellos take two segments and made the fault common.

How it decides
    The segment holds `large` bytes or more, was repeated `repeats` times or more over more than a second, the other
    side acknowledged nothing beyond its begin, and SACK or acknowledgments show that smaller ones arrived. A hole must
    be `large` and last for `wait`. No ICMP error that tells the MTU is in the capture, or the sender ignores it.

What it cannot know
    Which link is too narrow: `tracepath -n HOST` from the side that sends finds it.

Look-alikes
    tcp-data-unacknowledged (small segments are lost as well), random loss (a repeat gets through), super-packets of
    segmentation offload, which are larger than what is sent.

What to do
    Let ICMP "fragmentation needed" and "packet too big" pass; clamp the MSS at the tunnel (`nft ... tcp option maxseg
    size set rt mtu`); or lower the MTU of the sender's route.

Seen in the wild
    WireGuard and other tunnels with filtered ICMP (Start9Labs#3261), 6rd (dotcom-rendering#6297), Docker bridges with
    another MTU than the host's uplink (moby#22028).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import WAIT, Attempts, Mask, attempts_by_socket, capture_end, first_request
from analyzer.patterns.finding import ERROR, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.segments import finding_of_segments, tcp_connections
from analyzer.patterns.words import FAMILIES, counted, seconds, sentence, share

LARGE = Threshold(
    "large", 1000, "bytes of payload", "the smallest IPv6 link takes 1,280 bytes with headers (RFC 8200 §5)"
)
REPEATS = Threshold("repeats", 2, "repeats", "three losses in a row of one segment are rare under loss of any size")

PATTERN = Pattern(
    "pmtu-black-hole",
    ERROR,
    "large segments vanish while small ones pass",
    ("RFC 2923 §2.1", "RFC 8899 §4", "RFC 4821 §1"),
    (LARGE, REPEATS, WAIT),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket and direction in which large segments vanish."""
    for side in ("client", "server"):
        for attempts in attempts_by_socket(view, _repeated(view, side)):
            yield finding_of_segments(PATTERN, attempts, argument=_vanish(attempts, side))
        for attempts in attempts_by_socket(view, _missing(view, side)):
            yield finding_of_segments(PATTERN, attempts, argument=_hole(attempts, side))


def _repeated(view: View, side: str) -> Mask:
    table = view.connections
    large = (table["stuck_length"] >= LARGE.value) & (table["stuck_repeats"] >= REPEATS.value)
    lasted = table["stuck_ns"] > 1_000_000_000
    stuck = table.equal("stuck_by", side) & large & lasted & table["small_passed"]
    return np.asarray(tcp_connections(view) & stuck & table.equal("zero_window_by", ""), np.bool_)


def _missing(view: View, side: str) -> Mask:
    table = view.connections
    sent = table["last_client_data"] if side == "client" else table["last_server_data"]
    lasted = (sent >= 0) & (capture_end(view) - sent >= WAIT.ns)
    hole = table.equal("hole_by", side) & (table["hole_length"] >= LARGE.value)
    return np.asarray(tcp_connections(view) & hole & lasted, np.bool_)


def _vanish(attempts: Attempts, side: str) -> Argument:
    lengths, repeats = attempts.column("stuck_length"), attempts.column("stuck_repeats")
    return _argument(
        attempts,
        side,
        f"the {side}'s segment of {min(lengths):,} to {max(lengths):,} bytes was sent again "
        f"{counted(min(repeats), 'time')} or more over {seconds(max(attempts.column('stuck_ns')))} and never "
        "acknowledged, while smaller segments of that side got through",
    )


def _hole(attempts: Attempts, side: str) -> Argument:
    lengths = attempts.column("hole_length")
    return _argument(
        attempts,
        side,
        f"the {side}'s first {min(lengths):,} to {max(lengths):,} bytes never came by here, although a smaller segment "
        "behind them did, and the other side still waits for them",
    )


def _argument(attempts: Attempts, side: str, what: str) -> Argument:
    family = FAMILIES[attempts.family]
    too_big = attempts.column("icmp").count("packet-too-big")
    sender = attempts.address if side == "server" else attempts.column("client_address")[0]
    receiver = attempts.column("client_address")[0] if side == "server" else attempts.address
    told = f"{too_big:,} ICMP errors tell an MTU and are ignored" if too_big else "no ICMP error tells an MTU"
    way = "towards the server" if side == "client" else "towards the client"
    return Argument(
        severity=ERROR,
        confidence=LIKELY if side == "client" or len(attempts) > 1 else POSSIBLE,
        title=f"TCP {attempts.words} over {family}: large segments vanish {way}",
        because=sentence(
            f"In {share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"{what}; {told}; the first is {first_request(attempts)}"
        ),
        limitations=("Which link is too narrow: `tracepath` from the sending side tells.",),
        look_alikes=(
            LookAlike("tcp-data-unacknowledged", True, "smaller segments of the same side arrived"),
            LookAlike("tls-no-server-hello", True, "the data was not acknowledged, so the server could not answer"),
        ),
        remedies=(
            f"From {sender}: `tracepath -n {receiver}` finds the link whose MTU is smaller.",
            "Let ICMP fragmentation-needed and ICMPv6 packet-too-big pass on the way, or clamp the MSS at the tunnel.",
        ),
    )
