"""Views typed by hand: one line of a test is one connection; what it does not say is the usual case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analyzer.columns import Table
from analyzer.exchanges.schemas import CONNECTIONS, EXCHANGES, RESOLUTIONS, SOCKETS
from analyzer.exchanges.stories.schema import STORIES
from analyzer.exchanges.view import HOSTS, CaptureView, View
from analyzer.patterns import catalogue
from analyzer.patterns.finding import Finding

T0 = 1_700_000_000_000_000_000  # ns, the capture's first record
SECOND = 1_000_000_000
V4, V6 = "192.0.2.80", "2001:db8:1::80"
CLIENT = {"ipv4": "192.0.2.10", "ipv6": "2001:db8:1::10"}
ANSWER = 20_000_000  # ns

Row = dict[str, Any]


def connection(server: str = V4, at: float = 1.0, **columns: Any) -> Row:
    """A QUIC connection to ``server`` whose first request is ``at`` s after T0; ``reply`` s later where answered."""
    family = "ipv6" if ":" in server else "ipv4"
    reply = columns.pop("reply", 0.02 if columns.get("outcome", "answered") == "answered" else None)
    start = T0 + round(at * SECOND)
    record = 1 + round(at * 100)
    repeats = columns.get("repeats", 0)
    last = start + round((2**repeats - 1) * SECOND / 5)
    row: Row = {
        "transport": "quic", "family": family, "client_address": CLIENT[family], "client_port": 40000 + record % 20000,
        "server_address": server, "server_port": 443, "capture": 0, "first_record": record, "first_time": start,
        "outcome": "answered", "quic_version": "0x00000001", "sni": "example.com", "repeats": 0,
        "request_records": tuple((0, record + i) for i in range(repeats + 1)), "request_time": start,
        "last_request_time": last, "last_time": last, "client_packets": repeats + 1, "hello_complete": True,
        "largest_request": 1200, "version_known": True,
    }  # fmt: skip
    if reply is not None:
        time = start + round(reply * SECOND)
        row |= {"reply_time": time, "last_time": time, "reply_latency_s": reply, "reply_record": record + 50}
        row |= {"evidence_records": ((0, record + 50),), "server_packets": 1}
    return row | columns


def tcp(server: str = V4, at: float = 1.0, **columns: Any) -> Row:
    """The same for TCP."""
    fixed = {
        "transport": "tcp",
        "quic_version": "",
        "hello_complete": False,
        "largest_request": -1,
        "version_known": False,
    }
    answered = {"handshake_acked": True} if columns.get("outcome", "answered") == "answered" else {}
    return connection(server, at, **(fixed | answered | columns))


def story(**facts: Any) -> Row:
    """What the table of stories says of a connection, as its key ``story``; times are s after T0."""
    usual: Row = {
        "client_sent": "initial", "server_sent": "initial", "round_trip_s": 0.02, "hello_read": True,
        "versions_offered": "0x00000001", "server_version": "0x00000001", "unread_initials": 0, "retries": 0,
        "client_after": 0, "server_after": 1, "stall_fed": 0, "stall_s": 0.0, "resets": 0,
    }  # fmt: skip
    timed = {name: T0 + round(value * SECOND) for name, value in facts.items() if name.endswith(TIMES) and value >= 0}
    return usual | facts | timed


TIMES = ("_time", "_since", "_from", "_until")


def socket_rows(rows: Sequence[Row]) -> list[Row]:
    """The sockets table that goes with these connections."""
    sockets: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        transport = "tcp" if row["transport"] == "tcp" else "udp"
        key = (transport, row["family"], row["server_address"], row["server_port"])
        fresh = dict(zip(("transport", "family", "address", "port"), key, strict=True)) | {"attempts": 0}
        socket = sockets.setdefault(key, fresh)
        socket["attempts"] += 1
        if row["outcome"] == "answered":
            socket["last_answer"] = max(socket.get("last_answer", -1), row["reply_time"])
            socket.pop("onset", None)
        elif row["outcome"] == "silent" and "last_answer" in socket:
            socket.setdefault("onset", row["request_time"])
    return list(sockets.values())


def host_rows(rows: Sequence[Row], seen: Sequence[str] = ()) -> list[Row]:
    """Every address of the connections: servers are one host by name; ``seen`` have sent packets in any case."""
    hosts: dict[str, Row] = {}
    for row in rows:
        for side, host in (("client", "H2"), ("server", row.get("server_host", "H1"))):
            address = row[f"{side}_address"]
            known = hosts.setdefault(
                address, {"address": address, "family": row["family"], "host": host, "host_reason": "name"}
            )
            other = "server" if side == "client" else "client"
            known["packets_from"] = known.get("packets_from", 0) + max(row.get(f"{side}_packets", 0), 0)
            known["packets_to"] = known.get("packets_to", 0) + max(row.get(f"{other}_packets", 0), 0)
    for address in seen:
        hosts[address]["packets_from"] = max(1, hosts[address]["packets_from"])
    return list(hosts.values())


def capture(*, lasts: float = 60.0, **fields: Any) -> CaptureView:
    """A capture that begins at T0 and runs for ``lasts`` s."""
    usual: Row = {
        "index": 0, "name": "server.pcap", "format": "pcap", "link_types": ("Ethernet (1)",), "records": 5000,
        "first_time": T0, "last_time": T0 + round(lasts * SECOND), "snaplen": 262144, "cut": "",
        "ledger": {"records": 5000, "decoded": 5000},
    }  # fmt: skip
    return CaptureView(**(usual | fields))


def view(
    *rows: Row, lasts: float = 60.0, captures: Sequence[CaptureView] = (), **tables: Sequence[Mapping[str, Any]]
) -> View:
    """A view over these connections in order of time; ``hosts`` and ``sockets`` may be given."""
    ordered = sorted(rows, key=lambda row: row["first_time"])
    named = [{"connection": f"C{i}"} | row for i, row in enumerate(ordered, 1)]
    return View(
        connections=Table.from_rows("connections", CONNECTIONS, named),
        exchanges=Table.from_rows("exchanges", EXCHANGES, tables.get("exchanges", [])),
        sockets=Table.from_rows("sockets", SOCKETS, tables.get("sockets", socket_rows(ordered))),
        hosts=Table.from_rows("hosts", HOSTS, tables.get("hosts", host_rows(ordered))),
        captures=tuple(captures) or (capture(lasts=lasts),),
        stories=Table.from_rows(
            "stories", STORIES, [{"connection": r["connection"]} | r["story"] for r in named if "story" in r]
        ),
        resolutions=Table.from_rows("resolutions", RESOLUTIONS, tables.get("resolutions", [])),
    )


def found(pattern: str, seen: View) -> list[Finding]:
    """The findings of one pattern in a run of all."""
    return [finding for finding in catalogue.run(seen) if finding.pattern == pattern]


def alike(finding: Finding) -> dict[str, bool]:
    """Look-alikes and whether they are ruled out."""
    return {each.pattern: each.ruled_out for each in finding.look_alikes}
