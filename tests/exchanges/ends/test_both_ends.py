"""Captures of both ends together: each connection once, and where a request or its reply vanished.

The scenarios were recorded at both ends in the same minutes; clocks that are wrong are made here by shifting one file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.analysis import Analysis, analyse
from analyzer.patterns.catalogue import run
from tests.conftest import ROOT
from tests.crafted import MS, SECOND, START, Captured, batches_of, captured_of, ip, joined, tcp, write_pcap

CAPTURES = ROOT / "captures"
SILENT, LOST = "02-caddy-ipv4-silent/nft-output-drop", "02-caddy-ipv4-silent/path-drop"
BOTH_ENDS = sorted(
    path.parent.relative_to(CAPTURES).as_posix()
    for path in CAPTURES.glob("*/*/client.pcap")
    if path.with_name("server.pcap").exists()
)


def ends(case: str, *names: str) -> list[str]:
    return [str(CAPTURES / case / name) for name in names or ("client.pcap", "server.pcap")]


def finding(analysis: Analysis, pattern: str) -> dict[str, Any]:
    [found] = [each for each in analysis.document["findings"] if each["pattern"] == pattern]
    return dict(found)


def changed(path: str, to: Path, change: Callable[[Captured], Captured | None]) -> str:
    """A copy of a capture with some records changed or left out."""
    records = [change(record) for record in captured_of(joined(batches_of(Path(path))))]
    return str(write_pcap(to, [record for record in records if record is not None]))


def later(ns: int) -> Callable[[Captured], Captured]:
    return lambda record: record._replace(time=record.time + ns)


def gist(analysis: Analysis) -> list[tuple[Any, ...]]:
    """What findings of severity error or warning say, without records and times."""
    return [
        (f["pattern"], f["severity"], f["family"], f["server"], f["counts"]["affected"], f["counts"]["attempts"])
        for f in analysis.document["findings"]
        if f["severity"] != "info"
    ]


@pytest.mark.parametrize(
    ("case", "pattern", "words"),
    [
        (SILENT, "quic-initial-no-reply", "reached the server's interface (server.pcap) and no reply left it"),
        (LOST, "quic-initial-no-reply", "left the client (client.pcap) and never arrived at the server's interface"),
        (
            "07-retry/retry-lost",
            "quic-retry-failed",
            "left the server's interface (server.pcap) and never arrived at the client (client.pcap)",
        ),
        (
            "11-tcp-cases/synack-lost-path",
            "tcp-handshake-incomplete",
            "left the server's interface (server.pcap) and never arrived at the client (client.pcap)",
        ),
    ],
)
def test_says_where_packets_vanished(case: str, pattern: str, words: str) -> None:
    analysis = analyse(ends(case))
    found = finding(analysis, pattern)
    assert words in found["because"]
    assert not any("look the same: a capture at the server" in limit for limit in found["limitations"])
    assert {capture for capture, _ in found["records"]} >= ({0} if "never arrived at the server" in words else {1})
    assert (
        analyse(list(reversed(ends(case))))
        .document["findings"][0]["because"]
        .endswith(analysis.document["findings"][0]["because"].rpartition("; ")[2])
    )


@pytest.mark.parametrize("case", BOTH_ENDS)
def test_two_ends_say_what_one_of_them_says(case: str) -> None:
    """No connection twice, and no finding of severity error or warning that neither end alone comes to."""
    together, *alone = (analyse(names) for names in (ends(case), *([name] for name in ends(case))))
    assert len(together.connections) <= max(len(each.connections) for each in alone)
    known = {(pattern, family) for each in alone for pattern, _, family, *_ in gist(each)}
    assert {(pattern, family) for pattern, _, family, *_ in gist(together)} <= known
    worst = [{severity for _, severity, *_ in gist(each)} for each in alone]
    assert {severity for _, severity, *_ in gist(together)} in worst


@pytest.mark.parametrize("ahead", [-3600 * SECOND, -700 * MS, 30 * MS, 37 * SECOND])
@pytest.mark.parametrize("case", [SILENT, "01-caddy-http3-ok/caddy-2.6.2"])
def test_a_wrong_clock_changes_nothing_but_is_said(case: str, ahead: int, tmp_path: Path) -> None:
    client, server = ends(case)
    shifted = analyse([client, changed(server, tmp_path / "server.pcap", later(ahead))])
    as_it_was = analyse([client, server])
    assert gist(shifted) == gist(as_it_was)
    assert shifted.connections["first_time"].tolist() == as_it_was.connections["first_time"].tolist()
    assert shifted.connections["outcome"].tolist() == as_it_was.connections["outcome"].tolist()
    said = finding(shifted, "capture-duplicates")["because"]
    hours = {37 * SECOND: "37.0 s", -3600 * SECOND: "3600 s", -700 * MS: "0.70", 30 * MS: "0.03"}
    assert f"the clock of server.pcap is {hours[ahead]}" in said
    assert ("ahead of" if ahead > 0 else "behind") in said
    assert shifted.document["captures"][1]["first_time"] != as_it_was.document["captures"][1]["first_time"]


def test_packets_of_both_places_belong_to_the_one_connection() -> None:
    analysis = analyse(ends(SILENT))
    both: dict[str, set[int]] = {}
    for row in analysis.packets.rows():
        both.setdefault(row["connection"], set()).add(row["capture"])
    assert all(captures == {0, 1} for name, captures in both.items() if name)
    assert [row["connection"] for row in analysis.exchanges.rows() if row["kind"] == "quic-initial"] == [
        row["connection"] for row in analysis.connections.rows() if row["transport"] == "quic"
    ]


def test_a_record_of_a_place_with_a_wrong_clock_keeps_its_time(tmp_path: Path) -> None:
    client, server = ends(SILENT)
    shifted = analyse([client, changed(server, tmp_path / "server.pcap", later(37 * SECOND))])
    record = next(record for capture, record in finding(shifted, "quic-initial-no-reply")["records"] if capture == 1)
    place = shifted.position(1, record)
    alone = analyse([server]).position(0, record)
    assert place is not None
    assert alone is not None
    assert place[2] == alone[2] + 37 * SECOND


@pytest.mark.parametrize("seen", ["requests", "replies"])
def test_one_direction_at_the_server_does_not_tell_the_place(seen: str, tmp_path: Path) -> None:
    """As where requests come in by one interface and replies leave by another: neither capture shows both."""
    client, server = ends(SILENT)
    addresses = [bytes.fromhex(text) for text in ("c0000250", "20010db8000100000000000000000080")]

    def one_way(record: Captured) -> Captured | None:
        at = {b"\x08\x00": 26, b"\x86\xdd": 22}.get(record.raw[12:14], len(record.raw))
        from_server = any(record.raw[at:].startswith(address) for address in addresses)
        return record if from_server == (seen == "replies") else None

    analysis = analyse([client, changed(server, tmp_path / "server.pcap", one_way)])
    because = finding(analysis, "quic-initial-no-reply")["because"]
    assert "no reply left it" not in because
    assert "never arrived" not in because
    assert "capture-one-way" in {each["pattern"] for each in analysis.document["findings"]}


def test_a_capture_that_ended_before_says_nothing_of_later_requests(tmp_path: Path) -> None:
    client, server = ends(LOST)
    first = min(row["first_time"] for row in analyse([client]).connections.rows() if row["family"] == "ipv4")

    def until(record: Captured) -> Captured | None:
        return record if record.time < first else None

    short = changed(server, tmp_path / "server.pcap", until)
    analysis = analyse([client, short], vantages={"client.pcap": "client", "server.pcap": "server"})
    assert "arrived" not in finding(analysis, "quic-initial-no-reply")["because"]


def test_a_capture_of_tcp_alone_does_not_prove_that_udp_never_arrived(tmp_path: Path) -> None:
    client, server = ends(LOST)

    def no_udp(record: Captured) -> Captured | None:
        is_udp = {b"\x08\x00": 23, b"\x86\xdd": 20}.get(record.raw[12:14], 0)
        return None if is_udp and record.raw[is_udp] == 17 else record

    analysis = analyse([client, changed(server, tmp_path / "server.pcap", no_udp)])
    because = finding(analysis, "quic-initial-no-reply")["because"]
    assert "never arrived" not in because
    assert "not seen at the server's interface (server.pcap), which shows no other packet of the kind" in because


def test_given_vantages_make_two_places_of_captures_without_a_common_packet(tmp_path: Path) -> None:
    def only(protocol: int) -> Callable[[Captured], Captured | None]:
        return lambda record: record if record.raw[12:14] == b"\x08\x00" and record.raw[23] == protocol else None

    client, server = ends(LOST)
    files = [changed(client, tmp_path / "a.pcap", only(17)), changed(server, tmp_path / "b.pcap", only(6))]
    two = analyse(files, vantages={"a.pcap": "server", "b.pcap": "client"})
    assert [each["vantage"] for each in two.document["captures"]] == ["server", "client"]
    assert "The same minutes from two places: b.pcap; a.pcap" in finding(two, "capture-duplicates")["title"]
    assert "capture-duplicates" not in {each["pattern"] for each in analyse(files).document["findings"]}


def test_captures_of_two_clients_and_their_server_are_two_places() -> None:
    case = "11-tcp-cases/timewait-nat-reuse"
    analysis = analyse(ends(case, "client1.pcap", "client2.pcap", "server.pcap"))
    assert len(analysis.connections) == 14
    assert "tuple-reused-too-soon" in {each["pattern"] for each in analysis.document["findings"]}


@pytest.mark.parametrize("name", ["host-any.pcap", "host-3if.pcapng"])
def test_both_sides_of_a_translation_are_one_connection(name: str) -> None:
    path = CAPTURES / "15-any-interface/dnat" / name
    analysis = analyse([str(path)])
    assert len(analysis.connections) == 14
    assert {
        row["server_address"] for row in analysis.connections.rows() if row["client_address"] == "198.51.100.10"
    } == {"198.51.100.1"}
    [said] = [f["because"] for f in analysis.document["findings"] if f["pattern"] == "capture-duplicates"]
    assert "the server 198.51.100.1 is 192.0.2.80 behind a translation (DNAT, 7 connections)" in said
    assert "the client 192.0.2.90:57802 is 198.51.100.1:57802 behind a translation (SNAT, 1 connection)" in said


def views(analysis: Analysis, connection: str) -> Sequence[Any]:
    found = analysis._found.view.ends
    assert found is not None
    return found.of(connection)


def test_a_connection_lists_its_views() -> None:
    path = CAPTURES / "15-any-interface/dnat/host-any.pcap"
    analysis = analyse([str(path)])
    outside, inside = views(analysis, "C1")
    assert (outside.server, inside.server) == (("198.51.100.1", 443), ("192.0.2.80", 443))
    assert outside.client == inside.client == ("198.51.100.10", 48950)
    assert (outside.client_packets, outside.server_packets) == (inside.client_packets, inside.server_packets)


@pytest.mark.parametrize(("case", "inside"), [(SILENT, True), (LOST, False)])
def test_faults_inside_the_server_are_no_causes_of_what_never_arrived(case: str, inside: bool) -> None:
    causes = {cause["incident"] for cause in finding(analyse(ends(case)), "quic-initial-no-reply")["causes"]}
    assert ("caddy-quic-go-freebsd-ipv4" in causes) is inside
    assert "host-firewall-drops-udp" in causes


def test_what_never_came_out_of_the_capturing_host_is_said(tmp_path: Path) -> None:
    """One client's Initials reach the translating host and are not forwarded, while others of the socket are."""
    port, outside = (45169).to_bytes(2, "big"), bytes([198, 51, 100, 1])
    kept = []
    for record in captured_of(joined(batches_of(CAPTURES / "15-any-interface/dnat/host-any.pcap"))):
        ip = record.raw[20:]  # behind the cooked header
        if ip[0] >> 4 == 4 and ip[9] == 17 and port in (ip[20:22], ip[22:24]):
            if ip[16:20] == outside and not [each for each in kept if each[1]]:
                kept.append((record, True))
        else:
            kept.append((record, False))
    records = [record for record, _ in kept]
    records.append(records[-1]._replace(time=records[-1].time + 8 * SECOND))
    silent = finding(analyse([str(write_pcap(tmp_path / "any.pcap", records))]), "quic-initial-no-reply")
    assert "seen on one side of the capturing host only" in silent["because"]


def test_a_file_that_is_named_twice_is_counted_once() -> None:
    path = str(CAPTURES / SILENT / "client.pcap")
    twice, once = analyse([path, path]), analyse([path])
    assert len(twice.connections) == len(once.connections)
    assert gist(twice) == gist(once)
    because = finding(twice, "quic-initial-no-reply")["because"]
    assert "no reply left" not in because
    assert "no reply came by" not in because


def test_the_last_place_is_not_called_the_server_where_nothing_shows_it(tmp_path: Path) -> None:
    """Without a handshake the place of a capture is not told, but TTLs tell the order."""
    client, server = ends(SILENT)

    def only_silent(record: Captured) -> Captured | None:
        raw = record.raw
        is_arp, is_udp = raw[12:14] == b"\x08\x06", raw[12:14] == b"\x08\x00" and raw[23] == 17
        return record if is_arp or is_udp else None

    def one_hop_later(record: Captured) -> Captured | None:
        kept = only_silent(record)
        if kept is None or kept.raw[12:14] != b"\x08\x00":
            return kept
        return kept._replace(raw=kept.raw[:22] + bytes([kept.raw[22] - 1]) + kept.raw[23:])

    files = [changed(client, tmp_path / "a.pcap", only_silent), changed(server, tmp_path / "b.pcap", one_hop_later)]
    analysis = analyse(files)
    assert "server's interface" not in str(analysis.document["findings"])
    assert [each["vantage"] for each in analysis.document["captures"]] == ["unknown", "unknown"]
    assert "nearer the client" in analysis.document["captures"][0]["vantage_reason"]


def test_packets_that_a_capture_lost_itself_are_a_limit() -> None:
    view = analyse(ends(LOST)).view
    captures = (view.captures[0], replace(view.captures[1], dropped=3))
    [found] = [f for f in run(replace(view, captures=captures)) if f.pattern == "quic-initial-no-reply"]
    assert any(limit.startswith("server.pcap lost 3 packets by its own count") for limit in found.limitations)


def tcp_attempt(at: int, server: str, port: int, *, replied: bool = True) -> list[Captured]:
    """A SYN without timestamp and its SYN-ACK 10 ms later; the port stands for random numbers."""
    client, isn = "192.0.2.1", 1_000_003 * port
    request = ip(client, server, 6, tcp((port, 443), 0x02, seq=isn % 2**32))
    reply = ip(server, client, 6, tcp((443, port), 0x12, seq=isn * 7 % 2**32, ack=(isn + 1) % 2**32))
    sent = [Captured(request, START + at), Captured(reply, START + at + 10 * MS)]
    return sent if replied else sent[:1]


def test_a_syn_that_was_repeated_a_minute_later_is_no_wrong_clock(tmp_path: Path) -> None:
    """Near miss: two interfaces in the same minutes; behind a balancer, a repeat went out by the other one."""
    one, other = "198.51.100.1", "198.51.100.2"
    first = tcp_attempt(0, one, 50000, replied=False) + tcp_attempt(90 * SECOND, one, 50001)
    second = tcp_attempt(1 * SECOND, other, 50002) + tcp_attempt(63 * SECOND, other, 50000)
    files = [write_pcap(tmp_path / "a.pcap", first), write_pcap(tmp_path / "b.pcap", second)]
    analysis = analyse([str(file) for file in files])
    assert "capture-duplicates" not in {each["pattern"] for each in analysis.document["findings"]}
    assert [capture.clock for capture in analysis.view.captures] == [0, 0]
    assert len(analysis.connections) == 4


def test_a_wrong_clock_is_seen_without_timestamps(tmp_path: Path) -> None:
    packets = [each for n in range(3) for each in tcp_attempt(40 * n * SECOND, "198.51.100.1", 50000 + n)]
    client = write_pcap(tmp_path / "a.pcap", packets)
    server = write_pcap(tmp_path / "b.pcap", [later(37 * SECOND)(each) for each in packets])
    analysis = analyse([str(client), str(server)])
    assert [capture.clock for capture in analysis.view.captures] == [0, 37 * SECOND]
    assert len(analysis.connections) == 3
