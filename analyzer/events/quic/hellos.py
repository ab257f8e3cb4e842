"""The ClientHellos of many flows: their first Initials opened, and further ones until the hello is whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events.quic.portions import DCID, DCID_AT, END, NUMBER_AT, START, VERSION, Portion
from analyzer.wire.quic import key_schedule as ks
from analyzer.wire.quic.first_message import MISSING, FirstMessages
from analyzer.wire.quic.protection import open_with
from analyzer.wire.tls_hello import client_hello_bytes, names_of

# What a NamedTuple calls in the end: made so, a tuple costs a third. Worth it where there is one for each connection.
_new = tuple.__new__

#: Initials of one flow that are opened here; a ClientHello takes one or two.
MOST_INITIALS = 4


class Hello(NamedTuple):
    """The bytes of a whole ClientHello, its server name and ALPN, and how many Initials it took."""

    message: bytes
    names: tuple[str, tuple[bytes, ...]]
    took: int


def hellos_of(
    portion: Portion, chosen: NDArray[np.int64], initials: NDArray[np.int64], *, compiled: bool
) -> dict[int, Hello]:
    """The hellos of those of ``chosen`` that have one; their first ``initials`` rows are Initials to one DCID."""
    messages = FirstMessages(len(portion.bounds), compiled=compiled)
    took = np.zeros(len(portion.bounds), np.int64)
    waiting = chosen
    for number in range(MOST_INITIALS):
        waiting = waiting[initials[waiting] > number]
        if not len(waiting):
            break
        head = portion.head_of[portion.bounds[waiting, 0] + number]
        messages.add(waiting, opened(portion, head, head, compiled=compiled))
        took[waiting] = number + 1
        waiting = waiting[messages.lengths[waiting] == MISSING]
    hellos: dict[int, Hello] = {}
    places = messages.names()
    whole = chosen[messages.lengths[chosen] > 0]
    for place, needed, (sni, sni_length, alpn, alpn_length) in zip(
        whole.tolist(), took[whole].tolist(), places[whole].tolist(), strict=True
    ):
        message = messages.message(place)
        if client_hello_bytes(message):
            names = names_of(message[sni : sni + sni_length], message[alpn : alpn + alpn_length])
            hellos[place] = _new(Hello, (message, names, needed))
    return hellos


def opened(portion: Portion, head: NDArray[np.int64], named: NDArray[np.int64], *, compiled: bool) -> list[bytes]:
    """The clear payloads of the client's Initials ``head`` by the keys of the DCIDs of ``named``; b"" of another's."""
    clear = [b""] * len(head)
    for chunk in np.unique(portion.chunk[head]).tolist():
        here = np.flatnonzero((portion.chunk[head] == chunk) & (portion.chunk[named] == chunk))
        heads, names, buffer = portion.heads[head[here]], portion.heads[named[here]], portion.chunks[chunk]
        versions, schedule = np.unique(heads[:, VERSION], return_inverse=True)
        room = heads[:, NUMBER_AT] - heads[:, START] + 4
        packets = np.zeros((len(here), ks.PACKET_COLUMNS), np.int64)
        for column, values in (
            (ks.PACKET, heads[:, START]),
            (ks.DCID, names[:, DCID_AT]),
            (ks.DCID_LENGTH, names[:, DCID]),
            (ks.NUMBER, heads[:, NUMBER_AT]),
            (ks.SCHEDULE, schedule),
            (ks.HEADER, np.cumsum(room) - room),
        ):
            packets[:, column] = values
        b = np.frombuffer(buffer, np.uint8)
        keys, headers, sizes = ks.initial_keys_of(b, packets, versions.tolist(), int(room.sum()), compiled=compiled)
        header = packets[:, ks.HEADER]
        table = (here, header, header + sizes, heads[:, START] + sizes, heads[:, END])
        secrets = keys.tobytes()
        at = 0
        for place, low, high, begin, end in zip(*map(np.ndarray.tolist, table), strict=True):
            nonce, behind = at + ks.KEY_BYTES, at + ks.KEYS_WIDTH
            clear[place] = open_with(secrets[at:nonce], secrets[nonce:behind], headers[low:high], buffer[begin:end])
            at = behind
    return clear
