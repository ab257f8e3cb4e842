"""A server socket that answered its clients answers none of them from some moment on.

What it sees
    Attempts on one server socket and family, over QUIC or TCP: answered until a moment T, and from then on several in
    a row, each repeated, that heard nothing. It sums up the no-reply findings of that socket, and says whether and
    when answers came back, and what else of the host lived on.

Why it matters
    Something changed at T: a process hung, a rule was loaded, an address moved, a translation went stale. T with its
    bounds is what to look for in logs.

How it decides
    At least `least-silent` attempts in a row, one of them by a client that was answered before; loss, estimated from
    the answered attempts, would not make such a stretch (`by-loss`), and silence that goes with the 4-tuple would be
    mixed with answers (`by-order`). Without an answer to the end it is an error, `possible` only where that is no
    longer than a restart takes (`restart`). Where answers came back it is a warning, and info within `restart`.

What it cannot know
    Whether a client's own network went away, where only that client is seen; where it reached nobody else either, it
    is info. What happens after the capture ends.

Look-alikes
    socket-partial-silence (answers go on in the same time), udp-port-unreachable (refused, not silent),
    tcp-accept-queue-overflow, a capture that ends.

What to do
    Look up T in the server's log, in the journal and in deployments; `ss -lntup` and `nft list ruleset` with counters.
    A stale UDP translation ends with `conntrack -D -p udp --dport PORT`.

Seen in the wild
    Stale UDP conntrack entries after a pod or container restart (kubernetes#59033, moby#8795); IPVS entries to a
    server that is gone (kubernetes#76664); a process that was stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns import advice
from analyzer.patterns.episodes import Episode, clients_lived, episodes, rest_of_host
from analyzer.patterns.evidence import (
    WAIT,
    Attempts,
    attempts_by_socket,
    finding_of,
    first_request,
    unanswered_initials,
    unanswered_syns,
)
from analyzer.patterns.finding import (
    ERROR,
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
from analyzer.patterns.split_sockets import comparable
from analyzer.patterns.words import FAMILIES, counted, listed, seconds, sentence

LEAST_SILENT = Threshold("least-silent", 3, "attempts in a row", "fewer may be one loss of the path")
RESTART = Threshold("restart", 30.0, "s", "systemd: TimeoutStopSec= and a start, as services take them")
BY_LOSS = Threshold("by-loss", 1e-4, "probability", "of such a stretch under loss alone")
BY_ORDER = Threshold("by-order", 0.005, "probability", "of such a stretch if silence went with the 4-tuple")

_OWN_NETWORK = "No answer from elsewhere reached this client in that time: its own network may have gone away."

PATTERN = Pattern(
    "socket-went-silent",
    ERROR,
    "a server socket that answered before answers nobody from some moment on",
    ("RFC 9002 §6.2.2", "RFC 6298 §2"),
    (LEAST_SILENT, RESTART, BY_LOSS, BY_ORDER, WAIT),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each socket and family with at least one stretch of silence after answers."""
    spoke = view.connections.equal("outcome", "answered", "refused")
    for attempts in attempts_by_socket(view, unanswered_initials(view) | unanswered_syns(view)):
        others = attempts.where(spoke)
        silent = comparable(attempts, others) if attempts.transport == "quic" else attempts
        if len(silent) < LEAST_SILENT.value or not len(others):
            continue
        stretches = episodes(silent, others, least=LEAST_SILENT.value, by_order=BY_ORDER.value)
        found = [each for each in stretches if each.by_loss <= BY_LOSS.value]
        if found:
            affected = attempts.of(np.sort(np.concatenate([each.silent.rows for each in found])))
            worst = max(found, key=lambda each: (each.back < 0, each.lasted()))
            finding = finding_of(PATTERN, affected, argument=_argument(found, worst))
            yield replace(finding, onset=worst.first_bad, onset_bounds=(worst.last_good, worst.first_bad))


def _argument(found: list[Episode], worst: Episode) -> Argument:
    silent, lived = worst.silent, clients_lived(worst)
    what = f"{'TCP' if silent.transport == 'tcp' else 'QUIC'} over {FAMILIES[silent.family]} to {silent.words}"
    short, lasting = worst.lasted() < RESTART.ns, worst.back < 0
    rest = rest_of_host(worst)
    meanwhile = (
        f"meanwhile the same host answered {listed(rest)}" if rest else "nothing else of the host was tried then"
    )
    tcp = "tcp" if silent.transport == "tcp" else "udp"
    return Argument(
        severity=INFO if lived is False or (short and not lasting) else ERROR if lasting else WARNING,
        confidence=POSSIBLE if short or not lived else LIKELY,
        title=f"{what}: answered, then silent" + ("" if lasting else " for a while"),
        because=sentence(f"{what}: {listed([_told(each) for each in found])}; {meanwhile}"),
        limitations=(*((_OWN_NETWORK,) if not lived else ()), *advice.vantage_limits(silent.view, tcp)),
        look_alikes=(
            LookAlike("socket-partial-silence", True, "nothing on this socket was answered between these attempts"),
            LookAlike("udp-port-unreachable", True, "no refusal was seen between them"),
            LookAlike(
                "capture-cut", True, f"the capture runs on for {seconds(worst.lasted())} after the first of them"
            ),
        ),
        remedies=_remedies(silent),
    )


def _told(episode: Episode) -> str:
    end = f"answers came back after {seconds(episode.lasted())}" if episode.back >= 0 else "none was answered after"
    gap = seconds(episode.first_bad - episode.last_good)
    return (
        f"{counted(len(episode.silent), 'attempt')} in a row heard nothing, the first, "
        f"{first_request(episode.silent)}, {gap} after the last answer, and {end}"
    )


def _remedies(silent: Attempts) -> tuple[str, ...]:
    port, flag = silent.port, "t" if silent.transport == "tcp" else "u"
    stale = f"If clients or a proxy keep one port, a translation may be stale: `conntrack -D -p udp --dport {port}`."
    return (
        "Look up the onset in the server's log, the journal and deployments: what was changed or hung then?",
        f"On the server, `ss -ln{flag}pe 'sport = :{port}'`: a Recv-Q that stays full belongs to a process that hangs.",
        *((stale,) if flag == "u" else ()),
    )
