"""The outcome of an attempt, as far as the capture shows it: answered, refused, silent or undetermined.

Silent is said only where nothing came back *and* the capture could have seen it: it ran on long enough after the
request, it shows packets in the other direction, and the request was one that a server must answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from analyzer.columns import Words
from analyzer.events.connections import Flags, Integers
from analyzer.exchanges.attributes import Attributes
from analyzer.wire.icmp import REFUSALS

ANSWERED, REFUSED, SILENT, UNDETERMINED = "answered", "refused", "silent", "undetermined"

#: A reply may take this long before its absence says anything: a QUIC client's second probe is due about 3 s after
#: its first datagram (RFC 9002 §6.2.2, initial RTT 333 ms), a SYN's second repeat as well (RFC 6298 §2).
REPLY_WAIT_NS = 3_000_000_000

#: RFC 9000 §14.1: a server must discard an Initial in a smaller datagram.
LEAST_INITIAL_DATAGRAM = 1200


class Verdict(NamedTuple):
    """An outcome and, where it is refused or undetermined, the word that says why."""

    outcome: str
    reason: str = ""


class Verdicts(NamedTuple):
    """The verdicts of many connections."""

    outcome: Words
    reason: Words


class Context(NamedTuple):
    """What the judgement needs from outside of the connections, a row for each."""

    request_time: Integers  # ns, -1: the request was not seen
    capture_end: int  # ns, the last record of the captures
    one_way: Flags  # no packet could be seen in the direction of the reply
    icmp: Words  # the first ICMP error that quotes a request, by name
    checksum_wrong: Flags  # the request arrived with a checksum that does not fit


def judge(attempts: Attributes, context: Context) -> Verdicts:
    """The outcomes of the attempts of connections: of each the first rule that fits decides."""
    rules = list(_rules(attempts, context))
    deciding = np.zeros(len(attempts), np.int64)
    for number in reversed(range(len(rules))):
        deciding[rules[number][1]] = number
    outcome, reason = (Words.of(words) for words in zip(*(verdict for verdict, _ in rules), strict=True))
    return Verdicts(outcome.take(deciding), reason.take(deciding))


def _rules(attempts: Attributes, context: Context) -> Iterator[tuple[Verdict, Flags]]:
    """Each verdict and the attempts that it fits, where none before it does."""
    transport, replied = attempts.words("transport"), attempts.integers("reply_row") >= 0
    is_quic, went_on = transport.equal("quic"), attempts.flags("client_went_on")
    yield Verdict(REFUSED, "version-negotiation"), is_quic & attempts.flags("negotiated") & ~went_on
    closed = attempts.words("close_side").equal("server") & ~attempts.flags("server_crypto")
    yield Verdict(REFUSED, "connection-close"), is_quic & closed
    asked, reset = attempts.lists("request_rows").lengths > 0, attempts.words("reset_by").equal("server")
    yield Verdict(REFUSED, "reset"), transport.equal("tcp") & asked & reset & ~replied  # all that answers a SYN
    yield Verdict(ANSWERED), replied
    for name in (name for name in context.icmp.words if name in REFUSALS):
        yield Verdict(REFUSED, name), context.icmp.equal(name)
    yield Verdict(UNDETERMINED, "capture-began"), context.request_time < 0
    yield Verdict(SILENT), attempts.some("replied_from")  # of the addressed socket
    yield Verdict(UNDETERMINED, "one-way"), went_on | context.one_way
    yield Verdict(UNDETERMINED, "cut-record"), is_quic & attempts.flags("hello_cut")
    undersized = attempts.integers("largest_request") < LEAST_INITIAL_DATAGRAM
    incomplete = attempts.flags("version_known") & ~attempts.flags("hello_complete")
    not_valid = is_quic & (undersized | incomplete) | transport.equal("udp") | context.checksum_wrong
    yield Verdict(UNDETERMINED, "request-not-valid"), not_valid
    yield Verdict(UNDETERMINED, "capture-ended"), context.request_time + REPLY_WAIT_NS > context.capture_end
    yield Verdict(SILENT), np.ones(len(attempts), np.bool_)
