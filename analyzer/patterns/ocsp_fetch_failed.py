"""A certificate's status could not be fetched from its OCSP responder.

What it sees
    A client that resolved the name of an OCSP responder and whose attempts all failed, or that sent no packet at all
    after several answers; or OCSP requests over HTTP without a response, or with one that tells no status. It sums up
    the findings about the attempts.

Why it matters
    A server that staples OCSP responses goes on without one; certificates that must be stapled are then refused. The
    fetch is repeated every few minutes, for ever.

How it decides
    By the name: a label `ocsp`, as responders have. No attempt was answered, over either family, and one was silent or
    refused; or nothing was tried after `times` answers. A fetch that succeeds over the other family is no finding.
    Where an OCSP request is seen, by what became of it: a response with an HTTP status from 400 on, or an OCSP status
    other than successful, is a failure (a warning), unless another response told the status of the same certificate.

What it cannot know
    Whether the name is a responder's in fact, where no request could be seen.

Look-alikes
    A name with `ocsp` in it that serves something else.

What to do
    Repair what the parts of this finding name; HAProxy: `httpclient.resolvers.prefer ipv4`; nginx: `resolver ...
    ipv6=off`, or fetch the response by `openssl ocsp` and set `ssl_stapling_file`.

Seen in the wild
    HAProxy OCSP update over IPv6 (haproxy#2472, #2715), nginx and OpenResty stapling (lua-resty-auto-ssl#12).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import CERTAIN, ERROR, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.names import (
    TIMES,
    Asked,
    asked_names,
    finding_of_name,
    is_beside_resolver,
    is_ocsp,
    never_tried,
    record_words,
    remedies_for,
    shows_more_than_dns,
)
from analyzer.patterns.segments import asked_in_vain, finding_of_segments, has_protocol, waited_in_vain
from analyzer.patterns.statuses import denials, denied, is_denied
from analyzer.patterns.words import FAMILIES, counted, listed, sentence, share

PATTERN = Pattern(
    "ocsp-fetch-failed",
    ERROR,
    "a certificate's status could not be fetched",
    ("RFC 6960 §A.1", "RFC 6066 §8"),
    (TIMES,),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each client and name of an OCSP responder that it could not reach."""
    for asked in asked_names(view):
        if not is_ocsp(asked.name):
            continue
        outcomes = asked.of_tries("outcome")
        failed = "silent" in outcomes or "refused" in outcomes
        if asked.tries and failed and "answered" not in outcomes and not asked.has("touched"):
            yield finding_of_name(PATTERN, asked, argument=_failed(asked), family=_family(asked))
        elif _is_visible(asked) and never_tried(asked) and len(lasted := asked.lasted) >= TIMES.value:
            yield finding_of_name(PATTERN, lasted, argument=_not_begun(lasted), family=_family(lasted))
    vain = has_protocol(view, "ocsp") & asked_in_vain(view) & waited_in_vain(view)
    for attempts in attempts_by_socket(view, np.asarray(vain, np.bool_)):
        yield finding_of_segments(PATTERN, attempts, argument=_unanswered(attempts))
    without = denials(view)
    for attempts in attempts_by_socket(view, is_denied(view, without)):
        yield finding_of_segments(PATTERN, attempts, argument=denied(attempts, without))


def _is_visible(asked: Asked) -> bool:
    """Whether attempts of the client would be in this capture, as far as can be told."""
    return shows_more_than_dns(asked.view) and not is_beside_resolver(asked)


def _family(asked: Asked) -> str:
    """The family that was used, or asked for."""
    families = set(asked.of_tries("family")) or {f for f in ("ipv4", "ipv6") if asked.addresses(f)}
    return families.pop() if len(families) == 1 else "both"


def _addresses(asked: Asked) -> str:
    return listed([*asked.addresses("ipv4"), *asked.addresses("ipv6")])


def _unanswered(attempts: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    return Argument(
        severity=ERROR,
        confidence=CERTAIN,
        title=f"{attempts.words} over {family} does not answer OCSP requests",
        because=sentence(
            f"{share(len(attempts), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} "
            f"sent an OCSP request (application/ocsp-request) and got no byte of a response; the first is "
            f"{first_request(attempts)}"
        ),
        limitations=("Whether the responder hangs or its answer is lost on the way: a capture there tells.",),
        look_alikes=(LookAlike("tcp-syn-no-reply", True, "the connections were opened and the requests acknowledged"),),
        remedies=(
            f"Ask by hand: `openssl ocsp -url http://{attempts.words}/ ...` with the certificate and its issuer.",
        ),
    )


def _failed(asked: Asked) -> Argument:
    outcomes = asked.of_tries("outcome")
    return _argument(
        asked,
        f"its {counted(len(outcomes), 'attempt')} to {_addresses(asked)} met silence ({outcomes.count('silent'):,}) "
        f"or a refusal ({outcomes.count('refused'):,}), and none was answered",
    )


def _not_begun(asked: Asked) -> Argument:
    return _argument(asked, f"got {_addresses(asked)} {counted(len(asked), 'time')} and sent it no packet at all")


def _argument(asked: Asked, what: str) -> Argument:
    family = _family(asked)
    by_port = 80 in asked.of_tries("server_port")
    return Argument(
        severity=ERROR,
        confidence=LIKELY if by_port or not asked.tries else POSSIBLE,
        title=f"{asked.client} cannot fetch from the OCSP responder {asked.name}",
        because=sentence(f"{asked.client} asked for {asked.name}; {what}; the first question is {record_words(asked)}"),
        limitations=("That the name is an OCSP responder's is read off the name: no request could be seen.",),
        look_alikes=(LookAlike("resolved-not-tried", bool(asked.tries), "the name is that of a responder"),),
        remedies=remedies_for(asked, "ipv6" if family == "both" else family),
    )
