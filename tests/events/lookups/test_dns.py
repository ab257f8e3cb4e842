"""Questions matched to answers."""

from __future__ import annotations

import dns.message
import dns.rrset
import pytest

from analyzer.events.lookups.dns import Lookup
from analyzer.wire.dns import PORT
from tests.events.playbook import A, P, Play, S, found_in

STUB, RESOLVER = ("192.0.2.10", 40000), ("192.0.2.53", PORT)


def question(kind: str = "A", identifier: int = 1, name: str = "example.com.") -> bytes:
    return dns.message.make_query(name, kind, id=identifier).to_wire()


def answer(kind: str = "A", identifier: int = 1, *, flags: int = 0) -> bytes:
    made = dns.message.make_response(dns.message.make_query("example.com.", kind, id=identifier))
    made.flags |= flags
    made.answer.append(
        dns.rrset.from_text("example.com.", 60, "IN", kind, {"A": "192.0.2.80", "AAAA": "2001:db8::80"}[kind])
    )
    return made.to_wire()


def asking(port: int = 40000) -> Play:
    return Play(("192.0.2.10", port), RESOLVER)


def lookups(*plays: Play) -> list[Lookup]:
    captured = sorted((one for play in plays for one in play.captured), key=lambda one: one.time)
    return found_in(captured).lookups


def test_a_pair_from_one_socket() -> None:
    play = asking().ask(question("A", 1)).ask(question("AAAA", 2)).reply(answer("AAAA", 2)).reply(answer("A", 1))
    found = lookups(play)
    assert [(lookup.kind, len(lookup.question_rows)) for lookup in found] == [("A", 1), ("AAAA", 1)]
    assert [lookup.answer.addresses for lookup in found if lookup.answer] == [("192.0.2.80",), ("2001:db8::80",)]
    assert [lookup.answer_row for lookup in found] == [3, 2]


def test_the_same_id_again_is_a_repeat_even_after_an_answer() -> None:
    play = asking().ask(question()).reply(answer()).wait(5000).ask(question()).reply(answer())
    later = asking(40001)
    later.now = play.now
    later.wait(4900).ask(question())
    [lookup] = lookups(play, later)
    assert (len(lookup.question_rows), lookup.answer_row) == (3, 1)


@pytest.mark.parametrize(("after", "same"), [(250, False), (500, True), (14_000, True), (16_000, False)])
def test_another_id_is_a_repeat_of_an_open_question_that_waited(after: int, same: bool) -> None:
    play = asking().ask(question()).wait(after).ask(question(identifier=9)).reply(answer(identifier=9))
    found = lookups(play)
    assert len(found) == (1 if same else 2)
    assert found[0].answer is not None if same else found[0].answer is None


def test_another_id_after_an_answer_is_another_question() -> None:
    assert len(lookups(asking().ask(question()).reply(answer()).wait(1000).ask(question(identifier=9)))) == 2


def test_a_client_that_keeps_its_ids_asks_anew_with_another() -> None:
    play = asking().ask(question()).wait(5000).ask(question()).wait(5000).ask(question(identifier=9))
    assert [len(lookup.question_rows) for lookup in lookups(play)] == [2, 1]


def test_an_answer_from_elsewhere_does_not_answer() -> None:
    play = asking().ask(question()).reply(answer(), sender=("192.0.2.54", PORT))
    [lookup] = lookups(play)
    assert lookup.answer is None
    assert str(lookup.replied_from) == "192.0.2.54:53"


def test_an_answer_with_another_id_is_none() -> None:
    [lookup] = lookups(asking().ask(question(identifier=1)).reply(answer(identifier=2)))
    assert lookup.answer is None
    assert lookup.replied_from is None


def test_over_tcp() -> None:
    framed = [len(message).to_bytes(2, "big") + message for message in (question(), answer())]
    play = Play(STUB, RESOLVER).c(S, seq=100).s(S | A, seq=500, ack=101).c(A, seq=101, ack=501)
    play.c(P | A, framed[0], seq=101, ack=501).s(P | A, framed[1], seq=501, ack=101 + len(framed[0]))
    [lookup] = lookups(play)
    assert (lookup.transport, lookup.name, lookup.answer is not None) == ("tcp", "example.com", True)


def test_mdns_and_llmnr_are_not_taken_for_dns() -> None:
    for port in (5353, 5355):
        assert lookups(Play(("192.0.2.10", 40000), ("224.0.0.251", port)).ask(question())) == []


def test_other_bytes_on_port_53() -> None:
    assert lookups(asking().ask(b"\x00" * 40).ask(b"hello").reply(b"")) == []
