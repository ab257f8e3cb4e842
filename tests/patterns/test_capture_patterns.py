"""What is said about the capture itself: capture-one-way, -cut, -truncated, -duplicates."""

from __future__ import annotations

from analyzer.patterns import catalogue
from tests.patterns.tables import T0, V4, V6, Row, capture, connection, found, host_rows, tcp, view


def one_way(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    unseen = {"outcome": "undetermined", "outcome_reason": "one-way", "one_way": True, "server_packets": 0}
    return connection(server, at, **(unseen | columns))


def test_requests_only() -> None:
    seen = view(one_way(at=1), one_way(at=2), connection(V6, 3))
    [finding] = catalogue.run(seen)
    assert (finding.pattern, finding.severity, finding.family) == ("capture-one-way", "info", "ipv4")
    assert finding.title == "Only requests over IPv4 are seen for 192.0.2.80"
    assert finding.server == (V4, 443)
    assert "No ARP or NDP of 192.0.2.80 was seen" in finding.limitations[0]


def test_frames_of_the_host_were_seen() -> None:
    rows = [one_way(at=1)]
    hosts = [host | {"neighbour_seen": True} for host in host_rows(rows)]
    [finding] = found("capture-one-way", view(*rows, hosts=hosts))
    assert "ARP or NDP of 192.0.2.80 was seen" in finding.limitations[0]


def test_several_servers_are_one_finding_without_a_socket() -> None:
    [finding] = found("capture-one-way", view(one_way(at=1), one_way("192.0.2.81", at=2)))
    assert finding.server is None
    assert finding.display_filter.startswith("(ip.addr == 192.0.2.80 || ip.addr == 192.0.2.81) && udp.port == 443")


def test_replies_only() -> None:
    rows = [tcp(at=1, client_packets=0, outcome="undetermined", outcome_reason="capture-began", server_packets=7)]
    [finding] = found("capture-one-way", view(*rows))
    assert finding.title == "Only replies over IPv4 are seen for 192.0.2.80"


def test_replies_of_one_connection_prove_nothing_where_packets_to_the_server_are_seen() -> None:
    rows = [tcp(at=1, client_packets=0, outcome="undetermined", server_packets=7), tcp(at=2)]
    assert not found("capture-one-way", view(*rows))


def test_near_misses_of_one_way() -> None:
    assert not found("capture-one-way", view(connection(outcome="silent", repeats=3)))
    assert not found("capture-one-way", view(one_way(transport="udp")))


def test_cut() -> None:
    cut = capture(cut="the record at byte offset 4,711 claims 1,400 bytes, 12 are left", records=41)
    [finding] = catalogue.run(view(captures=[cut]))
    assert (finding.pattern, finding.severity, finding.records) == ("capture-cut", "info", ((0, 41),))
    assert finding.because == (
        "After 41 whole records of server.pcap: the record at byte offset 4,711 claims 1,400 bytes, 12 are left."
    )
    assert finding.first_time == T0
    assert found("capture-cut", view(captures=[capture(cut="in its first record", records=0)]))[0].records == ()
    assert not catalogue.run(view(captures=[capture()]))


def test_truncated() -> None:
    short = capture(snaplen=96, cut_records=((0, 7), (0, 9)))
    [finding] = catalogue.run(view(captures=[short]))
    assert finding.pattern == "capture-truncated"
    assert "2 records of server.pcap, whose snap length is 96 bytes" in finding.because
    assert not catalogue.run(view(captures=[capture(snaplen=96, ledger={"truncated": 4000})]))


def test_duplicates() -> None:
    copies = capture(records=300, ledger={"duplicates": 200}, duplicate_records=tuple((0, i) for i in range(2, 102)))
    [finding] = catalogue.run(view(captures=[copies]))
    assert finding.pattern == "capture-duplicates"
    assert "200 of 300 records of server.pcap (66.7 %)" in finding.because
    assert finding.counts["records"] == 100
    assert not catalogue.run(view(captures=[capture(ledger={"duplicates": 0})]))


def test_two_captures_of_the_same_minutes_are_views_not_copies() -> None:
    ends = [
        capture(index=i, name=name, records=300, ledger={"duplicates": 100 * i}, duplicate_records=((i, 7),) * i)
        for i, name in enumerate(["client.pcap", "server.pcap"])
    ]
    [finding] = [each for each in catalogue.run(view(captures=ends)) if each.pattern == "capture-duplicates"]
    assert "another capture of the same minutes" in finding.title
    assert "-i any" not in " ".join(finding.remedies)
    # pieces that follow one another show no packet of each other
    first, second = ends[0], capture(
        index=1, name="b.pcap", records=300, ledger={"duplicates": 9}, first_time=ends[0].last_time + 1,
        last_time=ends[0].last_time + 2,
    )  # fmt: skip
    [finding] = [each for each in catalogue.run(view(captures=[first, second])) if each.pattern == "capture-duplicates"]
    assert finding.title == "b.pcap holds the same packets more than once"
