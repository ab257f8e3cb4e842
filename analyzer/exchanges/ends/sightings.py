"""The views of connections: where each was seen, under which addresses, and where its packets vanished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from analyzer.exchanges.ends.match import Where
from analyzer.exchanges.ends.places import Place

if TYPE_CHECKING:
    from analyzer.exchanges.view import View

#: Between which places a request or its reply vanished: on the way out, in the server's host, on the way back; or the
#: far place shows neither, and nothing else of the kind either.
ON_THE_WAY, AT_THE_SERVER, ON_THE_WAY_BACK, UNSEEN = "on-the-way", "at-the-server", "on-the-way-back", "unseen"
#: Between the last place and the server, or in its host.
BEYOND = "beyond"

_COLUMNS = (
    "capture", "first_record", "first_time", "transport", "client_address", "client_port", "server_address",
    "server_port", "client_packets", "server_packets", "client_bytes", "server_bytes", "one_way", "outcome",
    "replied_from",
)  # fmt: skip


class Sighting(NamedTuple):
    """A connection as one place saw it; ``place`` is an index of ``Ends.places``, the rest as in connections."""

    place: int
    capture: int
    first_record: int
    first_time: int
    transport: str
    client_address: str
    client_port: int
    server_address: str
    server_port: int
    client_packets: int
    server_packets: int
    client_bytes: int
    server_bytes: int
    one_way: bool
    outcome: str
    replied_from: str

    @property
    def client(self) -> tuple[str, int]:
        return self.client_address, self.client_port

    @property
    def server(self) -> tuple[str, int]:
        return self.server_address, self.server_port


class Translation(NamedTuple):
    """What one side of a translation has in place of the other's socket; ``of`` is client (SNAT) or server (DNAT).

    Where the port differs from connection to connection it is -1.
    """

    of: str
    before: tuple[str, int]
    after: tuple[str, int]
    connections: int


@dataclass(frozen=True)
class Ends:
    """The places of an analysis, what each showed alone, and which rows there are which connection.

    ``views`` name connections as the joined tables do; ``seen`` has the rows of those that were seen more than once or,
    where there are several places, of all.
    """

    places: tuple[Place, ...]
    views: tuple[View, ...]
    seen: Mapping[str, Sequence[Where]]

    def rows(self, connection: str) -> tuple[Where, ...]:
        """(place, row there) of a connection, also of one that was seen once; () for one that is not there."""
        if connection in self.seen:
            return tuple(self.seen[connection])
        return tuple(
            Where(place, int(row))
            for place, view in enumerate(self.views)
            for row in (view.connections["connection"] == connection).nonzero()[0]
        )

    def of(self, connection: str) -> tuple[Sighting, ...]:
        """The sightings of a connection, the place nearest the client first; () where it was seen once in one place."""
        return tuple(
            Sighting(place, *(self.views[place].connections.at(name, [row])[0] for name in _COLUMNS))
            for place, row in self.seen.get(connection, ())
        )

    def vanished(self, connection: str) -> str:
        """Where a request, or its reply, vanished; "" where the client got a reply, or the places do not tell."""
        sightings, last = self.of(connection), len(self.places) - 1
        near = [each for each in sightings if each.place == 0 and each.client_packets > 0]
        far = [each for each in sightings if each.place == last and each.client_packets > 0]
        heard = any(each.server_packets or each.one_way or each.replied_from for each in near)
        if not self._is_ordered or not near or heard or any(each.outcome == "refused" for each in sightings):
            return ""
        if any(each.server_packets for each in sightings):
            return ON_THE_WAY_BACK
        if far:
            return "" if any(each.one_way for each in far) else AT_THE_SERVER if self.is_at(last, "server") else BEYOND
        return ON_THE_WAY if self._would_show(near[0]) else UNSEEN if self._runs_at(near[0].first_time) else ""

    @property
    def _is_ordered(self) -> bool:
        """Whether it is known which of several places are nearest the client and nearest the server."""
        return len(self.places) > 1 and bool(self.places[0].relative) and bool(self.places[-1].relative)

    def is_at(self, place: int, end: str) -> bool:
        """Whether the captures of a place were made at the client or at the server itself."""
        return all(capture.vantage == end for capture in self.views[place].captures)

    def _runs_at(self, time: int) -> bool:
        """Whether the place nearest the server recorded at a time of the first place's clock (ns)."""
        captures = self.views[-1].captures
        return any(each.first_time - each.clock <= time <= each.last_time - each.clock for each in captures)

    def _would_show(self, sighting: Sighting) -> bool:
        """Whether the place nearest the server recorded then, and shows packets to that server and of that protocol."""
        view, address = self.views[-1], sighting.server_address
        to_server = int(str(view.host_row(address).get("packets_to", 0))) > 0 or address in self._reached
        return self._runs_at(sighting.first_time) and to_server and _protocol(sighting.transport) in self._protocols

    @cached_property
    def _protocols(self) -> set[str]:
        return {_protocol(word) for word in self.views[-1].connections["transport"].tolist()}

    @cached_property
    def _reached(self) -> set[str]:
        """Addresses of servers, as the first place has them, to which packets came to the last place."""
        last, reached = len(self.places) - 1, self.views[-1].connections["client_packets"] > 0
        return {
            self.views[0].connections["server_address"][row]
            for rows in self.seen.values()
            if any(place == last and reached[at] for place, at in rows)
            for place, row in rows
            if place == 0
        }

    @cached_property
    def translations(self) -> tuple[Translation, ...]:
        """Which sockets stand for which, those of most connections first."""
        found: Counter[tuple[str, tuple[str, int], tuple[str, int]]] = Counter()
        for connection, rows in self.seen.items():
            if len(rows) > 1:
                found.update(set(_translated(self.of(connection))))
        ports: dict[tuple[str, str, str], set[tuple[int, int]]] = {}
        for of, before, after in found:
            ports.setdefault((of, before[0], after[0]), set()).add((before[1], after[1]))
        together: Counter[tuple[str, tuple[str, int], tuple[str, int]]] = Counter()
        for (of, before, after), count in found.items():
            keeps = len(ports[of, before[0], after[0]]) == 1
            together[of, (before[0], before[1] if keeps else -1), (after[0], after[1] if keeps else -1)] += count
        return tuple(Translation(*key, count) for key, count in sorted(together.items(), key=lambda i: (-i[1], i[0])))


def _protocol(transport: str) -> str:
    return "tcp" if transport == "tcp" else "udp"


def _translated(sightings: Sequence[Sighting]) -> list[tuple[str, tuple[str, int], tuple[str, int]]]:
    """(client or server, socket before, socket after) between the first view of a connection and the others."""
    ordered = sorted(sightings, key=lambda each: (each.place, each.first_time))
    pairs = [
        (of, before, after)
        for each in ordered[1:]
        for of, before, after in (
            ("client", ordered[0].client, each.client),
            ("server", ordered[0].server, each.server),
        )
        if before != after
    ]
    return list(dict.fromkeys(pairs))
