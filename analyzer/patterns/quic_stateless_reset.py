"""1-RTT packets are answered with stateless resets: the peer does not know the connection.

What it sees
    Several datagrams of one side that look like short header packets and end in the same 16 bytes, the stateless
    reset token. With a key log a single one that ends in the token which the side had issued. Without, a single one
    that fits in its place. One finding for each server socket and address family.

Why it matters
    The server lost the connection's state: a restart, a reload, a packet that reached another worker or machine.
    Clients that know the token end at once; those that do not hang until their idle timeout.

How it decides
    Any other short header packet ends in an authentication tag, and two equal ones do not happen. Size proves
    nothing: nginx sends resets that are larger than the packets that provoke them. Where the bytes themselves were
    compared it is certain. A single one fits where it is small, the server's last packet, came after a pause, and lacks
    the client's connection ID, which all others carried: possible, and no more than a note. Where the client goes on in
    vain, quic-connection-silent stands and names it.

What it cannot know
    A single reset to a client without connection IDs: it looks like any short header packet. Whether the client knew
    the token.

Look-alikes
    Ordinary 1-RTT packets; quic-connection-silent (nothing comes back); quic-path-change-silent (nothing on a new
    path).

What to do
    Keep connections with the worker that owns them over reloads and path changes (nginx: `quic_bpf on`); keep the
    reset key over restarts (nginx: `quic_host_key`), so that clients understand at once.

Seen in the wild
    nginx after a restart or with several workers; quinn's key that is new with each endpoint (quinn#1443); resets for
    a retired connection ID (msquic#1567).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, finding_of, first_request
from analyzer.patterns.finding import (
    CERTAIN,
    INFO,
    LIKELY,
    POSSIBLE,
    WARNING,
    Argument,
    Finding,
    LookAlike,
    Pattern,
    Threshold,
)
from analyzer.patterns.told import Told, chosen, filter_of_all_paths, told, total, which
from analyzer.patterns.words import FAMILIES, sentence

TOKEN = Threshold("token", 16, "bytes that are the same", "RFC 9000 §10.3")

PATTERN = Pattern(
    "quic-stateless-reset",
    WARNING,
    "1-RTT packets are answered by stateless resets",
    ("RFC 9000 §10.3",),
    (TOKEN,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that sent resets, and one for resets of clients."""
    for side, is_lone in (("server", False), ("client", False), ("server", True)):
        mask = chosen(view, partial(_was_reset, side=side, is_lone=is_lone))
        for attempts in attempts_by_socket(view, mask):
            stories = told(attempts)
            finding = finding_of(PATTERN, attempts, argument=_argument(attempts, stories, side, is_lone=is_lone))
            onset, last = min(t["resets_from"] for t in stories), max(t["resets_until"] for t in stories)
            if any(t["resets_on_new_path"] for t in stories):
                shown = filter_of_all_paths(attempts, (finding.first_time, last))
                finding = replace(finding, display_filter=shown)
            yield replace(finding, onset=onset, last_time=last)


def _was_reset(t: Told, *, side: str, is_lone: bool) -> bool:
    is_sure = t["resets"] >= 2 or (t["resets"] == 1 and t["resets_by_token"])
    fits = t["resets"] == 1 and not is_sure and not t["silent_side"]
    return bool(t["resets_side"] == side and (fits if is_lone else is_sure))


def _argument(attempts: Attempts, stories: list[Told], side: str, *, is_lone: bool) -> Argument:
    if is_lone:
        return _lone(attempts)
    moved = sum(t["resets_on_new_path"] for t in stories)
    after = f", in {moved:,} of them after the client's address or port had changed" if moved else ""
    remedies = (
        "Find what took the state: a restart, a reload, another worker or machine behind the same address.",
        "nginx: `quic_bpf on` keeps connections with their worker, `quic_host_key` keeps the key of the tokens.",
    )
    return Argument(
        severity=WARNING if side == "server" else INFO,
        confidence=CERTAIN if all(t["resets_proved"] for t in stories) else LIKELY,
        title=f"QUIC over {FAMILIES[attempts.family]} with {attempts.words}: stateless resets from the {side}",
        because=sentence(
            f"{which(attempts)} got {total(stories, 'resets', 'datagram')} that end in one token of 16 bytes for each "
            f"connection{_issued(stories)}{after}; the first is {first_request(attempts)}"
        ),
        limitations=("A first reset with another token, or a single one, looks like any short header packet.",),
        look_alikes=(
            LookAlike("quic-connection-silent", True, "the packets were answered, with resets"),
            LookAlike("quic-path-change-silent", True, "what came on the new path are resets, no silence"),
        ),
        remedies=remedies if side == "server" else ("The client lost its state: look there first.",),
    )


def _issued(stories: list[Told]) -> str:
    known = sum(t["resets_by_token"] for t in stories)
    return f", in {known:,} of them the one that its sender had issued (key log)" if known else ""


def _lone(attempts: Attempts) -> Argument:
    return Argument(
        severity=INFO,
        confidence=POSSIBLE,
        title=f"QUIC over {FAMILIES[attempts.family]} with {attempts.words}: perhaps ended by a stateless reset",
        because=sentence(
            f"{which(attempts)} ended with a small datagram of the server after a pause, which lacks the client's "
            f"connection ID where all others carried it; the first is {first_request(attempts)}"
        ),
        limitations=("The server's last packet under another connection ID looks the same; a key log tells.",),
        look_alikes=(LookAlike("quic-connection-silent", True, "the client did not go on in vain"),),
        remedies=("See whether the server or its worker was restarted at that second.",),
    )
