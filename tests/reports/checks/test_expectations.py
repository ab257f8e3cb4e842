"""Expectations: what words say, and what an analysis says to them."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.errors import UsageError
from analyzer.reports.checks.expectations import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Result,
    Selector,
    check,
    read_expectation,
    verdict_of_all,
)
from tests.reports import example


def result(words: str, analysis: Any = None) -> Result:
    return check(analysis or example.silent(), read_expectation(words))


@pytest.mark.parametrize(
    ("words", "selector"),
    [
        ("answered", Selector()),
        ("udp/443 ipv4 answered", Selector(transport="udp", port=443, family="ipv4")),
        ("TCP IPv6 answered", Selector(transport="tcp", family="ipv6")),
        ("192.0.2.80 answered", Selector(address="192.0.2.80")),
        ("192.0.2.80:443 answered", Selector(address="192.0.2.80", port=443)),
        ("2001:DB8:0::80 answered", Selector(address="2001:db8::80")),
        ("[2001:db8::80]:443 answered", Selector(address="2001:db8::80", port=443)),
        ("www.Example.com udp answered", Selector(name="www.example.com", transport="udp")),
    ],
)
def test_sockets_are_named_in_words(words: str, selector: Selector) -> None:
    assert read_expectation(words).selector == selector


@pytest.mark.parametrize(
    ("words", "subject", "comparison", "bound"),
    [
        ("answered", "answered", ">=", 1.0),
        ("answered >= 99%", "answered", ">=", 0.99),
        ("answered>=99.5%", "answered", ">=", 0.995),
        ("silent == 0%", "silent", "==", 0.0),
        ("reply p99 < 200ms", "p99", "<", 0.2),
        ("reply median<=1.5s", "median", "<=", 1.5),
        ("reply p50 < 80µs", "p50", "<", 80e-6),
    ],
)
def test_what_is_expected_is_read(words: str, subject: str, comparison: str, bound: float) -> None:
    expectation = read_expectation(words)
    assert (expectation.subject, expectation.comparison) == (subject, comparison)
    assert expectation.bound == pytest.approx(bound)


def test_a_word_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(UsageError, match="did you mean 'answered'"):
        read_expectation("udp/443 ipv4 anwsered")


@pytest.mark.parametrize(
    "words",
    [
        *("", "udp/443", "foo answered", "udp udp answered", "udp/443 tcp answered", "answered >= 99", "answered 99%"),
        *(
            "answered >= 99% now",
            "reply < 200ms",
            "reply p98 < 200ms",
            "reply p99 < 200",
            "no",
            "no faults",
            "no error x",
        ),
        *("192.0.2.300 answered", "[2001:db8::80]:x answered", "answered silent"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error_that_repeats_it(words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_expectation(words)
    assert repr(words) in str(caught.value)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("udp/443 ipv4 answered", FAILS),
        ("udp/443 ipv6 answered", HOLDS),
        ("udp/443 answered", FAILS),  # for each socket that fits
        ("udp/443 ipv4 silent", HOLDS),
        ("tcp answered", HOLDS),
        ("tcp refused <= 0%", HOLDS),
        ("example.com ipv6 answered >= 99%", HOLDS),
        ("other.example answered", UNDECIDED),
        ("udp/53 answered", UNDECIDED),
        ("ipv6 reply p99 < 10ms", HOLDS),
        ("ipv6 reply p99 < 1ms", FAILS),
        ("udp ipv4 reply p99 < 1s", UNDECIDED),  # nothing was answered there
        ("no error", FAILS),
        ("no warning", FAILS),
        ("tcp no error", HOLDS),
        ("ipv6 no error", HOLDS),
        ("udp/443 ipv4 no quic-initial-no-reply", FAILS),
        ("no tcp-syn-no-reply", HOLDS),
    ],
)
def test_expectations_of_a_server_that_is_silent_over_ipv4(words: str, verdict: str) -> None:
    assert result(words).verdict == verdict


def test_the_reason_names_the_socket_and_its_numbers() -> None:
    assert result("udp/443 answered").because == "udp 192.0.2.80:443 over IPv4: 0 of 5 answered"
    assert "F1 address-family-silent" in result("no error").because


@pytest.mark.parametrize("words", ["no error", "answered", "reply p99 < 1s"])
def test_a_capture_without_attempts_decides_nothing(words: str) -> None:
    assert result(words, example.empty()).verdict == UNDECIDED


def test_attempts_that_cannot_be_judged_decide_nothing() -> None:
    rows = [dict(row, outcome="undetermined") for row in example.connection_rows()[:5]]
    analysis = example.analysis_of(rows, [])
    assert result("answered", analysis).verdict == UNDECIDED
    assert result("no error", analysis).verdict == UNDECIDED


def test_one_that_fails_decides_before_one_that_is_undecided() -> None:
    verdicts = [result(words) for words in ("tcp answered", "udp/53 answered", "no error")]
    assert verdict_of_all(verdicts) == FAILS
    assert verdict_of_all(verdicts[:2]) == UNDECIDED
    assert verdict_of_all(verdicts[:1]) == HOLDS
