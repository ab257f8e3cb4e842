"""A workload as columns: which connection is told when, with which names, and how long its bulk is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversations import ACK, FIN, SYN, TCP, UDP, tcp_header_bytes
from benchmarks.recipes import RANDOM_BYTES, retell
from benchmarks.templates import DATA_PER_ACK, Template
from benchmarks.writing import Bodies, Connections, Packets

EPOCH_US = 1_795_000_000_000_000
CLIENTS, SERVERS, SILENT_SERVERS = 1_000, 16, 3  # per address family
EPHEMERAL = range(32_768, 61_000)
TRAIN = 12  # bulk packets sent back to back
BETWEEN_US = 15
CID_STEP = 2_654_435_761  # odd: the first four bytes of fresh connection IDs never come twice


@dataclass(frozen=True, slots=True)
class Workload:
    """What to make. Packets and connections are exact."""

    name: str
    packets: int
    connections: int
    unanswered: float  # share of the connections
    quic: float  # share of the connections
    bulk: float  # share of the answered connections that are long transfers
    lasts_s: float  # connections begin evenly in this time
    transfer_s: tuple[float, float]  # a transfer lasts between these
    seed: int = 20_261

    def times(self, factor: int) -> Workload:
        """The same traffic for ``factor`` times as long."""
        return Workload(
            f"{self.name}{factor}" if factor > 1 else self.name,
            self.packets * factor,
            self.connections * factor,
            self.unanswered,
            self.quic,
            self.bulk,
            self.lasts_s * factor,
            self.transfer_s,
            self.seed,
        )


class Traffic(NamedTuple):
    """A workload ready to be written."""

    packets: Packets
    connections: Connections
    bodies: Bodies


class _Shared(NamedTuple):
    """What all connections of a template share: packets by their index in Bodies, TCP numbers from the first SYNs."""

    moments: NDArray[np.int32]
    at_us: NDArray[np.int64]
    from_client: NDArray[np.bool_]
    down: NDArray[np.int32]
    down_bytes: NDArray[np.int64]
    up: NDArray[np.int32]
    sequence: NDArray[np.int64]
    acknowledged: NDArray[np.int64]
    ends: NDArray[np.int64]  # sequence number after each packet
    has_ack: NDArray[np.bool_]


class _Bulk(NamedTuple):
    """The bulk of one connection: what each of its packets is."""

    acks: NDArray[np.bool_]  # an acknowledgement of the client, else data of the server
    before: NDArray[np.int64]  # data packets before this one
    at_us: NDArray[np.int64]  # since the first


def make_traffic(workload: Workload, templates: list[Template]) -> Traffic:
    """All packets of the workload, sorted by time; the same for the same templates and seed."""
    rng = np.random.default_rng(workload.seed)
    chosen = _choose(workload, templates, rng)
    extra = _bulk_packets(workload, templates, chosen, rng)
    connections = _connections([templates[i] for i in chosen], rng)
    teller = _Teller(templates, connections, rng)
    began_us = EPOCH_US + np.sort(rng.integers(0, int(workload.lasts_s * 1e6), len(chosen)))
    lasts_us = (rng.uniform(*workload.transfer_s, len(chosen)) * 1e6).astype(np.int64)
    for number, which in enumerate(chosen):
        teller.tell(number, int(which), int(began_us[number]), (int(extra[number]), int(lasts_us[number])))
    columns = [np.concatenate(column) for column in zip(*teller.told, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Traffic(Packets(*(column[order] for column in columns)), connections, teller.bodies)


def _choose(workload: Workload, templates: list[Template], rng: np.random.Generator) -> NDArray[np.int64]:
    """A template for each connection, in shares that are exact, in an order that is not."""
    silent = round(workload.connections * workload.unanswered)
    bulk = round((workload.connections - silent) * workload.bulk)
    chosen = []
    for count, answered, long in (
        (silent, False, False),
        (bulk, True, True),
        (workload.connections - silent - bulk, True, False),
    ):
        quic = round(count * workload.quic)
        for share, protocol in ((quic, UDP), (count - quic, TCP)):
            fitting = [
                i for i, t in enumerate(templates) if (t.answered, t.bulk, t.protocol) == (answered, long, protocol)
            ]
            if share:
                chosen.append(rng.choice(fitting, share))
    return rng.permutation(np.concatenate(chosen))


def _bulk_packets(
    workload: Workload, templates: list[Template], chosen: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """How many bulk packets go into each connection, so that the total is exact; a few have most of them."""
    missing = workload.packets - sum(len(templates[i].moments) for i in chosen)
    takes = np.array([templates[i].bulk or (not workload.bulk and bool(templates[i].down)) for i in chosen])
    weight = np.where(takes, rng.lognormal(0.0, 1.2, len(chosen)), 0.0)
    if missing < 0 or not takes.any():
        raise ValueError(f"{workload.name}: {workload.packets} packets are too few for {len(chosen)} connections")
    extra = np.floor(weight / weight.sum() * missing).astype(np.int64)
    extra[np.flatnonzero(takes)[: missing - extra.sum()]] += 1
    return extra


def _connections(templates: list[Template], rng: np.random.Generator) -> Connections:
    """Fresh addresses and ports. QUIC changes its family freely; TCP keeps it, since its segment size tells it."""
    count = len(templates)
    protocol = np.array([template.protocol for template in templates], np.int8)
    family = np.where(protocol == TCP, [t.family for t in templates], rng.choice([4, 6], count)).astype(np.int8)
    pairs = rng.choice(CLIENTS * len(EPHEMERAL), count, replace=False)
    client, port = pairs // len(EPHEMERAL), EPHEMERAL[0] + pairs % len(EPHEMERAL)
    silent = ~np.array([template.answered for template in templates])
    aimed = silent & (rng.random(count) < 0.8)  # the rest are lost on their way to servers that answer others
    server = np.where(aimed, rng.integers(0, SILENT_SERVERS, count), rng.integers(SILENT_SERVERS, SERVERS, count))
    address4, address6 = np.zeros((count, 2, 4), np.uint8), np.zeros((count, 2, 16), np.uint8)
    address4[:, 0] = np.column_stack([np.full(count, 198), np.full(count, 18), client >> 8, client & 255])
    address4[:, 1] = np.column_stack([np.full(count, 203), np.zeros(count), np.full(count, 113), 10 + server])
    address6[:, :, :8] = np.frombuffer(bytes.fromhex("20010002000000002001000200000001"), np.uint8).reshape(2, 8)
    address6[:, 0, 14], address6[:, 0, 15], address6[:, 1, 15] = client >> 8, client & 255, 10 + server
    return Connections(
        family, protocol, address4, address6,
        np.column_stack([port, np.full(count, 443)]).astype(np.uint16),
        rng.integers(0, 1 << 32, (count, 2)),
        np.zeros((count, 2, 20), np.uint8), np.zeros((count, 2), np.int8),
    )  # fmt: skip


class _Teller:
    """Tells connections one after another; ``told`` gathers their columns."""

    def __init__(self, templates: list[Template], connections: Connections, rng: np.random.Generator) -> None:
        self.bodies = Bodies()
        self.told: list[Packets] = []
        self._templates, self._connections, self._rng = templates, connections, rng
        self._shared: dict[int, _Shared] = {}
        self._cids = int(rng.integers(1 << 32))

    def tell(self, number: int, which: int, began_us: int, bulk: tuple[int, int]) -> None:
        """Add connection ``number`` after a template, with so many bulk packets in so many microseconds."""
        template = self._templates[which]
        if which not in self._shared:
            self._shared[which] = _share(template, self.bodies)
        shared, head = self._shared[which], template.tail_from
        long = _bulk(*bulk)
        turn = DATA_PER_ACK + 1
        bulk_body = np.zeros(0, np.int32)
        if bulk[0]:
            acked = np.arange(bulk[0]) // turn
            bulk_body = np.where(
                long.acks, shared.up[acked % len(shared.up)], shared.down[long.before % len(shared.down)]
            )
        moments = self._rename(template, number) if template.recipe else shared.moments
        from_client = np.concatenate([shared.from_client[:head], long.acks, shared.from_client[head:]])
        starts_us = int(shared.at_us[head - 1]) + BETWEEN_US
        lasts_us = int(long.at_us[-1]) + BETWEEN_US if bulk[0] else 0
        time = np.concatenate([shared.at_us[:head], long.at_us + starts_us, shared.at_us[head:] + lasts_us])
        numbers = np.zeros((2, len(time)), np.int64)
        if template.protocol == TCP:
            numbers = _tcp_numbers(template, shared, long)
            isn = self._rng.integers(0, 1 << 32, 2)
            numbers += np.stack([isn[1 - from_client], isn[1 * from_client]])
            numbers[1] *= np.concatenate([shared.has_ack[:head], long.acks | True, shared.has_ack[head:]])
        repeated = np.zeros(len(time), np.bool_)
        repeated[head : head + bulk[0]] = template.protocol == UDP
        body = np.concatenate([moments[:head], bulk_body, moments[head:]]).astype(np.int32)
        sequence, acknowledged = (numbers & 0xFFFFFFFF).astype(np.uint32)
        connection = np.full(len(time), number, np.int32)
        self.told.append(Packets(time + began_us, connection, from_client, body, sequence, acknowledged, repeated))

    def _rename(self, template: Template, number: int) -> list[int]:
        """Tell the head and tail of a QUIC connection with fresh names; indices of their bodies."""
        assert template.recipe is not None
        names = []
        for name in template.recipe.names:
            fresh = self._rng.bytes(len(name))
            if 4 <= len(name) < RANDOM_BYTES:
                self._cids += 1
                fresh = (self._cids * CID_STEP & 0xFFFFFFFF).to_bytes(4) + fresh[4:]
            names.append(fresh)
        for end, which in enumerate(template.bulk_names):
            cid = names[which] if which >= 0 else b""
            self._connections.cid_bytes[number, end] = len(cid)
            self._connections.cid[number, end, : len(cid)] = np.frombuffer(cid, np.uint8)
        return [self.bodies.add(body) for body in retell(template.recipe, names)]


def _bulk(packets: int, lasts_us: int) -> _Bulk:
    """Trains of data packets with an acknowledgement after every few, over the time given."""
    steps = np.arange(packets)
    turn = DATA_PER_ACK + 1
    trains = max(1, -(-packets // TRAIN))
    at_us = steps // TRAIN * (lasts_us // trains) + steps % TRAIN * BETWEEN_US
    return _Bulk(steps % turn == turn - 1, steps - steps // turn, at_us)


def _tcp_numbers(template: Template, shared: _Shared, long: _Bulk) -> NDArray[np.int64]:
    """Sequence and acknowledgement numbers, from the first SYNs: as recorded, bulk counted on, tail moved along."""
    head = template.tail_from
    sequence, acknowledged = shared.sequence.copy(), shared.acknowledged.copy()
    if not template.bulk:
        return np.stack([sequence, acknowledged])
    own = shared.from_client
    data = int(np.count_nonzero(~long.acks))
    sent = template.bulk_began + np.concatenate([[0], np.cumsum(shared.down_bytes[np.arange(data) % len(shared.down)])])
    client = shared.ends[:head][own[:head]].max()
    moved = np.where(own[head:], client - sequence[head:][own[head:]].min(), sent[-1] - template.bulk_ended)
    sequence[head:] += moved
    acknowledged[head:] += np.where(own[head:], sent[-1] - template.bulk_ended, moved[own[head:]][0])
    done = sent[long.before]
    return np.stack(
        [
            np.concatenate([sequence[:head], np.where(long.acks, client, done), sequence[head:]]),
            np.concatenate([acknowledged[:head], np.where(long.acks, done, client), acknowledged[head:]]),
        ]
    )


def _share(template: Template, bodies: Bodies) -> _Shared:
    """Columns of a template; its bulk and its segments go into ``bodies`` once."""
    segments = [m.body for m in template.moments] if template.protocol == TCP else []
    own = [m.from_client for m in template.moments]
    isn = {client: int.from_bytes(body[4:8]) for client, body in reversed(list(zip(own, segments, strict=False)))}
    sequence = [int.from_bytes(b[4:8]) - isn[client] for client, b in zip(own, segments, strict=False)]
    acknowledged = [int.from_bytes(b[8:12]) - isn.get(not client, 0) for client, b in zip(own, segments, strict=False)]
    sizes = [len(b) - tcp_header_bytes(b) + bool(b[13] & (SYN | FIN)) for b in segments]
    return _Shared(
        np.array([bodies.add(body) for body in segments], np.int32),
        np.array([m.at_us for m in template.moments]),
        np.array(own, np.bool_),
        np.array([bodies.add(body) for body in template.down], np.int32),
        np.array([len(b) - tcp_header_bytes(b) if segments else 0 for b in template.down], np.int64),
        np.array([bodies.add(body) for body in template.up], np.int32),
        np.array(sequence, np.int64) & 0xFFFFFFFF,
        np.array(acknowledged, np.int64) & 0xFFFFFFFF,
        (np.array(sequence, np.int64) & 0xFFFFFFFF) + np.array(sizes, np.int64),
        np.array([bool(b[13] & ACK) for b in segments], np.bool_),
    )
