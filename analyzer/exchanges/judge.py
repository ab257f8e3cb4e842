"""The outcome of an attempt, as far as the capture shows it: answered, refused, silent or undetermined.

Silent is said only where nothing came back *and* the capture could have seen it: it ran on long enough after the
request, it shows packets in the other direction, and the request was one that a server must answer.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.events.connection import Connection
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


_ANSWERED, _SILENT = Verdict(ANSWERED), Verdict(SILENT)  # those of most connections


class Context(NamedTuple):
    """What the judgement needs from outside of the connection."""

    request_time: int  # ns, -1: the request was not seen
    capture_end: int  # ns, the last record of the captures
    one_way: bool  # no packet could be seen in the direction of the reply
    icmp: str  # the first ICMP error that quotes a request, by name
    checksum_wrong: bool  # the request arrived with a checksum that does not fit


def judge(connection: Connection, context: Context) -> Verdict:
    """The outcome of a connection's attempt."""
    if connection.transport == "quic":
        refusal = _quic_refusal(connection)
    else:
        refusal = "reset" if connection.transport == "tcp" and _reset_in_reply(connection) else ""
    if refusal:
        return Verdict(REFUSED, refusal)
    if connection.reply_row >= 0:
        return _ANSWERED
    if context.icmp in REFUSALS:
        return Verdict(REFUSED, context.icmp)
    if context.request_time < 0:
        return Verdict(UNDETERMINED, "capture-began")
    if connection.replied_from is not None:
        return _SILENT
    if connection.client_went_on:
        return Verdict(UNDETERMINED, "one-way")
    return _judge_unanswered(connection, context)


def _judge_unanswered(connection: Connection, context: Context) -> Verdict:
    """The outcome where no reply of the addressed socket was seen."""
    if context.one_way:
        return Verdict(UNDETERMINED, "one-way")
    if connection.transport == "quic":
        if connection.hello_cut:
            return Verdict(UNDETERMINED, "cut-record")
        undersized = connection.largest_request < LEAST_INITIAL_DATAGRAM
        incomplete = connection.version_known and not connection.hello_complete
        if undersized or incomplete or context.checksum_wrong:
            return Verdict(UNDETERMINED, "request-not-valid")
    elif connection.transport == "udp" or context.checksum_wrong:
        return Verdict(UNDETERMINED, "request-not-valid")
    if context.request_time + REPLY_WAIT_NS > context.capture_end:
        return Verdict(UNDETERMINED, "capture-ended")
    return _SILENT


def _quic_refusal(connection: Connection) -> str:
    """Why the server refused a QUIC attempt, "" if it did not."""
    if connection.negotiated and not connection.client_went_on:
        return "version-negotiation"
    if connection.close_side == "server" and not connection.server_crypto:
        return "connection-close"
    return ""


def _reset_in_reply(connection: Connection) -> bool:
    """Whether the server's RST is all that answers a SYN."""
    return bool(connection.request_rows) and connection.reply_row < 0 and connection.reset_by == "server"
