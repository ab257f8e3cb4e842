from __future__ import annotations

import pytest

from analyzer.patterns import quic_initial_no_reply
from analyzer.patterns.finding import MOST_ENTRIES
from tests.patterns.tables import SECOND, T0, V4, V6, alike, capture, connection, found, tcp, view

ID = "quic-initial-no-reply"


def silent(server: str = V4, at: float = 1.0, **columns: object) -> dict[str, object]:
    return connection(server, at, **({"outcome": "silent", "repeats": 4} | columns))


def test_silent_socket_is_an_argument_with_its_numbers() -> None:
    seen = view(silent(at=1), silent(at=5), silent(at=9), connection(V6, at=13), tcp(V4, at=14))
    [finding] = found(ID, seen)
    assert (finding.severity, finding.confidence, finding.family) == ("error", "likely", "ipv4")
    assert (finding.transport, finding.server, finding.name) == ("udp", (V4, 443), "example.com")
    assert finding.because == (
        "All 3 QUIC attempts to 192.0.2.80:443 over IPv4 got no datagram back although the capture ran on for 51.0 s "
        "or more after each and the requests were repeated 12 times; the first is record 101."
    )
    assert finding.connections == ("C1", "C2", "C3")
    assert finding.records[:2] == ((0, 101), (0, 102))
    assert finding.counts == {
        "attempts": 3, "answered": 0, "refused": 0, "silent": 3, "undetermined": 0,
        "affected": 3, "clients": 1, "records": 15,
    }  # fmt: skip
    assert finding.first_time == T0 + SECOND
    assert finding.onset == -1  # it never answered: there is no "since when"
    assert all(alike(finding).values()), finding.look_alikes
    assert any("default_bind 192.0.2.80" in remedy for remedy in finding.remedies)
    assert any("ss -ulnp" in remedy for remedy in finding.remedies)
    assert any("strace" in limit for limit in finding.limitations)


def test_a_raced_attempt_that_was_given_up_soon_counts_but_only_as_possible() -> None:
    [finding] = found(ID, view(silent(repeats=0)))
    assert (finding.severity, finding.confidence) == ("error", "possible")


@pytest.mark.parametrize(
    "near_miss",
    [
        {"outcome": "answered", "reply": 2.99},
        {"hello_complete": False},
        {"largest_request": 1199},
        {"version_known": False},
        {"one_way": True},
        {"outcome": "undetermined", "outcome_reason": "capture-ended"},
        {"replied_from": "192.0.2.81:443"},
        {"outcome": "refused", "icmp": "port-unreachable", "refused_by": V4},
        {"outcome": "refused", "outcome_reason": "version-negotiation"},
        {"request_time": -1},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(silent(**near_miss)))


def test_capture_that_stopped_before_the_wait_was_over() -> None:
    assert not found(ID, view(silent(at=1), lasts=3.99))
    assert found(ID, view(silent(at=1), lasts=4.0))


def test_answered_after_the_wait_is_info() -> None:
    [finding] = found(ID, view(connection(reply=3.2, repeats=3)))
    assert finding.severity == "info"
    assert "3.2 s" in finding.because


def test_few_silent_among_many_under_loss_fit_chance() -> None:
    lossy = [connection(at=i, repeats=i % 3 == 0) for i in range(1, 40)]
    [finding] = found(ID, view(*lossy, silent(at=20.5, repeats=2)))
    assert (finding.severity, finding.confidence) == ("warning", "possible")
    assert alike(finding)["socket-partial-silence"] is False
    assert "random loss explains it" in finding.because


def test_sticky_silence_among_many_answers_does_not_fit_chance() -> None:
    healthy = [connection(at=i) for i in range(1, 30)]
    [finding] = found(ID, view(*healthy, *(silent(at=i + 0.5) for i in range(20, 30))))
    assert (finding.severity, finding.confidence) == ("error", "likely")
    assert finding.onset == -1


def test_onset_has_its_bounds_where_the_silence_lasts_to_the_end() -> None:
    [finding] = found(ID, view(connection(at=1), connection(at=2), silent(at=10), silent(at=15)))
    assert finding.onset == T0 + 10 * SECOND
    assert finding.onset_bounds == (T0 + 2 * SECOND + SECOND // 50, T0 + 10 * SECOND)


def test_one_finding_for_each_socket_and_family() -> None:
    seen = view(silent(V4, 1), silent(V6, 2), silent(V4, 3, server_port=8443))
    assert [finding.server for finding in found(ID, seen)] == [(V4, 443), (V6, 443), (V4, 8443)]


def test_lists_are_capped_and_totals_kept() -> None:
    [finding] = found(ID, view(*(silent(at=i / 10) for i in range(1, 301))))
    assert len(finding.connections) == len(finding.records) == len(finding.clients) == MOST_ENTRIES
    assert finding.counts["affected"] == 300
    assert finding.counts["records"] > MOST_ENTRIES
    assert finding.connections[0] == "C1"
    assert "frame.time_epoch" in finding.display_filter


def test_the_vantage_says_what_cannot_be_known() -> None:
    at_client = found(ID, view(silent(), captures=[capture(vantage="client")]))[0].limitations
    at_server = found(ID, view(silent(), captures=[capture(vantage="server")]))[0].limitations
    assert len(at_client) == len(at_server) == 1
    assert "loss on the way out" in at_client[0]
    assert "nft list ruleset" in at_server[0]


def test_nothing_seen_from_the_server_at_all_is_not_ruled_out() -> None:
    [finding] = found(ID, view(silent()))
    assert alike(finding)["capture-one-way"] is False
    assert alike(finding)["quic-version-mismatch"] is False


def test_icmp_errors_that_refuse_nothing_are_named() -> None:
    too_big = silent(at=2, icmp="packet-too-big", refused_by="192.0.2.1")
    [finding] = found(ID, view(silent(at=1), too_big))
    assert finding.counts["affected"] == 2
    assert alike(finding)["pmtu-black-hole"] is False
    assert any("packet-too-big from 192.0.2.1 (1)" in each.because for each in finding.look_alikes)


def test_a_socket_that_answers_others_is_not_told_to_bind_another_address() -> None:
    answered = [connection(V4, at) for at in (2.0, 3.0)]
    [finding] = found(ID, view(silent(at=1), silent(at=5), silent(at=9), *answered, connection(V6, at=13)))
    assert not any("default_bind" in remedy or "Allow UDP" in remedy for remedy in finding.remedies)
    assert finding.remedies[0].startswith("192.0.2.80:443 answers others over IPv4")


@pytest.mark.parametrize(
    "near_miss",
    [
        connection(at=1, reply=3.0),
        tcp(at=1, reply=5.0),
        connection(at=1, reply=5.0, outcome="refused"),
        connection(at=1, reply=5.0, replied_from="192.0.2.81:443"),
    ],
    ids=["just in time", "tcp", "refused", "from elsewhere"],
)
def test_near_misses_of_a_late_answer(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(near_miss))
    assert found(ID, view(connection(at=1, reply=3.1)))


def test_look_alikes_count_the_other_attempts_of_the_socket() -> None:
    refused = connection(at=9, outcome="refused", icmp="port-unreachable", client_address="192.0.2.77")
    [alone] = quic_initial_no_reply.find(view(silent()))
    [among] = quic_initial_no_reply.find(view(silent(), connection(at=5), refused))
    first, second = ({each.pattern: each for each in finding.look_alikes} for finding in (alone, among))
    assert first["udp-port-unreachable"].because == "no ICMP error refuses the request"
    assert first["socket-partial-silence"].because == "no attempt on this socket and family got an answer"
    assert second["udp-port-unreachable"].because.endswith("but 1 other attempt on the same socket met one")
    assert second["socket-partial-silence"].because == "1 other attempt on this socket and family got an answer"
    assert [alike(alone)[name] for name in ("udp-port-unreachable", "socket-partial-silence")] == [True, True]
    assert [alike(among)[name] for name in ("udp-port-unreachable", "socket-partial-silence")] == [False, False]
