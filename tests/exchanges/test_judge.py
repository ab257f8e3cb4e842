"""Outcomes: each rule, and the order in which they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.columns import Words
from analyzer.events.connection import Connection, Flows, Socket
from analyzer.events.connections import Connections
from analyzer.events.quic.plain_columns import PlainConnections
from analyzer.exchanges.attributes import Attributes
from analyzer.exchanges.judge import (
    ANSWERED,
    LEAST_INITIAL_DATAGRAM,
    REFUSED,
    REPLY_WAIT_NS,
    SILENT,
    UNDETERMINED,
    Context,
    judge,
)
from analyzer.wire.icmp import ERRORS, REFUSALS
from tests.crafted import scan_of

CLIENT, SERVER, OTHER = Socket(4, "192.0.2.1", 5000), Socket(4, "192.0.2.2", 443), Socket(4, "192.0.2.3", 443)


def connection(transport: str, **facts: Any) -> Connection:
    """A request that nothing answers, of which everything else is as it should be."""
    made = Connection(transport, 0, 0, "syn", CLIENT, SERVER, rows=[0], request_rows=[0])
    made.hello_complete = made.version_known = True
    made.largest_request = LEAST_INITIAL_DATAGRAM
    for name, value in facts.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return made


USUAL = {"request_time": 0, "one_way": False, "icmp": "", "checksum_wrong": False}


def judged(connections: Sequence[Connection], contexts: Sequence[dict[str, Any]], end: int) -> list[tuple[str, str]]:
    """Outcomes and reasons, each with what is known from outside of the connection."""
    request_time, one_way, icmp, wrong = ([context[name] for context in contexts] for name in USUAL)
    around = Context(np.array(request_time), end, np.array(one_way, bool), Words.of(icmp), np.array(wrong, bool))
    flows = Flows(scan_of([]))
    found = judge(Attributes(flows, Connections.of(connections, PlainConnections(flows))), around)
    return list(zip(found.outcome.texts().tolist(), found.reason.texts().tolist(), strict=True))


def verdict(transport: str, *, end: int = REPLY_WAIT_NS, context: dict[str, Any] | None = None, **facts: Any) -> str:
    """Outcome and reason; the request came at time 0 and the capture ends at ``end``."""
    (found,) = judged([connection(transport, **facts)], [USUAL | (context or {})], end)
    return " ".join(found).strip()


BOTH = pytest.mark.parametrize("transport", ["quic", "tcp"])


@BOTH
def test_silence(transport: str) -> None:
    assert verdict(transport) == SILENT


@BOTH
def test_a_reply_answers_whatever_else_is_wrong(transport: str) -> None:
    wrong = {"one_way": True, "icmp": "port-unreachable", "checksum_wrong": True}
    assert verdict(transport, reply_row=1, end=0, context=wrong, hello_cut=True) == ANSWERED


@BOTH
def test_a_capture_that_ended_too_early_for_a_reply(transport: str) -> None:
    assert verdict(transport, end=REPLY_WAIT_NS - 1) == "undetermined capture-ended"


@BOTH
def test_a_client_that_went_on_got_a_reply(transport: str) -> None:
    assert verdict(transport, client_went_on=True) == "undetermined one-way"


@BOTH
def test_no_packet_could_be_seen_in_that_direction(transport: str) -> None:
    assert verdict(transport, context={"one_way": True}) == "undetermined one-way"


@BOTH
def test_a_request_that_was_damaged_on_the_way(transport: str) -> None:
    assert verdict(transport, context={"checksum_wrong": True}) == "undetermined request-not-valid"


@BOTH
def test_a_request_that_was_not_seen(transport: str) -> None:
    assert verdict(transport, context={"request_time": -1}, request_rows=[]) == "undetermined capture-began"


@BOTH
@pytest.mark.parametrize("name", sorted(set(ERRORS.values())))
def test_icmp_errors(transport: str, name: str) -> None:
    expected = f"refused {name}" if name in REFUSALS else SILENT
    assert verdict(transport, context={"icmp": name}) == expected


def test_an_icmp_error_refuses_what_was_not_seen_asked() -> None:
    facts = {"context": {"icmp": "port-unreachable", "request_time": -1}, "request_rows": []}
    assert verdict("udp", **facts) == "refused port-unreachable"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"negotiated": True, "reply_row": 1}, "refused version-negotiation"),
        ({"negotiated": True, "reply_row": 1, "client_went_on": True}, ANSWERED),
        ({"close_side": "server", "reply_row": 1}, "refused connection-close"),
        ({"close_side": "server", "reply_row": 1, "server_crypto": True}, ANSWERED),
        ({"close_side": "client", "reply_row": 1}, ANSWERED),
        ({"retry": True, "reply_row": 1}, ANSWERED),
        ({"hello_cut": True, "hello_complete": False}, "undetermined cut-record"),
        ({"hello_complete": False}, "undetermined request-not-valid"),
        ({"hello_complete": False, "version_known": False}, SILENT),
        ({"largest_request": LEAST_INITIAL_DATAGRAM - 1}, "undetermined request-not-valid"),
        ({"replied_from": OTHER}, SILENT),
        ({"replied_from": OTHER, "client_went_on": True}, SILENT),
    ],
)
def test_quic(facts: dict[str, Any], expected: str) -> None:
    assert verdict("quic", **facts) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"reset_by": "server"}, "refused reset"),
        ({"reset_by": "server", "reply_row": 1}, ANSWERED),
        ({"reset_by": "client"}, SILENT),
        ({"largest_request": 0, "hello_complete": False}, SILENT),
    ],
)
def test_tcp(facts: dict[str, Any], expected: str) -> None:
    assert verdict("tcp", **facts) == expected


def test_other_udp_owes_no_reply() -> None:
    assert verdict("udp", context={"request_time": -1}) == "undetermined capture-began"
    assert verdict("udp") == "undetermined request-not-valid"


FACTS = st.fixed_dictionaries(
    {
        "reply_row": st.sampled_from((-1, 1)),
        "request_rows": st.sampled_from(([], [0])),
        "client_went_on": st.booleans(),
        "reset_by": st.sampled_from(("", "client", "server")),
        "close_side": st.sampled_from(("", "client", "server")),
        "negotiated": st.booleans(),
        "hello_cut": st.booleans(),
        "hello_complete": st.booleans(),
        "replied_from": st.sampled_from((None, OTHER)),
        "largest_request": st.sampled_from((-1, 1199, 1200)),
    }
)
CONTEXTS = st.fixed_dictionaries(
    {
        "request_time": st.sampled_from((-1, 0)),
        "one_way": st.booleans(),
        "icmp": st.sampled_from(("", "port-unreachable", "packet-too-big")),
        "checksum_wrong": st.booleans(),
    }
)
ATTEMPTS = st.tuples(st.sampled_from(("quic", "tcp", "udp")), FACTS, CONTEXTS)


@given(attempts=st.lists(ATTEMPTS, min_size=1, max_size=8), end=st.sampled_from((-1, 0, REPLY_WAIT_NS)))
def test_silence_is_never_said_where_it_could_not_be_seen(
    attempts: list[tuple[str, dict[str, Any], dict[str, Any]]], end: int
) -> None:
    connections = [connection(transport, **facts) for transport, facts, _ in attempts]
    found = judged(connections, [context for _, _, context in attempts], end)
    for (_, facts, context), (outcome, reason) in zip(attempts, found, strict=True):
        assert (reason != "") == (outcome in (REFUSED, UNDETERMINED))
        if outcome == SILENT:
            assert facts["reply_row"] < 0
            assert context["request_time"] >= 0
            assert context["icmp"] not in REFUSALS
            if facts["replied_from"] is None:
                assert not context["one_way"]
                assert not context["checksum_wrong"]
                assert not facts["client_went_on"]
                assert end >= REPLY_WAIT_NS


@given(attempts=st.lists(ATTEMPTS, min_size=2, max_size=8))
def test_many_are_judged_as_each_alone(attempts: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> None:
    connections = [connection(transport, **facts) for transport, facts, _ in attempts]
    contexts = [context for _, _, context in attempts]
    alone = [judged([c], [context], 0)[0] for c, context in zip(connections, contexts, strict=True)]
    assert judged(connections, contexts, 0) == alone
