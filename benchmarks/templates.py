"""Templates: recorded connections cut into a head, a bulk transfer that can be made longer, and a tail.

The bulk of QUIC are the recorded 1-RTT datagrams, of TCP the recorded stream of TLS records, both used over and over.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.conversations import (
    ACK,
    SEGMENT_BYTES,
    SYN,
    TCP,
    UDP,
    Conversation,
    read_conversations,
    tcp_header_bytes,
)
from benchmarks.recipes import Datagram, Recipe, recipe_of

#: Captures that give templates, from the root of the repository. The last one is a capture of six downloads whose
#: middle was cut out, since only the kind of its packets matters (benchmarks/README.md).
SOURCES = (
    "captures/01-caddy-http3-ok/caddy-2.6.2/client.pcap",
    "captures/02-caddy-ipv4-silent/nft-output-drop/client.pcap",
    "captures/02-caddy-ipv4-silent/path-drop/client.pcap",
    "captures/11-tcp-cases/syn-drop-input/client.pcap",
    "captures/12-happy-eyeballs/both-ok/client.pcap",
    "captures/12-happy-eyeballs/v6-blackhole/client.pcap",
    "captures/16-quic-one-family-listener/nginx-quic-v4-only/client.pcap",
    "benchmarks/transfers.pcap",
)
FULL_DATAGRAM = 1200
RUN_OF_BULK = 4
LARGE_TLS_RECORD = 8192
#: Data packets for each acknowledgement in a bulk transfer (RFC 9000 §13.2.2, RFC 9293 §3.8.6.3).
DATA_PER_ACK = 2


class Moment(NamedTuple):
    """A packet of the head or the tail."""

    at_us: int
    from_client: bool
    body: bytes  # TCP only; a QUIC datagram is told by the recipe


@dataclass(slots=True)
class Template:
    """A connection to be told again."""

    protocol: int
    family: int
    answered: bool
    moments: list[Moment]
    tail_from: int  # index in moments; the bulk goes in before it
    bulk: bool = False  # recorded as a long transfer
    recipe: Recipe | None = None  # QUIC: datagrams in the order of moments
    down: list[bytes] = field(default_factory=list)  # bulk of the server: datagrams, or segments
    up: list[bytes] = field(default_factory=list)  # acknowledgements of the client
    bulk_names: tuple[int, int] = (0, 0)  # QUIC: names that the bulk of the client, of the server carries
    bulk_began: int = 0  # TCP: sequence number of the server, from its SYN, where the recorded bulk begins and ends
    bulk_ended: int = 0


def read_templates(root: Path) -> list[Template]:
    """The templates of all sources, in their order."""
    conversations = [found for source in SOURCES for found in read_conversations(root / source)]
    return [template for template in map(_template_of, conversations) if template]


def _template_of(conversation: Conversation) -> Template | None:
    """The template of a connection that was repeated at least once without an answer, or answered and used."""
    packets = conversation.packets
    if not conversation.answered:
        if packets[-1].at_us < 1_000_000 or not all(_asks(conversation, packet.body) for packet in packets):
            return None
    elif len(packets) < 8 or packets[-1].at_us > 1_000_000:
        return None
    if conversation.protocol == TCP:
        return _tcp_template(conversation) if _is_tls(conversation) or not conversation.answered else None
    recipe = recipe_of(conversation)
    return _quic_template(conversation, recipe) if recipe else None


def _asks(conversation: Conversation, body: bytes) -> bool:
    return body[13] & (SYN | ACK) == SYN if conversation.protocol == TCP else body[0] & 0xB0 == 0x80


def _is_tls(conversation: Conversation) -> bool:
    """Whether the client's first payload begins with a TLS handshake record."""
    payloads = (p.body[tcp_header_bytes(p.body) :] for p in conversation.packets if p.from_client)
    return next((payload for payload in payloads if payload), b"")[:2] == b"\x16\x03"


def _quic_template(conversation: Conversation, recipe: Recipe) -> Template | None:
    """Bulk is a run of full 1-RTT datagrams of the server; else its last 1-RTT datagram is where bulk may go in."""
    moments = [Moment(packet.at_us, packet.from_client, b"") for packet in conversation.packets]
    made = Template(UDP, conversation.family, conversation.answered, moments, len(moments), recipe=recipe)
    if not conversation.answered:
        return made
    datagrams = recipe.datagrams
    short = [i for i, datagram in enumerate(datagrams) if not datagram.from_client and not datagram.body[0] & 0x80]
    if not short or short[-1] < 4:
        return None
    full = [i for i in short if len(datagrams[i].body) >= FULL_DATAGRAM]
    run = next((i for i in full if all(i + k in full for k in range(RUN_OF_BULK))), None)
    made.bulk = run is not None and len(full) > 5 * RUN_OF_BULK
    head_to, tail_from = (run, full[-1] + 1) if made.bulk and run is not None else (short[-1], short[-1])
    region = datagrams[head_to:tail_from] if made.bulk else datagrams
    down_name, made.down = _bulk_datagrams(region, from_client=False)
    up_name, made.up = _bulk_datagrams(datagrams, from_client=True)
    if made.bulk:
        made.down = [body for body in made.down if len(body) >= FULL_DATAGRAM]
    made.bulk_names = (up_name, down_name)
    made.moments = moments[:head_to] + moments[tail_from:]
    made.recipe = Recipe(recipe.names, datagrams[:head_to] + datagrams[tail_from:])
    made.tail_from = head_to
    return made if made.up and made.down else None


def _bulk_datagrams(region: list[Datagram], *, from_client: bool) -> tuple[int, list[bytes]]:
    """The 1-RTT datagrams of one direction that carry its most frequent connection ID, and which name that is."""
    empty = -1
    short = [d for d in region if d.from_client == from_client and not d.body[0] & 0x80 and not d.initials]
    names = [d.places[0].name if d.places else empty for d in short]
    if not short:
        return empty, []
    name = Counter(names).most_common(1)[0][0]
    return name, [datagram.body for datagram, its in zip(short, names, strict=True) if its == name]


def _tcp_template(conversation: Conversation) -> Template:
    """Bulk is the stream of large TLS records of the server; without one nothing goes in."""
    packets = conversation.packets
    moments = [Moment(packet.at_us, packet.from_client, packet.body) for packet in packets]
    made = Template(TCP, conversation.family, conversation.answered, moments, len(moments))
    large = [i for i, moment in enumerate(moments) if not moment.from_client and _begins_large_record(moment.body)]
    acks = [m.body for m in moments[large[0] :] if m.from_client and _is_plain_ack(m.body)] if large else []
    if len(large) < 2 or not acks:
        return made
    isn = int.from_bytes(next(moment.body[4:8] for moment in moments if not moment.from_client))
    first, last = large[0], large[-1]
    stream = b"".join(m.body[tcp_header_bytes(m.body) :] for m in moments[first:last] if not m.from_client)
    made.bulk = True
    made.bulk_began = (int.from_bytes(moments[first].body[4:8]) - isn) & 0xFFFFFFFF
    made.bulk_ended = (int.from_bytes(moments[last].body[4:8]) - isn) & 0xFFFFFFFF
    header = moments[first].body[: tcp_header_bytes(moments[first].body)]
    size = SEGMENT_BYTES[conversation.family]
    made.down = [header + stream[i : i + size] for i in range(0, len(stream), size)]
    made.up = acks[:1]
    made.moments, made.tail_from = moments[:first] + moments[last:], first
    return made


def _begins_large_record(segment: bytes) -> bool:
    payload = segment[tcp_header_bytes(segment) :]
    return payload[:3] == b"\x17\x03\x03" and int.from_bytes(payload[3:5]) >= LARGE_TLS_RECORD


def _is_plain_ack(segment: bytes) -> bool:
    """ACK alone, with no option but timestamps and no payload."""
    return segment[13] == ACK and len(segment) == tcp_header_bytes(segment) == 32
