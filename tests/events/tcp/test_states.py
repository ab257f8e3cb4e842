"""The transition table of TCP connections: whole, and walked by plays."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.events.tcp.states import (
    STATE_WORDS,
    TRANSITIONS,
    Kind,
    State,
    code_of,
    first_step,
    kind_of,
    next_state,
)
from tests.events.playbook import A, F, P, Play, R, S


def test_every_state_has_a_table_and_a_word_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(STATE_WORDS) == set(State)
    reached = {state for table in TRANSITIONS.values() for state in table.values()} | {State.NEW, State.RESET}
    assert reached == set(State)


@given(st.sampled_from(State), st.booleans(), st.sampled_from(Kind))
def test_an_end_is_an_end(state: State, by_server: bool, kind: Kind) -> None:
    after = next_state(state, by_server=by_server, kind=kind)
    assert (after is State.RESET) == (state is State.RESET or kind is Kind.RST)
    if STATE_WORDS[state] == "closed":
        assert STATE_WORDS[after] in ("closed", "reset")
    if kind is Kind.FIN and state is not State.RESET:
        assert STATE_WORDS[after] == "closed"


def test_all_flags_have_a_kind() -> None:
    for flags, length in itertools.product(range(64), (0, 1)):
        kind = kind_of(flags, length)
        assert (kind is Kind.RST) == bool(flags & R)
        assert (kind is Kind.DATA) == (length == 1 and not flags & (F | S | R))


ISN, SERVER_ISN = 100, 900


def play(*steps: str) -> State:
    """The state after steps such as ``c S`` or ``s SA``: who sends, and which flags; D is a byte of data."""
    named = {"F": F, "S": S, "R": R, "A": A, "D": A | P}
    acted = Play()
    for step in steps:
        sender, letters = step.split()
        flags, sent = sum({named[letter] for letter in letters}), b"x" if "D" in letters else b""
        own, other = (ISN, SERVER_ISN) if sender == "c" else (SERVER_ISN, ISN)
        seq, ack = own + (not flags & S), other + 1 if flags & A else 0
        (acted.c if sender == "c" else acted.s)(flags, sent, seq=seq, ack=ack)
    return acted.only().tcp_state


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        (["c S"], State.ATTEMPTED),
        (["c S", "c S", "s A"], State.ATTEMPTED),  # a challenge ACK is no answer
        (["c S", "s SA"], State.HALF_OPEN),
        (["c S", "s SA", "s SA"], State.HALF_OPEN),
        (["c S", "s SA", "c A"], State.ESTABLISHED),
        (["c S", "s SA", "c D", "s D"], State.ESTABLISHED),
        (["c S", "s S"], State.BOTH_OPEN),
        (["c S", "s S", "c SA", "s SA"], State.HALF_OPEN),
        (["c S", "s S", "c SA", "s SA", "c A"], State.ESTABLISHED),
        (["c S", "c A", "c D"], State.WENT_ON),
        (["c S", "c A", "s D"], State.ESTABLISHED),
        (["s SA", "c A"], State.ESTABLISHED),
        (["c D"], State.ESTABLISHED),  # begun before the capture
        (["s D"], State.ESTABLISHED),
        (["c S", "s SA", "c A", "c F"], State.CLIENT_CLOSED),
        (["c S", "s SA", "c A", "s F", "c D"], State.SERVER_CLOSED),
        (["c S", "s SA", "c A", "s F", "c F", "s A"], State.CLOSED),
        (["c S", "s R"], State.RESET),
        (["c S", "s SA", "c A", "c F", "s R", "s D"], State.RESET),
    ],
)
def test_plays(steps: list[str], state: State) -> None:
    assert play(*steps) is state


@given(st.sampled_from(State), st.integers(0, 511), st.integers(0, 1500), st.booleans())
def test_steps_go_as_the_table_says(state: State, flags: int, length: int, by_server: bool) -> None:
    steps = {step.state: step for step in first_step().next}
    for _ in range(4):
        steps |= {step.state: step for each in list(steps.values()) for step in each.next}
    after = steps[state].next[code_of(flags, length, by_server)] if state is not State.NEW else None
    after = after or first_step().next[code_of(flags, length, by_server)]
    assert after.state is next_state(state, by_server=by_server, kind=kind_of(flags, length))
