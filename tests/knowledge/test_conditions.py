from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors import UsageError
from analyzer.knowledge.conditions import read_condition
from analyzer.knowledge.facts import FACTS, Value

FACTS_OF_ONE: dict[str, Value] = {
    "family": "ipv4", "port": 443, "share": 0.25, "name": "OCSP.example.com", "tcp": "answered", "answered": 3.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("always", True),
        ("family == ipv4", True),
        ("family != ipv4", False),
        ("family in ipv6|both", False),
        ("family in ipv4|both", True),
        ("family in ipv6|both|", False),
        ("port == 443", True),
        ("port in 443|8443", True),
        ("share >= 0.25", True),
        ("share <= 0.2", False),
        ("answered >= 1 and tcp == answered", True),
        ("answered >= 1 and tcp == failed", False),
        ("name has ocsp", True),
        ("name lacks ocsp", False),
        ("name has OCSP.example", True),
        ("port == https", False),
        ("name >= 3", False),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    condition = read_condition(text)
    assert condition.holds(FACTS_OF_ONE) is holds
    assert condition.text == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("family", "is not 'FACT OPERATOR VALUE'"),
        ("family ==", "is not 'FACT OPERATOR VALUE'"),
        ("colour == red", "which is no fact; try pattern, family"),
        ("family is ipv4", "'is' is not one of =="),
        ("family == ipv5", "family is one of ipv4, ipv6, both"),
        ("tcp in answered|maybe", "tcp is one of answered, failed, untried"),
        ("share >= much", "something that is no number"),
        ("tcp >= 3", "tcp is one of answered, failed, untried"),
        ("", "is not"),
    ],
)
def test_what_cannot_be_understood_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read_condition(text)
    assert message in str(error.value)


@given(st.text(max_size=40))
@settings(deadline=None, max_examples=200)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        condition = read_condition(text)
    except UsageError:
        return
    assert condition.text == text


def test_every_fact_says_what_it_is() -> None:
    assert all(fact.meaning and not fact.meaning.endswith(".") for fact in FACTS.values())
