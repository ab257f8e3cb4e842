"""A second opinion: what Wireshark's dissectors say about the connections of findings, field by field.

tshark, driven by pyshark, decodes the records of each connection alone and is asked what halfshake says about it:
addresses, server name, ALPN, version, how many Initials the client sent, how many packets came back, which TCP flags.
A field about which one of both says nothing is neither agreement nor difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from analyzer.analysis import Analysis
from analyzer.api.decoded import as_pyshark
from analyzer.errors import UsageError
from analyzer.patterns.words import socket_words
from analyzer.reports.summary import Finding

MOST_CONNECTIONS = 20  # of a finding
MOST_PACKETS = 100  # of a connection
_VERSION_2 = "0x6b3343cf"
_FLAGS = (("SYN", "tcp.flags.syn"), ("FIN", "tcp.flags.fin"), ("RST", "tcp.flags.reset"), ("ACK", "tcp.flags.ack"))
_COLUMNS = (
    *("connection", "transport", "client_address", "client_port", "server_address", "server_port", "sni", "alpn"),
    *("quic_version", "version_known"),
)

Record = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What both say of one field of a connection; "" where one says nothing."""

    connection: str
    field: str
    ours: str
    theirs: str

    @property
    def verdict(self) -> str:
        """agrees, differs, or unsaid."""
        if not self.ours or not self.theirs:
            return "unsaid"
        return "agrees" if self.ours == self.theirs else "differs"


@dataclass(frozen=True, slots=True)
class _Dissected:
    """One packet as tshark sees it; ``flags`` are those of TCP, "" for other packets."""

    source: str
    destination: str
    flags: str
    has_initial: bool
    version: str
    sni: str
    alpn: str


def crosscheck(
    analysis: Analysis, findings: Sequence[Finding] | None = None, *, keylog: str | None = None
) -> dict[str, list[Opinion]]:
    """By finding id, what both say about its first ``MOST_CONNECTIONS`` connections.

    All findings of the report where none are given. Works inside a running event loop as well. Raises UsageError where
    pyshark or tshark is not installed, or the capture cannot be read again.
    """
    if find_spec("pyshark") is None:
        raise UsageError("pyshark is not installed; `pip install pyshark` adds it")
    chosen = {
        finding["id"]: (finding.get("connections") or [])[:MOST_CONNECTIONS]
        for finding in (analysis.document["findings"] if findings is None else findings)
    }
    named = {name for names in chosen.values() for name in names}
    packets = _packets(analysis, named)
    dissected = _dissected(analysis, packets, keylog)
    rows = analysis.connections.rows_with("connection", named)
    opinions: dict[str, list[Opinion]] = {}
    for values in zip(*(analysis.connections.at(name, rows) for name in _COLUMNS), strict=True):
        row = dict(zip(_COLUMNS, values, strict=True))
        opinions[row["connection"]] = list(_opinions(row, packets[row["connection"]], dissected))
    return {name: [each for c in names for each in opinions.get(c, [])] for name, names in chosen.items() if names}


def _packets(analysis: Analysis, named: set[str]) -> dict[str, list[dict[str, Any]]]:
    """The first selected packets of these connections, without what others say about them (ICMP)."""
    table = analysis.packets
    of: dict[str, list[dict[str, Any]]] = {name: [] for name in named}
    for row in table.rows(table.rows_with("connection", named)):
        mine = of[row["connection"]]
        if row["direction"] and len(mine) < MOST_PACKETS:
            mine.append(row)
    return of


def _dissected(
    analysis: Analysis, packets: Mapping[str, Sequence[Mapping[str, Any]]], keylog: str | None
) -> dict[Record, _Dissected]:
    wanted = sorted({(row["capture"], row["record"]) for rows in packets.values() for row in rows})
    dissected: dict[Record, _Dissected] = {}
    for capture in sorted({capture for capture, _ in wanted}):
        # One capture at a time: tshark numbers the records of one file.
        mine = [record for record in wanted if record[0] == capture]
        for packet in as_pyshark(analysis.paths, mine, keylog=keylog):
            dissected[capture, int(packet.number)] = _read(packet)
    return dissected


def _read(packet: Any) -> _Dissected:
    """What matters of a packet of pyshark; of tunnels the inner packet."""
    layers = [(layer.layer_name, _fields(layer)) for layer in packet.layers]
    address, port = {}, {}
    flags = ""
    quic: list[Mapping[str, list[str]]] = []
    for name, fields in layers:
        if name in ("ip", "ipv6"):
            address = {end: _first(fields, f"{name}.{end}") for end in ("src", "dst")}
        elif name in ("udp", "tcp"):
            port = {"src": _first(fields, f"{name}.srcport"), "dst": _first(fields, f"{name}.dstport")}
        if name == "tcp":
            flags = "+".join(word for word, field in _FLAGS if _first(fields, field) in ("1", "True"))
        elif name == "quic":
            quic.append(fields)
    merged: dict[str, list[str]] = {}
    for _, fields in layers:
        for key, values in fields.items():
            merged.setdefault(key, []).extend(values)
    ends = [socket_words(address[end], int(port[end])) if address and port.get(end) else "" for end in ("src", "dst")]
    return _Dissected(
        source=ends[0],
        destination=ends[1],
        flags=flags,
        has_initial=any(_is_initial(fields) for fields in quic),
        version=_first(merged, "quic.version"),
        sni=_first(merged, "tls.handshake.extensions_server_name"),
        alpn=",".join(merged.get("tls.handshake.extensions_alpn_str", [])),
    )


def _fields(layer: Any) -> dict[str, list[str]]:
    """The values of a layer as tshark shows them, by the names of display filters."""
    return {
        name: [str(each.show) for each in getattr(value, "all_fields", [value])]
        for name, value in layer._all_fields.items()
        if name
    }


def _first(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(fields.get(name, ())), "")


def _is_initial(fields: Mapping[str, Sequence[str]]) -> bool:
    """RFC 9000 §17.2.2: type 0; RFC 9369 §3.2: type 1 in version 2."""
    if _first(fields, "quic.version") == _VERSION_2:
        return _first(fields, "quic.long.packet_type_v2") == "1"
    return _first(fields, "quic.long.packet_type") == "0"


def _opinions(
    row: Mapping[str, Any], packets: Sequence[Mapping[str, Any]], dissected: Mapping[Record, _Dissected]
) -> Iterator[Opinion]:
    client, server = (socket_words(row[f"{end}_address"], row[f"{end}_port"]) for end in ("client", "server"))
    seen = [(packet, dissected[packet["capture"], packet["record"]]) for packet in packets]
    from_client = [both for both in seen if both[0]["direction"] == "client"]
    first = next((theirs for _, theirs in from_client), None)
    name = row["connection"]
    yield Opinion(name, "client", client, first.source if first else "")
    yield Opinion(name, "server", server, first.destination if first else "")
    yield Opinion(name, "server name", row["sni"], _said(from_client, "sni"))
    yield Opinion(name, "ALPN", row["alpn"], _said(from_client, "alpn"))
    replies = sum(packet["direction"] == "server" for packet in packets)
    # Replies from another socket than the addressed one are the server's too; so they are not the client's.
    theirs = sum(bool(each.source) and each.source != client for _, each in seen) if first else 0
    yield Opinion(name, "replies", f"{replies}", f"{theirs}" if first else "")
    if row["transport"] == "quic":
        yield Opinion(name, "QUIC version", row["quic_version"], _said(from_client, "version"))
        initials = sum(packet["kind"] == "quic-initial" for packet, _ in from_client)
        # RFC 8999 §5.1: of a version that is not known, the type of a packet is not known either.
        ours = f"{initials}" if row["version_known"] else ""
        yield Opinion(name, "Initials", ours, f"{sum(each.has_initial for _, each in from_client)}")
    if row["transport"] == "tcp":
        flags = Counter(_our_flags(packet["detail"]) for packet, _ in seen)
        yield Opinion(name, "TCP flags", _counted(flags), _counted(Counter(each.flags for _, each in seen)))


def _said(packets: Sequence[tuple[Mapping[str, Any], _Dissected]], field: str) -> str:
    return next((str(getattr(each, field)) for _, each in packets if getattr(each, field)), "")


def _our_flags(detail: str) -> str:
    words = detail.split(";")[0].split(", ")
    return "+".join(word for word, _ in _FLAGS if word in words)


def _counted(flags: Counter[str]) -> str:
    """``2 SYN, 1 SYN+ACK``"""
    return ", ".join(f"{count} {word or 'none'}" for word, count in sorted(flags.items()))
