"""tcp-syn-no-reply, tcp-syn-refused and tcp-handshake-incomplete."""

from __future__ import annotations

import pytest

from tests.patterns.tables import V4, V6, Row, alike, found, tcp, view


def silent(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    return tcp(server, at, **({"outcome": "silent", "repeats": 4, "server_port": 80} | columns))


def refused(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    rst = {"outcome": "refused", "refused_by": server, "server_port": 80, "evidence_records": ((0, 900),)}
    return tcp(server, at, **(rst | columns))


def incomplete(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    return tcp(
        server, at, **({"handshake_acked": False, "syn_ack_repeats": 3, "repeats": 2, "server_port": 80} | columns)
    )


def test_repeated_syns_without_reply() -> None:
    [finding] = found("tcp-syn-no-reply", view(silent(at=1), silent(at=2), tcp(V6, 5, server_port=80)))
    assert (finding.severity, finding.confidence, finding.server) == ("error", "likely", (V4, 80))
    assert finding.because.startswith("All 2 TCP attempts to 192.0.2.80:80 over IPv4 got nothing back to 10 SYNs")
    assert finding.display_filter.startswith("ip.addr == 192.0.2.80 && tcp.port == 80")


def test_one_syn_is_enough_where_the_capture_ran_on_but_only_possible() -> None:
    [finding] = found("tcp-syn-no-reply", view(silent(repeats=0), lasts=4.0))
    assert finding.confidence == "possible"
    assert not found("tcp-syn-no-reply", view(silent(repeats=0), lasts=3.9))
    assert found("tcp-syn-no-reply", view(silent(repeats=1), lasts=3.9))


@pytest.mark.parametrize(
    "near_miss",
    [
        {"outcome": "answered", "repeats": 1, "reply": 1.02},
        {"one_way": True},
        {"outcome": "undetermined", "outcome_reason": "capture-ended"},
        {"outcome": "refused", "refused_by": V4},
        {"replied_from": "192.0.2.81:80"},
        {"transport": "udp"},
    ],
    ids=str,
)
def test_near_misses_of_silence(near_miss: Row) -> None:
    assert not found("tcp-syn-no-reply", view(silent(**near_miss)))


def test_few_silent_syns_under_loss_fit_chance() -> None:
    lossy = [tcp(at=i, repeats=i % 2, server_port=80) for i in range(1, 40)]
    [finding] = found("tcp-syn-no-reply", view(*lossy, silent(at=20.5, repeats=2)))
    assert (finding.severity, finding.confidence) == ("warning", "possible")


def test_scan_of_silent_ports_is_info() -> None:
    scan = [silent(at=1 + i / 10, server_port=1000 + i, repeats=1) for i in range(30)]
    seen = view(*scan, silent(at=9, client_address="192.0.2.11"))
    assert [finding.severity for finding in found("tcp-syn-no-reply", seen)] == ["error", "info"]


def test_refused_by_the_host_itself() -> None:
    [finding] = found("tcp-syn-refused", view(refused(at=1), refused(at=2)))
    assert (finding.severity, finding.confidence) == ("error", "certain")
    assert "RST from 192.0.2.80 itself (2)" in finding.because
    assert "by the host itself" in finding.title


def test_refused_by_something_else() -> None:
    by_router = refused(icmp="admin-prohibited", refused_by="192.0.2.1")
    [finding] = found("tcp-syn-refused", view(by_router))
    assert finding.confidence == "likely"
    assert "admin-prohibited from 192.0.2.1 (1)" in finding.because


@pytest.mark.parametrize(
    "near_miss", [{"outcome": "silent"}, {"outcome": "answered", "reply": 0.1}, {"transport": "quic"}]
)
def test_near_misses_of_refusal(near_miss: Row) -> None:
    assert not found("tcp-syn-refused", view(refused(**near_miss)))


def test_handshake_incomplete_says_whether_the_syn_ack_arrived() -> None:
    [finding] = found("tcp-handshake-incomplete", view(incomplete(at=1), incomplete(at=2)))
    assert finding.severity == "error"
    assert "2 client sockets repeated the SYN, so the SYN/ACK did not arrive there" in finding.because
    assert alike(finding)["tcp-accept-queue-overflow"]
    [finding] = found("tcp-handshake-incomplete", view(incomplete(repeats=0)))
    assert "the ACK was lost or never sent" in finding.because


@pytest.mark.parametrize(
    "near_miss", [{"handshake_acked": True}, {"client_reset": True}, {"syn_ack_repeats": 0}, {"one_way": True}], ids=str
)
def test_near_misses_of_an_incomplete_handshake(near_miss: Row) -> None:
    assert not found("tcp-handshake-incomplete", view(incomplete(**near_miss)))


def test_capture_that_stops_after_the_first_repeat_of_the_syn_ack() -> None:
    assert not found("tcp-handshake-incomplete", view(incomplete(at=1), lasts=4.0))
    assert found("tcp-handshake-incomplete", view(incomplete(at=1), lasts=4.1))


def test_many_sources_that_never_repeat_are_a_flood() -> None:
    flood = [incomplete(at=1 + i / 100, client_address=f"203.0.113.{i}", repeats=0) for i in range(20)]
    [finding] = found("tcp-handshake-incomplete", view(*flood))
    assert (finding.severity, finding.counts["clients"]) == ("info", 20)
    assert "20 client addresses (203.0.113.0, 203.0.113.1, 203.0.113.10 and 17 more)" in finding.because
    assert [each.severity for each in found("tcp-handshake-incomplete", view(*flood, incomplete(at=5)))] == [
        "error",
        "info",
    ]
    assert found("tcp-handshake-incomplete", view(*flood[:19]))[0].severity == "error"
