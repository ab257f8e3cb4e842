from __future__ import annotations

import pytest

from tests.patterns.tables import V4, V6, Row, connection, found, view

ID = "udp-port-unreachable"


def refused(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    icmp = {"outcome": "refused", "icmp": "port-unreachable", "refused_by": server, "evidence_records": ((0, 900),)}
    return connection(server, at, **(icmp | columns))


def test_closed_port_is_certain() -> None:
    [finding] = found(ID, view(refused(at=1), refused(at=5), connection(V6, 9)))
    assert (finding.severity, finding.confidence, finding.family) == ("error", "certain", "ipv4")
    assert finding.title == "UDP 192.0.2.80:443 over IPv4: nothing is bound there"
    assert "port-unreachable from 192.0.2.80 itself (2)" in finding.because
    assert (0, 900) in finding.records
    assert any("add a listener for IPv4" in remedy for remedy in finding.remedies)
    assert not found("quic-initial-no-reply", view(refused(at=1)))


@pytest.mark.parametrize(
    "sign", [{"refused_by": "192.0.2.1"}, {"icmp": "admin-prohibited"}, {"icmp": "host-unreachable"}], ids=str
)
def test_another_source_or_code_is_a_filter(sign: Row) -> None:
    [finding] = found(ID, view(refused(**sign)))
    assert finding.confidence == "likely"
    assert "a filter or router refuses" in finding.title


@pytest.mark.parametrize(
    "near_miss",
    [
        {"outcome": "silent", "icmp": "", "refused_by": ""},
        {"icmp": "packet-too-big"},
        {"icmp": "time-exceeded"},
        {"transport": "tcp"},
        {"transport": "udp", "server_port": 33434},
        {"transport": "udp", "server_port": 33523},
    ],
    ids=str,
)
def test_near_misses(near_miss: Row) -> None:
    assert not found(ID, view(refused(**near_miss)))


def test_quic_on_a_traceroute_port_and_plain_udp_count() -> None:
    assert found(ID, view(refused(server_port=33434)))
    assert found(ID, view(refused(transport="udp", server_port=53)))


def test_answered_all_the_same_is_info() -> None:
    [finding] = found(ID, view(connection(icmp="port-unreachable", refused_by=V4)))
    assert finding.severity == "info"


def test_silent_attempts_of_the_same_client_belong_to_it_because_icmp_is_rate_limited() -> None:
    silent = [connection(at=2 + i, outcome="silent", repeats=2) for i in range(3)]
    other_client = connection(at=7, outcome="silent", repeats=2, client_address="192.0.2.11")
    seen = view(refused(at=1), *silent, other_client)
    [finding] = found(ID, seen)
    assert finding.connections == ("C1", "C2", "C3", "C4")
    assert "3 further attempts by the same clients heard nothing" in finding.because
    [rest] = found("quic-initial-no-reply", seen)
    assert rest.connections == ("C5",)


def test_a_scan_is_one_info_finding() -> None:
    scan = [refused(at=1 + i / 10, transport="udp", server_port=1000 + i) for i in range(20)]
    [finding] = found(ID, view(*scan))
    assert (finding.severity, finding.server) == ("info", (V4, -1))
    assert len(found(ID, view(*scan[:19]))) == 19
    assert all(finding.severity == "error" for finding in found(ID, view(*scan[:19])))


def test_what_else_it_might_be_is_ruled_out_by_the_errors() -> None:
    [finding] = found(ID, view(refused()))
    assert [(each.pattern, each.ruled_out) for each in finding.look_alikes] == [
        ("quic-initial-no-reply", True),
        ("reply-from-other-address", True),
    ]


def test_a_filter_has_a_rule_to_be_found() -> None:
    [finding] = found(ID, view(refused(refused_by="192.0.2.1")))
    [remedy] = finding.remedies
    assert remedy.startswith("Find the rule that rejects UDP 443 over IPv4")
