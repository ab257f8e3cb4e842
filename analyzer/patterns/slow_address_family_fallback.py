"""A client turned to the next address too late, or gave the one before up too soon.

What it sees
    Late: after one resolution the client tried an address of one family, heard nothing or a refusal, and turned to the
    other family more than a second later. It sums up the findings about the first family. Too soon: the client gave
    each TCP attempt up before its SYN/ACK came, went on to the next address, and answered the SYN/ACK with a RST.

Why it matters
    Late: users see pages that take seconds to begin, and programs with short timeouts fail. Too soon: the program says
    that it timed out, although the server answered every SYN.

How it decides
    Per client, name and resolution. Late: the first attempt in the second family begins more than `fallback-within`
    after the first attempt in the first family, and none of the attempts before it had a reply by then. Too soon: the
    next attempt begins before the SYN/ACK to an earlier one, which then meets nothing but a RST, and no attempt of that
    resolution ends otherwise. In a race as RFC 8305 means it, one of them wins and the losers are closed.

What it cannot know
    Whether the program or the operating system waits; some wait as their configuration says.

Look-alikes
    no-address-family-fallback (the other family is never tried); two programs that each use one family; the losers of a
    race that another attempt won; scanners and health checks, which reset a SYN/ACK and ask for no name.

What to do
    Late: repair the family that fails, or withdraw its address record. Use a client that races both families. Too soon:
    give each attempt longer than the round trip; Node.js: `--network-family-autoselection-attempt-timeout`.

Seen in the wild
    yaxim#164 (a minute), reqwest#2911 (QUIC, 30 s), programs that walk through getaddrinfo's list with a long timeout.
    Node.js 20 gives each address 250 ms (node#47822, #54359).
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
ATTEMPT_DELAY = Threshold(
    "attempt-delay", 0.25, "s", "RFC 8305 §5: until the next attempt begins; the one before goes on meanwhile"
)

PATTERN = Pattern(
    "slow-address-family-fallback",
    WARNING,
    "the second address family is tried late, or each attempt given up before its answer",
    ("RFC 8305 §5",),
    (FALLBACK_WITHIN, ATTEMPT_DELAY),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each client and name whose second family was tried late, or whose attempts were all given up."""
    for asked in asked_names(view):
        delays, unanswered = asked.column("second_family_delay_s"), asked.column("first_family_unanswered")
        late = [d > FALLBACK_WITHIN.value and first for d, first in zip(delays, unanswered, strict=True)]
        if any(late):
            slow = asked.where(late)
            family = slow.column("first_tried_family")[0]
            yield finding_of_name(PATTERN, slow, argument=_slow(slow, asked, family), family=family)
            continue
        abandoned = [_abandoned(asked.where([k == place for k in range(len(asked))])) for place in range(len(asked))]
        if any(abandoned):
            hasty = asked.where([bool(each) for each in abandoned])
            yield finding_of_name(PATTERN, hasty, argument=_hasty(hasty, asked, abandoned), family=_family(hasty))


def _abandoned(asked: Asked) -> list[tuple[int, int]]:
    """(given up after, answered after), in ns, of the attempts of one resolution if all were given up too soon."""
    names = ("transport", "request_time", "reply_time", "client_rst", "handshake_acked", "server_address", "outcome")
    tries = [dict(zip(names, values, strict=True)) for values in zip(*map(asked.of_tries, names), strict=True)]
    given_up = []
    for number, each in enumerate(tries):
        if each["outcome"] == "answered":
            if each["transport"] != "tcp" or each["handshake_acked"] or each["client_rst"] < each["reply_time"]:
                return []
            later = [t for t in tries[number + 1 :] if t["server_address"] != each["server_address"]]
            if later and each["request_time"] < later[0]["request_time"] < each["reply_time"]:
                given_up.append(
                    (later[0]["request_time"] - each["request_time"], each["reply_time"] - each["request_time"])
                )
    return given_up


def _family(asked: Asked) -> str:
    """The family of the attempts that were given up, ``both`` where they are of two."""
    families = {
        f for f, reset in zip(asked.of_tries("family"), asked.of_tries("client_rst"), strict=True) if reset >= 0
    }
    return families.pop() if len(families) == 1 else "both"


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


def _hasty(hasty: Asked, asked: Asked, abandoned: list[list[tuple[int, int]]]) -> Argument:
    waits, answers = zip(*(each for found in abandoned for each in found), strict=True)
    return Argument(
        severity=WARNING,
        confidence=LIKELY,
        title=f"{asked.client} gives up its attempts for {asked.name} too soon",
        because=sentence(
            f"After {share(len(hasty), len(asked), 'resolution')} of {asked.name} {asked.client} abandoned "
            f"{counted(len(waits), 'attempt')} for the next address, the soonest {seconds(min(waits))} after its SYN; "
            f"the SYN/ACK came {seconds(min(answers))} after it or later, was answered with a RST, and no attempt "
            f"ended otherwise; the first question is {record_words(hasty)}"
        ),
        limitations=("Why the client waits no longer: its configuration tells.",),
        look_alikes=(
            LookAlike("tcp-syn-no-reply", True, "the SYNs were answered, after the client had given up"),
            LookAlike("tcp-reset", True, "it was the client that reset, and it asked for the name and tried others"),
        ),
        remedies=(
            f"Let the client wait longer for each attempt than {seconds(max(answers))}.",
            f"RFC 8305 begins the next attempt after {seconds(ATTEMPT_DELAY.ns)}, and lets the one before go on.",
            "Node.js: `--network-family-autoselection-attempt-timeout=MS`, or `--no-network-family-autoselection`.",
        ),
    )
