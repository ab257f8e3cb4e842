"""What segments tell, read off plays and recorded captures."""

from __future__ import annotations

import pytest

from analyzer.analysis import analyse
from analyzer.events.tcp.facts import NO_FACTS, TcpFacts, tcp_facts
from tests.conftest import ROOT
from tests.events.playbook import A, F, P, Play, R, S, found_in

HTTP = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
CLIENT_ISN, SERVER_ISN = 0xFFFFFFF0, 5000  # the client's numbers wrap


def opened() -> Play:
    """A completed three-way handshake."""
    play = Play(("192.0.2.10", 50660), ("192.0.2.80", 80)).c(S, seq=CLIENT_ISN)
    return ack(play.s(S | A, seq=SERVER_ISN, ack=CLIENT_ISN + 1))


def ack(play: Play, *, of_server: int = 1, at: int = 1) -> Play:
    return play.c(A, seq=CLIENT_ISN + at & 0xFFFFFFFF, ack=SERVER_ISN + of_server)


def send(play: Play, payload: bytes = HTTP, *, at: int = 1, flags: int = P | A) -> Play:
    return play.c(flags, payload, seq=(CLIENT_ISN + at) & 0xFFFFFFFF, ack=SERVER_ISN + 1)


def reply(play: Play, payload: bytes = b"", *, acked: int, at: int = 1, flags: int = A) -> Play:
    return play.s(flags, payload, seq=SERVER_ISN + at, ack=(CLIENT_ISN + acked) & 0xFFFFFFFF)


def facts(play: Play) -> TcpFacts:
    found = found_in(play.captured)
    [fact] = tcp_facts(found.flows, found.connections)
    return fact


def test_a_request_acknowledged_and_answered() -> None:
    play = reply(send(opened()), acked=1 + len(HTTP))
    assert facts(play).client_acked == "all"
    assert facts(play).server_acked == ""
    fact = facts(reply(play, b"HTTP/1.1 200 OK\r\n\r\n", acked=1 + len(HTTP), flags=P | A))
    assert (fact.protocol, fact.client_acked, fact.server_acked) == ("http", "all", "none")
    assert 0 < fact.first_client_data < fact.first_server_data


def test_a_request_in_the_syn() -> None:
    """TCP Fast Open (RFC 7413): taken with the SYN, or not and sent again."""
    play = Play(("192.0.2.10", 50660), ("192.0.2.80", 80)).c(S, HTTP, seq=CLIENT_ISN)
    taken = play.s(S | A, seq=SERVER_ISN, ack=(CLIENT_ISN + 1 + len(HTTP)) & 0xFFFFFFFF)
    assert (facts(taken).protocol, facts(taken).client_acked) == ("http", "all")
    play = Play(("192.0.2.10", 50660), ("192.0.2.80", 80)).c(S, HTTP, seq=CLIENT_ISN)
    refused = send(play.s(S | A, seq=SERVER_ISN, ack=CLIENT_ISN + 1))
    assert (facts(refused).protocol, facts(refused).client_acked) == ("http", "none")
    assert facts(reply(refused, acked=1 + len(HTTP))).client_retransmitted == 1


def test_data_that_is_not_acknowledged() -> None:
    assert facts(reply(send(opened()), acked=1)).client_acked == "none"
    more = send(reply(send(opened()), acked=1 + len(HTTP)), b"more", at=1 + len(HTTP))
    assert facts(more).client_acked == "some"


def test_a_segment_sent_again_while_a_smaller_one_got_through() -> None:
    play = send(send(opened(), bytes(1400)), b"tail", at=1401)
    for _ in range(3):
        play = send(reply(play, acked=1).wait(1500), bytes(1400))
    fact = facts(play)
    assert (fact.stuck_by, fact.stuck_length, fact.stuck_repeats) == ("client", 1400, 3)
    assert not fact.small_passed  # the acknowledgments here carry no SACK option
    assert fact.stuck_ns > 4_000_000_000


def test_segments_that_are_acknowledged_in_the_end_are_not_stuck() -> None:
    play = send(send(opened()).wait(1500))
    assert facts(reply(play, acked=1 + len(HTTP))).stuck_by == ""


def test_first_bytes_that_never_came_by() -> None:
    play = reply(send(opened(), b"tail", at=1401), acked=1)
    assert (facts(play).hole_by, facts(play).hole_length) == ("client", 1400)
    assert facts(send(play, bytes(1400))).hole_by == ""


def test_a_challenge_and_the_syn_again() -> None:
    play = Play(("192.0.2.10", 50660), ("192.0.2.80", 80)).c(S, seq=100).s(A, seq=7, ack=900_000)
    assert not facts(play).challenged
    play.c(R, seq=900_000).c(S, seq=100).s(S | A, seq=5000, ack=101).c(A, seq=101, ack=5001)
    assert facts(play).challenged


def test_a_syn_ack_again_in_spite_of_an_ack_and_data() -> None:
    play = opened().wait(1000).s(S | A, seq=SERVER_ISN, ack=CLIENT_ISN + 1)
    assert facts(play).syn_acks_after_ack == 0  # a client without data may be accepted late
    assert facts(send(play).s(S | A, seq=SERVER_ISN, ack=CLIENT_ISN + 1)).syn_acks_after_ack == 2


def test_fins_and_resets_are_timed() -> None:
    play = reply(send(opened()), acked=1 + len(HTTP), flags=F | A)
    fact = facts(reply(play, acked=0, flags=R | A))
    assert 0 < fact.first_client_data < fact.server_fin < fact.server_rst
    assert (fact.client_fin, fact.client_rst) == (-1, -1)


def test_an_alert_is_the_last_that_a_side_says() -> None:
    hello = bytes.fromhex("1603010005") + b"\x01\x00\x00\x01\x00"
    alert = bytes.fromhex("15030300020228")
    play = reply(send(opened(), hello), alert, acked=1 + len(hello), flags=P | A)
    assert (facts(play).alert_by, facts(play).alert_code, facts(play).protocol) == ("server", 40, "tls")
    later = reply(play, b"more", acked=1 + len(hello), at=8, flags=P | A)
    assert facts(later).alert_by == ""


def test_other_transports_and_silent_attempts_have_none() -> None:
    silent = found_in(Play().c(S, seq=1).captured)
    udp = found_in(Play().ask(b"hello").captured)
    assert tcp_facts(silent.flows, silent.connections) == [NO_FACTS]
    assert tcp_facts(udp.flows, udp.connections) == [NO_FACTS]


def rows(case: str) -> list[dict[str, object]]:
    return [row for row in analyse([str(ROOT / "captures" / case)]).connections.rows() if row["transport"] == "tcp"]


@pytest.mark.parametrize("end", ["client", "server"])
def test_recorded_alerts_as_the_truth_lists_them(end: str) -> None:
    seen = [(row["alert_by"], row["alert_code"]) for row in rows(f"11-tcp-cases/tls-alerts/{end}.pcap")]
    assert seen == [
        ("server", 70), ("server", 40), ("client", 48), ("server", 40), ("server", 120), ("server", 80), ("", -1)
    ]  # fmt: skip


def test_recorded_zero_window_and_black_hole() -> None:
    longest = max(rows("11-tcp-cases/zero-window/client.pcap"), key=lambda row: row["zero_window_ns"])  # type: ignore[arg-type,return-value]
    assert (longest["zero_window_by"], longest["client_acked"]) == ("server", "all")
    for row in rows("09-handshake-stall/pmtu-tcp-tls/client.pcap"):
        assert (row["stuck_by"], row["client_acked"], row["small_passed"]) == ("client", "none", True)
        assert row["stuck_length"] == (1448 if row["family"] == "ipv4" else 1428)
    assert {row["hole_by"] for row in rows("09-handshake-stall/pmtu-tcp-tls/server.pcap")} == {"client"}


def test_recorded_challenges() -> None:
    seen = rows("11-tcp-cases/timewait-nat-reuse/server.pcap")
    assert sum(bool(row["challenged"]) for row in seen) == 5  # as truth.json says
