"""Questions for link addresses and their answers."""

from __future__ import annotations

import ipaddress

from analyzer.events.lookups.neighbours import NeighbourLookup
from tests.crafted import MS, START, Captured
from tests.events.playbook import found_in

ETHERNET, ARP_TYPE = 1, b"\x08\x06"
ASKER, TARGET = "192.0.2.10", "192.0.2.80"


def arp(operation: int, sender: str, target: str, *, at: float = 0.0) -> Captured:
    """An ARP packet ``at`` ms after the start; the MAC of 192.0.2.x is 02::x."""
    a, b = (ipaddress.ip_address(address).packed for address in (sender, target))
    body = b"\x00\x01\x08\x00\x06\x04" + operation.to_bytes(2, "big") + b"\x02" + a.rjust(5, b"\0") + a + bytes(6) + b
    return Captured(
        b"\xff" * 6 + b"\x02" + a.rjust(5, b"\0") + ARP_TYPE + body, START + int(at * MS), link_type=ETHERNET
    )


def lookups(*captured: Captured) -> list[NeighbourLookup]:
    return found_in(captured).neighbours


def test_question_and_answer() -> None:
    [lookup] = lookups(arp(1, ASKER, TARGET), arp(2, TARGET, ASKER, at=1))
    assert (lookup.kind, lookup.asker, lookup.target) == ("arp", ASKER, TARGET)
    assert (lookup.question_rows, lookup.answer_row) == ([0], 1)


def test_repeats_until_left_alone() -> None:
    times = (0, 1000, 2000, 9000)
    found = lookups(*(arp(1, ASKER, TARGET, at=at) for at in times))
    assert [lookup.question_rows for lookup in found] == [[0, 1, 2], [3]]
    assert {lookup.answer_row for lookup in found} == {-1}


def test_copies_from_other_interfaces_are_no_repeats() -> None:
    [lookup] = lookups(*(arp(1, ASKER, TARGET, at=at) for at in (0, 0.01, 0.02, 1000)))
    assert lookup.question_rows == [0, 3]


def test_an_answer_about_another_address_is_none() -> None:
    [lookup] = lookups(arp(1, ASKER, TARGET), arp(2, "192.0.2.81", ASKER, at=1))
    assert lookup.answer_row == -1


def test_probes_and_gratuitous_arp_are_no_questions() -> None:
    assert lookups(arp(1, "0.0.0.0", TARGET), arp(1, TARGET, TARGET, at=1)) == []
