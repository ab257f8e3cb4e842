"""Filter expressions: what they choose, and what they say when they cannot be read."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import UsageError
from analyzer.exchanges.filters.expression import read_filter

DAY = 20_778 * 86_400_000_000_000  # 2026-11-21
FIRST = DAY + 23 * 3_600_000_000_000
SECOND = 1_000_000_000
#: transport, family, client, server, server port, name, begin and end in seconds since the first record
LINES = [
    ("quic", "ipv4", "192.0.2.10", "192.0.2.80", 443, "www.example.com", 0, 5),
    ("quic", "ipv6", "2001:db8:1::10", "2001:db8:1::80", 443, "www.example.com", 10, 12),
    ("tcp", "ipv4", "192.0.2.10", "192.0.2.80", 443, "Api.Example.com", 20, 21),
    ("tcp", "ipv4", "198.51.100.7", "192.0.2.80", 8080, "", 30, 90),
    ("udp", "ipv4", "192.0.2.10", "192.0.2.53", 53, "", 40, 40),
]


def column(place: int, dtype: object = object) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.array([line[place] for line in LINES], dtype=dtype)


ROWS = {
    "transport": column(0),
    "family": column(1),
    "client_address": column(2),
    "client_port": np.array([50_001, 50_002, 50_003, 50_004, 50_005]),
    "server_address": column(3),
    "server_port": column(4, np.int64),
    "name": column(5),
    "begin": FIRST + column(6, np.int64) * SECOND,
    "end": FIRST + column(7, np.int64) * SECOND,
}


def chosen(text: str) -> list[int]:
    return [int(row) for row in np.flatnonzero(read_filter(text).fits(ROWS, FIRST))]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("host 192.0.2.10", [0, 2, 4]),
        ("host 192.0.2.80 and not port 443", [3]),
        ("client 192.0.2.80", []),
        ("server 192.0.2.80", [0, 2, 3]),
        ("net 192.0.2.0/24", [0, 2, 3, 4]),
        ("host 2001:DB8:1:0::/64", [1]),
        ("client 198.51.100.0/24", [3]),
        ("port 443", [0, 1, 2]),
        ("port 50004", [3]),
        ("port 0-1023", [0, 1, 2, 4]),
        ("udp", [0, 1, 4]),
        ("quic", [0, 1]),
        ("transport tcp", [2, 3]),
        ("ipv6", [1]),
        ("family ipv4 and tcp", [2, 3]),
        ("ip6 or port 53", [1, 4]),
        ("sni www.example.com", [0, 1]),
        ("sni *.EXAMPLE.com", [0, 1, 2]),
        ("sni 'www.example.com.'", [0, 1]),
        ("not sni *", []),
        ("after 30s", [3, 4]),
        ("before 10s", [0]),
        ("after 11s and before 31s", [1, 2, 3]),
        ("after 23:00:40", [3, 4]),
        ("after 2026-11-21T23:00:40.5Z", [3]),
        ("before 2026-11-22T00:00:00Z", [0, 1, 2, 3, 4]),
        ("after 1m", [3]),
        ("tcp or quic and ipv6", [1, 2, 3]),
        ("(tcp or quic) and ipv6", [1]),
        ("!(tcp||quic)&&port 53", [4]),
        ("NOT tcp AND NOT quic", [4]),
        ("not not tcp", [2, 3]),
    ],
)
def test_an_expression_chooses(text: str, rows: list[int]) -> None:
    assert chosen(text) == rows


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("", "something is missing at the end, at character 1", "port 443"),
        ("tcp and", "something is missing at the end, at character 8 (tcp and>>>)", "port 443"),
        ("host 10.0.0.1 and not prot 53", "'prot' is not known here, at character 23", "did you mean 'port'?"),
        ("tcp port 443", "'port' follows without a word between, at character 5 (tcp >>>port 443)", "'and' or 'or'"),
        ("host example.com", "'example.com' is no address, at character 6", "'sni NAME'"),
        ("host", "the end is no address, at character 5", "host 192.0.2.80"),
        ("port https", "'https' is no port", "port 443"),
        ("port 70000", "'70000' is no port", "port 443"),
        ("port 90-80", "'90-80' is no port", "8000-8999"),
        ("443", "'443' is not known here", "did you mean 'port 443'?"),
        ("192.0.2.80", "'192.0.2.80' is not known here", "did you mean 'host 192.0.2.80'?"),
        ("(tcp or udp", "this parenthesis is never closed, at character 1", "')'"),
        ("tcp)", "this parenthesis was never opened, at character 4", "remove it"),
        ("or tcp", "a term is missing before 'or', at character 1", "port 443"),
        ("sni 'www", "a quotation mark that is never closed, at character 5", "close it"),
        ("tcp & udp", "'&' alone, at character 5", "'and' or 'or'"),
        ("after yesterday", "'yesterday' is no time", "23:05:30"),
        ("after 25:61", "'25:61' is no time", "23:05:30"),
        ("family inet6", "no family 'inet6'", "ipv4 or ipv6"),
        ("(" * 100 + "tcp", "more than 60 levels", "flatter"),
        ("tcp or " * 1000, "longer than 4,000 characters", ""),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as told:
        read_filter(text)
    assert what in str(told.value)
    assert hint in str(told.value)


@given(
    st.lists(
        st.sampled_from(["tcp", "not", "and", "or", "(", ")", "host", "192.0.2.10", "port", "443", "'", "&&", "5s"])
    )
)
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        mask = read_filter(" ".join(words)).fits(ROWS, FIRST)
    except UsageError:
        return
    assert mask.dtype == np.bool_
    assert mask.shape == (len(LINES),)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        read_filter(text)
