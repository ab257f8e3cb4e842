"""What patterns see: tables, the hosts behind the addresses, and what each capture could have shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from analyzer.columns import Column, Schema, Table, grouped
from analyzer.exchanges.schemas import RESOLUTIONS
from analyzer.exchanges.stories.schema import no_stories

if TYPE_CHECKING:
    from analyzer.exchanges.ends.sightings import Ends

T = TypeVar("T")

HOSTS: Schema = (
    Column("address", "text", "", "an address that the captures show", "IP header, ARP, NDP"),
    Column("family", "text", "", "ipv4 or ipv6"),
    Column("host", "text", "", "H1, H2, ...: addresses of one host share it"),
    Column(
        "host_reason", "text", "", "why they are one host: name, link-address; empty where the host has one address"
    ),
    Column("name", "text", "", "the name most often used for it (SNI, DNS, Host)"),
    Column("link_address", "text", "", "MAC address of the host itself, empty where a gateway's or unknown"),
    Column("packets_from", "int", "packets", "IP packets from this address"),
    Column("packets_to", "int", "packets", "IP packets to this address"),
    Column("neighbour_seen", "bool", "", "ARP or NDP of this address was seen, so its frames can be seen here"),
    Column("first_from", "time", "ns", "time of the first packet from it"),
    Column("last_from", "time", "ns", "time of the last packet from it"),
)


@dataclass(frozen=True, slots=True)
class CaptureView:
    """One capture file as patterns need it. Times in ns since the epoch, -1 where there is none."""

    index: int
    name: str
    format: str
    link_types: tuple[str, ...]
    records: int
    first_time: int
    last_time: int
    snaplen: int
    cut: str
    ledger: Mapping[str, int]
    warnings: tuple[str, ...] = ()
    cut_records: tuple[tuple[int, int], ...] = ()  # records cut by snaplen that were needed, the first 100
    duplicate_records: tuple[tuple[int, int], ...] = ()  # the first 100
    unread_link_types: tuple[str, ...] = ()
    backward_records: tuple[tuple[int, int], ...] = ()  # records older than one before them, the first 100
    #: (ns, ns, record, record): the 100 longest spans of 10 s or more without a selected record, and what bounds them.
    gaps: tuple[tuple[int, int, int, int], ...] = ()
    large_records: tuple[tuple[int, int], ...] = ()  # packets larger than Ethernet carries, the first 100
    largest_payload: int = 0  # bytes of UDP or TCP payload, among the selected packets
    partial_records: tuple[tuple[int, int], ...] = ()  # of the first selected packets, those with partial checksums
    dropped: int = 0  # packets that the capturing host says it lost
    vantage: str = "unknown"
    vantage_reason: str = ""
    clock: int = 0  # ns by which its clock is ahead of that of the place nearest the client
    clock_within: int = -1  # ns, how exact that is; -1 where it is unknown


@dataclass(frozen=True)
class View:
    """The exchanges of one analysis."""

    connections: Table
    exchanges: Table
    sockets: Table
    hosts: Table
    captures: tuple[CaptureView, ...]
    resolutions: Table = field(default_factory=lambda: Table.from_rows("resolutions", RESOLUTIONS, []))
    stories: Table = field(default_factory=no_stories)
    #: Where a filter was applied: its text, how many connections it left, of how many.
    filtered: tuple[str, int, int] | None = None
    ends: Ends | None = None  # where packets were seen more than once, and connections at several places
    _answers: dict[Callable[..., Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def outcomes_at(self) -> dict[str, set[tuple[str, str, int, str]]]:
        """By server address: which (transport, family, server port, outcome) its connections have."""
        outcomes: dict[str, set[tuple[str, str, int, str]]] = {}
        names = ("server_address", "transport", "family", "server_port", "outcome")
        rows = [int(same[0]) for same in grouped([self.connections.numbers(name) for name in names])]
        for address, *rest in zip(*(self.connections.at(name, rows) for name in names), strict=True):
            outcomes.setdefault(address, set()).add(tuple(rest))
        return outcomes

    @cached_property
    def addresses_of(self) -> dict[str, list[str]]:
        """The addresses of each host, in the order of the table."""
        addresses: dict[str, list[str]] = {}
        for host, address in zip(self.hosts["host"].tolist(), self.hosts["address"].tolist(), strict=True):
            addresses.setdefault(host, []).append(address)
        return addresses

    @cached_property
    def story_of(self) -> dict[str, dict[str, Any]]:
        """The rows of the table of stories, by connection."""
        return {row["connection"]: row for row in self.stories.rows()}

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each connection in the table of connections."""
        return dict(zip(self.connections["connection"].tolist(), range(len(self.connections)), strict=True))

    @cached_property
    def _host_of(self) -> dict[str, int]:
        """The row of each address in the table of hosts."""
        return {address: row for row, address in enumerate(self.hosts["address"].tolist())}

    def once(self, question: Callable[[View], T]) -> T:
        """The answer to a question about this view, worked out when it is first asked; it must be left as it is."""
        if question not in self._answers:
            self._answers[question] = question(self)
        answer: T = self._answers[question]
        return answer

    def host(self, address: str) -> str:
        """The id of the host behind an address; the address itself where it is not in the table."""
        row = self._host_of.get(address, -1)
        return address if row < 0 else str(self.hosts["host"][row])

    def host_row(self, address: str) -> dict[str, object]:
        """The row of the hosts table for an address, empty where there is none."""
        row = self._host_of.get(address, -1)
        return {} if row < 0 else next(self.hosts.rows([row]))
