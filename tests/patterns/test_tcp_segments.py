"""Patterns about the segments of TCP connections: each fires, and nearly does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.patterns import ephemeral_port_exhaustion
from tests.patterns.segments import hello, opened, served, stuck
from tests.patterns.tables import SECOND, V4, V6, Row, alike, found, tcp, view


def severities(pattern: str, *rows: Row, lasts: float = 60.0) -> list[tuple[str, str]]:
    return [(finding.severity, finding.confidence) for finding in found(pattern, view(*rows, lasts=lasts))]


def test_request_without_response() -> None:
    rows = [opened(1, client_fin=6.0), opened(2, client_fin=6.0), served(3)]
    [finding] = found("tcp-request-no-response", view(*rows))
    assert (finding.severity, finding.server, finding.counts["affected"]) == ("error", (V4, 80), 2)
    assert "2 of 3 TCP connections to 192.0.2.80:80 over IPv4 sent an HTTP request" in finding.because


@pytest.mark.parametrize(
    "near_miss",
    [
        {"client_fin": 0.5},  # the client left at once
        {"client_fin": 6.0, "client_acked": "some"},
        {"client_fin": 6.0, "server_rst": 5.0},
        {"client_fin": 6.0, "server_fin": 5.0},
        {"client_fin": 6.0, "first_server_data": 5.0},
        {"client_fin": 6.0, "server_bytes": 10},
        {"client_fin": 6.0, "protocol": "tls"},
        {"client_fin": 6.0, "one_way": True},
    ],
    ids=str,
)
def test_near_misses_of_a_missing_response(near_miss: Row) -> None:
    assert severities("tcp-request-no-response", opened(1, **near_miss)) == []


def test_a_request_waits_five_seconds_where_the_client_does_not_give_up() -> None:
    assert severities("tcp-request-no-response", opened(1), lasts=6.0) == []
    assert severities("tcp-request-no-response", opened(1), lasts=6.1) == [("error", "likely")]


def test_ocsp_request_without_response() -> None:
    seen = view(opened(1, protocol="ocsp", client_fin=6.0))
    [finding] = found("ocsp-fetch-failed", seen)
    [part] = found("tcp-request-no-response", seen)
    assert (finding.severity, finding.confidence, part.part_of) == ("error", "certain", finding.id)
    assert not found("ocsp-fetch-failed", view(served(1, protocol="ocsp"), opened(2, client_fin=6.0)))


def test_bytes_of_an_unknown_protocol_are_only_information() -> None:
    assert severities("tcp-request-no-response", opened(1, protocol="")) == [("info", "possible")]


def test_hello_without_answer() -> None:
    [finding] = found("tls-no-server-hello", view(hello(1, client_fin=6.0), hello(2, client_fin=6.0, hello_segments=2)))
    assert finding.severity == "error"
    assert "a ClientHello (1 or 2 segments)" in finding.because
    assert not found("tcp-request-no-response", view(hello(1, client_fin=6.0)))


@pytest.mark.parametrize(
    "near_miss",
    [{"client_acked": "none"}, {"server_rst": 1.0}, {"first_server_data": 0.1}, {"protocol": "http"}],
    ids=str,
)
def test_near_misses_of_a_missing_server_hello(near_miss: Row) -> None:
    assert severities("tls-no-server-hello", hello(1, **({"client_fin": 6.0} | near_miss))) == []


def test_alerts_are_named_and_told_apart_by_side() -> None:
    rows = [
        hello(1, alert_by="server", alert_code=40, server_fin=0.2),
        hello(2, alert_by="client", alert_code=48, client_rst=0.2, first_server_data=0.1),
        hello(3, alert_by="client", alert_code=90),
    ]
    findings = found("tls-alert", view(*rows))
    assert [finding.title.split(": ")[1] for finding in findings] == [
        "the server sends the alert handshake_failure",
        "the client sends the alert unknown_ca",
    ]
    assert {finding.confidence for finding in findings} == {"certain"}
    assert not found("tcp-closed-without-response", view(rows[0]))


def test_reset_in_place_of_a_response() -> None:
    [finding] = found("tcp-reset", view(opened(1, server_rst=0.1), opened(2, server_rst=0.2)))
    assert (finding.severity, finding.confidence) == ("error", "certain")
    assert "0.070 s to 0.170 s later, without a byte of a response" in finding.because


@pytest.mark.parametrize(
    "near_miss",
    [
        {"server_rst": 0.1, "first_server_data": 0.05, "last_server_data": 0.05},  # after a response
        {"server_rst": 0.1, "client_fin": 0.05},  # the client had closed
        {"server_rst": 0.1, "client_rst": 0.05},
        {"server_rst": 0.1, "alert_by": "client"},
        {"server_rst": 0.01},  # before the request
        {"client_rst": 0.1},  # the client's own
    ],
    ids=str,
)
def test_near_misses_of_a_reset(near_miss: Row) -> None:
    assert severities("tcp-reset", opened(1, **near_miss)) == []


def test_reset_of_a_request_after_a_pause() -> None:
    quiet = {"first_server_data": 0.1, "last_server_data": 0.1, "last_client_data": 5.1, "server_rst": 5.12}
    assert severities("tcp-reset", opened(1, **quiet)) == [("warning", "likely")]
    assert severities("tcp-reset", opened(1, **(quiet | {"last_client_data": 4.0, "server_rst": 4.1}))) == []


def test_close_in_place_of_a_response() -> None:
    assert severities("tcp-closed-without-response", opened(1, server_fin=0.1)) == [("error", "certain")]
    assert severities("tcp-closed-without-response", opened(1, server_fin=0.1, protocol="")) == [("info", "certain")]
    assert severities("tcp-closed-without-response", opened(1, server_fin=0.1, client_fin=0.05)) == []
    assert severities("tcp-closed-without-response", served(1)) == []


def test_zero_window() -> None:
    stalled = {"zero_window_by": "server", "zero_window_ns": 2 * SECOND}
    [finding] = found("tcp-zero-window", view(opened(1, **stalled)))
    assert finding.severity == "warning"
    assert "zero for up to 2.0 s" in finding.because
    assert severities("tcp-zero-window", opened(1, **(stalled | {"zero_window_ns": SECOND}))) == []


def full(*, dropped_at: float = 5.0, **facts: object) -> list[Row]:
    waiting = [opened(1 + i, client_fin=6.0, **facts) for i in range(3)]
    return [*waiting, tcp(V4, dropped_at, server_port=80, outcome="silent", repeats=3)]


def test_full_accept_queue() -> None:
    findings = found("tcp-accept-queue-overflow", view(*full()))
    assert [(finding.severity, finding.counts["affected"]) for finding in findings] == [("error", 4)]
    seen = view(*full())
    assert not found("tcp-syn-no-reply", seen)
    assert not found("tcp-request-no-response", seen)


def test_near_misses_of_a_full_accept_queue() -> None:
    assert severities("tcp-accept-queue-overflow", *full(dropped_at=0.5)) == []  # silent before anybody waits
    assert severities("tcp-accept-queue-overflow", *full(), served(9)) == []  # others are served later
    assert severities("tcp-accept-queue-overflow", *full()[:3]) == []  # SYNs are answered: the program hangs
    assert severities("tcp-accept-queue-overflow", *full()[2:]) == []  # one connection hangs


def test_syn_acks_in_spite_of_an_ack() -> None:
    assert severities("tcp-accept-queue-overflow", opened(1, syn_acks_after_ack=2)) == [("error", "certain")]
    assert severities("tcp-accept-queue-overflow", opened(1, syn_acks_after_ack=1)) == []


def test_large_segments_vanish() -> None:
    [finding] = found("pmtu-black-hole", view(stuck(1), stuck(2)))
    assert (finding.severity, finding.confidence) == ("error", "likely")
    assert "1,448 to 1,448 bytes was sent again 5 times or more" in finding.because
    [finding] = found("pmtu-black-hole", view(hello(1, client_acked="none", hole_by="client", hole_length=1448)))
    assert "never came by here" in finding.because


@pytest.mark.parametrize(
    "near_miss",
    [
        {"stuck_length": 500},
        {"stuck_repeats": 1},
        {"small_passed": False},
        {"zero_window_by": "server"},
        {"stuck_by": ""},
    ],
    ids=str,
)
def test_near_misses_of_a_black_hole(near_miss: Row) -> None:
    assert severities("pmtu-black-hole", stuck(1, **near_miss)) == []


def test_data_that_nobody_acknowledges() -> None:
    small = {"stuck_length": 300, "small_passed": False}
    assert severities("tcp-data-unacknowledged", stuck(1, **small)) == [("error", "likely")]
    assert severities("tcp-data-unacknowledged", stuck(1, **(small | {"small_passed": True}))) == []
    assert severities("tcp-data-unacknowledged", stuck(1, **(small | {"stuck_ns": 2 * SECOND}))) == []
    assert severities("tcp-data-unacknowledged", stuck(1, **(small | {"client_acked": "some"}))) == []


def test_delayed_syns() -> None:
    late = [served(i, repeats=1, reply=1.03) for i in range(1, 4)]
    assert severities("tcp-syn-delayed", *late) == [("warning", "likely")]
    assert severities("tcp-syn-delayed", *late[:2]) == []
    assert severities("tcp-syn-delayed", *late, *(served(i) for i in range(10, 14))) == []  # a few of many
    assert severities("tcp-syn-delayed", served(1, repeats=6, reply=63.1)) == [("warning", "possible")]
    assert severities("tcp-syn-delayed", *(row | {"challenged": True} for row in late)) == []


def test_tuples_reused_too_soon() -> None:
    [finding] = found("tuple-reused-too-soon", view(served(1, challenged=True), served(2), served(3, server=V6)))
    assert (finding.severity, finding.confidence, finding.family) == ("warning", "certain", "ipv4")
    assert alike(finding) == {"tcp-syn-refused": True}
    assert severities("tuple-reused-too-soon", served(1), served(2)) == []


def test_responses_that_stop() -> None:
    owing = {"owed": 5000, "server_fin": -1, "client_fin": 7.0}
    [finding] = found("tcp-response-stalled", view(served(1, **owing)))
    assert finding.severity == "error"
    assert "1 response lacked up to 5,000 bytes of the announced length" in finding.because
    of_client = owing | {"stuck_by": "client", "stuck_repeats": 5, "stuck_length": 700}
    [finding] = found("tcp-response-stalled", view(served(1, **of_client)))
    assert "server segment" not in finding.because
    assert severities("tcp-response-stalled", served(1, **(owing | {"client_fin": 5.0}))) == []  # too soon to say
    assert severities("tcp-response-stalled", served(1, **(owing | {"owed": -1}))) == []  # several requests
    assert severities("tcp-response-stalled", served(1, **(owing | {"server_fin": 6.0}))) == []
    assert severities("tcp-response-stalled", served(1, **(owing | {"zero_window_by": "client"}))) == []


def test_response_segments_that_nobody_acknowledges() -> None:
    again = {
        "stuck_by": "server",
        "server_acked": "some",
        "stuck_repeats": 4,
        "stuck_ns": 5 * SECOND,
        "stuck_length": 700,
    }
    assert severities("tcp-response-stalled", served(1, **again)) == [("error", "likely")]
    assert severities("tcp-response-stalled", served(1, **(again | {"stuck_repeats": 2}))) == []
    large = {"stuck_length": 1448, "small_passed": True}
    assert severities("tcp-response-stalled", served(1, **(again | large))) == []
    assert severities("pmtu-black-hole", served(1, **(again | large))) == [("error", "possible")]


def test_resets_that_do_not_fit_the_server() -> None:
    assert severities("tcp-reset-injected", opened(1, server_rst=0.1, reset_ttl_gap=4)) == [("warning", "possible")]
    assert severities("tcp-reset-injected", opened(1, server_rst=0.1, reset_ttl_gap=3)) == []
    later = {"first_server_data": 0.3, "last_server_data": 0.3}
    assert severities("tcp-reset-injected", opened(1, server_rst=0.1, **later)) == [("warning", "likely")]
    assert severities("tcp-reset-injected", opened(1, server_rst=0.1, client_fin=0.05, reset_ttl_gap=9)) == []
    for gap in (0, 5):
        [finding] = found("tcp-reset-injected", view(opened(1, server_rst=0.1, reset_ttl_gap=gap, **later)))
        assert ("TTL differs by up to 5" in finding.because) is (gap > 0)


def test_split_hellos_that_fail() -> None:
    fails = [hello(i, hello_segments=2, server_rst=0.1) for i in (1, 2)]
    works = [hello(i, first_server_data=0.1, server_bytes=900) for i in (3, 4)]
    assert severities("tls-split-client-hello", *fails, *works) == [("warning", "possible")]
    assert severities("tls-split-client-hello", *fails[:1], *works) == []
    assert severities("tls-split-client-hello", *fails, *works[:1]) == []
    split_works = hello(5, hello_segments=2, first_server_data=0.1, server_bytes=900)
    assert severities("tls-split-client-hello", *fails, *works, split_works) == []
    lost = [row | {"client_acked": "none"} for row in fails]
    assert severities("tls-split-client-hello", *lost, *works) == []


def test_nearly_all_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(ephemeral_port_exhaustion.PORTS, value=10)
    monkeypatch.setattr(ephemeral_port_exhaustion, "PORTS", few)
    rows = [served(1 + i / 10, client_port=40_000 + i) for i in range(10)]
    again = served(9, client_port=40_000)
    assert severities("ephemeral-port-exhaustion", *rows, again) == [("warning", "possible")]
    assert severities("ephemeral-port-exhaustion", *rows) == []  # no port is used again
    assert severities("ephemeral-port-exhaustion", *rows[:9], again) == []
