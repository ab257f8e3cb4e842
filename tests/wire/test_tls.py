"""TLS records and handshake messages: several per stream, cut anywhere, and what is not TLS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.tls import Alert, Message, RecordFlaw, handshake_messages, is_record, read_records, whole_message
from tests.wire import hellos

HELLO = hellos.client_hello([0x1301], hellos.server_name(b"example.com"))


def record(kind: int, fragment: bytes) -> bytes:
    return bytes([kind, 3, 3]) + hellos.vector(2, fragment)


def test_a_hello_over_several_records() -> None:
    stream = record(22, HELLO[:10]) + record(22, b"") + record(22, HELLO[10:])
    read = read_records(stream)
    assert (read.handshake, read.read, read.missing, read.flaw) == (HELLO, len(stream), 0, RecordFlaw.NONE)


def test_every_prefix() -> None:
    stream = record(22, HELLO[:10]) + record(22, HELLO[10:])
    for n in range(len(stream)):
        read = read_records(stream[:n])
        assert read.flaw is RecordFlaw.NONE
        assert HELLO.startswith(read.handshake)
        assert read.read == (0 if n < 15 else 15)
        there, size = n - read.read, 15 if n < 15 else 5 + len(HELLO) - 10
        assert read.missing == (0 if not there else -1 if there < 5 else size - there)


def test_alerts_in_clear_and_protected() -> None:
    read = read_records(record(21, b"\x02\x28") + record(21, bytes(26)) + record(20, b"\x01") + record(23, bytes(9)))
    assert read.alerts == (Alert(2, 40), Alert(-1, -1))
    assert (read.has_change_cipher_spec, read.application_bytes) == (True, 9)
    assert read_records(record(21, b"\x02\x28")[:-1]).alerts == ()


def test_behind_change_cipher_spec_only_a_hello_is_in_clear() -> None:
    again = record(22, HELLO) + record(20, b"\x01") + record(22, HELLO) + record(22, b"\x01" + bytes(39))
    read = read_records(again)
    assert (read.handshake, read.application_bytes) == (HELLO * 2, 40)


@pytest.mark.parametrize(
    "stream", [b"GET / HTTP/1.1\r\n", b"\x16\x02\0\0\x05", b"\x80\x2e\x01", b"\x16\x03\x01\xff\xff"]
)
def test_what_is_not_tls(stream: bytes) -> None:
    assert not is_record(stream)
    assert read_records(stream) == (b"", (), False, 0, 0, 0, RecordFlaw.NOT_TLS)
    behind = read_records(record(22, HELLO) + stream)
    assert (behind.handshake, behind.read, behind.flaw) == (HELLO, 5 + len(HELLO), RecordFlaw.NOT_TLS)


def test_messages() -> None:
    stream = HELLO + b"\x0b\0\0\x02ab" + b"\x0f\0\x01\0xyz"
    at = len(HELLO)
    assert handshake_messages(stream) == [
        Message(1, 0, len(HELLO) - 4, 0),
        Message(11, at, 2, 0),
        Message(15, at + 6, 256, 253),
    ]
    assert handshake_messages(b"\x01\0\0") == []


@given(
    st.lists(st.tuples(st.sampled_from([20, 21, 22, 23]), st.binary(max_size=30)), max_size=6), st.binary(max_size=9)
)
def test_any_records(records: list[tuple[int, bytes]], tail: bytes) -> None:
    stream = b"".join(record(kind, fragment) for kind, fragment in records)
    read = read_records(stream)
    assert (read.read, read.missing, read.flaw) == (len(stream), 0, RecordFlaw.NONE)
    messages = handshake_messages(read.handshake)
    assert sum(4 + message.length - message.missing for message in messages) >= len(read.handshake) - 3
    longer = read_records(stream + tail)
    assert longer.handshake.startswith(read.handshake)
    assert longer.read >= read.read


@given(st.lists(st.tuples(st.sampled_from([20, 22, 23]), st.binary(max_size=12)), max_size=4), st.integers(0, 60))
def test_a_whole_message_is_the_first_of_all(records: list[tuple[int, bytes]], end: int) -> None:
    stream = b"".join(record(kind, fragment) for kind, fragment in records)[:end]
    handshake, found = read_records(stream).handshake, whole_message(stream)
    assert handshake.startswith(found)
    first = next(iter(handshake_messages(handshake)), None)
    if found:
        assert handshake_messages(found)[0] == first
        assert first is not None
        assert first.missing == 0


def test_a_hello_in_one_record_is_whole_as_soon_as_it_is_there() -> None:
    stream = record(22, HELLO + b"\x0b\0\0\x40abc")
    for n in range(len(stream)):
        assert whole_message(stream[:n]) == (stream[5:n] if n >= 5 + len(HELLO) else b"")
