from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from analyzer.columns import Table
from analyzer.exchanges.schemas import EXCHANGES
from tests.crafted import MS, SECOND, START, Captured, ip, udp, write_pcap
from tests.patterns.tables import V4, V6, Row, connection, found, view

ID, NO_REPLY = "reply-from-other-address", "quic-initial-no-reply"
OTHER = "192.0.2.81:443"


def elsewhere(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    usual = {"outcome": "silent", "replied_from": OTHER, "repeats": 2, "history": "IihoQihQih"}
    return connection(server, at, **(usual | columns))


def test_says_who_answers_and_what_the_clients_did() -> None:
    seen = view(elsewhere(at=1, rejections=3), elsewhere(at=5), connection(at=9))
    [finding] = found(ID, seen)
    assert (finding.severity, finding.confidence) == ("error", "certain")
    assert (finding.family, finding.server, finding.transport) == ("ipv4", (V4, 443), "udp")
    assert finding.because == (
        "2 of 3 attempts to 192.0.2.80:443 over IPv4 got the reply from 192.0.2.81:443 in its place, and none from the "
        "addressed socket; the clients repeated the request 4 times and rejected 3 replies with ICMP port unreachable; "
        "the first is record 101."
    )
    assert "another address (192.0.2.81:443)" in finding.title
    assert not found(NO_REPLY, seen)


@pytest.mark.parametrize(
    ("by", "differs"),
    [("192.0.2.80:54321", "port"), ("192.0.2.99:54321", "address and port"), (OTHER, "address")],
)
def test_address_and_port_are_told_apart(by: str, differs: str) -> None:
    [finding] = found(ID, view(elsewhere(replied_from=by)))
    assert f"replies come from another {differs} ({by})" in finding.title


def test_ipv6_sockets_are_read_with_their_brackets() -> None:
    [finding] = found(ID, view(elsewhere(V6, replied_from="[2001:db8:1::81]:443")))
    assert "another address ([2001:db8:1::81]:443)" in finding.title
    assert finding.family == "ipv6"


@pytest.mark.parametrize(("letter", "name"), [("r", "Retry"), ("v", "Version Negotiation")])
def test_only_packets_outside_of_a_connection_are_wrong(letter: str, name: str) -> None:
    [finding] = found(ID, view(elsewhere(history=f"I{letter}Q{letter}")))
    assert f"got the {name} from 192.0.2.81:443" in finding.because
    assert "do without Retry" in finding.remedies[0]


def test_a_client_that_did_nothing_more_leaves_room_for_a_translator() -> None:
    [finding] = found(ID, view(elsewhere(repeats=0, history="Iih")))
    assert finding.confidence == "likely"
    assert "A translator between here and the client" in finding.limitations[0]


def test_both_sides_of_a_translator_are_info() -> None:
    [finding] = found(ID, view(elsewhere(history="IihoHOoO", repeats=0)))
    assert finding.severity == "info"
    assert "clients went on" in finding.because


def test_replies_from_elsewhere_have_no_onset() -> None:
    [finding] = found(ID, view(connection(at=1), elsewhere(at=5)))
    assert finding.onset == -1


@pytest.mark.parametrize("near_miss", [{"replied_from": ""}, {"replied_from": "", "outcome": "answered"}], ids=str)
def test_near_misses(near_miss: Row) -> None:
    assert not found(ID, view(elsewhere(**near_miss)))


def test_a_dns_answer_from_another_server_is_joined_by_its_question() -> None:
    asked = connection(
        "192.0.2.53", 1, transport="udp", server_port=53, outcome="undetermined", outcome_reason="request-not-valid",
        sni="", history="OO",
    )  # fmt: skip
    question = {"kind": "dns", "connection": "C1", "replied_from": "192.0.2.54:53", "outcome": "silent"}
    seen = replace(view(asked), exchanges=Table.from_rows("exchanges", EXCHANGES, [question]))
    [finding] = found(ID, seen)
    assert finding.server == ("192.0.2.53", 53)
    assert "got the reply from 192.0.2.54:53" in finding.because


def test_a_dns_answer_from_another_server_in_packets(tmp_path: Path) -> None:
    name = b"\x07example\x03com\0\0\x01\0\x01"
    question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + name
    answer = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0" + name + b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x50"
    asked = ip("192.0.2.10", "192.0.2.53", 17, udp((40000, 53), question))
    stray = ip("192.0.2.54", "192.0.2.10", 17, udp((53, 40000), answer))
    packets = [Captured(asked), Captured(stray, START + 10 * MS), Captured(asked, START + 5 * SECOND)]
    later = Captured(ip("192.0.2.10", "192.0.2.53", 17, udp((40001, 9), b"x")), START + 30 * SECOND)
    document = analyse([str(write_pcap(tmp_path / "dns.pcap", [*packets, later]))]).document
    [finding] = [each for each in document["findings"] if each["severity"] == "error"]
    assert finding["pattern"] == ID
    assert finding["server"] == {"address": "192.0.2.53", "port": 53}
    assert finding["records"] == [[0, 1], [0, 2], [0, 3]]
