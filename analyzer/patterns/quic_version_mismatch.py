"""Client and server find no QUIC version in common, or their talk about versions goes wrong.

What it sees
    A Version Negotiation packet and no connection after it; one that lists the very version that was offered; an
    Initial of an unknown version that stays unanswered; a server that answers in a version that was not offered. One
    finding for each server socket and address family.

Why it matters
    The client falls back to TCP or fails, although both sides work and the path is good.

How it decides
    By the version fields alone, which are never protected (RFC 8999). A reserved version (0x?a?a?a?a) in an Initial
    that cannot be opened is taken for a scanner's probe: info. Negotiation that ends in a connection is no finding.

What it cannot know
    Versions that the client would also have spoken, beyond the one that it offered.

Look-alikes
    quic-initial-no-reply (the version is a known one), reply-from-other-address (the list came from elsewhere, so the
    client must drop it).

What to do
    Compare the lists; update the older side. A list with the offered version comes from a broken server or a
    middlebox.

Seen in the wild
    Draft versions after the standard (quinn#1249), lists that name the offered version (base-drafts#294), a server
    that never sent Version Negotiation (erlang_quic#229).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import (
    WAIT,
    Attempts,
    Mask,
    attempts_by_socket,
    capture_end,
    finding_of,
    first_request,
)
from analyzer.patterns.finding import (
    CERTAIN,
    ERROR,
    INFO,
    LIKELY,
    POSSIBLE,
    Argument,
    Finding,
    LookAlike,
    Pattern,
    Threshold,
)
from analyzer.patterns.told import Told, chosen, told, which
from analyzer.patterns.words import FAMILIES, listed, sentence

CONVERGES = Threshold("converges", 5.0, "s", "the next version may be tried on a connection of its own")
NEXT_TRY = Threshold("next-try", 0.25, "s", "a client goes on in a listed version at once, which takes a round trip")

PATTERN = Pattern(
    "quic-version-mismatch",
    ERROR,
    "no QUIC version in common, or a Version Negotiation that cannot work",
    ("RFC 8999 §6", "RFC 9000 §6", "RFC 9368 §2"),
    (WAIT, NEXT_TRY, CONVERGES),
)

LISTS_OFFERED = "the Version Negotiation lists the version that was offered, so a client must ignore it"
FORGED = "No server that is right sends this (RFC 9000 §6.2), and whoever sees a client's Initial can."
NOTHING_AFTER = "a Version Negotiation came and no connection after it"
UNANSWERED = "the version is not a known one, and nothing came back"
OTHER_VERSION = "the server answered in a version that was not offered"
PROBE = "a reserved version in an Initial that no client protects this way: the shape of a scanner's probe"


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket, and one for probes."""
    for is_probe in (False, True):
        mask = chosen(view, partial(_is_wrong, is_probe=is_probe))
        for attempts in attempts_by_socket(view, mask & ~_converged(view, mask) if mask.any() else mask):
            yield finding_of(PATTERN, attempts, argument=_argument(attempts, is_probe=is_probe))


def _is_wrong(t: Told, *, is_probe: bool) -> bool:
    said = _said(t)
    return bool(said) and (said == PROBE) is is_probe


def _said(t: Told) -> str:
    """What is wrong with the versions, "" for nothing."""
    offered, answers = t["versions_offered"].split(","), t["versions_listed"].split(",")
    if not t["versions_offered"] or t["completed"] or t["server_crypto"]:
        return ""
    is_probe = all(_is_reserved(version) for version in offered) and not t["hello_read"]
    if t.has_sent("server", "version-negotiation"):
        if any(version in answers and not _is_reserved(version) for version in offered) and not t.has_sent(
            "server", "initial", "handshake", "1-rtt"
        ):
            return LISTS_OFFERED
        if t["outcome_reason"] != "version-negotiation" or capture_end(t.view) - t["reply_time"] < NEXT_TRY.ns:
            return ""
        return PROBE if is_probe else NOTHING_AFTER
    if t["outcome"] == "silent" and not t["version_known"] and t.is_watched:
        return PROBE if is_probe and t["repeats"] < 1 else UNANSWERED
    other = t["server_version"] and t["server_version"] not in offered and not t["compatible"]
    return OTHER_VERSION if other and t.is_watched else ""


def _converged(view: View, mask: Mask) -> Mask:
    """Those of the chosen whose client was answered on another connection to the same socket soon after."""
    table, found = view.connections, np.zeros(len(mask), np.bool_)
    names = ("client_address", "server_address", "server_port", "request_time")
    answered = np.flatnonzero(table.equal("transport", "quic") & table.equal("outcome", "answered"))
    times: dict[tuple[str, str, int], list[int]] = {}
    for *key, time in zip(*(table[name][answered].tolist() for name in names), strict=True):
        times.setdefault(tuple(key), []).append(time)
    rows = np.flatnonzero(mask)
    for row, *key, time in zip(rows.tolist(), *(table[name][rows].tolist() for name in names), strict=True):
        found[row] = any(time < later <= time + CONVERGES.ns for later in times.get(tuple(key), ()))
    return found


def _is_reserved(version: str) -> bool:
    """0x?a?a?a?a (RFC 9000 §15)."""
    return len(version) == 10 and set(version[3::2]) == {"a"}


def _argument(attempts: Attempts, *, is_probe: bool) -> Argument:
    stories = told(attempts)
    said = Counter(_said(t) for t in stories).most_common()
    offered = sorted({version for t in stories for version in t["versions_offered"].split(",")})
    lists = sorted({v for t in stories for v in t["versions_listed"].split(",") if v and not _is_reserved(v)})
    spoken = f"; the server lists {listed(lists)}" if lists else ""
    proved = {what for what, _ in said} <= {NOTHING_AFTER, LISTS_OFFERED}
    listed_all = {what for what, _ in said} == {LISTS_OFFERED}
    wrong = "a Version Negotiation that clients must ignore" if listed_all else "no version in common"
    return Argument(
        severity=INFO if is_probe else ERROR,
        confidence=POSSIBLE if is_probe or listed_all else CERTAIN if proved else LIKELY,
        title=f"QUIC over {FAMILIES[attempts.family]} to {attempts.words}: {wrong}",
        because=sentence(
            f"{which(attempts)} offered {listed(offered)}: {said[0][0]}{spoken}; the first is {first_request(attempts)}"
        ),
        limitations=(*(FORGED,) * listed_all, "Versions that a client would try next are not on the wire."),
        look_alikes=(
            LookAlike("quic-initial-no-reply", proved, "the server answered" if proved else "nothing else came back"),
            LookAlike("reply-from-other-address", True, "what came back came from the addressed socket"),
        ),
        remedies=(
            "Bring both sides to a common version: QUIC 1 (0x00000001) is spoken by all current stacks.",
            "A list that names the offered version comes from a broken server or a box in between: find the sender.",
        ),
    )
