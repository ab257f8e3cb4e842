"""A resolver answers with an error.

What it sees
    SERVFAIL, REFUSED, FORMERR or NOTIMP in answer to a question; or NXDOMAIN for one type of a name whose other type
    has addresses. One finding for each resolver socket and address family.

Why it matters
    NXDOMAIN says that the name does not exist at all, for every type: a client that hears it for AAAA may give up
    although the A record is there. SERVFAIL makes a client ask its next resolver, or fail.

How it decides
    By the code of the first answer to each question. Names that do not exist at all are no finding. Where the same
    question was answered well by another try or resolver, it is info.

What it cannot know
    Why the resolver fails: DNSSEC, a broken zone, a dead forwarder, an access list.

Look-alikes
    dns-no-reply (nothing came), a load balancer that answers for A alone.

What to do
    `dig @RESOLVER NAME TYPE +cd` tells a DNSSEC failure from others; REFUSED is an access list or a zone not served.

Seen in the wild
    Load balancers that answer NXDOMAIN or SERVFAIL to AAAA (RFC 4074), systemd#25944.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.finding import CERTAIN, INFO, WARNING, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.requests import Mask, Requests, finding_of_requests, first_record, requests_by_place
from analyzer.patterns.words import FAMILIES, counted, listed, sentence, share, socket_words

PATTERN = Pattern("dns-error-reply", WARNING, "a resolver answers with an error", ("RFC 1035 §4.1.1", "RFC 4074 §4"))

_ERRORS = ("SERVFAIL", "REFUSED", "FORMERR", "NOTIMP")


def find(view: View) -> Iterator[Finding]:
    """A finding for each resolver socket that answers with errors."""
    for failed in requests_by_place(view, _failed(view), ("dns",)):
        yield finding_of_requests(PATTERN, failed, argument=_error(failed))


def _failed(view: View) -> Mask:
    table = view.exchanges
    known = table.distinct("name", np.flatnonzero(~table.equal("answers", "")))
    return table.equal("answer_code", *_ERRORS) | (table.equal("answer_code", "NXDOMAIN") & table.equal("name", *known))


def _error(failed: Requests) -> Argument:
    words, kinds = socket_words(failed.address, failed.port), failed.column("question_type")
    codes = Counter(f"{code} to {kind}" for code, kind in zip(failed.column("answer_code"), kinds, strict=True))
    said = listed([f"{what} ({count:,})" for what, count in codes.most_common()])
    recovered = _answered_well(failed)
    return Argument(
        severity=INFO if recovered else WARNING,
        confidence=CERTAIN,
        title=f"DNS {words} answers with an error: {said}",
        because=sentence(
            f"{share(len(failed), len(failed.all_rows), 'DNS question')} to {words} over {FAMILIES[failed.family]} met "
            f"{said}, for {listed(failed.names)} asked by {counted(len(failed.clients), 'client')}"
            + ("; each was answered well when asked again or elsewhere" if recovered else "")
            + f"; the first is {first_record(failed)}"
        ),
        limitations=("The answer does not say why; the resolver's log does.",),
        look_alikes=(LookAlike("dns-no-reply", True, "each of these questions was answered, with an error"),),
        remedies=(
            f"`dig @{failed.address} {failed.names[0]} {kinds[0]} +cd`: if that works, DNSSEC validation fails.",
            "NXDOMAIN for one type alone is wrong (RFC 4074 §4.2): the zone's server must answer NOERROR without data.",
        ),
    )


def _answered_well(failed: Requests) -> bool:
    """Whether each question got another answer without an error."""
    table = failed.view.exchanges
    names = ("client_address", "name", "question_type")
    good = np.flatnonzero(table.equal("kind", "dns") & table.equal("answer_code", "NOERROR"))
    answered = set(zip(*(table[name][good].tolist() for name in names), strict=True))
    return all(key in answered for key in zip(*(failed.column(name) for name in names), strict=True))
