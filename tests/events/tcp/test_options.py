"""TCP options against bytes written by hand, against scapy, every prefix, and any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import TCP

from analyzer.events.tcp.options import NO_OPTIONS, Options, read_options

#: Of the SYN in record 7 of captures/11-tcp-cases/zero-window/client.pcap, with other timestamps.
SYN = bytes.fromhex("020405b4 0402 080a 0000000100000000 01 03030a")
WHOLE = Options(1460, 10, True, (1, 0), None, ())


def test_the_options_of_a_syn() -> None:
    assert read_options(SYN) == WHOLE
    assert read_options(b"") == NO_OPTIONS


@pytest.mark.parametrize("length", range(len(SYN)))
def test_every_prefix_reads_what_is_whole(length: int) -> None:
    read = read_options(SYN[:length])
    assert (read.mss, read.sack_permitted) == (1460 if length >= 4 else -1, length >= 6)
    assert (read.timestamps, read.window_scale) == ((1, 0) if length >= 16 else None, -1)


def test_selective_acknowledgments_and_cookies() -> None:
    assert read_options(bytes.fromhex("0101 0512 0000000100000002 0000000500000009")).sack == ((1, 2), (5, 9))
    assert read_options(bytes.fromhex("2202")).cookie == b""
    assert read_options(bytes.fromhex("220a 0102030405060708")).cookie == bytes(range(1, 9))


@pytest.mark.parametrize("wrong", ["0205 05b4", "0200", "02", "0303 0f 00 020405b4", "030500 0a0a"])
def test_wrong_lengths_end_the_reading_and_give_nothing(wrong: str) -> None:
    assert read_options(bytes.fromhex(wrong)).mss == -1


def test_a_scale_beyond_the_largest_counts_as_that() -> None:
    assert read_options(bytes.fromhex("03030f")).window_scale == 14


@given(st.binary(max_size=40))
def test_any_bytes_can_be_read(raw: bytes) -> None:
    read = read_options(raw)
    assert -1 <= read.mss <= 0xFFFF
    assert -1 <= read.window_scale <= 14


@given(st.integers(0, 0xFFFF), st.integers(0, 14), st.booleans(), st.integers(0, 0xFFFFFFFF))
def test_what_scapy_writes(mss: int, scale: int, sack: bool, stamp: int) -> None:
    listed = [("MSS", mss), ("NOP", None), ("WScale", scale), ("Timestamp", (stamp, 0))]
    raw = bytes(TCP(options=listed + ([("SAckOK", b"")] if sack else [])))[20:]
    assert read_options(raw) == Options(mss, scale, sack, (stamp, 0), None, ())
