"""What pcapng blocks say about interfaces, names, counts and secrets; every prefix of them is harmless."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture import descriptions as module
from analyzer.capture.descriptions import Descriptions, options
from analyzer.capture.records import CaptureFacts
from tests.capture import plain

ORDERS = pytest.mark.parametrize("order", "<>")
KEY_LOG = b"CLIENT_RANDOM 00 11\n"


def described(order: str = "<") -> Descriptions:
    descriptions = Descriptions(CaptureFacts("made", "made"))
    descriptions.section(order, bytes(16))
    return descriptions


def body(block: bytes) -> bytes:
    return block[8:-4]


def interface_body(order: str) -> bytes:
    fields = {1: b"mind it", 2: b"eth0", 3: b"uplink", 11: b"\x00udp port 443", 12: b"Linux 6", 15: b"NIC"}
    texts = b"".join(plain.option(code, value, order) for code, value in fields.items())
    numbers = plain.option(9, b"\x09", order) + plain.option(14, struct.pack(order + "q", -3600), order)
    return body(plain.interface(order, texts + numbers, link_type=276, snaplen=96))


def names_body(order: str) -> bytes:
    ipv4 = plain.option(1, bytes([192, 0, 2, 80]) + b"www.example.com\x00example.com\x00", order)
    ipv6 = plain.option(2, bytes.fromhex("20010db8" + "00" * 11 + "80") + b"six.example.com\x00", order)
    return ipv4 + plain.option(9, b"unknown", order) + ipv6 + plain.option(0, b"", order) + b"rest"


def statistics_body(order: str, index: int = 0) -> bytes:
    counts = [(4, 1000), (5, 7), (7, 3)]
    return struct.pack(order + "III", index, 0, 0) + b"".join(
        plain.option(code, struct.pack(order + "Q", count), order) for code, count in counts
    )


def secrets_body(order: str, kind: int = 0x544C534B) -> bytes:
    return struct.pack(order + "II", kind, len(KEY_LOG)) + KEY_LOG


@ORDERS
def test_an_interface(order: str) -> None:
    descriptions = described(order)
    descriptions.other(module.INTERFACE_DESCRIPTION, interface_body(order))
    (interface,) = descriptions.facts.interfaces
    assert (interface.link_type, interface.snaplen, interface.ticks_per_second) == (276, 96, 10**9)
    assert (interface.name, interface.description, interface.filter) == ("eth0", "uplink", "udp port 443")
    assert (interface.os, interface.hardware, interface.offset_seconds) == ("Linux 6", "NIC", -3600)
    assert descriptions.facts.comments == ["interface 0: mind it"]
    assert descriptions.facts.snaplen == 96


@ORDERS
def test_names_statistics_and_secrets(order: str) -> None:
    descriptions = described(order)
    descriptions.other(module.INTERFACE_DESCRIPTION, interface_body(order))
    descriptions.other(module.NAME_RESOLUTION, names_body(order))
    descriptions.other(module.INTERFACE_STATISTICS, statistics_body(order))
    descriptions.other(module.INTERFACE_STATISTICS, statistics_body(order, index=5))
    descriptions.other(module.DECRYPTION_SECRETS, secrets_body(order))
    descriptions.other(module.DECRYPTION_SECRETS, secrets_body(order, kind=0x57474B4C))
    facts = descriptions.facts
    assert facts.names == {"192.0.2.80": ["www.example.com", "example.com"], "2001:db8::80": ["six.example.com"]}
    assert (facts.interfaces[0].received, facts.interfaces[0].dropped) == (1000, 10)
    assert facts.secrets == [KEY_LOG]


@ORDERS
def test_a_section(order: str) -> None:
    descriptions = Descriptions(CaptureFacts("made", "made"))
    fields = {1: b"one", 2: b"x86", 3: b"Linux", 4: b"dumpcap"}
    texts = b"".join(plain.option(code, value, order) for code, value in fields.items())
    descriptions.section(order, body(plain.section(order, texts)))
    facts = descriptions.facts
    assert (facts.hardware, facts.os, facts.application, facts.comments) == ("x86", "Linux", "dumpcap", ["one"])


@ORDERS
@pytest.mark.parametrize("kind", [1, 4, 5, 10])
def test_every_prefix_is_read_without_raising(order: str, kind: int) -> None:
    make = {1: interface_body, 4: names_body, 5: statistics_body, 10: secrets_body}[kind]
    whole = make(order)
    for length in range(len(whole) + 1):
        descriptions = described(order)
        descriptions.other(1, interface_body(order))
        descriptions.other(kind, whole[:length])
        assert len(descriptions.facts.interfaces) == 1 + (kind == 1)


@given(st.integers(0, 12), st.binary(max_size=120), st.sampled_from("<>"))
def test_any_bytes_are_read_without_raising(kind: int, written: bytes, order: str) -> None:
    descriptions = described(order)
    descriptions.section(order, written)
    descriptions.other(kind, written)
    descriptions.record_comments(1, written)


def test_the_largest_snaplen_counts_and_0_is_unlimited() -> None:
    descriptions = described()
    for snaplen, largest in [(96, 96), (64, 96), (128, 128), (0, 0), (256, 0)]:
        descriptions.other(1, body(plain.interface(snaplen=snaplen)))
        assert descriptions.facts.snaplen == largest


def test_a_file_may_say_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMES_LIMIT", 2)
    monkeypatch.setattr(module, "SECRETS_BYTES_LIMIT", len(KEY_LOG))
    monkeypatch.setattr(module, "TEXT_LIMIT", 60)
    descriptions = described()
    for _ in range(3):
        descriptions.other(10, secrets_body("<"))
        descriptions.other(4, names_body("<"))
        descriptions.other(1, interface_body("<"))
    facts = descriptions.facts
    assert len(facts.secrets) == 1
    assert sum(map(len, facts.names.values())) == 2
    assert [interface.name for interface in facts.interfaces] == ["eth0", "", ""]
    assert len(facts.warnings) == 3


def test_options_end_at_their_end_mark_or_where_one_is_cut() -> None:
    two = plain.option(2, b"abc") + plain.option(3, b"")
    assert list(options(two + plain.option(0, b"") + two, "<")) == [(2, b"abc"), (3, b"")]
    assert list(options(two + struct.pack("<HH", 4, 9) + b"short", "<")) == [(2, b"abc"), (3, b"")]
