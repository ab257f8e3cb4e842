"""A client got no way over one address family and never tried the other.

What it sees
    A client that asked for a name and either tried only addresses of one family, all silent or refused, or got an
    address of one family again and again and sent it no packet at all. The other family was answered but not tried, or
    never asked for. It sums up the findings about the attempts.

Why it matters
    The service is there, over the other family: a name with two addresses is used as if it had the broken one only. No
    packet at all means that connect() failed inside the host, for want of a route or an address of that family.

How it decides
    Per client and name over the whole capture. With attempts: two or more, or one that was `given-up-after` old; none
    answered, none in the other family. Without: `times` or more answers in the only family asked for, the capture ran
    on for `after-answer` after each, shows other things than DNS, and was not made beside a `popular-resolver`.

What it cannot know
    Whether the name has an address in a family that nobody asked for. Why connect() failed: the host's log tells. What
    the client sent on another interface, or what a capture filter left out.

Look-alikes
    resolved-not-tried (both families answered, nothing tried: a prefetch or a monitor), dns-no-reply (the other family
    was asked for in vain), slow-address-family-fallback (the other family was tried, late).

What to do
    Let the program use the family that works, or repair the route of the one it prefers. HAProxy's httpclient and OCSP
    update ask for one family per try, AAAA by default: `httpclient.resolvers.prefer ipv4` in the global section.

Seen in the wild
    HAProxy OCSP update on a host without IPv6 (haproxy#2472, #2715, #2938; asked for: #2847); nginx and h2o#3532.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import capture_end
from analyzer.patterns.finding import ERROR, INFO, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern, Threshold
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
    remedies_for,
    shows_more_than_dns,
    tried_in,
)
from analyzer.patterns.words import FAMILIES, counted, listed, seconds, sentence

GIVEN_UP_AFTER = Threshold(
    "given-up-after", 10.0, "s", "RFC 8305 §5: the next attempt is due after 250 ms, 2 s at the latest"
)

PATTERN = Pattern(
    "no-address-family-fallback",
    ERROR,
    "a client only ever used the address family that fails",
    ("RFC 8305 §5", "RFC 6724 §2"),
    (GIVEN_UP_AFTER, TIMES, AFTER_ANSWER, POPULAR_RESOLVER),
)

_OTHER = {"ipv4": "ipv6", "ipv6": "ipv4"}
_RECORD = {"ipv4": "A", "ipv6": "AAAA"}
_COLUMN = {"ipv4": "a", "ipv6": "aaaa"}


def find(view: View) -> Iterator[Finding]:
    """A finding for each client and name of which only the failing family was tried, or nothing where one was asked."""
    for asked in asked_names(view):
        families = {family for family in asked.of_tries("family") if family}
        if len(families) == 1:
            family = families.pop()
            if _has_alternative(asked, family) and _all_fail(asked) and not tried_in(asked, _OTHER[family]):
                yield finding_of_name(PATTERN, asked, argument=_tried(asked, family), family=family)
        elif not families:
            yield from _find_untried(asked)


def _has_alternative(asked: Asked, family: str) -> bool:
    """The other family has an address, or nobody asked whether it has one."""
    other = _OTHER[family]
    return bool(asked.addresses(other)) or not asked.has(f"asked_{_COLUMN[other]}")


def _all_fail(asked: Asked) -> bool:
    outcomes, begun = asked.of_tries("outcome"), asked.of_tries("request_time")
    failed = [time for time, outcome in zip(begun, outcomes, strict=True) if outcome in ("silent", "refused")]
    if "answered" in outcomes or not failed or any(asked.column("touched")):
        return False
    return len(failed) > 1 or capture_end(asked.view) - failed[0] >= GIVEN_UP_AFTER.ns


def _find_untried(asked: Asked) -> Iterator[Finding]:
    """A finding where one family alone was asked for, answered several times, and no packet followed."""
    if not (shows_more_than_dns(asked.view) and not is_beside_resolver(asked) and never_tried(asked)):
        return
    for family, other in _OTHER.items():
        lasted = asked.lasted
        if asked.has(f"asked_{_COLUMN[other]}") or not asked.addresses(family) or len(lasted) < TIMES.value:
            continue
        yield finding_of_name(PATTERN, lasted, argument=_untried(lasted, family), family=family)


def _tried(asked: Asked, family: str) -> Argument:
    other, outcomes, addresses = _OTHER[family], asked.of_tries("outcome"), listed(asked.addresses(family))
    known = asked.addresses(other)
    unused = (
        f"{listed(known)} was answered and not tried" if known else f"no {_RECORD[other]} record was ever asked for"
    )
    return Argument(
        severity=ERROR,
        confidence=LIKELY if len(outcomes) > 1 else POSSIBLE,
        title=f"{asked.client} tried {asked.name} over {FAMILIES[family]} only, which fails",
        because=sentence(
            f"{asked.client} asked for {asked.name} {counted(len(asked), 'time')} in {seconds(asked.span)}; of its "
            f"{counted(len(outcomes), 'attempt')} to {addresses} over {FAMILIES[family]} {outcomes.count('silent'):,} "
            f"met silence and {outcomes.count('refused'):,} a refusal, and no attempt over {FAMILIES[other]} followed: "
            f"{unused}; the first question is {record_words(asked)}"
        ),
        limitations=(f"Attempts over {FAMILIES[other]} on another interface would not be seen here.",),
        look_alikes=(
            LookAlike("slow-address-family-fallback", True, f"no packet to the name over {FAMILIES[other]} was seen"),
        ),
        remedies=remedies_for(asked, family),
    )


def _untried(asked: Asked, family: str) -> Argument:
    record, other, answered = _RECORD[family], _RECORD[_OTHER[family]], listed(asked.addresses(family))
    # Monitors and people ask for A alone as well; hardly anybody asks for AAAA alone without a wish to connect.
    by_hand = family == "ipv4"
    return Argument(
        severity=INFO if by_hand else ERROR,
        confidence=POSSIBLE if by_hand else LIKELY,
        title=f"{asked.client} asks for the {record} record of {asked.name} alone, gets it, and sends nothing",
        because=sentence(
            f"{asked.client} asked {listed(sorted(set(asked.column('resolver'))))} for the {record} record of "
            f"{asked.name} {counted(len(asked), 'time')} in {seconds(asked.span)} and got {answered} each time; no "
            f"packet of that client to {answered} followed, and no {other} record was ever asked for, as where "
            f"connect() fails in a host without a way over {FAMILIES[family]}; the first is {record_words(asked)}"
        ),
        limitations=(
            "Nothing on the wire shows why no packet left: the program's log does (no route, address not available).",
            "A capture filter or another interface could hide packets to that address.",
            f"Whether the name has an {other} record cannot be seen, since nobody asked.",
        ),
        look_alikes=(
            LookAlike(
                "resolved-not-tried", True, f"only {record} records were asked for: no prefetch of both families"
            ),
            LookAlike("ephemeral-port-exhaustion", True, "no connections to that address hold the client's ports"),
        ),
        remedies=remedies_for(asked, family),
    )
