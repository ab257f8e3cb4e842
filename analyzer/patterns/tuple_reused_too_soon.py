"""A SYN on a 4-tuple that the server still remembers meets a bare ACK, and the client has to ask again.

What it sees
    A SYN answered by an ACK without SYN and with another number, the client's RST to it, and usually the same SYN
    again, which is answered. One finding for each server socket and address family.

Why it matters
    Each such connection starts late, by a round trip on Linux and by a second on other systems, and fails where the RST
    is filtered.

How it decides
    By the acknowledgment number, which is not the SYN's, and by the RST that carries that same number (RFC 5961 §4.2).

What it cannot know
    Who reuses the ports: the client itself, or a translator that gives several clients one address.

Look-alikes
    A SYN proxy that answers SYNs with an ACK on purpose to see whether the client sends a RST; a reuse that the server
    accepts at once is no finding.

What to do
    More addresses or ports for the translator; TCP timestamps on, so that the server can tell old from new;
    connections kept open in place of many short ones.

Seen in the wild
    Two hosts behind one NAT that maps both to one public 4-tuple; devices that start their ports anew after a reboot
    (NetMod-ServerApp#159); gvisor#7619.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, attempts_by_socket, first_request
from analyzer.patterns.finding import CERTAIN, WARNING, Argument, Finding, LookAlike, Pattern
from analyzer.patterns.segments import finding_of_segments
from analyzer.patterns.words import FAMILIES, sentence, share

PATTERN = Pattern(
    "tuple-reused-too-soon",
    WARNING,
    "a SYN meets a bare ACK, since the server still remembers the 4-tuple",
    ("RFC 5961 §4.2", "RFC 6191 §2", "RFC 9293 §3.6.1"),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each server socket that challenged SYNs."""
    for attempts in attempts_by_socket(view, np.asarray(view.connections["challenged"], np.bool_)):
        yield finding_of_segments(PATTERN, attempts, argument=_challenged(attempts))


def _challenged(attempts: Attempts) -> Argument:
    family = FAMILIES[attempts.family]
    later = attempts.column("outcome").count("answered")
    return Argument(
        severity=WARNING,
        confidence=CERTAIN,
        title=f"TCP {attempts.words} over {family}: a 4-tuple is used again too soon",
        because=sentence(
            f"{share(len(attempts), len(attempts.socket_rows), 'TCP attempt')} to {attempts.words} over {family} met a "
            f"bare ACK of an older connection in answer to the SYN, which the client answered with a RST; "
            f"{later:,} of them got a SYN/ACK when asked again; the first is {first_request(attempts)}"
        ),
        limitations=("Whether the client or a translator reuses the ports: compare with a capture before the NAT.",),
        look_alikes=(
            LookAlike("tcp-syn-refused", True, "the server answers with an ACK, and with a SYN/ACK to the next SYN"),
        ),
        remedies=(
            "Give the translator more ports or addresses, or the clients a wider net.ipv4.ip_local_port_range.",
            "Switch TCP timestamps on at both ends (RFC 6191): the server then accepts such SYNs at once.",
        ),
    )
