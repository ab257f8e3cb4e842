"""The reply to a UDP request comes from another socket than the one that was asked.

What it sees
    A datagram that belongs to a request by its QUIC connection ID, by keys that open it, or by DNS id and question, and
    whose source is another address or port than the request was sent to. One finding for each addressed socket and
    address family.

Why it matters
    A client whose socket is connected never sees the datagram: the kernel drops it, often with an ICMP port unreachable
    to the wrong sender. The server believes that it answered. QUIC clients must not take it either (RFC 9000 §9).

How it decides
    The join is made in the events room; a socket that also answered itself is left out, so a preferred address that
    is used after the handshake is none. Where the client went on to 1-RTT packets all the same, it was reached: the
    capture shows both sides of a translator, or the client takes what comes; that is info.

What it cannot know
    Whether a translator between this capture and the client puts the address right again. Where the client repeats its
    request or rejects the reply by ICMP, it does not.

Look-alikes
    quic-initial-no-reply (nothing came from anywhere), quic-retry-failed (the Retry came from the right socket), NAT
    seen on both sides of one host (each side then has its own requests, and its own replies).

What to do
    Let the server send from the address that was asked (IP_PKTINFO, IPV6_RECVPKTINFO), or bind each address
    of the host by name in place of the wildcard.

Seen in the wild
    Haskell quic on loopback (kazu-yamamoto/quic#36); HAProxy's Retry (haproxy#3503); docker-proxy over the bridge
    (moby#11998); Cilium rewriting ports (cilium#44348); Caddy 2.6.2 on a host with two addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns import doubts
from analyzer.patterns.elsewhere import answered_for, replies, what_differs
from analyzer.patterns.evidence import Attempts, attempts_by_socket, finding_of, first_request
from analyzer.patterns.finding import (
    CERTAIN,
    ERROR,
    INFO,
    LIKELY,
    MOST_ENTRIES,
    Argument,
    Finding,
    LookAlike,
    Pattern,
)
from analyzer.patterns.words import FAMILIES, any_of, counted, sentence, share, socket_words

PATTERN = Pattern(
    "reply-from-other-address",
    ERROR,
    "a reply comes from another socket than the one that was asked",
    ("RFC 9000 §5.1", "RFC 9000 §9", "RFC 9001 §5.2", "RFC 1122 §4.1.3.5", "RFC 5452 §9.1"),
)

_SERVER_LIMIT = (
    "Whether the server chose the source or a translator behind it: `ss -ulnp` and `conntrack -L -p udp` tell."
)
_ONE_RTT, _HELLO, _NEGOTIATING = "O", set("ihzo"), {"r": "Retry", "v": "Version Negotiation"}


def find(view: View) -> Iterator[Finding]:
    """A finding for each UDP socket that another one answers for, and one where clients were reached all the same."""
    in_place, table = answered_for(view), view.connections
    mask = ~table.equal("replied_from", "")
    if asked := set(in_place) - set(table["connection"][mask].tolist()):
        mask |= np.array([name in asked for name in table["connection"].tolist()], dtype=np.bool_)
    for attempts in attempts_by_socket(view, mask):
        is_quic = attempts.transport == "quic"
        reached = np.array([is_quic and _ONE_RTT in steps for steps in attempts.column("history")], dtype=np.bool_)
        for part, argument in ((~reached, _wrong), (reached, _translated)):
            chosen = attempts.of(attempts.rows[part])
            if chosen:
                finding = finding_of(PATTERN, chosen, argument=argument(chosen, in_place))
                records = sorted({*finding.records, *replies(chosen, in_place)})[:MOST_ENTRIES]
                yield replace(finding, onset=-1, onset_bounds=None, records=tuple(records))


def _wrong(attempts: Attempts, in_place: dict[str, str]) -> Argument:
    by, differs = what_differs(attempts, in_place)
    rejected = sum(max(count, 0) for count in attempts.column("rejections"))
    repeats = sum(attempts.tries) - len(attempts)
    did = [f"repeated the request {counted(repeats, 'time')}"] * (repeats > 0)
    did += [f"rejected {counted(rejected, 'reply')} with ICMP port unreachable"] * (rejected > 0)
    kinds = [set(history) & (_HELLO | set(_NEGOTIATING)) for history in attempts.column("history")]
    special = {_NEGOTIATING[letter] for kind in kinds if not kind & _HELLO for letter in kind}
    all_special = bool(special) and all(not kind & _HELLO for kind in kinds)
    what = f"the {' or '.join(sorted(special))}" if all_special else "the reply"
    because = (
        f"{share(len(attempts), len(attempts.socket_rows), 'attempt')} to {attempts.words} over "
        f"{FAMILIES[attempts.family]} got {what} from {by} in its place, and none from the addressed socket; "
        f"the clients {' and '.join(did) or 'sent nothing more'}; the first is {first_request(attempts)}"
    )
    why = doubts.of_strangers(attempts)
    return Argument(
        severity=ERROR,
        confidence=doubts.lowered(CERTAIN if did else LIKELY, why),
        title=f"UDP {attempts.words} over {FAMILIES[attempts.family]}: replies come from another {differs} ({by})",
        because=sentence(because),
        limitations=(
            *why,
            _SERVER_LIMIT if did else "A translator between here and the client may put the address right.",
        ),
        look_alikes=(
            LookAlike("quic-initial-no-reply", True, f"replies to {any_of(len(attempts), 'request')} were seen"),
            LookAlike("udp-port-unreachable", True, "the ICMP errors, if any, come from the clients and quote replies"),
        ),
        remedies=_remedies(attempts, all_special=all_special),
    )


def _remedies(attempts: Attempts, *, all_special: bool) -> tuple[str, ...]:
    bind = f"Bind {attempts.words} by name in place of the wildcard, one listener for each address of the host."
    send = (
        "Or let the server take the destination of each request and send from it (IP_PKTINFO, IPV6_RECVPKTINFO); newer "
        "releases of most QUIC servers do."
    )
    confirm = f"`ss -ulnp 'sport = :{attempts.port}'` shows a wildcard; `ip route get CLIENT` the source that it uses."
    special = "Only packets outside of a connection are wrong: look for an update of the server, or do without Retry."
    translators = "Where a container or load balancer is in between, look at its translations (`conntrack -L -p udp`)."
    return (*(special,) * all_special, bind, send, confirm, translators)


def _translated(attempts: Attempts, in_place: dict[str, str]) -> Argument:
    by, differs = what_differs(attempts, in_place)
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"UDP {socket_words(attempts.address, attempts.port)}: replies show another {differs}, clients go on",
        because=sentence(
            f"{share(len(attempts), len(attempts.socket_rows), 'attempt')} to {attempts.words} got replies that are "
            f"seen as coming from {by}, and the clients went on to 1-RTT packets, so they were reached; the first is "
            f"{first_request(attempts)}"
        ),
        limitations=(
            "Two sides of address translation in one capture, and a client that takes any source, look alike.",
        ),
        remedies=("Nothing to repair where this host translates addresses: `conntrack -L -p udp` lists what it does.",),
    )
