"""Questions to a resolver stay unanswered, or are answered only when they are asked again.

What it sees
    A DNS question, usually repeated, with no answer from the resolver that was asked and no ICMP error; or an answer
    that came more than `late` after the first try. One finding for each resolver socket and address family.

Why it matters
    Each name takes the client's timeout longer: 5 s with glibc, although the other question of the pair was answered
    at once. With two tries a page waits 10 s, and then looks as if the network were down.

How it decides
    An unanswered lookup is silent where the capture ran on for `wait` after it and could have shown an answer. Where a
    retry, or another resolver, did answer, or random loss explains the few silent ones (`fits-chance`), it is a
    warning; a single late answer with more than `few` at once is info, and so is a single question that nobody repeated
    to a resolver that answers others.

What it cannot know
    Seen at the client: whether the question or the answer was lost. Whether the resolver drops a type (AAAA) or a box
    on the way does: a capture at the resolver tells.

Look-alikes
    reply-from-other-address (the answer came from another socket), capture-one-way, mDNS and LLMNR questions, which
    nobody has to answer and which are not counted here.

What to do
    If only AAAA is silent: repair the resolver or the box that drops it. If either of a pair is lost at random: the
    conntrack race of two packets from one socket; `options single-request-reopen` in /etc/resolv.conf, or a cache.

Seen in the wild
    kubernetes#56903 (A and AAAA race in conntrack), systemd#22575 (AAAA never answered), curl#11684, grpc#20216.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.chance import FITS_CHANCE, fits_chance
from analyzer.patterns.evidence import WAIT
from analyzer.patterns.finding import ERROR, INFO, LIKELY, POSSIBLE, WARNING, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.finding import Threshold as Limit
from analyzer.patterns.requests import Mask, Requests, finding_of_requests, first_record, requests_by_place
from analyzer.patterns.words import FAMILIES, counted, listed, sentence, share, socket_words

LATE = Limit("late", 1.0, "s", "resolvers answer within it; glibc asks again after 5 s, systemd-resolved after 5 s")
FEW = Limit("few", 5, "lookups to the socket", "a single loss among more than that is no pattern")

PATTERN = Pattern(
    "dns-no-reply",
    ERROR,
    "questions to a resolver stay unanswered",
    ("RFC 1035 §7.2", "RFC 4074 §3", "RFC 9210 §4.2"),
    (WAIT, LATE, FEW, FITS_CHANCE),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each resolver socket with questions that nothing answered, else for late answers."""
    table = view.exchanges
    silent: Mask = np.asarray(table.equal("outcome", "silent") & table.equal("replied_from", "") & ~table["one_way"])
    late: Mask = np.asarray((table["repeats"] >= 1) & (table["reply_latency_s"] > LATE.value))
    for asked in requests_by_place(view, silent | late, ("dns",)):
        unanswered = asked.where(silent)
        if unanswered:
            yield finding_of_requests(PATTERN, unanswered, argument=_silent(unanswered, asked.where(late)))
        else:
            yield finding_of_requests(PATTERN, asked, argument=_late(asked))


def _kinds(asked: Requests) -> str:
    kinds = Counter(asked.column("question_type"))
    return listed([f"{kind} ({count:,})" for kind, count in kinds.most_common()])


def _silent(asked: Requests, late: Requests) -> Argument:
    words, everything = socket_words(asked.address, asked.port), asked.of(asked.all_rows)
    tries = [1 + repeats for repeats in asked.column("repeats")]
    answered = asked.where(asked.view.exchanges.equal("outcome", "answered"))
    answered_tries = [
        1 if latency <= LATE.value else 1 + repeats
        for latency, repeats in zip(answered.column("reply_latency_s"), answered.column("repeats"), strict=True)
    ]
    by_chance = bool(answered_tries) and fits_chance(tries, answered_tries)
    elsewhere = _answered_by_another(asked)
    is_single = len(asked) == sum(tries) == 1 and bool(answered)
    silent_kinds = set(asked.column("question_type"))
    by_type = bool(answered) and silent_kinds.isdisjoint(answered.column("question_type"))
    pattern = (
        f"; every {listed(sorted(silent_kinds))} question is unanswered while {counted(len(answered), 'question')} of "
        f"other types got an answer" if by_type else ""
    )  # fmt: skip
    return Argument(
        severity=INFO if is_single else WARNING if by_chance or elsewhere else ERROR,
        confidence=POSSIBLE if by_chance or sum(tries) == len(asked) else LIKELY,
        title=f"DNS {words}: no answer to {_kinds(asked)}",
        because=sentence(
            f"{share(len(asked), len(everything), 'DNS question')} to {words} over {FAMILIES[asked.family]} got no "
            f"answer to {counted(sum(tries), 'packet')}: {_kinds(asked)} for {listed(asked.names)} by "
            f"{listed(asked.clients)}{pattern}"
            + (f"; {counted(len(late), 'other question')} got an answer only when asked again" if late else "")
            + ("; another resolver answered each of them" if elsewhere else "")
            + f"; the first is {first_record(asked)}"
        ),
        limitations=("Whether the question or the answer was lost: a capture at the resolver tells.",),
        look_alikes=_look_alikes(answered),
        remedies=_remedies(asked, by_type),
    )


def _answered_by_another(asked: Requests) -> bool:
    """Whether each of these questions was answered by another resolver."""
    table = asked.view.exchanges
    rows = np.flatnonzero(table.equal("kind", "dns") & table.equal("outcome", "answered"))
    names = ("client_address", "name", "question_type")
    answered = set(zip(*(table[name][rows].tolist() for name in names), strict=True))
    return all(key in answered for key in zip(*(asked.column(name) for name in names), strict=True))


def _late(asked: Requests) -> Argument:
    words, everything = socket_words(asked.address, asked.port), len(asked.all_rows)
    single = len(asked) == 1 and everything > FEW.value
    slowest = max(asked.column("reply_latency_s"))
    return Argument(
        severity=INFO if single else WARNING,
        confidence=POSSIBLE if single else LIKELY,
        title=f"DNS {words}: answers come only when asked again",
        because=sentence(
            f"{share(len(asked), everything, 'DNS question')} to {words} ({_kinds(asked)}) got an answer only after "
            f"the question was repeated, up to {slowest:.1f} s after the first try; the first is {first_record(asked)}"
        ),
        limitations=("Whether the question or the answer was lost: a capture at the resolver tells.",),
        look_alikes=(LookAlike("capture-one-way", True, f"answers of {words} are in this capture"),),
        remedies=_remedies(asked, False),
    )


def _look_alikes(answered: Requests) -> tuple[LookAlike, ...]:
    others = counted(len(answered), "other question") if answered else "no question"
    return (
        LookAlike("reply-from-other-address", True, "no answer with their id came from another socket"),
        LookAlike("capture-one-way", bool(answered), f"{others} to this resolver got an answer in this capture"),
    )


def _remedies(asked: Requests, by_type: bool) -> tuple[str, ...]:
    name, kind = (asked.names or ["NAME"])[0], asked.column("question_type")[0]
    first = f"Ask by hand: `dig @{asked.address} {name} {kind} +tries=1`, and the same `+tcp`."
    if by_type:
        return (first, f"Repair the resolver, or the firewall before it, that drops {kind} questions or their answers.")
    return (first, "On glibc: `options single-request-reopen` or a local cache, against the race of paired questions.")
