from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.patterns.words import (
    MOST_FILTER,
    any_of,
    conversation_filter,
    counted,
    frames_filter,
    listed,
    one_of_addresses,
    one_of_ports,
    seconds,
    sentence,
    share,
    socket_words,
)


def test_numbers_and_sockets() -> None:
    assert [counted(n, "try") for n in (0, 1, 2)] == ["0 tries", "1 try", "2 tries"]
    assert (counted(1200, "reply"), counted(2, "day"), counted(2, "address")) == (
        "1,200 replies",
        "2 days",
        "2 addresses",
    )
    assert [seconds(ns) for ns in (204_000_000, 4_000_000_000, 126_400_000_000)] == ["0.204 s", "4.0 s", "126 s"]
    assert socket_words("192.0.2.80", 443) == "192.0.2.80:443"
    assert socket_words("2001:db8::80", 443) == "[2001:db8::80]:443"
    assert socket_words("2001:db8::80", -1) == "2001:db8::80"
    assert [listed(list("abcde"[:n])) for n in (0, 1, 2, 5)] == ["none", "a", "a and b", "a, b, c and 2 more"]


def test_shares() -> None:
    assert share(3, 5, "attempt") == "3 of 5 attempts"
    assert share(3, 3, "attempt") == "all 3 attempts"
    assert share(1, 1, "attempt") == "the only attempt"
    assert (any_of(1, "SYN"), any_of(2, "SYN")) == ("the SYN", "any of the 2 SYNs")
    assert sentence("all is well") == sentence("all is well.") == "All is well."


def test_terms_of_filters() -> None:
    assert one_of_addresses("ipv6", ["2001:db8::1"]) == "ipv6.addr == 2001:db8::1"
    assert one_of_addresses("ipv4", [f"192.0.2.{i}" for i in range(9)]) == "ip"
    assert one_of_ports("udp", [443]) == "udp.port == 443"
    assert one_of_ports("tcp", [80, 443]) == "tcp.port in {80, 443}"
    assert one_of_ports("tcp", list(range(1, 100))) == "tcp"


@given(st.lists(st.integers(-1, 65535), max_size=400), st.lists(st.integers(1, 2**40), max_size=200))
def test_filters_keep_to_their_length(ports: list[int], frames: list[int]) -> None:
    assert (
        len(conversation_filter("udp", "udp", ports=ports, span=(1_700_000_000 * 10**9, 1_800_000_000 * 10**9)))
        <= MOST_FILTER
    )
    assert len(frames_filter(frames, "frame.number >= 1")) <= MOST_FILTER
    assert conversation_filter("udp", "udp", ports=[], span=(-1, -1)) == "udp"
