"""The ClientHellos of many flows: their first Initials opened, and further ones until the hello is whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.events.quic.portions import DCID, DCID_AT, END, NUMBER_AT, START, VERSION, Portion
from analyzer.wire.quic import key_schedule as ks
from analyzer.wire.quic.first_message import MISSING, FirstMessages
from analyzer.wire.quic.protection import open_with
from analyzer.wire.tls_hello import Names

#: Initials of one flow that are opened here; a ClientHello takes one or two.
MOST_INITIALS = 4


class Hellos(NamedTuple):
    """Whole ClientHellos, a row each: the flow's place in its portion, and how many Initials it took.

    ``messages`` has the hellos one behind another, which end at ``ends``; ``number`` counts in ``names``.
    """

    places: NDArray[np.int64]
    took: NDArray[np.int64]
    ends: NDArray[np.int64]
    number: NDArray[np.int64]
    names: list[Names]
    messages: NDArray[np.uint8]


def hellos_of(
    portion: Portion,
    chosen: NDArray[np.int64],
    initials: NDArray[np.int64],
    first: list[Sealed],
    messages: FirstMessages,
) -> Hellos:
    """The hellos of those of ``chosen`` that have one; their first ``initials`` rows are Initials to one DCID.

    ``first`` are the first of these, as of ``sealed``; ``messages`` has room for as many streams as the portion flows.
    """
    messages.begin()
    took = np.zeros(len(portion.bounds), np.int64)
    waiting = chosen
    for number in range(MOST_INITIALS):
        waiting = waiting[initials[waiting] > number]
        if not len(waiting):
            break
        head = portion.head_of[portion.bounds[waiting, 0] + number]
        closed = sealed(portion, head, head, compiled=messages.compiled) if number else first
        messages.add(waiting, opened(len(head), closed))
        took[waiting] = number + 1
        waiting = waiting[messages.lengths[waiting] == MISSING]
    whole = messages.hellos(chosen)
    names, numbers = messages.names(whole)
    clear, ends = messages.messages(whole)
    return Hellos(whole, took[whole], ends, numbers, names, clear)


class Sealed(NamedTuple):
    """Initials that are still closed: where in the bytes of a chunk each lies, its header, key and nonce."""

    place: list[int]
    begin: list[int]
    end: list[int]
    chunk: bytes
    header_begin: list[int]
    header_end: list[int]
    headers: bytes
    secrets: bytes


def sealed(portion: Portion, head: NDArray[np.int64], named: NDArray[np.int64], *, compiled: bool) -> list[Sealed]:
    """The client's Initials ``head`` with the keys of the DCIDs of ``named``, chunk by chunk."""
    found = []
    for chunk in sorted(set(portion.chunk[head].tolist())):
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
        lists = here.tolist(), (heads[:, START] + sizes).tolist(), heads[:, END].tolist()
        found.append(Sealed(*lists, buffer, header.tolist(), (header + sizes).tolist(), headers, keys.tobytes()))
    return found


def opened(count: int, closed: list[Sealed]) -> list[bytes]:
    """The clear payloads of ``count`` Initials; b"" of another's, and of one whose DCID lies in another chunk."""
    clear = [b""] * count
    for place, begin, end, chunk, low, high, headers, secrets in closed:
        at = 0
        packets = map(chunk.__getitem__, map(slice, begin, end))
        cleared = map(headers.__getitem__, map(slice, low, high))
        for i, header, packet in zip(place, cleared, packets, strict=True):
            nonce, behind = at + ks.KEY_BYTES, at + ks.KEYS_WIDTH
            clear[i] = open_with(secrets[at:nonce], secrets[nonce:behind], header, packet)
            at = behind
    return clear
