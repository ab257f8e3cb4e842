"""The kernel finds the names of a ClientHello where the reader of whole hellos does."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.offered_names import first_with_names, places_of_names
from analyzer.wire.tls_hello import names_of, offered_names, read_client_hello
from tests.wire.hellos import alpn, client_hello, extension, server_name, versions
from tests.wire.quic.vectors import CLIENT_FRAMES

HELLOS = [
    CLIENT_FRAMES[4:],
    client_hello([0x1301]),
    client_hello([0x1301], versions(0x0304)),
    client_hello([0x1301], server_name(b"a.example"), alpn(b"h3", b"h2"), session=bytes(32)),
    client_hello([0x1301, 0x1302], alpn(b"h2"), extension(0x0A0A, b"\0"), server_name(b"b.example"), alpn(b"h3")),
    client_hello([0x1301], server_name(b""), server_name(b"second.example")),
    client_hello([0x1301], extension(0, b""), extension(16, b"\0\3\2h3")),
]


def found(messages: list[bytes], *, compiled: bool, margin: int = 0) -> list[tuple[str, tuple[bytes, ...]]]:
    """The names that the kernel finds, in rows that are longer than the longest message by ``margin`` bytes."""
    width = max(map(len, messages)) + margin
    rows = np.full((len(messages), width), 0xAA, np.uint8)
    for row, message in zip(rows, messages, strict=True):
        row[: len(message)] = np.frombuffer(message, np.uint8)
    places = places_of_names(rows, np.array(list(map(len, messages))), compiled=compiled)
    return [
        names_of(message[name : name + length], message[at : at + size])
        for message, (name, length, at, size) in zip(messages, places.tolist(), strict=True)
    ]


def wanted(message: bytes) -> tuple[str, tuple[bytes, ...]]:
    hello = read_client_hello(message)
    assert hello is not None
    assert offered_names(message) == (hello.server_name, hello.alpn)
    return hello.server_name, hello.alpn


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("margin", [0, 9])
def test_whole_hellos(compiled: bool, margin: int) -> None:
    names = found(HELLOS, compiled=compiled, margin=margin)
    assert names == list(map(wanted, HELLOS))
    assert names[3] == ("a.example", (b"h3", b"h2"))


@pytest.mark.parametrize("message", HELLOS)
def test_every_prefix(message: bytes) -> None:
    prefixes = [message[:end] for end in range(4, len(message) + 1)]
    assert found(prefixes, compiled=False) == list(map(wanted, prefixes))
    assert found(prefixes, compiled=True) == list(map(wanted, prefixes))


@given(st.sampled_from(HELLOS), st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), max_size=6))
def test_damaged_hellos(message: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(message)
    for at, value in changes:
        damaged[4 + at % (len(damaged) - 4)] = value
    assert found([bytes(damaged)], compiled=False) == [wanted(bytes(damaged))]


@given(st.binary(max_size=120))
def test_any_body(body: bytes) -> None:
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    assert found([message], compiled=False) == [wanted(message)]


names_of_hosts = st.sampled_from([b"a.example", b"b.example", b"a.exampl", b"", b"a" * 200])


@pytest.mark.parametrize("compiled", [False, True])
@given(
    st.lists(st.tuples(names_of_hosts, st.sampled_from([(b"h3",), (b"h3", b"h2"), (b"h3h2",), ()])), max_size=40),
    st.randoms(use_true_random=False),
)
def test_the_first_with_the_same_names(
    compiled: bool, offered: list[tuple[bytes, tuple[bytes, ...]]], chance: Random
) -> None:
    messages = [client_hello([0x1301], server_name(name), alpn(*protocols)) for name, protocols in offered]
    rows = np.zeros((len(messages), max(map(len, messages), default=1)), np.uint8)
    for row, message in zip(rows, messages, strict=True):
        row[: len(message)] = np.frombuffer(message, np.uint8)
    places = places_of_names(rows, np.fromiter(map(len, messages), np.int64), compiled=compiled)
    chosen = [row for row in range(len(messages)) if chance.random() < 0.8]
    first: dict[tuple[bytes, tuple[bytes, ...]], int] = {}
    expected = [first.setdefault(offered[row], row) for row in chosen]
    assert first_with_names(rows, places, np.array(chosen, np.int64), compiled=compiled).tolist() == expected


def test_names_that_share_a_slot_are_told_apart() -> None:
    """Digests of 32 bits that are the same: 31 times one byte more is one byte of the next less."""
    messages = [client_hello([0x1301], server_name(name)) for name in (b"b\x41", b"a\x60", b"b\x41", b"a\x60")]
    rows = np.stack([np.frombuffer(message, np.uint8) for message in messages])
    places = places_of_names(rows, np.full(4, rows.shape[1]), compiled=False)
    for compiled in (False, True):
        assert first_with_names(rows, places, np.arange(4), compiled=compiled).tolist() == [0, 1, 0, 1]
