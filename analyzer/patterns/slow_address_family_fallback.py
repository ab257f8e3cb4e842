"""A client tried the second address family more than a second after the first, which had not answered.

What it sees
    After one resolution the client tried an address of one family, heard nothing or a refusal, and turned to the other
    family more than a second later. It sums up the findings about the first family.

Why it matters
    It works, late: users see pages that take seconds to begin, and programs with short timeouts fail.

How it decides
    Per client, name and resolution: the first attempt in the second family begins more than `fallback-within` after
    the first attempt in the first family, and none of the attempts before it had a reply by then.

What it cannot know
    Whether the program or the operating system waits; some wait as their configuration says.

Look-alikes
    no-address-family-fallback (the other family is never tried); two programs that each use one family.

What to do
    Repair the family that fails, or withdraw its address record. Use a client that races both families.

Seen in the wild
    yaxim#164 (a minute), reqwest#2911 (QUIC, 30 s), programs that walk through getaddrinfo's list with a long timeout.
    The opposite fault is a first attempt abandoned before one round trip: Node.js 20 with its 250 ms (node#47822).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns.finding import LIKELY, WARNING, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.names import Asked, asked_names, finding_of_name, record_words
from analyzer.patterns.words import FAMILIES, counted, listed, seconds, sentence, share

FALLBACK_WITHIN = Threshold(
    "fallback-within", 1.0, "s", "RFC 8305 §5 advises 250 ms between attempts and never more than 2 s"
)

PATTERN = Pattern(
    "slow-address-family-fallback",
    WARNING,
    "the second address family is tried late, the first unanswered",
    ("RFC 8305 §5",),
    (FALLBACK_WITHIN,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each client and name whose second family was tried late."""
    for asked in asked_names(view):
        delays, unanswered = asked.column("second_family_delay_s"), asked.column("first_family_unanswered")
        late = [d > FALLBACK_WITHIN.value and first for d, first in zip(delays, unanswered, strict=True)]
        if any(late):
            slow = asked.where(late)
            family = slow.column("first_tried_family")[0]
            yield finding_of_name(PATTERN, slow, argument=_slow(slow, asked, family), family=family)


def _slow(slow: Asked, asked: Asked, family: str) -> Argument:
    delays = sorted(slow.column("second_family_delay_s"))
    other = "ipv4" if family == "ipv6" else "ipv6"
    waits = seconds(round(delays[0] * 1e9))
    if len(delays) > 1:
        waits += f" to {seconds(round(delays[-1] * 1e9))}"
    return Argument(
        severity=WARNING,
        confidence=LIKELY,
        title=f"{asked.client} turns to {FAMILIES[other]} for {asked.name} only after {waits}",
        because=sentence(
            f"After {share(len(slow), len(asked), 'resolution')} of {asked.name} {asked.client} tried "
            f"{listed(slow.addresses(family))} over {FAMILIES[family]} first, had no reply, and began "
            f"{counted(len(slow), 'attempt')} over {FAMILIES[other]} {waits} later; the first question is "
            f"{record_words(slow)}"
        ),
        limitations=("Two programs on that host that use one family each would look the same.",),
        look_alikes=(
            LookAlike("no-address-family-fallback", True, f"{FAMILIES[other]} was tried, {waits} after the first"),
        ),
        remedies=(
            f"Repair {FAMILIES[family]} to {listed(slow.addresses(family))}, or withdraw that address record.",
            "Use a client that races both families (RFC 8305): the second attempt is due after 250 ms.",
        ),
    )
