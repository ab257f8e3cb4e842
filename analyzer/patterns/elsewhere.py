"""Who answered in place of the addressed socket: QUIC connections and DNS questions with a reply from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts
from analyzer.patterns.finding import MOST_ENTRIES, Record
from analyzer.patterns.words import listed, socket_words


def answered_for(view: View) -> dict[str, str]:
    """For each connection (QUIC, or of a DNS question) the socket that answered in place of the one asked."""
    table, questions = view.connections, view.exchanges
    own = np.flatnonzero(~table.equal("replied_from", ""))
    dns = np.flatnonzero(questions.equal("kind", "dns") & ~questions.equal("replied_from", ""))
    found = zip(table.at("connection", own), table.at("replied_from", own), strict=True)
    asked = zip(questions.at("connection", dns), questions.at("replied_from", dns), strict=True)
    return dict(found) | dict(asked)


def replies(attempts: Attempts, by: Mapping[str, str]) -> Iterator[Record]:
    """The first record of each DNS reply, which is a conversation of its own; QUIC replies are in their connections."""
    table, names = attempts.view.connections, ("connection", "client_address", "client_port")
    asked = list(zip(*map(attempts.column, names), strict=True)) if attempts.transport == "udp" else []
    for name, address, port in asked[:MOST_ENTRIES]:
        here = (table["client_port"] == port) & (table["client_address"] == address)
        for row in np.flatnonzero(here & table.equal("transport", "udp")).tolist():
            if socket_words(table["server_address"][row], table["server_port"][row]) == by[name]:
                yield int(table["capture"][row]), int(table["first_record"][row])


def what_differs(attempts: Attempts, answered_for: Mapping[str, str]) -> tuple[str, str]:
    """(the sockets that answered, what differs from the addressed one: address, port, or both)."""
    senders = Counter(answered_for[connection] for connection in attempts.column("connection"))
    by = [sender for sender, _ in senders.most_common()]
    addresses = {_address_of(sender) for sender in by}
    ports = {sender.rsplit(":", 1)[1] for sender in by}
    differs = ["address"] * (addresses != {attempts.address}) + ["port"] * (ports != {str(attempts.port)})
    return listed(by), " and ".join(differs)


def _address_of(sender: str) -> str:
    return sender.rsplit(":", 1)[0].strip("[]")
