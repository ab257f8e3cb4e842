"""address-family-silent and quic-blocked-tcp-answered."""

from __future__ import annotations

import pytest

from tests.patterns.tables import V4, V6, Row, alike, connection, found, host_rows, tcp, view

FAMILY, BLOCKED = "address-family-silent", "quic-blocked-tcp-answered"


def silent(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    return connection(server, at, **({"outcome": "silent", "repeats": 4} | columns))


def test_family_that_never_answers() -> None:
    [finding] = found(FAMILY, view(silent(V4, 1), silent(V4, 5), connection(V6, 9), connection(V6, 10)))
    assert (finding.severity, finding.confidence, finding.family) == ("error", "likely", "ipv4")
    assert finding.server == (V4, 443)
    assert "0 of 2 attempts to 192.0.2.80 were answered (2 silent, 0 refused)" in finding.because
    assert "2 attempts to 2001:db8:1::80 on the same port got an answer, 4.0 s apart" in finding.because
    assert any("one host by name only" in limit for limit in finding.limitations)


@pytest.mark.parametrize(
    "fails",
    [
        {"outcome": "refused", "icmp": "port-unreachable", "refused_by": V6},
        {"transport": "tcp", "outcome": "refused", "refused_by": V6},
        {"transport": "tcp", "outcome": "silent", "repeats": 1},
    ],
    ids=str,
)
def test_refused_and_tcp_count_too(fails: Row) -> None:
    works = tcp(V4, 5) if fails.get("transport") == "tcp" else connection(V4, 5)
    [finding] = found(FAMILY, view(connection(V6, 1, **fails), works))
    assert finding.family == "ipv6"


@pytest.mark.parametrize(
    "rows",
    [
        [silent(V4, 1)],  # the other family was never tried
        [silent(V4, 1), silent(V6, 2)],  # neither answers
        [silent(V4, 1), connection(V4, 2), connection(V6, 3)],  # the family answers others
        [silent(V4, 1, replied_from="192.0.2.81:443"), connection(V6, 3)],
        [silent(V4, 1), silent(V4, 2, replied_from="192.0.2.81:443"), connection(V6, 3)],
        [silent(V4, 1), connection(V6, 3, replied_from="[2001:db8:1::81]:443")],
        [silent(V4, 1, outcome="undetermined", outcome_reason="capture-ended"), connection(V6, 3)],
        [silent(V4, 1, one_way=True), connection(V6, 3)],
        [silent(V4, 1, hello_complete=False), connection(V6, 3)],
        [silent(V4, 1), connection(V6, 3, server_port=8443)],
        [silent(V4, 1), tcp(V6, 3)],
        [connection(V4, 1, outcome="refused", outcome_reason="version-negotiation"), connection(V6, 3)],
        [connection(V4, 1, outcome="refused", close_code=0x178, close_side="server"), connection(V6, 3)],
    ],
)
def test_near_misses_of_a_silent_family(rows: list[Row]) -> None:
    assert not found(FAMILY, view(*rows))


def test_two_hosts_are_not_compared() -> None:
    rows = [silent(V4, 1), connection(V6, 3)]
    apart = [host | {"host": host["address"]} for host in host_rows(rows)]
    assert not found(FAMILY, view(*rows, hosts=apart))


def test_families_must_be_tried_within_minutes() -> None:
    assert found(FAMILY, view(silent(V4, 1), connection(V6, 601), lasts=1000))
    assert not found(FAMILY, view(silent(V4, 1), connection(V6, 601.1), lasts=1000))


def test_the_only_try_may_be_one_lost_packet() -> None:
    [finding] = found(FAMILY, view(silent(V4, 1, repeats=0), connection(V6, 3)))
    assert finding.confidence == "possible"


def test_quic_blocked_says_how_late_the_fallback_is() -> None:
    [finding] = found(BLOCKED, view(silent(V6, 1), silent(V4, 2), tcp(V4, 2.2), tcp(V4, 40, server_port=22)))
    assert (finding.severity, finding.family, finding.server) == ("warning", "ipv4", (V4, 443))
    assert "the next SYN of the same client came 0.200 s later (median of 1)" in finding.because
    assert alike(finding)["capture-one-way"]


def test_quic_port_that_differs_from_the_tcp_port() -> None:
    [finding] = found(BLOCKED, view(silent(V4, 2, server_port=8443), tcp(V4, 1)))
    assert finding.remedies[0] == "TCP is served on port 443, QUIC was tried on 8443: check the port in Alt-Svc."


@pytest.mark.parametrize(
    "rows",
    [
        [silent(V4, 1)],
        [silent(V4, 1), tcp(V6, 2)],
        [silent(V4, 1), tcp(V4, 2, outcome="refused", refused_by=V4)],
        [silent(V4, 1), connection(V4, 2), tcp(V4, 3)],
        [silent(V4, 1), connection(V4, 2, server_port=8443), tcp(V4, 3)],
        [silent(V4, 1, replied_from="192.0.2.81:443"), tcp(V4, 3)],
        [connection(V4, 1, outcome="refused", close_code=0x178, close_side="server"), tcp(V4, 3)],
        [connection(V4, 1, close_side="client", close_code=0x12E), tcp(V4, 3)],
        [silent(V4, 1), tcp(V4, 3, server_port=22, sni="")],
    ],
)
def test_near_misses_of_blocked_quic(rows: list[Row]) -> None:
    assert not found(BLOCKED, view(*rows))
