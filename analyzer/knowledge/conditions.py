"""The small language of conditions: ``family == ipv4 and tcp == answered``, over the facts of a finding.

    condition = "always" | clause *(" and " clause)
    clause    = FACT OPERATOR VALUE
    OPERATOR  = "==" | "!=" | ">=" | "<=" | "in" (VALUE is a|b|c) | "has" | "lacks" (part of the text)

A fact that is a number is compared as one, everything else as text. What cannot be understood is said when it is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

from analyzer.errors import UsageError
from analyzer.knowledge.facts import FACTS, Value


class Known(Protocol):
    """Anything that gives facts by name."""

    def __getitem__(self, name: str, /) -> Value: ...


class Clause(NamedTuple):
    """One comparison."""

    fact: str
    operator: str
    value: str

    def holds(self, facts: Known) -> bool:
        """Whether the fact compares so."""
        return _OPERATORS[self.operator](facts[self.fact], self.value)


class Condition(NamedTuple):
    """All clauses must hold; none means always."""

    text: str
    clauses: tuple[Clause, ...]

    def holds(self, facts: Known) -> bool:
        """Whether every clause holds."""
        return all(clause.holds(facts) for clause in self.clauses)


def _number(value: Value) -> float:
    """NaN, which compares with nothing, for what is no number."""
    try:
        return float(value)
    except ValueError:
        return math.nan


def _equal(have: Value, want: str) -> bool:
    return have == want if isinstance(have, str) else have == _number(want)


_OPERATORS: dict[str, Callable[[Value, str], bool]] = {
    "==": _equal,
    "!=": lambda have, want: not _equal(have, want),
    ">=": lambda have, want: _number(have) >= _number(want),
    "<=": lambda have, want: _number(have) <= _number(want),
    "in": lambda have, want: any(_equal(have, each) for each in want.split("|")),
    "has": lambda have, want: want.lower() in str(have).lower(),
    "lacks": lambda have, want: want.lower() not in str(have).lower(),
}


def read_condition(text: str) -> Condition:
    """The condition of a text; raises UsageError with what is wrong."""
    if text == "always":
        return Condition(text, ())
    return Condition(text, tuple(_read_clause(part) for part in text.split(" and ")))


def _read_clause(text: str) -> Clause:
    words = text.split(maxsplit=2)
    if len(words) != 3:
        raise UsageError(f"condition {text!r} is not 'FACT OPERATOR VALUE'")
    clause = Clause(*words)
    if clause.fact not in FACTS:
        raise UsageError(f"condition {text!r} asks for {clause.fact!r}, which is no fact; try {', '.join(FACTS)}")
    if clause.operator not in _OPERATORS:
        raise UsageError(f"condition {text!r}: {clause.operator!r} is not one of {', '.join(_OPERATORS)}")
    words_known = FACTS[clause.fact].words
    asked = clause.value.split("|") if clause.operator == "in" else [clause.value]
    if words_known and (clause.operator in (">=", "<=") or not set(asked) <= set(words_known)):
        raise UsageError(f"condition {text!r}: {clause.fact} is one of {', '.join(filter(None, words_known))}")
    if clause.operator in (">=", "<=") and math.isnan(_number(clause.value)):
        raise UsageError(f"condition {text!r} compares with something that is no number")
    return clause
