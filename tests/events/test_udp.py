"""UDP conversations: who asked whom, told by ports, by who came first, by who asked a group."""

from __future__ import annotations

import pytest

from analyzer.events.connection import Connection
from analyzer.events.conversations import conversations
from analyzer.events.scan import settle
from tests.crafted import MS, START, Captured, ip, scan_of, udp

A, B, GROUP = "192.0.2.1", "192.0.2.2", "224.0.0.252"
A6, B6, GROUP6 = "fe80::1", "fe80::2", "ff02::1:3"


def conversations_of(*datagrams: tuple[str, int, str, int]) -> list[Connection]:
    captured = [
        Captured(ip(source, destination, 17, udp((port, other), b"text")), START + n * MS)
        for n, (source, port, destination, other) in enumerate(datagrams)
    ]
    return list(conversations(settle(scan_of(captured))).connections)


def test_a_well_known_port_is_the_servers() -> None:
    (one,) = conversations_of((A, 123, B, 40000))
    assert (one.client.address, one.roles_from, one.reply_row) == (B, "port", 0)


def test_else_the_first_sender_asks() -> None:
    (one,) = conversations_of((A, 5000, B, 40000), (B, 40000, A, 5000))
    assert (one.client.address, one.roles_from, one.reply_row, one.request_rows) == (A, "first-seen", 1, [0])


@pytest.mark.parametrize(("a", "b", "group"), [(A, B, GROUP), (A6, B6, GROUP6), (A, B, "255.255.255.255")])
def test_who_answers_a_question_to_a_group_is_no_client(a: str, b: str, group: str) -> None:
    question, answer = conversations_of((a, 52272, group, 5355), (b, 5355, a, 52272))
    assert (question.client.address, question.server.address) == (a, group)
    assert (answer.client.address, answer.reply_row, answer.request_rows) == (a, 1, [])


def test_two_members_of_a_group_may_ask_each_other() -> None:
    *_, direct = conversations_of((A, 5353, GROUP, 5353), (B, 5353, GROUP, 5353), (B, 5353, A, 5353))
    assert direct.client.address == B
