"""A name is resolved in both families again and again, and the client tries none of its addresses.

What it sees
    Three times or more a client asked for a name, got addresses in both families, and sent none of them a packet.

Why it matters
    Something between the answer and the first packet stops the client: a local firewall, no route in either family, a
    proxy setting. Or the client only wanted to know: a monitor, a prefetch.

How it decides
    Counted per client and name over the whole capture: `times` answers in both families, the capture ran on for
    `after-answer` after each and shows other things than DNS. The unused family of a name that was reached is nothing.
    Resolvers ask for others: whoever answers DNS questions or asks without recursion is left out, and so is a capture
    beside a `popular-resolver`.

What it cannot know
    What left through another interface, or what a capture filter hides.

Look-alikes
    no-address-family-fallback (one family was asked for alone), a program that resolves names and never connects.

What to do
    See on the client which program asks (`ss -uanp`, `resolvectl monitor`) and what its log says; `ip route get
    ADDRESS` and the firewall's output counters for both families.

Seen in the wild
    Mail and monitoring daemons in network namespaces without a default route; browsers' DNS prefetch as the harmless
    twin.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns.finding import POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.names import (
    AFTER_ANSWER,
    POPULAR_RESOLVER,
    TIMES,
    Asked,
    asked_names,
    finding_of_name,
    is_beside_resolver,
    never_tried,
    record_words,
    shows_more_than_dns,
)
from analyzer.patterns.words import counted, listed, seconds, sentence

PATTERN = Pattern(
    "resolved-not-tried",
    WARNING,
    "a name is resolved in both families and none of its addresses is tried",
    ("RFC 8305 §3", "RFC 6724 §2"),
    (TIMES, AFTER_ANSWER, POPULAR_RESOLVER),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each client and name answered in both families and never tried."""
    if not shows_more_than_dns(view):
        return
    for asked in asked_names(view):
        if is_beside_resolver(asked) or not never_tried(asked):
            continue
        lasted = asked.lasted
        answers = zip(lasted.column("addresses_a"), lasted.column("addresses_aaaa"), strict=True)
        both = lasted.where([bool(a and aaaa) for a, aaaa in answers])
        if len(both) >= TIMES.value:
            yield finding_of_name(PATTERN, both, argument=_not_tried(both), family="both")


def _not_tried(asked: Asked) -> Argument:
    addresses = [*asked.addresses("ipv4"), *asked.addresses("ipv6")]
    return Argument(
        severity=WARNING,
        confidence=POSSIBLE,
        title=f"{asked.client} resolves {asked.name} in both families and tries no address",
        because=sentence(
            f"{asked.client} asked for {asked.name} {counted(len(asked), 'time')} in {seconds(asked.span)} and got "
            f"addresses in both families ({listed(addresses)}); no packet of that client to any of them is in this "
            f"capture; the first question is {record_words(asked)}"
        ),
        limitations=("A capture filter, another interface or a proxy could hide what the client then sent.",),
        look_alikes=(
            LookAlike("no-address-family-fallback", True, "both families were asked for, and both were answered"),
        ),
        remedies=(
            f"On {asked.client}, find the program that asks (`ss -uanp`, `resolvectl monitor`) and read its log.",
            f"`ip route get {addresses[0]}` and the output counters of `nft list ruleset` show what stops its packets.",
        ),
    )
